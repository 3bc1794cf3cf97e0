//! A random tree of scopes and the programs in them, as data: what runs it and what predicts it
//! read the same plan, and share nothing else.

use std::sync::Arc;
use tidegate_testkit::Rng;

/// Milliseconds on the clock of the runtime, from the begin of the run.
pub(super) type Ms = u64;

/// How deep scopes and tasks nest.
const DEPTH: usize = 6;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) root: Arc<ScopePlan>,
    /// When the token around the root is cancelled.
    pub(super) outer: Ms,
    /// How many scopes and how many programs there are: both go by their numbers.
    pub(super) scopes: usize,
    pub(super) progs: usize,
}

#[derive(Debug)]
pub(super) struct ScopePlan {
    pub(super) id: usize,
    pub(super) grace: Ms,
    pub(super) timeout: Option<Ms>,
    pub(super) rule: Rule,
    pub(super) detached: bool,
    pub(super) body: Arc<Prog>,
}

/// What the failure of a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    FailFast,
    Collect(usize),
    Supervise,
}

/// What a task, or the body of a scope, does.
#[derive(Debug)]
pub(super) struct Prog {
    pub(super) id: usize,
    /// Whether it spawns another one into its scope when it is dropped.
    pub(super) respawns: bool,
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Ok,
    Err,
    Panic,
    /// Not by itself.
    Never,
}

/// A scope that is named by its number may be any in the tree; if it was not opened yet, the
/// step does nothing.
#[derive(Debug)]
pub(super) enum Step {
    /// Ignores a cancellation.
    Sleep(Ms),
    /// Ends early at a cancellation.
    Nap(Ms, Cut),
    /// Ends early at a stop, and goes on after `lag`.
    UntilStop {
        time: Ms,
        lag: Ms,
    },
    /// Is ready to go on again so many times.
    Yield(usize),
    /// Takes its time in one poll.
    Spin(usize),
    Spawn {
        prog: Arc<Prog>,
        into: Option<usize>,
        keep: bool,
    },
    /// Waits for the task kept last.
    Await,
    /// Blocking work, which is awaited.
    Block {
        id: usize,
        end: End,
    },
    /// A nested scope, dropped while its blocking work goes on.
    Orphan {
        scope: usize,
        body: usize,
        work: usize,
        end: End,
    },
    Nest {
        scope: Arc<ScopePlan>,
        under: Option<usize>,
        midway: Option<Ms>,
        pass: bool,
    },
    Cancel(usize),
    Stop(usize),
    Deadline(usize, Option<Ms>),
}

/// What a program does when its nap was cut short by a cancellation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// Cleans up, and ends.
    End(Ms, End),
    /// Goes on with the next step after this time.
    GoOn(Ms),
}

/// What a generated tree is like.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// The longest time of a step. With a long one no two things happen at the same time, and
    /// what comes of it can be told in advance; with a short one all happens at once.
    pub(super) span: Ms,
    pub(super) nodes: u64,
}

pub(super) fn generate(rng: &mut Rng, style: Style) -> Plan {
    // Small trees fail in ways that can be read.
    let most = 1 + rng.below(style.nodes);
    let left = usize::try_from(2 + rng.below(most)).unwrap();
    let outer = style.span * (1 + rng.below(8)) + rng.below(style.span);
    let mut tree = Tree { rng, span: style.span, left, scopes: 0, progs: 0 };
    let root = Arc::new(tree.scope(0));
    let Tree { scopes, progs, .. } = tree;
    Plan { root, outer, scopes, progs }
}

struct Tree<'a> {
    rng: &'a mut Rng,
    span: Ms,
    left: usize,
    scopes: usize,
    progs: usize,
}

