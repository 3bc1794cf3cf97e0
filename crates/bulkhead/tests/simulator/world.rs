//! The simulation: what happens next, until it is over.

use super::{
    dice::Dice,
    limits::{Gate, Way},
    report::{Report, Tick},
    scenarios::{Callers, MS, SECOND, Scenario, TIMEOUT},
    server::{Job, Server},
};
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};
use tidegate_bulkhead::{Outcome, Permit, Sample};

/// How often a caller of a closed loop tries again, and after which time.
const TRIES: u32 = 3;
const RETRY: u64 = 50 * MS;
/// A point of the plots.
pub(super) const TICK: u64 = SECOND / 2;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive { client: usize },
    Again { client: usize, tries: u32 },
    Check,
    Done { call: usize },
    GiveUp { call: usize },
    Tick,
}

struct Call {
    client: usize,
    since: u64,
    tries: u32,
    is_check: bool,
    /// Until it is over for the caller.
    permit: Option<Permit>,
}

struct Client {
    gate: Gate,
    joins: u64,
    report: Report,
}

pub(super) struct World<'a> {
    scenario: &'a Scenario,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    count: u64,
    now: u64,
    server: Server,
    calls: Vec<Call>,
    clients: Vec<Client>,
    dice: Dice,
}

/// One client, alone.
pub(super) fn run(scenario: &Scenario, way: Way, seed: u64) -> Report {
    share(scenario, way, seed, &[0]).remove(0)
}

/// Clients with a limit each, and an equal share of the calls, from those seconds on.
pub(super) fn share(scenario: &Scenario, way: Way, seed: u64, joins: &[u64]) -> Vec<Report> {
    let client = |joins: &u64| {
        let report = Report::new(scenario);
        Client { gate: Gate::new(way), joins: joins * SECOND, report }
    };
    let clients = joins.iter().map(client).collect();
    let (dice, server) = (Dice::new(seed), Server::new(!seed));
    let (events, calls) = (BinaryHeap::new(), Vec::new());
    World { scenario, events, count: 0, now: 0, server, calls, clients, dice }.run()
}

impl World<'_> {
    fn run(mut self) -> Vec<Report> {
        for client in 0..self.clients.len() {
            let joins = self.clients[client].joins;
            match self.scenario.callers {
                Callers::Open(_) => self.after(joins, Event::Arrive { client }),
                Callers::Closed { callers, think } => {
                    for _ in 0..callers {
                        let first = self.dice.around(think);
                        self.after(joins + first, Event::Again { client, tries: TRIES });
                    }
                }
            }
        }
        if self.scenario.checks > 0 {
            self.after(0, Event::Check);
        }
        self.after(TICK, Event::Tick);
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            if now > self.scenario.seconds * SECOND {
                break;
            }
            self.now = now;
            self.happen(event);
            while let Some((job, takes)) = self.server.start(now, self.scenario) {
                self.after(takes, Event::Done { call: job.call });
            }
        }
        self.clients.into_iter().map(|client| client.report).collect()
    }

    /// In the order of time, and of coming.
    fn after(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.events.push(Reverse((self.now + time, self.count, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { client } => self.arrive(client),
            Event::Again { client, tries } => self.call(client, tries, false),
            Event::Check => {
                self.call(0, 1, true);
                self.after(SECOND / self.scenario.checks, Event::Check);
            }
            Event::Done { call } => {
                self.server.done();
                self.end(call, Outcome::Success);
            }
            Event::GiveUp { call } => self.end(call, Outcome::Cancelled),
            Event::Tick => {
                for client in &mut self.clients {
                    client.report.tick(client.gate.limit(), client.gate.in_flight());
                }
                self.after(TICK, Event::Tick);
            }
        }
    }

    fn arrive(&mut self, client: usize) {
        let Callers::Open(rate) = self.scenario.callers else { return };
        let rate = rate(self.now) / self.clients.len() as u64;
        let Some(mean) = SECOND.checked_div(rate) else {
            return self.after(MS * 10, Event::Arrive { client });
        };
        let next = self.dice.exponential(mean);
        self.after(next, Event::Arrive { client });
        self.call(client, 1, false);
    }

    fn call(&mut self, client: usize, tries: u32, is_check: bool) {
        let of = &mut self.clients[client];
        let Some(permit) = of.gate.enter() else {
            of.report.count(self.now, is_check, |tick: &mut Tick| tick.rejected += 1);
            return self.failed(client, tries);
        };
        let call = self.calls.len();
        let since = self.now;
        self.calls.push(Call { client, since, tries, is_check, permit: Some(permit) });
        self.server.join(Job { call, is_check });
        self.after(TIMEOUT, Event::GiveUp { call });
    }

    /// A call is over for its caller, unless it was before.
    fn end(&mut self, call: usize, outcome: Outcome) {
        let Call { client, since, tries, is_check, ref mut permit } = self.calls[call];
        let Some(permit) = permit.take() else { return };
        let latency = self.now - since;
        let Client { gate, report, .. } = &mut self.clients[client];
        let in_flight = gate.in_flight();
        gate.leave(
            self.now,
            permit,
            Sample { latency: Duration::from_nanos(latency), in_flight, outcome },
        );
        let is_good = outcome == Outcome::Success;
        report.count(self.now, is_check, |tick| {
            tick.latencies.push(latency);
            tick.good += u64::from(is_good);
        });
        if is_good { self.think(client) } else { self.failed(client, tries) }
    }

    fn failed(&mut self, client: usize, tries: u32) {
        if tries > 1 {
            let time = self.dice.around(RETRY);
            self.after(time, Event::Again { client, tries: tries - 1 });
        } else {
            self.think(client);
        }
    }

    fn think(&mut self, client: usize) {
        if let Callers::Closed { think, .. } = self.scenario.callers {
            let time = self.dice.around(think);
            self.after(time, Event::Again { client, tries: TRIES });
        }
    }
}
