//! Which lanes a run consists of, and whether there is time for the next one.

use std::{str::FromStr, time::Duration};

use crate::{lane::Lane, profile::Profile};

/// One part of a run that is spread over several machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 1.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, count)| {
            Some(Self { index: index.parse().ok()?, count: count.parse().ok()? })
        });
        parts
            .filter(|shard| (1..=shard.count).contains(&shard.index))
            .ok_or_else(|| format!("`{text}` is not i/n with 1 <= i <= n, such as 1/3"))
    }
}

/// What the user asked `ci` for.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// How much it may cost.
    pub profile: Profile,
    /// These lanes alone, whatever the profile has; empty for all of the profile.
    pub only: Vec<String>,
    /// Not these.
    pub skip: Vec<String>,
    /// This part alone.
    pub shard: Option<Shard>,
}

impl Choice {
    /// The lanes to run, in their order.
    #[must_use]
    pub fn lanes(&self) -> Vec<Lane> {
        let named = |names: &[String], lane: &Lane| names.iter().any(|name| name == lane.name());
        let mut lanes = Lane::all().to_vec();
        lanes.retain(|lane| {
            let wanted = if self.only.is_empty() {
                lane.is_in(self.profile)
            } else {
                named(&self.only, lane)
            };
            wanted && !named(&self.skip, lane)
        });
        match self.shard {
            Some(shard) => dealt(&lanes, self.profile, shard),
            None => lanes,
        }
    }
}

/// The lanes of one shard: the costliest first, each goes to the shard that has least to do.
fn dealt(lanes: &[Lane], profile: Profile, shard: Shard) -> Vec<Lane> {
    let mut order: Vec<usize> = (0..lanes.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(lanes[*at].cost(profile)));
    let mut loads = vec![Duration::ZERO; shard.count];
    let mut own = Vec::new();
    for at in order {
        let Some((to, load)) = loads.iter_mut().enumerate().min_by_key(|(_, load)| **load) else {
            break;
        };
        *load += lanes[at].cost(profile);
        if to + 1 == shard.index {
            own.push(at);
        }
    }
    own.sort_unstable();
    own.into_iter().map(|at| lanes[at]).collect()
}

/// How long a lane may take, or `None` where there is no time left for it: it is not begun if it
/// is expected to end after `left`, and ended there if it takes longer than expected.
#[must_use]
pub fn time_for(lane: &Lane, profile: Profile, left: Option<Duration>) -> Option<Duration> {
    let limit = lane.limit(profile);
    match left {
        None => Some(limit),
        Some(left) if lane.cost(profile) > left => None,
        Some(left) => Some(limit.min(left)),
    }
}

/// Reads `90s`, `15m` or `2h`.
///
/// # Errors
/// What is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time such as 90s, 15m or 2h");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds)
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(choice: &Choice) -> Vec<&'static str> {
        choice.lanes().iter().map(Lane::name).collect()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn lanes_are_picked_by_profile_or_by_name() {
        let all = names(&Choice { profile: Profile::Nightly, ..Choice::default() });
        assert_eq!(all.len(), Lane::all().len());
        let pr = names(&Choice::default());
        assert!(pr.len() <= all.len() && pr.contains(&"test"));
        let only = Choice { only: words(&["tsan", "fmt", "loom"]), ..Choice::default() };
        assert_eq!(names(&only), ["fmt", "loom", "tsan"]);
        assert_eq!(names(&Choice { skip: words(&["loom"]), ..only }), ["fmt", "tsan"]);
    }

    #[test]
    fn every_lane_is_in_exactly_one_shard_and_shards_are_even() {
        for profile in Profile::ALL {
            for count in 1..=20 {
                let shard = |index| Choice {
                    profile,
                    shard: Some(Shard { index, count }),
                    ..Choice::default()
                };
                let shards: Vec<Vec<Lane>> =
                    (1..=count).map(|index| shard(index).lanes()).collect();
                let mut dealt: Vec<_> = shards.iter().flatten().map(Lane::name).collect();
                dealt.sort_unstable();
                let mut whole = names(&Choice { profile, ..Choice::default() });
                whole.sort_unstable();
                assert_eq!(dealt, whole);
                let loads = shards
                    .iter()
                    .map(|lanes| lanes.iter().map(|l| l.cost(profile)).sum::<Duration>());
                // No shard is ahead of another by more than the last lane it was dealt.
                let (most, least) = (loads.clone().max().unwrap(), loads.min().unwrap());
                let largest = Lane::all().iter().map(|lane| lane.cost(profile)).max().unwrap();
                assert!(most <= least + largest, "{profile} {count}: {most:?} {least:?}");
            }
        }
    }

    #[test]
    fn shards_are_read() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        for wrong in ["0/3", "4/3", "1/0", "1", "", "a/b", "1/2/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_lane_that_does_not_fit_is_not_begun_and_one_that_does_is_bounded() {
        let lane = Lane::named("test").unwrap();
        let (cost, limit) = (lane.cost(Profile::Pr), lane.limit(Profile::Pr));
        let time = |left| time_for(&lane, Profile::Pr, left);
        assert_eq!(time(None), Some(limit));
        assert_eq!(time(Some(cost)), Some(cost));
        assert_eq!(time(Some(limit * 2)), Some(limit));
        assert_eq!(time(Some(cost.saturating_sub(Duration::from_nanos(1)))), None);
    }

    #[test]
    fn times_are_read() {
        let seconds = |n| Ok(Duration::from_secs(n));
        assert_eq!(duration("90s"), seconds(90));
        assert_eq!(duration("15m"), seconds(900));
        assert_eq!(duration("2h"), seconds(7200));
        for wrong in ["", "15", "m", "-1m", "1.5h", "0s", "9999999999999999999h", "15\u{b5}"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
