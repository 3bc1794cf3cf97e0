//! What goes wrong in a scope: what that does to the scope, and which ledger it is entered in.

use super::{
    OnPanic, Straggler,
    error::{Payload, TaskInfo},
    ledger::{Counts, Entry, Estate, Fault, Ledger, Reader},
    node::ScopeNode,
    policy::{AfterFailure, AfterSuccess, ChildEnd, Rule},
    registry::Key,
};
use crate::{
    Cause, CauseKind, TaskPanic,
    cancel::SharedError,
    inspect::{Doing, Left},
    observe,
    panic::{Caught, drop_quietly},
    say::say_line,
    sync::{Arc, Mutex, lock},
};
use std::sync::OnceLock;

/// What went wrong in a scope, and what it does about that.
pub(super) struct Faults {
    rule: Rule,
    on_panic: OnPanic,
    ledger: Mutex<Ledger>,
    heir: OnceLock<Heir>,
}

/// Who hears of what goes wrong in a scope whose future was dropped: the scope above, or the heir
/// that this had by then. So of a deep chain that is dropped at the top nobody looks for its heir
/// level by level. It is never the last to hold the heir: the scope holds all that are above it.
struct Heir {
    node: Arc<ScopeNode>,
    reader: Reader,
}

impl Faults {
    pub(super) fn new(rule: Rule, on_panic: OnPanic) -> Self {
        let ledger = Mutex::new(Ledger::with_room_for(rule.room()));
        Self { rule, on_panic, ledger, heir: OnceLock::new() }
    }

    pub(super) fn on_panic(&self) -> OnPanic {
        self.on_panic
    }

    /// To be dropped before what is above the scope.
    pub(super) fn forget_heir(&mut self) {
        self.heir.take();
    }
}

/// In these `of` is the child that something happened to; none is the body.
impl ScopeNode {
    fn who(&self, of: Option<Key>) -> TaskInfo {
        of.map_or_else(|| self.info(), |key| self.describe(key))
    }

    /// Enters an error; `left` is what may have led to it. Foreign code comes last: the error is
    /// safe by then, whatever a subscriber does.
    pub(super) fn failed(&self, of: Option<Key>, error: &Arc<dyn SharedError>, left: &Left) {
        let task = self.who(of);
        let (kind, path, at) = (CauseKind::ChildFailed, task.whole_path().clone(), task.location());
        let cause = Cause::of_child(kind, path, at, None, Some(Arc::clone(error)));
        self.fault(of, Fault::Failed(task.clone(), left.led_to(cause)));
        // A reference to a reference: upcasting of trait objects came with Rust 1.86.
        observe::failed(&task, &&**error);
    }

    /// Enters a panic, and hands its payload out.
    pub(super) fn panicked(
        &self,
        of: Option<Key>,
        caught: Caught,
        left: &Left,
    ) -> (TaskPanic, Payload) {
        let (panic, payload) = TaskPanic::of(self.who(of), caught);
        let (path, at) = (panic.task().whole_path().clone(), panic.task().location());
        let text = Some(panic.message().to_owned());
        let cause = Cause::of_child(CauseKind::ChildPanicked, path, at, text, None);
        self.fault(of, Fault::Panicked(panic.clone(), left.led_to(cause)));
        observe::panicked(&panic);
        if of.is_some() && self.faults().on_panic == OnPanic::Abort {
            abort_process(&panic);
        }
        (panic, payload)
    }

    /// Keeps the payload of a child's panic, if the scope is to end with it, and drops any other.
    pub(super) fn dispose(&self, panic: &TaskPanic, payload: Payload) {
        let surplus = match self.faults().on_panic {
            OnPanic::Raise => lock(&self.faults().ledger).raise(panic, payload),
            OnPanic::AsError | OnPanic::Abort => Some(payload),
        };
        drop_quietly(surplus);
    }

