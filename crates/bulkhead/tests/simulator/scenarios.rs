//! What may happen to a server.

pub(super) const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1000 * MS;

/// The server has this many workers, unless a scenario says otherwise.
pub(super) const WORKERS: u32 = 20;
/// A call takes so long, unless a scenario says otherwise: 400 a second in all.
pub(super) const SERVICE: u64 = 50 * MS;
/// Callers wait no longer.
pub(super) const TIMEOUT: u64 = SECOND;

/// Callers and a server, by the time in nanoseconds.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) seconds: u64,
    /// Measured from here.
    pub(super) warm: u64,
    pub(super) workers: fn(u64) -> u32,
    pub(super) service: fn(u64) -> u64,
    pub(super) callers: Callers,
    /// How many health checks a second there are beside.
    pub(super) checks: u64,
    /// When the right limit changes, in seconds.
    pub(super) steps: &'static [u64],
}

#[derive(Clone, Copy)]
pub(super) enum Callers {
    /// So many calls a second, whatever becomes of those before; by chance.
    Open(fn(u64) -> u64),
    /// So many that call, think, and call again. Who is turned away or times out tries again, twice.
    Closed { callers: u64, think: u64 },
}

impl Scenario {
    /// How many calls a second the server can do.
    pub(super) fn capacity(&self, now: u64) -> f64 {
        f64::from((self.workers)(now)) * SECOND as f64 / (self.service)(now) as f64
    }

    /// How many it would do if callers knew.
    pub(super) fn ideal(&self, now: u64) -> f64 {
        let offered = match self.callers {
            Callers::Open(rate) => rate(now) as f64,
            Callers::Closed { callers, think } => {
                callers as f64 * SECOND as f64 / (think + (self.service)(now)) as f64
            }
        };
        offered.min(self.capacity(now))
    }

    fn of(name: &'static str, title: &'static str, callers: Callers) -> Self {
        Self {
            name,
            title,
            seconds: 60,
            warm: 10,
            workers: |_| WORKERS,
            service: |_| SERVICE,
            callers,
            checks: 0,
            steps: &[],
        }
    }
}

pub(super) fn light() -> Scenario {
    Scenario::of("light", "80 % of what it can do", Callers::Open(|_| 320))
}

pub(super) fn mild() -> Scenario {
    Scenario {
        seconds: 120,
        ..Scenario::of("mild", "105 % for two minutes", Callers::Open(|_| 420))
    }
}

pub(super) fn strong() -> Scenario {
    Scenario::of("strong", "300 %", Callers::Open(|_| 1200))
}

pub(super) fn step() -> Scenario {
    Scenario {
        seconds: 90,
        workers: |now| if (30 * SECOND..60 * SECOND).contains(&now) { 5 } else { WORKERS },
        steps: &[30, 60],
        ..Scenario::of("step", "a quarter of the workers from 30 s to 60 s", Callers::Open(|_| 480))
    }
}

pub(super) fn drift() -> Scenario {
    Scenario {
        seconds: 90,
        service: |now| SERVICE + SERVICE * 2 * (now / MS).min(90_000) / 90_000,
        ..Scenario::of(
            "drift",
            "calls that take longer and longer, to three times",
            Callers::Open(|_| 480),
        )
    }
}

pub(super) fn bursts() -> Scenario {
    let rate = |now: u64| if now / SECOND % 10 < 2 { 1200 } else { 200 };
    Scenario::of("bursts", "50 %, and 300 % for 2 s of each 10 s", Callers::Open(rate))
}

pub(super) fn retries() -> Scenario {
    let callers = Callers::Closed { callers: 600, think: 500 * MS };
    Scenario::of("retries", "600 callers that try again", callers)
}

pub(super) fn checks() -> Scenario {
    let rate = |now: u64| if now < 20 * SECOND { 0 } else { 600 };
    Scenario {
        warm: 20,
        checks: 20,
        steps: &[20],
        ..Scenario::of("checks", "health checks alone, then 150 %", Callers::Open(rate))
    }
}

/// Two clients share the server, and the second one comes later.
pub(super) fn shared() -> Scenario {
    Scenario { warm: 30, ..Scenario::of("shared", "two clients", Callers::Open(|_| 1200)) }
}

/// For ten clients.
pub(super) const FLEET_WORKERS: u32 = 100;

pub(super) fn fleet() -> Scenario {
    Scenario {
        seconds: 240,
        warm: 30,
        workers: |_| FLEET_WORKERS,
        ..Scenario::of("fleet", "150 %, by ten clients", Callers::Open(|_| 3000))
    }
}

pub(super) fn all() -> Vec<Scenario> {
    vec![light(), mild(), strong(), step(), drift(), bursts(), retries(), checks()]
}
