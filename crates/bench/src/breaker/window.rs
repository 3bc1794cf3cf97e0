//! A call while fifty thousand are in a window of time.

use super::services::{Of, ours, tower_resilience};
use crate::{
    Plan,
    contest::{Contest, Cost, Ratio},
    echo::{Echo, call},
};

const IN_WINDOW: u64 = 50_000;
const TIMES: u64 = 1_000;

pub(super) fn run(plan: Plan) -> Vec<Ratio> {
    let times = plan.size(TIMES, TIMES / 10);
    let (mut ours, mut theirs) = (ours(Of::Minute, Echo), tower_resilience(Of::Minute, Echo));
    assert_eq!(call(&mut ours, IN_WINDOW), IN_WINDOW);
    assert_eq!(call(&mut theirs, IN_WINDOW), IN_WINDOW);
    let op = "a call with 50 000 in a window of time";
    let contest = Contest::new(op, Cost::Cpu, plan.rounds(15), || call(&mut ours, times)).against(
        "tower-resilience",
        0.01,
        || call(&mut theirs, times),
    );
    contest.run()
}
