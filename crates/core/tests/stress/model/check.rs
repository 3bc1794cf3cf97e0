//! What must be true of every run, and what must be true if all that happened was foretold.

use super::{
    oracle::{Fault, How, Left, Oracle, Outcome, ScopeState, Why},
    world::{ProgRecord, Record, Returned, Told, World},
};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Adopted, Cause, CauseKind, JoinReport, Straggler};

type Fails = Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            return Err(format!($($text)*));
        }
    };
}

/// What holds whatever the order in which things happened. If `in_turn`, no two of them were
/// at the same time, so that who was first is known.
pub(super) fn invariants(world: &World, in_turn: bool) -> Fails {
    ensure!(world.values() == 0, "{} values were not dropped", world.values());
    world.with(|record| {
        for (id, prog) in record.progs.iter().enumerate() {
            ensure!(!prog.has_respawned, "p{id} was aborted, and more work was admitted after it");
            ensure!(prog.ended.len() == prog.made, "p{id} was dropped {} times", prog.ended.len());
        }
        for (id, handle) in record.handles.iter().enumerate() {
            let Some(cx) = handle else { continue };
            ensure!(cx.live() == 0, "{} live in s{id}", cx.live());
            ensure!(cx.stragglers().is_empty(), "s{id} has stragglers: {:?}", cx.stragglers());
            ensure!(cx.is_cancelled(), "s{id} has ended and is not cancelled");
        }
        for (id, scope) in record.scopes.iter().enumerate() {
            let Some((moment, _)) = scope.returned else { continue };
            let late = in_scope(record, id, true).find(|(_, prog)| {
                prog.ended.iter().any(|(ended, _)| ended.at > moment.at || ended.turn > moment.turn)
            });
            if let Some((prog, _)) = late {
                return Err(format!("p{prog} outlived s{id}"));
            }
            nothing_is_lost(record, id, in_turn).map_err(|error| format!("s{id}: {error}"))?;
        }
        Ok(())
    })
}

/// The programs that a scope answers for: its own, and with `below` those of every scope in
/// it.
fn in_scope(
    record: &Record,
    scope: usize,
    below: bool,
) -> impl Iterator<Item = (usize, &ProgRecord)> {
    record.progs.iter().enumerate().filter(move |(_, prog)| {
        let mut above = Some(prog.scope_id);
        while let Some(id) = above.filter(|id| *id != scope && below) {
            above = record.scopes[id].parent;
        }
        prog.made > 0 && !prog.is_refused && above == Some(scope)
    })
}

/// Whether a scope that was dropped is to tell `scope` of what is in it.
fn answers_to(record: &Record, mut dropped: usize, scope: usize) -> bool {
    while dropped != scope {
        let state = &record.scopes[dropped];
        let (None, Some(parent)) = (&state.returned, state.parent) else { return false };
        dropped = parent;
    }
    true
}

