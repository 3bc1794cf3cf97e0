//! Reads manifests: those of `treesum scan` and those of `b3sum`, tagged lines included.

use std::ffi::OsStr;
use std::io::{self, BufRead, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use blake3::Hash;

use crate::format::unescape;

/// The longest line that is read; a tree of 3000 levels has paths of some 30 KiB. It must be
/// less than may be on its way to the report.
const MAX_LINE: u64 = 4 << 20;

/// A line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) hash: Hash,
}

/// Why a line is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    Empty,
    TooLong,
    Json,
    Format,
    HashLength,
    HashDigits,
    Escape,
    EmptyPath,
    Nul,
}

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty line",
            Self::TooLong => "a line longer than 4 MiB",
            Self::Json => "a JSON line: verify reads the b3sum format",
            Self::Format => "neither `<hash>  <path>` nor `BLAKE3 (<path>) = <hash>`",
            Self::HashLength => "the hash does not have 64 digits",
            Self::HashDigits => "the hash is not hexadecimal",
            Self::Escape => "a backslash that is not followed by n, r or a backslash",
            Self::EmptyPath => "the path is empty",
            Self::Nul => "the path holds a NUL byte",
        })
    }
}

impl std::error::Error for LineError {}

/// Where a path leads that a manifest must not name without permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    Absolute,
    Parent,
}

impl std::fmt::Display for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self {
            Self::Absolute => "an absolute path",
            Self::Parent => "a path with `..`",
        };
        write!(f, "{what} is refused without --allow-outside")
    }
}

/// Refuses a path that does not stay below the working directory by its spelling.
pub(crate) fn stays_inside(path: &Path) -> Result<(), Outside> {
    for component in path.components() {
        match component {
            Component::RootDir | Component::Prefix(_) => return Err(Outside::Absolute),
            Component::ParentDir => return Err(Outside::Parent),
            Component::CurDir | Component::Normal(_) => {}
        }
    }
    Ok(())
}

/// One line as read: its number from 1, and what it says.
pub(crate) type Line = (u64, Result<Entry, LineError>);