impl Tree<'_> {
    fn ms(&mut self) -> Ms {
        1 + self.rng.below(self.span)
    }

    fn small(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap()
    }

    fn next_scope(&mut self) -> usize {
        self.scopes += 1;
        self.left = self.left.saturating_sub(1);
        self.scopes - 1
    }

    fn next_prog(&mut self) -> usize {
        self.progs += 1;
        self.left = self.left.saturating_sub(1);
        self.progs - 1
    }

    /// Any scope so far.
    fn some_scope(&mut self) -> usize {
        self.small(self.scopes)
    }

    fn scope(&mut self, depth: usize) -> ScopePlan {
        let id = self.next_scope();
        let grace = self.ms();
        let timeout = self.rng.one_in(5).then(|| self.ms());
        let rule = match self.rng.below(8) {
            0 | 1 => Rule::Collect(1 + self.small(4)),
            2 => Rule::Supervise,
            _ => Rule::FailFast,
        };
        let detached = depth > 0 && self.rng.one_in(8);
        ScopePlan { id, grace, timeout, rule, detached, body: Arc::new(self.body(depth, rule)) }
    }

    /// A panic of a body goes on if it is the first failure, and where errors are collected the
    /// body's is kept in any case: so it does not fail at the moment at which others may.
    fn body(&mut self, depth: usize, rule: Rule) -> Prog {
        let mut prog = self.prog(depth);
        for step in &mut prog.steps {
            if let Step::Nap(_, Cut::End(0, end)) = step {
                *end = match (*end, rule) {
                    (End::Panic, Rule::FailFast) => End::Err,
                    (End::Err | End::Panic, Rule::Collect(_) | Rule::Supervise) => End::Ok,
                    (end, _) => end,
                };
            }
        }
        prog
    }

    fn prog(&mut self, depth: usize) -> Prog {
        let (id, respawns) = (self.next_prog(), self.rng.one_in(3));
        let mut steps = Vec::new();
        let mut keeps = false;
        // More than what a report keeps.
        if self.left > 40 && self.rng.one_in(10) {
            for _ in 0..20 {
                let nap = vec![Step::Nap(self.ms(), self.cut())];
                let end = if self.rng.one_in(4) { self.ends() } else { End::Never };
                let prog = Prog { id: self.next_prog(), respawns: false, steps: nap, end };
                steps.push(Step::Spawn { prog: Arc::new(prog), into: None, keep: false });
            }
        }
        // The body of a scope is for spawning.
        let len = self.rng.below(if depth == 0 { 12 } else { 6 });
        for _ in 0..len {
            self.step(depth, &mut steps, &mut keeps);
        }
        let end = match self.rng.below(12) {
            0..=6 => End::Ok,
            7 | 8 => End::Err,
            9 => End::Panic,
            _ => End::Never,
        };
        Prog { id, respawns, steps, end }
    }

    fn ends(&mut self) -> End {
        match self.rng.below(6) {
            0..=2 => End::Ok,
            3 | 4 => End::Err,
            _ => End::Panic,
        }
    }

    fn cut(&mut self) -> Cut {
        match self.rng.below(4) {
            0 => Cut::GoOn(self.ms()),
            1 => Cut::End(self.ms(), self.ends()),
            _ => Cut::End(0, self.ends()),
        }
    }

    /// Adds a step, with a rest before it that no cancellation cuts short if what it does
    /// reaches others, or lets them go first: so it comes at a time of its own.
    fn step(&mut self, depth: usize, steps: &mut Vec<Step>, keeps: &mut bool) {
        let has_room = self.left > 2 && depth < DEPTH;
        let kind = self.rng.below(26);
        if matches!(kind, 6 | 18..) || (kind == 13 && self.rng.one_in(2)) {
            steps.push(Step::Sleep(self.ms()));
        }
        steps.push(match kind {
            0 => Step::Sleep(self.ms()),
            5 => Step::UntilStop { time: self.ms(), lag: self.ms() },
            6 => Step::Yield(1 + self.small(3)),
            7 => Step::Spin(self.small(2_000)),
            8..=13 if has_room => {
                let keep = self.rng.one_in(4);
                *keeps |= keep;
                Step::Spawn { prog: Arc::new(self.prog(depth + 1)), into: None, keep }
            }
            14..=17 | 24 if has_room => {
                let under = (kind == 24).then(|| self.some_scope());
                let midway = self.rng.one_in(4).then(|| self.ms());
                let pass = self.rng.one_in(2);
                Step::Nest { scope: Arc::new(self.scope(depth + 1)), under, midway, pass }
            }
            18 if has_room => {
                let into = Some(self.some_scope());
                Step::Spawn { prog: Arc::new(self.prog(depth + 1)), into, keep: false }
            }
            19 => Step::Cancel(self.some_scope()),
            20 => Step::Stop(self.some_scope()),
            21 => {
                let to = if self.rng.one_in(3) { None } else { Some(self.ms()) };
                Step::Deadline(self.some_scope(), to)
            }
            22 if self.left > 0 => Step::Block { id: self.next_prog(), end: self.ends() },
            23 if self.left > 2 => {
                let (scope, body, work) = (self.next_scope(), self.next_prog(), self.next_prog());
                Step::Orphan { scope, body, work, end: self.ends() }
            }
            25 if *keeps => Step::Await,
            _ => Step::Nap(self.ms(), self.cut()),
        });
    }
}