/// Every error, panic and abort is told by the scope that it was in, once.
fn nothing_is_lost(record: &Record, id: usize, in_turn: bool) -> Fails {
    let (mut faults, mut dropped) = (Vec::new(), Vec::new());
    let (mut left, mut bodies, mut has_blocked) = (0, 0, false);
    for (prog, state) in in_scope(record, id, true) {
        let (moment, how) = state.ended[0];
        if state.scope_id == id {
            match how {
                How::Err | How::Panic => {
                    has_blocked |= state.is_blocking;
                    faults.push((moment.turn, path_of(prog, state)));
                }
                How::Dropped => dropped.push(path_of(prog, state)),
                How::Ok => {}
            }
        } else if answers_to(record, state.scope_id, id) {
            // The body of a dropped scope is dropped with it, which is nothing to tell of, or was
            // aborted before.
            let is_body = how == How::Dropped && state.is_body;
            bodies += usize::from(is_body);
            left += usize::from(how != How::Ok && !is_body);
        }
    }
    let (_, returned) = record.scopes[id].returned.as_ref().unwrap();
    let (told, report) = match returned {
        // What came later is told by events alone.
        Returned::Panic(_) => return Ok(()),
        Returned::Told(told, report) => (told.as_ref(), report),
    };
    ensure!(told.is_some() || dropped.is_empty(), "a value hides an abort");
    let first = told.and_then(Told::path);
    let mut kept: Vec<_> = report.also().iter().map(Told::new).collect();
    kept.splice(0..0, told.filter(|_| first.is_some()).cloned());
    let has_failed = !kept.is_empty();
    kept.extend(report.tolerated().iter().map(Told::new));
    ensure!(told.is_some() || !has_failed, "a value hides an error");
    let count = kept.len() + report.more() + report.tolerated_more();
    ensure!(count == faults.len(), "{count} errors of {} are told", faults.len());
    let paths: BTreeSet<_> = kept.iter().map(|told| told.path().unwrap_or_default()).collect();
    ensure!(paths.len() == kept.len(), "an error is told twice: {kept:?}");
    // Work that blocks ends while others go on.
    let is_in_turn = in_turn && !has_blocked && report.tolerated().is_empty();
    if let (true, Some(path)) = (is_in_turn, first) {
        let earliest = faults.iter().min().map(|(_, path)| path.as_str());
        ensure!(earliest == Some(path), "{told:?} was not the first, but {earliest:?}");
    }
    let aborted: Vec<_> = report.aborted().iter().map(|s| s.task().path().to_owned()).collect();
    for path in &dropped {
        ensure!(aborted.contains(path), "{path} was aborted and is not told: {aborted:?}");
    }
    told_of_others(record, id, report)?;
    let others = aborted.len() - dropped.len();
    let adopted = report.adopted().len() + report.adopted_more();
    let is_all = (left..=left + bodies).contains(&(others + adopted));
    ensure!(is_all, "{others} + {adopted} of {left} are told of dropped scopes");
    ensure!(report.adopted().len() <= 16, "{} are kept", report.adopted().len());
    Ok(())
}

/// What is told as aborted or adopted is somebody, once, and somebody to whom that happened.
fn told_of_others(record: &Record, id: usize, report: &JoinReport<super::world::Fault>) -> Fails {
    let below: BTreeMap<_, _> = in_scope(record, id, true)
        .map(|(prog, state)| (path_of(prog, state), state.ended[0].1))
        .collect();
    let aborted = report.aborted().iter().map(|straggler| (straggler.task(), true));
    let adopted = report.adopted().iter().map(|adopted| (adopted.task(), adopted.is_aborted()));
    let mut told = BTreeSet::new();
    for (task, is_aborted) in aborted.chain(adopted) {
        let how = below.get(task.path());
        let is_so = match how {
            Some(How::Dropped) => is_aborted,
            Some(How::Err | How::Panic) => !is_aborted,
            Some(How::Ok) | None => false,
        };
        ensure!(is_so, "{task} is told, aborted: {is_aborted}, and is {how:?}");
        ensure!(told.insert(task.path()), "{task} is told twice");
    }
    Ok(())
}

fn path_of(id: usize, prog: &ProgRecord) -> String {
    let scope = &prog.scope;
    match (prog.is_body, prog.is_blocking) {
        (true, _) => scope.clone(),
        (false, true) => format!("{scope}/b{id}"),
        (false, false) => format!("{scope}/t{id}"),
    }
}

/// Compares a run with what was foretold.
pub(super) fn as_foretold(oracle: &Oracle<'_>, world: &World) -> Fails {
    world.with(|record| {
        for (id, (real, foretold)) in record.progs.iter().zip(&oracle.progs).enumerate() {
            let real = (real.started, real.ended.first().map(|(moment, how)| (moment.at, *how)));
            let foretold = foretold.as_ref().map_or((None, None), |prog| (prog.started, prog.fate));
            let is_refused = record.progs[id].is_refused && foretold == (None, None);
            ensure!(
                real == foretold || is_refused,
                "p{id} began and ended {real:?}, foretold {foretold:?}"
            );
        }
        for (id, (real, foretold)) in record.scopes.iter().zip(&oracle.scopes).enumerate() {
            let returned = real.returned.as_ref();
            let is_told = |state: &&ScopeState<'_>| state.outcome.is_some();
            match (returned, foretold.as_ref().filter(is_told)) {
                (None, None) => {}
                (Some((moment, returned)), Some(state)) => {
                    let (at, _) = state.outcome.as_ref().unwrap();
                    ensure!(moment.at == *at, "s{id} returned at {}, foretold {at}", moment.at);
                    same_return(oracle, state, returned)
                        .map_err(|error| format!("s{id}: {error}"))?;
                }
                (Some((moment, Returned::Told(Some(Told::Cancelled(_)), _))), None)
                    if oracle.refused.contains(&(id, moment.at)) => {}
                (real, _) => return Err(format!("s{id} returned {real:?}")),
            }
        }
        let sorted = |mut awaited: Vec<_>| {
            awaited.sort_by_key(|(prog, awaited)| (*prog, format!("{awaited:?}")));
            awaited
        };
        let (real, foretold) = (sorted(record.awaited.clone()), sorted(oracle.awaited.clone()));
        ensure!(real == foretold, "awaited {real:?}, foretold {foretold:?}");
        Ok(())
    })
}

