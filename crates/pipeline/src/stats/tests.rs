use super::*;

fn stage(name: &'static str, kind: StageKind, concurrency: usize, millis: [u64; 3]) -> StageStats {
    let cell = StageCell::new(name.into(), kind, concurrency, 8);
    for (spent, millis) in [Spent::Busy, Spent::Starved, Spent::Blocked].into_iter().zip(millis) {
        cell.spend(spent, Duration::from_millis(millis), 1);
    }
    cell.read()
}

fn stats(stages: Vec<StageStats>) -> Stats {
    Stats { stages, elapsed: Duration::from_secs(1) }
}

#[test]
fn the_bottleneck_is_the_stage_with_the_busiest_slots() {
    let stats = stats(vec![
        stage("walk", StageKind::Source, 1, [300, 100, 600]),
        stage("fetch", StageKind::MapAsync, 8, [4000, 4000, 0]),
        stage("hash", StageKind::MapBlocking, 2, [1900, 100, 0]),
        stage("sink", StageKind::Sink, 1, [200, 800, 0]),
    ]);
    let hash = stats.bottleneck().unwrap();
    assert_eq!(hash.name.as_str(), "hash");
    let text = stats.to_string();
    let last = text.lines().last().unwrap();
    assert_eq!(
        last,
        "bottleneck: hash, its 2 slots are busy 95 % of the time; more help if cores are idle"
    );
}

#[test]
fn a_source_that_waits_for_its_stream_is_at_its_limit() {
    let stats = stats(vec![
        stage("walk", StageKind::Source, 1, [50, 900, 50]),
        stage("hash", StageKind::Map, 2, [1000, 1000, 0]),
        stage("sink", StageKind::Sink, 1, [0, 1000, 0]),
    ]);
    assert_eq!(stats.bottleneck().unwrap().name.as_str(), "walk");
}

#[test]
fn nothing_done_has_no_bottleneck_and_still_a_table() {
    let idle = stats(vec![stage("a", StageKind::Source, 1, [0; 3])]);
    assert!(idle.bottleneck().is_none());
    assert_eq!(idle.to_string().lines().count(), 3);
    let never_started = Stats { stages: Vec::new(), elapsed: Duration::ZERO };
    assert_eq!(never_started.delivered(), 0);
    assert_eq!(never_started.to_string().lines().count(), 2);
}

#[test]
fn a_table_has_a_line_per_stage() {
    let cell = StageCell::new("a long name".into(), StageKind::Map, 2, 8);
    cell.add_entered(10);
    cell.add_left(7);
    cell.add_failed();
    cell.add_filtered(1);
    cell.add_cancelled(1);
    assert!(cell.read().is_conserved());
    cell.take_back(2);
    assert!(cell.read().is_conserved());
    let text = stats(vec![cell.read()]).to_string();
    let expected = "\
stage        slots           in          out   dropped  busy %  starved %  blocked %     items/s   max queued
a long name      2           10            5         5     0.0        0.0        0.0           5      0/8    
5 delivered, 1 failed, 1 filtered, 3 cancelled in 1.000 s";
    assert_eq!(text, expected);
}
