//! The command line.

use std::{ffi::OsString, io, process::ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::{
    bench,
    cx::{self, Cx, Options},
    doctor,
    lane::Lane,
    lanes,
    outcome::Outcome,
    process::{self, Cmd, Runner},
    report, term,
    workspace::{self, Workspace},
};

/// How many lines of a failing lane's log are shown.
const TAIL_LINES: usize = 60;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    match dispatch(&matches) {
        Ok(code) => code,
        Err(error) => {
            term::err(format_args!("xtask: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let options = [
        flag("strict", "A missing tool is a failure"),
        flag("no-install", "Install nothing"),
        flag("keep-going", "Within a lane, go on after a failed test"),
    ];
    let lanes = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("LANE,..")
            .value_delimiter(',')
            .action(ArgAction::Append)
            .value_parser(Lane::ALL.map(Lane::name))
            .help(help)
    };
    let words = |help: &'static str| {
        Arg::new("args")
            .num_args(0..)
            .allow_hyphen_values(true)
            .trailing_var_arg(true)
            .value_parser(clap::value_parser!(OsString))
            .help(help)
    };
    Command::new("xtask")
        .bin_name("cargo xtask")
        .about("One command a lane; every lane leaves target/xtask/<lane>.json and <lane>.log")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("ci")
                .about("all lanes, one table, one closing line")
                .args(&options)
                .arg(lanes("only", "Run these lanes alone"))
                .arg(lanes("skip", "Run all lanes but these")),
        )
        .subcommands(
            Lane::ALL.map(|lane| Command::new(lane.name()).about(lane.about()).args(&options)),
        )
        .mut_subcommand(Lane::Zoo.name(), |zoo| zoo.args(lanes::zoo::flags()))
        .subcommand(Command::new("doctor").about("which tools are here, and how to get the rest"))
        .subcommand(
            Command::new("bench")
                .about("side-by-side benchmarks: [area] [--quick] [--record]")
                .arg(words("Passed on to the benchmark program")),
        )
        .subcommand(Command::new("leash").hide(true).arg(words("The child and its arguments")))
}

fn dispatch(matches: &ArgMatches) -> io::Result<ExitCode> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(ExitCode::FAILURE) };
    let args = || matches.get_many::<OsString>("args").into_iter().flatten().cloned().collect();
    match name {
        "leash" => {
            let args: Vec<OsString> = args();
            Ok(process::leash(&args))
        }
        "bench" => bench::run(args()),
        "doctor" => doctor::run(),
        "ci" => {
            let picked = |name: &str, lane: Lane| {
                matches
                    .get_many::<String>(name)
                    .is_some_and(|mut lanes| lanes.any(|l| l == lane.name()))
            };
            let mut lanes = Lane::ALL.to_vec();
            if matches.contains_id("only") {
                lanes.retain(|lane| picked("only", *lane));
            }
            lanes.retain(|lane| !picked("skip", *lane));
            run_lanes(&lanes, options(matches))
        }
        name => match Lane::named(name) {
            Some(Lane::Zoo) if lanes::zoo::is_asked_for_all(matches) => lanes::zoo::all(matches),
            Some(lane) => run_lanes(&[lane], options(matches)),
            None => Err(io::Error::other(format!("there is no lane {name}"))),
        },
    }
}

fn options(matches: &ArgMatches) -> Options {
    Options {
        strict: matches.get_flag("strict"),
        no_install: matches.get_flag("no-install"),
        keep_going: matches.get_flag("keep-going"),
    }
}

fn run_lanes(lanes: &[Lane], options: Options) -> io::Result<ExitCode> {
    let workspace = Workspace::load()?;
    let runner = Runner::of_this_program(workspace.root.clone());
    let rustc = workspace::version_line(&Cmd::new("rustc").arg("--version"))
        .ok_or_else(|| io::Error::other("rustc does not run"))?;
    let mut reports = Vec::new();
    for (index, lane) in lanes.iter().enumerate() {
        term::out(format_args!(
            "[{}/{}] {}: {}",
            index + 1,
            lanes.len(),
            lane.name(),
            lane.about()
        ));
        let report = Cx::drive(*lane, &workspace, &runner, &rustc, options)?;
        term::out(format_args!(
            "[{}/{}] {}: {} in {:.0} s",
            index + 1,
            lanes.len(),
            lane.name(),
            report.result,
            report.seconds
        ));
        reports.push(report);
    }
    term::out(format_args!("\n{}", report::table(&reports)));
    for report in reports.iter().filter(|report| report.result != Outcome::Pass) {
        if report.result == Outcome::Unavailable && !options.strict {
            continue;
        }
        let log = workspace.reports().join(format!("{}.log", report.lane));
        let tail = cx::tail(&log, TAIL_LINES);
        term::out(format_args!("--- {}: end of {}\n{tail}\n", report.lane, log.display()));
    }
    let (line, success) = report::closing(&reports, options.strict);
    term::out(format_args!("{line}"));
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_is_a_command_with_the_common_flags() {
        command().debug_assert();
        for lane in Lane::ALL {
            let matches = command()
                .try_get_matches_from(["xtask", lane.name(), "--strict", "--no-install"])
                .unwrap();
            let (name, matches) = matches.subcommand().unwrap();
            assert_eq!(name, lane.name());
            let options = options(matches);
            assert!(options.strict && options.no_install && !options.keep_going);
        }
    }

    #[test]
    fn an_unknown_lane_is_refused() {
        assert!(command().try_get_matches_from(["xtask", "ci", "--only", "fmt,nope"]).is_err());
        assert!(command().try_get_matches_from(["xtask", "ci", "--only", "fmt,loom"]).is_ok());
        assert!(command().try_get_matches_from(["xtask"]).is_err());
    }

    #[test]
    fn flags_of_the_benchmarks_are_passed_on() {
        let matches =
            command().try_get_matches_from(["xtask", "bench", "walk", "--quick"]).unwrap();
        let (_, matches) = matches.subcommand().unwrap();
        let args: Vec<_> = matches.get_many::<OsString>("args").unwrap().collect();
        assert_eq!(args, ["walk", "--quick"]);
    }
}