fn same_return(oracle: &Oracle<'_>, state: &ScopeState<'_>, returned: &Returned) -> Fails {
    let (_, outcome) = state.outcome.as_ref().unwrap();
    let (told, report) = match (returned, outcome) {
        (Returned::Panic(message), Outcome::Panic(source)) => {
            ensure!(*message == format!("panic of p{source}"), "{message}, foretold p{source}");
            return Ok(());
        }
        (Returned::Told(told, report), _) => (told.as_ref(), report),
        _ => return Err(format!("{returned:?}, foretold {outcome:?}")),
    };
    let is_so = match (told, outcome) {
        (None, Outcome::Value) | (Some(Told::Aborted), Outcome::Aborted) => true,
        (Some(Told::Cancelled(cause)), Outcome::Cancelled(why)) => is_cause(oracle, &cause.0, *why),
        (Some(told), Outcome::Fault(first)) => {
            let path = told.path().unwrap_or_default();
            first.iter().any(|prog| path_foretold(oracle, *prog) == path)
        }
        _ => false,
    };
    ensure!(is_so, "{told:?}, foretold {outcome:?}");
    same_faults(oracle, state, told, report)?;
    same_tolerated(oracle, state, report)?;
    same_aborts(oracle, state, report)?;
    same_legacy(oracle, state, report)?;
    let refused = (report.refused(), state.refused);
    ensure!(refused.0 == refused.1, "{} were refused, foretold {}", refused.0, refused.1);
    Ok(())
}

fn path_foretold<'a>(oracle: &'a Oracle<'_>, prog: usize) -> &'a str {
    &oracle.progs[prog].as_ref().unwrap().path
}

fn is_cause(oracle: &Oracle<'_>, cause: &Cause, why: Why) -> bool {
    let scope = |id: usize| oracle.scopes[id].as_ref().unwrap();
    let origin = cause.origin().unwrap_or_default();
    match why {
        Why::Outer => cause.message() == Some("outer"),
        Why::Step(prog) => cause.message() == Some(&*format!("by p{prog}!")),
        Why::Fault(id) => {
            matches!(cause.kind(), CauseKind::ChildFailed | CauseKind::ChildPanicked)
                && scope(id).cancelled_by.iter().any(|prog| path_foretold(oracle, *prog) == origin)
        }
        Why::Deadline(id) => {
            cause.kind() == CauseKind::DeadlineExceeded && origin == scope(id).path
        }
        Why::Dropped(id) => cause.kind() == CauseKind::ScopeDropped && origin == scope(id).path,
    }
}

/// All errors that are told are the right ones, the oldest first, and as many as there is room
/// for; the number of those that are not is right.
fn same_faults(
    oracle: &Oracle<'_>,
    state: &ScopeState<'_>,
    told: Option<&Told>,
    report: &JoinReport<super::world::Fault>,
) -> Fails {
    let foretold: BTreeMap<_, _> =
        state.faults().map(|fault| (path_foretold(oracle, fault.prog), fault)).collect();
    let mut kept: Vec<_> = report.also().iter().map(Told::new).collect();
    kept.splice(0..0, told.filter(|told| told.path().is_some()).cloned());
    let mut times = Vec::new();
    for told in &kept {
        let Some(fault) = foretold.get(told.path().unwrap_or_default()) else {
            return Err(format!("{told:?} is told, foretold {foretold:?}"));
        };
        ensure!(is_fault(told, fault), "{told:?}, foretold {fault:?}");
        times.push(fault.at);
    }
    ensure!(times.is_sorted(), "not the oldest first: {kept:?} at {times:?}");
    let counted = state.faults().filter(|fault| fault.is_counted).count();
    ensure!(report.more() == counted, "{} more, foretold {counted}", report.more());
    ensure!(kept.len() + counted == foretold.len(), "{kept:?}, foretold {foretold:?}");
    Ok(())
}