    /// A child has returned its value: the scope may have what it wants.
    pub(super) fn succeeded(&self, child: Key) {
        let after = self.faults().rule.after_success(&ChildEnd::new(self, child, None));
        if after == AfterSuccess::Finish {
            lock(&self.faults().ledger).finish();
            let cause = Cause::of_scope(CauseKind::Finished, self.path().clone(), self.location());
            self.token().cancel(cause);
        }
    }

    /// Enters work that was dropped before it ended.
    pub(super) fn note_aborted(&self, of: Option<Key>, doing: Option<Doing>) {
        let straggler = Straggler::aborted(self.who(of), self.began(of), doing);
        self.note(Entry::Aborted(straggler.clone()));
        observe::aborted(&straggler);
    }

    /// The token decides who was first: only the failure that cancelled it is the root. Where
    /// failures are collected the ledger does, and that of a child cancels nothing.
    fn fault(&self, of: Option<Key>, fault: Fault) {
        let Faults { rule, .. } = self.faults();
        let cause = fault.cause().clone();
        let after = match of {
            Some(key) => rule.after_failure(&ChildEnd::new(self, key, Some(&fault))),
            None if rule.fails_fast() => AfterFailure::Cancel,
            None => {
                // Before the cancellation, whose consequences would come before it in the ledger.
                self.note(Entry::Also(fault));
                self.token().cancel(cause);
                return;
            }
        };
        self.note(match after {
            AfterFailure::Cancel if self.token().cancel(cause) => Entry::First(fault),
            AfterFailure::Cancel | AfterFailure::Collect => Entry::Also(fault),
            AfterFailure::Tolerate => Entry::Tolerated(fault),
        });
    }

    /// The scope above whose ledger is to be read for this one's; none, if this one's is.
    pub(super) fn heir(&self) -> Option<&Arc<Self>> {
        self.faults().heir.get().map(|heir| &heir.node)
    }

    /// Enters `entry` here, or in the next scope up whose ledger will be read.
    fn note(&self, mut entry: Entry) {
        let mut node = self;
        loop {
            let mut ledger = lock(&node.faults().ledger);
            // Looked at under the lock, so that what comes before the cancellation is entered
            // before what comes after it.
            let entered = ledger.enter(entry, node.token().is_cancelled());
            drop(ledger);
            match (entered, node.heir()) {
                (Ok(surplus), _) => return drop_quietly(surplus),
                (Err(entry), None) => return drop_quietly(entry),
                (Err(upward), Some(heir)) => {
                    entry = upward;
                    node = heir;
                }
            }
        }
    }

    /// From now on what goes wrong here is entered in the scopes above, as what did so far.
    pub(super) fn bequeath(&self, mut reader: Reader) {
        // Before the ledger refuses anything: who is refused looks for the heir.
        if let Some(parent) = self.parent() {
            let mut node = parent;
            if let Some(above) = parent.faults().heir.get() {
                (node, reader) = (&above.node, reader.then(above.reader));
            }
            let heir = Heir { node: Arc::clone(node), reader };
            self.faults().heir.get_or_init(|| heir);
        }
        let Estate { entries, counts, raised } = lock(&self.faults().ledger).orphan(reader);
        drop_quietly(raised);
        for entry in entries {
            self.note(entry);
        }
        if counts != Counts::default() {
            self.count(counts);
        }
    }

    pub(super) fn count_refused(&self) {
        self.count(Counts { refused: 1, ..Counts::default() });
    }

    /// Adds `counts` here, or in the next scope up whose ledger will be read.
    fn count(&self, counts: Counts) {
        let mut node = Some(self);
        while let Some(scope) = node.filter(|scope| !lock(&scope.faults().ledger).count(counts)) {
            node = scope.heir().map(|heir| &**heir);
        }
    }

    pub(super) fn take_ledger(&self) -> Ledger {
        lock(&self.faults().ledger).take()
    }
}

/// Ends the process at a panic, after it was said which work it was.
fn abort_process(panic: &TaskPanic) -> ! {
    say_line(format!("{panic}\nthe process is aborted"));
    std::process::abort()
}
