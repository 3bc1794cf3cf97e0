//! The command line, and the exit codes.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::format::Format;

/// How the program ended, as a shell sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// Some files failed, or some do not match.
    Failed,
    /// Interrupted by a signal before everything was done.
    Interrupted,
    /// Whoever read the output went away: what a program that dies of SIGPIPE looks like.
    BrokenPipe,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            // 2 is a usage error; the argument parser ends the program itself.
            Self::Interrupted => 130,
            Self::BrokenPipe => 141,
        }
    }
}

/// Checksums of whole directory trees: BLAKE3, all cores, bounded memory.
#[derive(Debug, Parser)]
#[command(
    name = "treesum",
    version,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 all done, 1 some files failed or do not match, 2 usage error, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the BLAKE3 sum of every regular file below the paths
    Scan(ScanArgs),
    /// Compare files with a manifest written by `treesum scan` or b3sum
    Verify(VerifyArgs),
}

/// The most threads that can be asked for.
const MAX_THREADS: u64 = 512;

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(n) if n.get() as u64 <= MAX_THREADS => Ok(n),
        _ => Err(format!("expected a number from 1 to {MAX_THREADS}")),
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Threads that read and hash [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Print a table at the end: where the time went, stage by stage
    #[arg(long)]
    pub(crate) stats: bool,
}

impl Common {
    /// The threads asked for, else one for every core.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.threads.unwrap_or_else(cores)
    }
}

#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct ScanArgs {
    /// Directories to scan
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) common: Common,

    /// Write the manifest to FILE, which appears whole or not at all
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// What a line looks like
    #[arg(long, value_enum, default_value_t = Format::B3sum)]
    pub(crate) format: Format,

    /// Print sums as files finish, not sorted by path
    #[arg(long)]
    pub(crate) unordered: bool,

    /// Follow symbolic links
    #[arg(long)]
    pub(crate) follow: bool,

    /// Include files and directories whose name begins with a dot (the default)
    #[arg(long, overrides_with = "no_hidden", action = ArgAction::SetTrue)]
    hidden: bool,

    /// Leave out files and directories whose name begins with a dot
    #[arg(long, overrides_with = "hidden")]
    pub(crate) no_hidden: bool,

    /// Leave out what .gitignore files name
    #[arg(long)]
    pub(crate) gitignore: bool,

    /// Descend at most N levels below each PATH (which is level 0)
    #[arg(long, value_name = "N")]
    pub(crate) max_depth: Option<usize>,

    /// Do not enter other file systems
    #[arg(long)]
    pub(crate) one_file_system: bool,

    /// No progress bar and no closing summary; errors are still reported
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The manifest; `-` for standard input. Its paths are relative to the working directory
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: PathBuf,

    #[command(flatten)]
    pub(crate) common: Common,

    /// Accept absolute paths and paths with `..` in the manifest
    #[arg(long)]
    pub(crate) allow_outside: bool,

    /// Print only what does not match
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_last_of_hidden_and_no_hidden_wins() {
        for (args, no_hidden) in [
            (&["--no-hidden"][..], true),
            (&["--hidden"], false),
            (&["--no-hidden", "--hidden"], false),
            (&["--hidden", "--no-hidden"], true),
            (&[], false),
        ] {
            let all = ["treesum", "scan", "."].iter().chain(args);
            let cli = Cli::try_parse_from(all).unwrap();
            let Command::Scan(scan) = cli.command else { panic!("{args:?}") };
            assert_eq!(scan.no_hidden, no_hidden, "{args:?}");
        }
    }

    #[test]
    fn threads_are_bounded() {
        for bad in ["0", "513", "-1", "many", ""] {
            let args = ["treesum", "verify", "m", "--threads", bad];
            assert!(Cli::try_parse_from(args).is_err(), "{bad:?}");
        }
        let cli = Cli::try_parse_from(["treesum", "verify", "m", "--threads", "512"]);
        assert!(cli.is_ok());
    }
}
