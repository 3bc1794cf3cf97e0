//! Which processes descend from one, by what `/proc` tells of all: without looking there.

use std::collections::HashSet;

/// What `/proc/PID/stat` tells of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// When it began, in ticks since boot: what tells it from another one with its number.
    pub(super) began: u64,
    /// Whether it has ended and waits to be reaped.
    pub(super) is_dead: bool,
    pub(super) name: String,
}

impl Stat {
    /// Its name stands in parentheses, and may itself have such and blanks in it.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|&byte| byte == b'(')?;
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let pid = std::str::from_utf8(&text[..open]).ok()?.trim().parse().ok()?;
        let name = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let mut number = || fields.next()?.parse().ok();
        let (parent, group, session) = (number()?, number()?, number()?);
        // The 22nd field of all; this is the 7th.
        let began = fields.nth(15)?.parse().ok()?;
        let is_dead = matches!(state, "Z" | "X" | "x");
        Some(Self { pid, parent, group, session, began, is_dead, name })
    }
}

/// Which of all processes descend from `root`, itself not among them: its children's children, its
/// group, the groups and sessions that descendants lead, and what `is_marked`. That is asked only
/// of those that nothing else connects.
///
/// What began before `root` is none of them, and neither are processes 0 and 1 nor `own`.
pub(super) fn descendants(
    all: &[Stat],
    root: (i32, u64),
    own: i32,
    is_marked: &mut dyn FnMut(&Stat) -> bool,
) -> Vec<usize> {
    let (pid, began) = root;
    let mut kin = HashSet::from([pid]);
    let mut open: Vec<usize> = (0..all.len())
        .filter(|&n| {
            let stat = &all[n];
            !stat.is_dead
                && stat.began >= began
                && stat.pid > 1
                && stat.pid != pid
                && stat.pid != own
        })
        .collect();
    let mut found = Vec::new();
    let mut asked = false;
    loop {
        let before = found.len();
        open.retain(|&n| {
            let stat = &all[n];
            let is_kin = [stat.parent, stat.group, stat.session].iter().any(|id| kin.contains(id))
                || asked && is_marked(stat);
            if is_kin {
                kin.insert(stat.pid);
                found.push(n);
            }
            !is_kin
        });
        match (found.len() == before, asked) {
            (true, true) => return found,
            (true, false) => asked = true,
            // Once each: those that are left have no mark.
            (false, _) => {}
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stat(pid: i32, parent: i32, group: i32, session: i32) -> Stat {
        Stat { pid, parent, group, session, began: 10, is_dead: false, name: String::new() }
    }

    fn found(all: &[Stat], marked: &[i32]) -> Vec<i32> {
        let mut is_marked = |stat: &Stat| marked.contains(&stat.pid);
        let found = descendants(all, (100, 10), 50, &mut is_marked);
        let mut pids: Vec<_> = found.into_iter().map(|n| all[n].pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn a_line_is_read_from_behind_its_name() {
        let line = b"42 (a) S (b) R 7 8 9 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 1 0 73396 3133440 362";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.group, stat.session), (42, 7, 8, 9));
        assert_eq!((stat.began, stat.is_dead, stat.name.as_str()), (73396, false, "a) S (b"));
        let zombie = b"42 (\xff) Z 7 8 9 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 1 0 73396 3133440 362";
        assert!(Stat::parse(zombie).unwrap().is_dead);
        for cut in 0..line.len() - 20 {
            assert_eq!(Stat::parse(&line[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn kin_is_found_by_each_of_its_ties() {
        let all = [
            stat(100, 50, 100, 1),
            stat(101, 100, 100, 1),
            stat(102, 101, 100, 1),
            // It left its group, and then its parent died.
            stat(103, 1, 103, 103),
            stat(104, 103, 103, 103),
            stat(105, 1, 103, 103),
            stat(106, 1, 106, 103),
            // A stranger.
            stat(107, 1, 107, 107),
        ];
        assert_eq!(found(&all, &[]), [101, 102]);
        assert_eq!(found(&all, &[103]), [101, 102, 103, 104, 105, 106]);
    }

    #[test]
    fn openab_270_neither_0_nor_1_nor_this_process_is_kin() {
        let mut all = [stat(0, 100, 100, 100), stat(1, 100, 100, 100), stat(50, 100, 100, 100)];
        assert_eq!(found(&all, &[0, 1, 50]), []);
        all[0].pid = -7;
        assert_eq!(found(&all, &[-7]), []);
    }

    #[test]
    fn what_is_older_or_dead_is_no_kin() {
        let mut all = [stat(101, 100, 100, 1), stat(102, 100, 100, 1), stat(103, 102, 1, 1)];
        all[0].began = 9;
        all[1].is_dead = true;
        assert_eq!(found(&all, &[101, 102]), []);
    }

    /// Kin by walking up from each one, with every step written out.
    fn is_kin(all: &[Stat], marked: &[i32], stat: &Stat, seen: &mut Vec<i32>) -> bool {
        let could = |stat: &Stat| {
            !stat.is_dead && stat.began >= 10 && stat.pid > 1 && ![50, 100].contains(&stat.pid)
        };
        if !could(stat) || seen.contains(&stat.pid) {
            return false;
        }
        seen.push(stat.pid);
        marked.contains(&stat.pid)
            || [stat.parent, stat.group, stat.session].iter().any(|&id| {
                id == 100
                    || all.iter().any(|other| other.pid == id && is_kin(all, marked, other, seen))
            })
    }

    proptest! {
        #[test]
        fn it_is_what_a_walk_from_each_process_finds(
            rows in prop::collection::vec((0_i32..12, 0_i32..12, 0_i32..12, 9_u64..12, 0..8_u8), 0..10),
            marked in prop::collection::vec(95_i32..107, 0..3),
        ) {
            let near = |n: i32| n + 95;
            let all: Vec<_> = rows
                .iter()
                .zip(95..)
                .map(|(&(parent, group, session, began, dead), pid)| Stat {
                    began,
                    is_dead: dead == 0,
                    ..stat(pid, near(parent), near(group), near(session))
                })
                .collect();
            let expected: Vec<_> = all
                .iter()
                .filter(|stat| is_kin(&all, &marked, stat, &mut Vec::new()))
                .map(|stat| stat.pid)
                .collect();
            prop_assert_eq!(found(&all, &marked), expected);
        }
    }
}
