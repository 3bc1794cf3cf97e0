//! In which order children are started: that of their declaration, but none before those that it
//! comes after.

use super::ConfigError;
use crate::Name;
use std::collections::{BTreeSet, HashMap};

/// The order of start of children with these names and dependencies, as indices.
pub(super) fn order<'a>(
    children: impl ExactSizeIterator<Item = (&'a Name, &'a [Name])>,
) -> Result<Vec<usize>, ConfigError> {
    let children: Vec<_> = children.collect();
    let mut index = HashMap::new();
    for (n, (name, _)) in children.iter().enumerate() {
        if index.insert(*name, n).is_some() {
            return Err(ConfigError::Duplicate((*name).clone()));
        }
    }
    let mut before: Vec<Vec<usize>> = Vec::with_capacity(children.len());
    let mut then: Vec<Vec<usize>> = vec![Vec::new(); children.len()];
    for (n, (child, after)) in children.iter().enumerate() {
        let known = |after: &Name| {
            let unknown =
                || ConfigError::UnknownAfter { child: (*child).clone(), after: after.clone() };
            index.get(after).copied().ok_or_else(unknown)
        };
        let after: BTreeSet<usize> = after.iter().map(known).collect::<Result<_, _>>()?;
        for before in &after {
            then[*before].push(n);
        }
        before.push(after.into_iter().collect());
    }
    let mut missing: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut free: BTreeSet<usize> = (0..children.len()).filter(|n| missing[*n] == 0).collect();
    let mut order = Vec::with_capacity(children.len());
    while let Some(next) = free.pop_first() {
        order.push(next);
        for n in &then[next] {
            missing[*n] -= 1;
            if missing[*n] == 0 {
                free.insert(*n);
            }
        }
    }
    if order.len() < children.len() {
        let circle = circle(&before, &missing);
        return Err(ConfigError::Cycle(circle.iter().map(|n| children[*n].0.clone()).collect()));
    }
    Ok(order)
}

/// One circle among those that miss something: each of them comes after another one.
fn circle(before: &[Vec<usize>], missing: &[usize]) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut next = missing.iter().position(|missing| *missing > 0);
    while let Some(n) = next {
        if let Some(start) = path.iter().position(|on_path| *on_path == n) {
            return path.split_off(start);
        }
        path.push(n);
        next = before[n].iter().copied().find(|before| missing[*before] > 0);
    }
    path
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    fn names(children: &[(&'static str, &[&'static str])]) -> Result<Vec<&'static str>, String> {
        let named: Vec<(Name, Vec<Name>)> = children
            .iter()
            .map(|(name, after)| {
                ((*name).into(), after.iter().map(|name| (*name).into()).collect())
            })
            .collect();
        order(named.iter().map(|(name, after)| (name, &after[..])))
            .map(|order| order.into_iter().map(|n| children[n].0).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_order_of_declaration_is_kept_but_for_dependencies() {
        assert_eq!(names(&[("c", &[]), ("a", &[]), ("b", &[])]).unwrap(), ["c", "a", "b"]);
        let web = [("web", &["db", "log"][..]), ("db", &["log"]), ("mail", &[]), ("log", &[])];
        assert_eq!(names(&web).unwrap(), ["mail", "log", "db", "web"]);
        assert_eq!(names(&[("a", &[]), ("b", &["a", "a"])]).unwrap(), ["a", "b"]);
        assert_eq!(names(&[]).unwrap(), [""; 0]);
    }

    #[test]
    fn what_has_no_order_is_named() {
        let error = |children: &[_]| names(children).unwrap_err();
        assert_eq!(error(&[("a", &[]), ("a", &[])]), "two children are called a");
        assert_eq!(error(&[("a", &["b"])]), "a comes after b, which there is not");
        let circle = error(&[("a", &["b"]), ("x", &[]), ("b", &["c"]), ("c", &["x", "b"])]);
        assert_eq!(circle, "children come after each other in a circle: b -> c -> b");
        assert_eq!(error(&[("a", &["a"])]), "children come after each other in a circle: a -> a");
    }

    #[test]
    fn a_long_chain_declared_backwards_is_not_quadratic() {
        const LEN: u32 = if cfg!(miri) { 50 } else { 20_000 };
        let names: Vec<Name> = (0..LEN).map(|n| format!("{n}").into()).collect();
        let after = |n: usize| names.get(n + 1).map_or(&[][..], std::slice::from_ref);
        let order = order(names.iter().enumerate().map(|(n, name)| (name, after(n))));
        assert_eq!(order.unwrap(), (0..names.len()).rev().collect::<Vec<_>>());
    }
}
