//! `zoo`: every tool on every specimen of `crates/zoo`, planted and cured.
//!
//! As a lane it runs ours alone, in seconds. `cargo xtask zoo` with any flag runs the peers as
//! well, of which many hang, and draws the table.

pub mod keeper;
pub mod page;
pub mod table;

use std::{fs, io, process::ExitCode, time::Duration};

use crate::{
    cx::Cx,
    outcome::Stop,
    process::Cmd,
    term,
    workspace::{self, Workspace},
};
use clap::{Arg, ArgAction, ArgMatches};
use keeper::{Keeper, MODELS};
use table::Table;

/// Where the results are recorded, and the page they are shown on.
const DATA: &str = "docs/data/zoo.json";
const PAGE: &str = "docs/src/zoo.md";

/// The lane.
pub const NAME: &str = "zoo";

/// The tool that has to find what is planted.
const OURS: &str = "ours";

/// How long one test may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The packages whose versions make a difference.
const VERSIONS: [&str; 3] = ["tokio", "loom", "shuttle"];

/// The flags besides those of a lane. With any of them the command is no lane.
#[must_use]
pub fn flags() -> [Arg; 3] {
    let arg = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    [
        arg("record", "Run the peers as well, and write the results and their page")
            .action(ArgAction::SetTrue),
        arg("limit", "Run the peers as well, each for so many seconds at most")
            .value_name("SECS")
            .value_parser(clap::value_parser!(u64).range(1..)),
        arg("only", "Run these specimens alone, with the peers")
            .value_name("NAME,..")
            .value_delimiter(',')
            .action(ArgAction::Append),
    ]
}

/// Whether the peers are asked for.
#[must_use]
pub fn is_asked_for_all(matches: &ArgMatches) -> bool {
    matches.get_flag("record") || matches.contains_id("limit") || matches.contains_id("only")
}

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    "runs".clone_into(&mut cx.report.unit);
    // The program has a few tests of its own; it is no default member.
    let test = Cmd::cargo().args(["test", "--locked", "-p", "tidegate-zoo"]);
    cx.check(&test)?;
    cx.check(&build())?;
    cx.crates(["tidegate-zoo"]);
    let keeper = Keeper::new(cx.workspace, LIMIT)?;
    let specimens = keeper.specimens()?;
    let table = keeper.run(specimens, |tool| tool == OURS)?;
    cx.note(format_args!("{}", page::text(&table)));
    cx.report.tests = table.rows.len() as u64;
    cx.report.explored = table.runs();
    table.judge().map_err(Stop::fail)
}

/// Runs everything, prints the table, and writes it if that is asked for.
///
/// # Errors
/// When cargo, a test or a file cannot be used.
pub fn all(matches: &ArgMatches) -> io::Result<ExitCode> {
    let workspace = Workspace::load()?;
    for build in std::iter::once(build()).chain(MODELS.map(|model| build_model(&workspace, model)))
    {
        if !build.command().current_dir(&workspace.root).status()?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    let limit = matches.get_one("limit").copied().map_or(LIMIT, Duration::from_secs);
    let keeper = Keeper::new(&workspace, limit)?;
    let mut specimens = keeper.with_models(keeper.specimens()?)?;
    if let Some(only) = matches.get_many::<String>("only") {
        let only: Vec<&String> = only.collect();
        if let Some(unknown) = only.iter().find(|name| !specimens.iter().any(|s| s.name == ***name))
        {
            return Err(io::Error::other(format!("there is no specimen {unknown}")));
        }
        specimens.retain(|specimen| only.contains(&&specimen.name));
        if matches.get_flag("record") {
            return Err(io::Error::other("a part of the zoo is not recorded"));
        }
    }
    let table = keeper.run(specimens, |_| true)?;
    term::out(format_args!("{}", page::text(&table)));
    if matches.get_flag("record") {
        record(&workspace, &table)?;
    }
    Ok(match table.judge() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            term::err(format_args!("zoo: {reason}"));
            ExitCode::FAILURE
        }
    })
}

/// Tests are built as `cargo test` builds them.
fn build() -> Cmd {
    Cmd::cargo().args(["build", "--locked", "-p", "tidegate-zoo"])
}

/// The same program with other threads.
fn build_model(workspace: &Workspace, model: &str) -> Cmd {
    build()
        .env("CARGO_TARGET_DIR", workspace.target.join(model))
        .env("RUSTFLAGS", format!("--cfg tidegate_{model}"))
}

fn record(workspace: &Workspace, table: &Table) -> io::Result<()> {
    let rustc = workspace::version_line(&Cmd::new("rustc").arg("--version"))
        .ok_or_else(|| io::Error::other("rustc does not run"))?;
    let graph = workspace.graph()?;
    let version = |name: &&str| {
        let package = graph.iter().find(|package| package.name == **name);
        package.map(|package| format!("{name} {}", package.version))
    };
    let mut versions = vec![rustc];
    versions.extend(VERSIONS.iter().filter_map(version));
    let page = workspace.root.join(PAGE);
    let text = page::insert(&fs::read_to_string(&page)?, &page::markdown(table, &versions))?;
    let mut json = serde_json::to_string_pretty(&page::json(table, &versions))?;
    json.push('\n');
    fs::write(workspace.root.join(DATA), json)?;
    fs::write(page, text)
}
