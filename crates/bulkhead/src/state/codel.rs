//! Controlled delay: sheds load when those who are served have waited for too long for some time.

/// A queue discipline of RFC 8289, for waiters instead of packets.
///
/// A queue that now and then is long is good; one that stands is not. As long as every waiter that is served
/// has waited for longer than the target, throughout an interval, one is shed, and then more and more often:
/// the `n`th after `interval / sqrt(n)`, until one has waited for less.
///
/// | state | the next has waited | becomes | it |
/// |---|---|---|---|
/// | calm | less than the target | calm | passes |
/// | calm | longer | watching | passes |
/// | watching | less | calm | passes |
/// | watching | longer, for an interval | shedding | is shed |
/// | shedding | less | calm | passes |
/// | shedding | longer, and it is time | shedding | is shed |
#[derive(Clone, Debug)]
pub(crate) struct Codel {
    target: u64,
    interval: u64,
    /// When an interval of too long waits is over, if one has begun.
    above_until: Option<u64>,
    is_shedding: bool,
    next_shed: u64,
    /// How many were shed since it began to, and before.
    count: u32,
    last_count: u32,
}

impl Codel {
    pub(crate) fn new(target: u64, interval: u64) -> Self {
        Self {
            target,
            interval,
            above_until: None,
            is_shedding: false,
            next_shed: 0,
            count: 0,
            last_count: 0,
        }
    }

    /// Whether the waiter that would be served now is shed, after having waited for so long. The last one
    /// never is: there is no queue then.
    pub(super) fn sheds(&mut self, now: u64, waited: u64, is_last: bool) -> bool {
        let is_above = self.is_above(now, waited, is_last);
        if !is_above {
            self.is_shedding = false;
        } else if !self.is_shedding {
            self.begin(now);
            return true;
        } else if now >= self.next_shed {
            self.count = self.count.saturating_add(1);
            // What was missed while nobody came is not made up for at once.
            self.next_shed = self.after(self.next_shed).max(now.saturating_add(1));
            return true;
        }
        false
    }

    /// Nobody waits.
    pub(super) fn is_empty(&mut self) {
        self.above_until = None;
        self.is_shedding = false;
    }

    fn is_above(&mut self, now: u64, waited: u64, is_last: bool) -> bool {
        if waited < self.target || is_last {
            self.above_until = None;
            return false;
        }
        let until = self.above_until.get_or_insert_with(|| now.saturating_add(self.interval));
        now >= *until
    }

    /// Begins to shed: where it left off, if that is not long ago.
    fn begin(&mut self, now: u64) {
        self.is_shedding = true;
        let grown = self.count.saturating_sub(self.last_count);
        let is_recent = now.saturating_sub(self.next_shed) < self.interval.saturating_mul(16);
        self.count = if grown > 1 && is_recent { grown } else { 1 };
        self.last_count = self.count;
        self.next_shed = self.after(now);
    }

    /// The control law of the RFC.
    fn after(&self, then: u64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time, to about a millionth of itself"
        )]
        let pause = (self.interval as f64 / f64::from(self.count.max(1)).sqrt()) as u64;
        then.saturating_add(pause)
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn codel() -> Codel {
        Codel::new(5 * MS, 100 * MS)
    }

    #[test]
    fn short_waits_pass_for_ever() {
        let mut codel = codel();
        assert!((0..10_000).all(|n| !codel.sheds(n * MS, 5 * MS - 1, false)));
    }

    /// A burst that is worked off within an interval costs nobody anything.
    #[test]
    fn a_burst_passes() {
        let mut codel = codel();
        assert!((0..100).all(|n| !codel.sheds(n * MS, (100 - n) * MS, false)));
        assert!(!codel.sheds(101 * MS, MS, false));
        assert!(!codel.sheds(150 * MS, 9 * MS, false), "and the next interval begins anew");
    }

    #[test]
    fn a_standing_queue_is_shed_more_and_more_often() {
        let mut codel = codel();
        let shed: Vec<_> = (0..1000).filter(|n| codel.sheds(n * MS, 50 * MS, false)).collect();
        // 100, then after 100 / sqrt(1), 100 / sqrt(2), ...
        assert_eq!(&shed[..5], [100, 200, 271, 329, 379]);
        assert!(!codel.sheds(1001 * MS, MS, false), "until one has not waited for long");
        assert!(!codel.sheds(1002 * MS, 50 * MS, false));
    }

    #[test]
    fn it_goes_on_where_it_left_off() {
        let mut codel = codel();
        assert!((0..1000).filter(|n| codel.sheds(n * MS, 50 * MS, false)).count() > 5);
        assert!(!codel.sheds(1000 * MS, 0, false));
        let again: Vec<_> = (1001..1400).filter(|n| codel.sheds(n * MS, 50 * MS, false)).collect();
        assert_eq!(again[0], 1101);
        assert!(again[1] - again[0] < 50, "{again:?}");
    }

    /// Permits that are held for longer than an interval.
    #[test]
    fn one_is_shed_at_a_time() {
        let mut codel = codel();
        assert!(!codel.sheds(0, 50 * MS, false));
        for n in 1..100 {
            let shed = (0..1000).filter(|_| codel.sheds(n * 2000 * MS, 50 * MS, false)).count();
            assert_eq!(shed, 1);
        }
    }

    #[test]
    fn the_last_is_never_shed() {
        let mut codel = codel();
        assert!((0..1000).all(|n| !codel.sheds(n * MS, 50 * MS, true)));
    }
}
