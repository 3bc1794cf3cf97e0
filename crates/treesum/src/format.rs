//! Lines of a manifest, and paths as people read them in messages.
//!
//! The line format is that of `b3sum`: `<64 hex digits>  <path>`, with a backslash in front of
//! the line if the path holds a newline, a carriage return or a backslash, which are then
//! written as `\n`, `\r` and `\\`. A path that is not UTF-8 is written as its raw bytes, as
//! `sha256sum` does; `b3sum` replaces such bytes and loses the name.

use std::fmt::Write as _;

use blake3::Hash;

/// How a manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// `<hash>  <path>`, as b3sum writes it
    B3sum,
    /// One JSON object a line: path (or `path_hex`), size in bytes, blake3
    Json,
}

impl Format {
    /// Appends one line to `out`.
    pub(crate) fn line(self, out: &mut Vec<u8>, hash: &Hash, size: u64, path: &[u8]) {
        match self {
            Self::B3sum => b3sum_line(out, hash, path),
            Self::Json => json_line(out, hash, size, path),
        }
    }
}

fn b3sum_line(out: &mut Vec<u8>, hash: &Hash, path: &[u8]) {
    out.reserve(path.len() + 80);
    around_name(out, path, |out| {
        out.extend_from_slice(&hex(hash));
        out.extend_from_slice(b"  ");
    });
    out.push(b'\n');
}

/// The line `verify` prints about a file: `<path>: <verdict>`, escaped as in a manifest.
pub(crate) fn verdict_line(out: &mut Vec<u8>, path: &[u8], verdict: &str) {
    around_name(out, path, |_| {});
    out.extend_from_slice(b": ");
    out.extend_from_slice(verdict.as_bytes());
    out.push(b'\n');
}

/// A backslash if the path needs one, what goes before the path, the path.
fn around_name(out: &mut Vec<u8>, path: &[u8], before: impl FnOnce(&mut Vec<u8>)) {
    let escaped = memchr::memchr3(b'\\', b'\n', b'\r', path).is_some();
    if escaped {
        out.push(b'\\');
    }
    before(out);
    if escaped {
        escape(out, path);
    } else {
        out.extend_from_slice(path);
    }
}

fn escape(out: &mut Vec<u8>, path: &[u8]) {
    for &byte in path {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => out.push(byte),
        }
    }
}

/// The path of an escaped line; `None` if a backslash is not followed by `n`, `r` or `\`.
pub(crate) fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        path.push(match byte {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b'\\' => b'\\',
                _ => return None,
            },
            other => other,
        });
    }
    Some(path)
}

/// A name that is not UTF-8 cannot be a JSON string: its bytes go to `path_hex` instead, two
/// lowercase digits each, so that no two names are ever written alike.
fn json_line(out: &mut Vec<u8>, hash: &Hash, size: u64, path: &[u8]) {
    out.reserve(path.len() + 128);
    if let Ok(text) = std::str::from_utf8(path) {
        out.extend_from_slice(b"{\"path\":\"");
        json_escape(out, text);
    } else {
        out.extend_from_slice(b"{\"path_hex\":\"");
        for &byte in path {
            out.extend_from_slice(&hex_digits(byte));
        }
    }
    out.extend_from_slice(b"\",\"size\":");
    out.extend_from_slice(size.to_string().as_bytes());
    out.extend_from_slice(b",\"blake3\":\"");
    out.extend_from_slice(&hex(hash));
    out.extend_from_slice(b"\"}\n");
}

fn json_escape(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 | 0x7f => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&hex_digits(byte));
            }
            _ => out.push(byte),
        }
    }
}

/// As `Hash::to_hex` gives it, at a fifth of the cost: it is done once per file.
fn hex(hash: &Hash) -> [u8; 64] {
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(hash.as_bytes()) {
        pair.copy_from_slice(&hex_digits(*byte));
    }
    digits
}

fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Whether a terminal may show what stands around it in another order.
fn reorders(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// The path for a message: one line, printable, whatever its bytes are.
pub(crate) fn shown(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\\' => text.push_str("\\\\"),
                c if c.is_control() || reorders(c) => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(format: Format, size: u64, path: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        format.line(&mut out, &blake3::hash(b""), size, path);
        out
    }

    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    #[test]
    fn a_plain_name_stands_as_it_is() {
        assert_eq!(line(Format::B3sum, 0, b"./a b"), format!("{EMPTY}  ./a b\n").as_bytes());
        assert_eq!(line(Format::B3sum, 0, b"\xff"), [EMPTY.as_bytes(), b"  \xff\n"].concat());
    }

    #[test]
    fn newline_return_and_backslash_are_escaped() {
        let expected = format!("\\{EMPTY}  a\\nb\\rc\\\\d\te\n");
        assert_eq!(line(Format::B3sum, 0, b"a\nb\rc\\d\te"), expected.as_bytes());
    }

    #[test]
    fn verdicts_are_on_one_line() {
        let mut out = Vec::new();
        verdict_line(&mut out, b"a b", "OK");
        verdict_line(&mut out, b"a\nb", "OK");
        assert_eq!(out, b"a b: OK\n\\a\\nb: OK\n");
    }

    #[test]
    fn json_has_hex_for_what_is_not_utf8() {
        let text = String::from_utf8(line(Format::Json, 7, b"a\xff/b")).unwrap();
        let expected = format!("{{\"path_hex\":\"61ff2f62\",\"size\":7,\"blake3\":\"{EMPTY}\"}}\n");
        assert_eq!(text, expected);
    }

    #[test]
    fn messages_stay_on_one_line() {
        assert_eq!(shown("a\nb\r\\ü\u{1b}[31m".as_bytes()), "a\\nb\\r\\\\ü\\u{1b}[31m");
        assert_eq!(shown(b"\xff\xfea"), "\\xff\\xfea");
        assert_eq!(shown("exe\u{202e}txt.".as_bytes()), "exe\\u{202e}txt.");
    }

    proptest! {
        #[test]
        fn escaped_names_come_back(path in proptest::collection::vec(any::<u8>(), 1..64)) {
            let mut escaped = Vec::new();
            escape(&mut escaped, &path);
            prop_assert!(!escaped.contains(&b'\n') && !escaped.contains(&b'\r'));
            prop_assert_eq!(unescape(&escaped), Some(path));
        }

        #[test]
        fn json_is_json(path in ".{1,40}", size: u64) {
            let line = line(Format::Json, size, path.as_bytes());
            prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
            let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(value["path"].as_str(), Some(path.as_str()));
            prop_assert_eq!(value["size"].as_u64(), Some(size));
            prop_assert_eq!(value["blake3"].as_str(), Some(EMPTY));
        }

        #[test]
        fn json_of_any_bytes_is_json(path in proptest::collection::vec(any::<u8>(), 1..40)) {
            let line = line(Format::Json, 0, &path);
            let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
            let back = match value["path"].as_str() {
                Some(text) => text.as_bytes().to_vec(),
                None => blake3_hex_decode(value["path_hex"].as_str().unwrap()),
            };
            prop_assert_eq!(back, path);
        }
    }

    fn blake3_hex_decode(text: &str) -> Vec<u8> {
        let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    }
}