/// Reads a manifest line by line, in memory bounded by the longest line.
pub(crate) struct Lines<R> {
    reader: R,
    number: u64,
    buffer: Vec<u8>,
    /// A reader that failed once may fail for ever.
    broken: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, number: 0, buffer: Vec::new(), broken: false }
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        self.buffer.clear();
        let mut limited = (&mut self.reader).take(MAX_LINE);
        if limited.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if limited.limit() == 0 && self.buffer.last() != Some(&b'\n') {
            self.skip_rest_of_line()?;
            return Ok(Some((self.number, Err(LineError::TooLong))));
        }
        Ok(Some((self.number, parse(&self.buffer))))
    }

    fn skip_rest_of_line(&mut self) -> io::Result<()> {
        loop {
            let available = self.reader.fill_buf()?;
            let end = available.iter().position(|&byte| byte == b'\n');
            let used = end.map_or(available.len(), |at| at + 1);
            self.reader.consume(used);
            if end.is_some() || used == 0 {
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let line = self.read();
        self.broken = line.is_err();
        line.transpose()
    }
}

/// Reads one line, with or without its line end (`\n`, `\r\n`).
///
/// A raw carriage return at the end belongs to the line end: one in a name is always escaped.
pub(crate) fn parse(line: &[u8]) -> Result<Entry, LineError> {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
    let line = &line[..end];
    let (escaped, body) = match line {
        [] => return Err(LineError::Empty),
        [b'\\', rest @ ..] => (true, rest),
        [b'{', ..] => return Err(LineError::Json),
        rest => (false, rest),
    };
    let (hex, name) = split(body).ok_or(LineError::Format)?;
    if hex.len() != 2 * blake3::OUT_LEN {
        return Err(LineError::HashLength);
    }
    let hash = Hash::from_hex(hex).map_err(|_| LineError::HashDigits)?;
    let path = if escaped { unescape(name).ok_or(LineError::Escape)? } else { name.to_vec() };
    if path.is_empty() {
        return Err(LineError::EmptyPath);
    }
    if path.contains(&0) {
        return Err(LineError::Nul);
    }
    Ok(Entry { path: PathBuf::from(OsStr::from_bytes(&path)), hash })
}

/// Splits a line into hash and name, as `b3sum --check` does: a plain line at its first double
/// space, a tagged line (`b3sum --tag`) at its last `) = `.
fn split(body: &[u8]) -> Option<(&[u8], &[u8])> {
    const TAG: &[u8] = b"BLAKE3 (";
    const CLOSE: &[u8] = b") = ";
    // A tagged name may hold a double space, and a hash holds no parenthesis: ask the tag first.
    if let Some(tagged) = body.strip_prefix(TAG) {
        let at = tagged.windows(CLOSE.len()).rposition(|window| window == CLOSE)?;
        return Some((&tagged[at + CLOSE.len()..], &tagged[..at]));
    }
    let at = body.windows(2).position(|window| window == b"  ")?;
    Some((&body[..at], &body[at + 2..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::Format;

    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    fn entry(path: &[u8]) -> Entry {
        Entry { path: OsStr::from_bytes(path).into(), hash: blake3::hash(b"") }
    }

    fn parsed(line: &str) -> Result<Entry, LineError> {
        parse(line.as_bytes())
    }

    #[test]
    fn lines_of_b3sum_are_read() {
        assert_eq!(parsed(&format!("{EMPTY}  a\n")), Ok(entry(b"a")));
        assert_eq!(parsed(&format!("{EMPTY}  a  b")), Ok(entry(b"a  b")));
        assert_eq!(parsed(&format!("{EMPTY}   a")), Ok(entry(b" a")));
        assert_eq!(parsed(&format!("\\{EMPTY}  a\\nb\\\\\n")), Ok(entry(b"a\nb\\")));
        assert_eq!(parsed(&format!("{EMPTY}  a\\nb\n")), Ok(entry(b"a\\nb")));
        assert_eq!(parsed(&format!("BLAKE3 (a) = b) = {EMPTY}\n")), Ok(entry(b"a) = b")));
        assert_eq!(parsed(&format!("BLAKE3 (a  b) = {EMPTY}\n")), Ok(entry(b"a  b")));
        assert_eq!(parsed(&format!("\\BLAKE3 (a\\rb) = {EMPTY}\n")), Ok(entry(b"a\rb")));
    }

    #[test]
    fn line_ends_of_other_systems_are_line_ends() {
        assert_eq!(parsed(&format!("{EMPTY}  a\r\n")), Ok(entry(b"a")));
        assert_eq!(parsed(&format!("\\{EMPTY}  a\\r\r\n")), Ok(entry(b"a\r")));
    }

    #[test]
    fn broken_lines_say_what_is_broken() {
        let upper = EMPTY.replace('a', "g");
        for (line, error) in [
            ("\n".to_owned(), LineError::Empty),
            ("\r\n".to_owned(), LineError::Empty),
            ("hello".to_owned(), LineError::Format),
            (format!("{EMPTY} a"), LineError::Format),
            (format!("{EMPTY} *a"), LineError::Format),
            (format!("{EMPTY}  "), LineError::EmptyPath),
            (format!("{}  a", &EMPTY[1..]), LineError::HashLength),
            (format!("0{EMPTY}  a"), LineError::HashLength),
            (format!("{upper}  a"), LineError::HashDigits),
            (format!("\\{EMPTY}  a\\"), LineError::Escape),
            (format!("\\{EMPTY}  a\\t"), LineError::Escape),
            (format!("{EMPTY}  a\0b"), LineError::Nul),
            (format!("BLAKE3 (a = {EMPTY}"), LineError::Format),
            (format!("BLAKE3 () = {EMPTY}"), LineError::EmptyPath),
            ("{\"path\":\"a\"}".to_owned(), LineError::Json),
        ] {
            assert_eq!(parsed(&line), Err(error), "{line:?}");
        }
    }

    #[test]
    fn paths_out_of_the_directory_are_told_apart() {
        for inside in ["a", "./a", "a/./b", "a..b/..c", "...", "a//b"] {
            assert_eq!(stays_inside(Path::new(inside)), Ok(()), "{inside}");
        }
        for outside in ["..", "../a", "a/../b", "a/.."] {
            assert_eq!(stays_inside(Path::new(outside)), Err(Outside::Parent), "{outside}");
        }
        for absolute in ["/", "/a", "//a", "/../a"] {
            assert_eq!(stays_inside(Path::new(absolute)), Err(Outside::Absolute), "{absolute}");
        }
    }

    #[test]
    fn a_line_without_end_is_bounded_and_the_next_one_is_read() {
        let mut text = vec![b'x'; usize::try_from(MAX_LINE).unwrap() + 70_000];
        text.extend_from_slice(format!("\n{EMPTY}  a\nrubbish").as_bytes());
        let lines: Vec<_> = Lines::new(&text[..]).map(Result::unwrap).collect();
        let expected =
            [(1, Err(LineError::TooLong)), (2, Ok(entry(b"a"))), (3, Err(LineError::Format))];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_reader_that_fails_ends_the_lines() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::IsADirectory.into())
            }
        }
        let lines: Vec<_> = Lines::new(io::BufReader::new(Broken)).take(3).collect();
        assert!(matches!(lines[..], [Err(_)]), "{lines:?}");
    }

    #[test]
    fn an_empty_manifest_has_no_lines() {
        assert!(Lines::new(&b""[..]).next().is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            path in proptest::collection::vec(1_u8.., 1..64),
            content: Vec<u8>,
        ) {
            let hash = blake3::hash(&content);
            let mut line = Vec::new();
            Format::B3sum.line(&mut line, &hash, 0, &path);
            let path = PathBuf::from(OsStr::from_bytes(&path));
            prop_assert_eq!(parse(&line), Ok(Entry { path, hash }));
        }

        #[test]
        fn no_line_makes_it_panic(line: Vec<u8>) {
            if let Ok(entry) = parse(&line) {
                prop_assert!(!entry.path.as_os_str().is_empty());
            }
        }
    }
}