/// The oldest 16 of what was tolerated, and the number of the others.
fn same_tolerated(
    oracle: &Oracle<'_>,
    state: &ScopeState<'_>,
    report: &JoinReport<super::world::Fault>,
) -> Fails {
    let (kept, foretold) = (report.tolerated(), &state.tolerated);
    let counted = foretold.iter().filter(|fault| fault.is_counted).count();
    ensure!(report.tolerated_more() == counted, "{} tolerated more", report.tolerated_more());
    ensure!(kept.len() + counted == foretold.len(), "{kept:?} tolerated, foretold {foretold:?}");
    for told in kept.iter().map(Told::new) {
        let path = told.path().unwrap_or_default();
        let fault = foretold.iter().find(|fault| path_foretold(oracle, fault.prog) == path);
        let is_so = fault.is_some_and(|fault| is_fault(&told, fault));
        ensure!(is_so, "{told:?} tolerated, foretold {fault:?}");
    }
    Ok(())
}

fn is_fault(told: &Told, fault: &Fault) -> bool {
    match told {
        Told::Failed(_, prog) => !fault.is_panic && *prog == fault.prog,
        Told::Panicked(_, message) => {
            fault.is_panic && *message == format!("panic of p{}", fault.source)
        }
        _ => false,
    }
}

fn same_aborts(
    oracle: &Oracle<'_>,
    state: &ScopeState<'_>,
    report: &JoinReport<super::world::Fault>,
) -> Fails {
    let path = |straggler: &Straggler| straggler.task().path().to_owned();
    let mut real: Vec<_> = report.aborted().iter().map(path).collect();
    let mut foretold: Vec<_> =
        state.aborted.iter().map(|prog| path_foretold(oracle, *prog).to_owned()).collect();
    real.sort();
    foretold.sort();
    ensure!(real == foretold, "aborted {real:?}, foretold {foretold:?}");
    Ok(())
}

/// What dropped scopes left: all of it, or 16 and the number of the others.
fn same_legacy(
    oracle: &Oracle<'_>,
    state: &ScopeState<'_>,
    report: &JoinReport<super::world::Fault>,
) -> Fails {
    let name = |adopted: &Adopted| {
        let path = adopted.task().path();
        let panic = adopted.panic().map(|panic| panic.message().to_owned());
        let error = adopted.downcast_ref::<super::world::Fault>().map(|fault| fault.0.to_string());
        (path.to_owned(), adopted.is_aborted(), panic.or(error))
    };
    let foretold_name = |left: &Left| match left {
        Left::Aborted(prog) => (path_foretold(oracle, *prog).to_owned(), true, None),
        Left::Fault(fault) => {
            let text = if fault.is_panic {
                format!("panic of p{}", fault.source)
            } else {
                fault.prog.to_string()
            };
            (path_foretold(oracle, fault.prog).to_owned(), false, Some(text))
        }
    };
    let mut foretold: Vec<_> = state.adopted.iter().map(foretold_name).collect();
    let kept: Vec<_> = report.adopted().iter().map(name).collect();
    let is_counted = |left: &&Left| matches!(left, Left::Fault(fault) if fault.is_counted);
    let room = (foretold.len() - state.adopted.iter().filter(is_counted).count()).min(16);
    ensure!(kept.len() == room, "{kept:?} adopted, foretold {room} of {foretold:?}");
    for adopted in &kept {
        let Some(at) = foretold.iter().position(|left| left == adopted) else {
            return Err(format!("{adopted:?} adopted, foretold {foretold:?}"));
        };
        foretold.swap_remove(at);
    }
    let more = report.adopted_more();
    ensure!(more == foretold.len(), "{more} more adopted, foretold {}", foretold.len());
    Ok(())
}
