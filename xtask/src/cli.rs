//! The command line.

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::{
    bench,
    cx::Options,
    doctor,
    lane::Lane,
    lanes::zoo,
    plan::{self, Choice, Shard},
    process,
    profile::Profile,
    repro, run,
    summary::{self, Request},
    term,
};

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
                .args(lane_options())
                .args(choices()),
        )
        .subcommands(
            Lane::all()
                .iter()
                .map(|lane| Command::new(lane.name()).about(lane.about()).args(lane_options())),
        )
        .mut_subcommand(zoo::NAME, |lane| lane.args(zoo::flags()))
        .subcommand(Command::new("doctor").about("which tools are here, and how to get the rest"))
        .subcommand(
            Command::new("report")
                .about("the reports of lanes as one; fails if one of them did")
                .args(report_options()),
        )
        .subcommand(
            Command::new("repro")
                .about("one test that failed, again, as its lane ran it")
                .arg(Arg::new("token").required(true).help("What the lane printed after `repro:`")),
        )
        .subcommand(
            Command::new("bench")
                .about("side-by-side benchmarks: [area] [--quick] [--record]")
                .arg(words("Passed on to the benchmark program")),
        )
        .subcommand(Command::new("leash").hide(true).arg(words("The child and its arguments")))
}

/// What every lane understands.
fn lane_options() -> [Arg; 4] {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    [
        flag("strict", "A missing tool is a failure"),
        flag("no-install", "Install nothing"),
        flag("keep-going", "Within a lane, go on after a failed test"),
        Arg::new("profile")
            .long("profile")
            .value_parser(Profile::ALL.map(Profile::name))
            .default_value(Profile::default().name())
            .help("How much is explored, and by `ci` which lanes run"),
    ]
}

/// What `report` understands.
fn report_options() -> [Arg; 5] {
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("PATH")
            .value_parser(clap::value_parser!(PathBuf))
            .help(help)
    };
    [
        Arg::new("files")
            .value_name("FILE")
            .num_args(1..)
            .required(true)
            .value_parser(clap::value_parser!(PathBuf))
            .help("The files target/xtask/<lane>.json"),
        Arg::new("profile")
            .long("profile")
            .value_parser(Profile::ALL.map(Profile::name))
            .help("A lane of this profile that left no file has failed"),
        Arg::new("strict")
            .long("strict")
            .action(ArgAction::SetTrue)
            .help("A missing tool is a failure"),
        path("markdown", "Write the table there, too"),
        path("junit", "Write JUnit XML there"),
    ]
}

/// What `ci` understands besides.
fn choices() -> [Arg; 4] {
    let lanes = |name: &'static str, help: &'static str| {
        let names: Vec<_> = Lane::all().iter().map(Lane::name).collect();
        Arg::new(name)
            .long(name)
            .value_name("LANE,..")
            .value_delimiter(',')
            .action(ArgAction::Append)
            .value_parser(clap::builder::PossibleValuesParser::new(names))
            .help(help)
    };
    [
        lanes("only", "Run these lanes alone"),
        lanes("skip", "Run all lanes of the profile but these"),
        Arg::new("shard")
            .long("shard")
            .value_name("I/N")
            .value_parser(|text: &str| text.parse::<Shard>())
            .help("Run part I of N; every lane is in one part, and all take about as long"),
        Arg::new("budget")
            .long("budget")
            .value_name("TIME")
            .value_parser(plan::duration)
            .help("Begin no lane that would not end within this time, such as 15m: inconclusive"),
    ]
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
        "repro" => repro::run(matches.get_one::<String>("token").map_or("", String::as_str)),
        "report" => summary::run(&request(matches)),
        "ci" => run::lanes(
            &choice(matches).lanes(),
            options(matches),
            matches.get_one::<Duration>("budget").copied(),
        ),
        zoo::NAME if zoo::is_asked_for_all(matches) => zoo::all(matches),
        name => match Lane::named(name) {
            Some(lane) => run::lanes(&[lane], options(matches), None),
            None => Err(io::Error::other(format!("there is no lane {name}"))),
        },
    }
}

fn profile(matches: &ArgMatches) -> Profile {
    matches.get_one::<String>("profile").and_then(|name| Profile::named(name)).unwrap_or_default()
}

fn request(matches: &ArgMatches) -> Request {
    Request {
        files: matches.get_many::<PathBuf>("files").into_iter().flatten().cloned().collect(),
        profile: matches.get_one::<String>("profile").and_then(|name| Profile::named(name)),
        strict: matches.get_flag("strict"),
        markdown: matches.get_one::<PathBuf>("markdown").cloned(),
        junit: matches.get_one::<PathBuf>("junit").cloned(),
        step_summary: std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from),
    }
}

fn choice(matches: &ArgMatches) -> Choice {
    let names = |name| matches.get_many::<String>(name).into_iter().flatten().cloned().collect();
    Choice {
        profile: profile(matches),
        only: names("only"),
        skip: names("skip"),
        shard: matches.get_one::<Shard>("shard").copied(),
    }
}

fn options(matches: &ArgMatches) -> Options {
    Options {
        profile: profile(matches),
        strict: matches.get_flag("strict"),
        no_install: matches.get_flag("no-install"),
        keep_going: matches.get_flag("keep-going"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_is_a_command_with_the_common_flags() {
        command().debug_assert();
        for lane in Lane::all() {
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
    fn the_choices_of_ci_are_read() {
        let line = "xtask ci --profile nightly --only fmt,loom --skip loom --shard 1/1 --budget 1m";
        let matches = command().try_get_matches_from(line.split(' ')).unwrap();
        let (_, matches) = matches.subcommand().unwrap();
        assert_eq!(options(matches).profile, Profile::Nightly);
        let choice = choice(matches);
        assert_eq!((choice.profile, choice.shard), (Profile::Nightly, "1/1".parse().ok()));
        assert_eq!(
            (choice.only, choice.skip),
            (vec!["fmt".into(), "loom".into()], vec!["loom".into()])
        );
        assert_eq!(matches.get_one("budget"), Some(&Duration::from_secs(60)));
        let plain = command().try_get_matches_from(["xtask", "ci"]).unwrap();
        assert_eq!(options(plain.subcommand().unwrap().1).profile, Profile::Pr);
        for wrong in ["--profile=weekly", "--shard=3/2", "--budget=15"] {
            assert!(command().try_get_matches_from(["xtask", "ci", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_report_needs_files() {
        let line = "xtask report a.json b.json --junit x.xml --profile nightly --strict";
        let matches = command().try_get_matches_from(line.split(' ')).unwrap();
        let request = request(matches.subcommand().unwrap().1);
        assert_eq!(request.files, [PathBuf::from("a.json"), PathBuf::from("b.json")]);
        assert_eq!((request.profile, request.strict), (Some(Profile::Nightly), true));
        assert_eq!((request.junit, request.markdown), (Some("x.xml".into()), None));
        assert!(command().try_get_matches_from(["xtask", "report"]).is_err());
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
