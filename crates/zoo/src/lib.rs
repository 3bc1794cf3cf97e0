//! A zoo of bugs, each of which somebody had in production. Every one is there twice: as it was,
//! and cured; and with one test for each tool, as somebody who uses that tool would write it.
//!
//! One run of this program is one test of one of the two, so that it may hang, abort or leak.
//! `cargo xtask zoo` makes all runs and draws the table.

#![forbid(unsafe_code)]
#![cfg_attr(
    any(tidegate_loom, tidegate_shuttle),
    allow(dead_code, reason = "these builds have some of the specimens")
)]
#![allow(clippy::print_stdout, reason = "a program that says on its output what it saw")]
#![allow(clippy::disallowed_methods, reason = "the bugs are written as they were found")]
#![allow(clippy::unwrap_used, reason = "in a test, as all of this is, it is an assertion")]

// What shuttle schedules goes by the same name in its build.
#[cfg(tidegate_shuttle)]
extern crate shuttle_tokio as tokio;

mod peers;
mod race;
#[cfg(tidegate_shuttle)]
mod scheduled;
mod specimen;
mod sync;
#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
mod tasks;
mod threads;

#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
pub use self::{race::on_threads::Hunt, threads::HUNTS};

use clap::{Parser, Subcommand};
use specimen::{Specimen, Tool, Variant};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

/// The test failed: the tool has found something.
const REPORTED: u8 = 1;
/// There is no such test. Not a code that a test ends with.
const NO_SUCH_TEST: u8 = 64;

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the specimens, and the tools there is a test for in this build, as JSON.
    List,
    /// Runs one test.
    Run {
        #[arg(long)]
        tool: Tool,
        #[arg(long)]
        specimen: String,
        #[arg(long)]
        variant: Variant,
    },
}

/// All of them.
#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
fn specimens() -> impl Iterator<Item = &'static Specimen> {
    tasks::ALL.iter().chain(threads::ALL)
}

/// Those whose threads are loom's in this build.
#[cfg(tidegate_loom)]
fn specimens() -> impl Iterator<Item = &'static Specimen> {
    threads::ALL.iter()
}

/// Those whose threads or tasks are shuttle's in this build.
#[cfg(tidegate_shuttle)]
fn specimens() -> impl Iterator<Item = &'static Specimen> {
    scheduled::ALL.iter().chain(threads::ALL)
}

/// The program.
///
/// # Panics
/// If it is asked for a list that cannot be written as JSON.
#[must_use]
pub fn main() -> ExitCode {
    match Args::parse().command {
        Command::List => {
            println!("{}", serde_json::to_string(&specimens().collect::<Vec<_>>()).unwrap());
            ExitCode::SUCCESS
        }
        Command::Run { tool, specimen, variant } => {
            let found = specimens().find(|known| known.name == specimen);
            let Some(test) = found.and_then(|found| found.test(tool)) else {
                println!("zoo: there is no test of {specimen} with {tool:?}");
                return ExitCode::from(NO_SUCH_TEST);
            };
            judge(|| test(variant))
        }
    }
}

/// As a test harness does: what panics has failed.
fn judge(test: impl FnOnce()) -> ExitCode {
    if catch_unwind(AssertUnwindSafe(test)).is_ok() {
        println!("zoo: silent");
        return ExitCode::SUCCESS;
    }
    println!("zoo: reported");
    ExitCode::from(REPORTED)
}

#[cfg(all(test, not(any(tidegate_loom, tidegate_shuttle))))]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn names_are_unique_and_each_is_tested_by_ours_and_by_a_peer() {
        let mut names = BTreeSet::new();
        for specimen in specimens() {
            assert!(names.insert(specimen.name), "{} is there twice", specimen.name);
            assert!(specimen.test(Tool::Ours).is_some(), "{}", specimen.name);
            assert!(specimen.tests.len() > 1, "{} has no peer", specimen.name);
        }
    }

    #[test]
    fn the_page_names_every_specimen() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/zoo.md");
        let page = fs::read_to_string(page).unwrap();
        for Specimen { name, .. } in specimens() {
            let is_there = page.contains(&format!("`{name}`"));
            assert!(is_there, "{name} is not on the page: `cargo xtask zoo --record`");
        }
    }
}
