//! Cuts bytes into lines of a bounded length: without a pipe.

use std::{borrow::Cow, fmt};

/// A line of output, or a piece of one that is longer than the
/// [bound](super::OutputPipe::lines).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Line {
    bytes: Vec<u8>,
    continues: bool,
}

impl Line {
    /// Its bytes, without the line break.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, by value.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Its text; bytes that are not UTF-8 are replaced by U+FFFD.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Whether the line was too long, and goes on in the next one.
    #[must_use]
    pub fn continues(&self) -> bool {
        self.continues
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("text", &self.text())
            .field("continues", &self.continues)
            .finish_non_exhaustive()
    }
}

/// What has come and is no line yet. It holds no more than the bound and what was added last.
#[derive(Debug)]
pub(super) struct Splitter {
    max: usize,
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where there is no line break.
    scanned: usize,
    /// Whether the piece before this belongs to the same line.
    inside: bool,
}

impl Splitter {
    /// Lines of up to `max` bytes, and of one at least.
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), buffer: Vec::new(), start: 0, scanned: 0, inside: false }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line, if it has come to its end or to the bound.
    pub(super) fn next(&mut self) -> Option<Line> {
        // A line break right after the longest line belongs to it.
        let window = self.max.saturating_add(1).saturating_add(self.start).min(self.buffer.len());
        if let Some(at) = self.buffer[self.scanned..window].iter().position(|&byte| byte == b'\n') {
            let end = self.scanned + at;
            return Some(self.take(end, end + 1, false));
        }
        self.scanned = window;
        let cut = self.start.saturating_add(self.max);
        (cut < self.buffer.len()).then(|| self.take(cut, cut, true))
    }

    /// What is left when no more will come. A line that was cut before needs an end, if an empty
    /// one.
    pub(super) fn finish(&mut self) -> Option<Line> {
        let end = self.buffer.len();
        (self.start < end || self.inside).then(|| self.take(end, end, false))
    }

    fn take(&mut self, end: usize, next: usize, continues: bool) -> Line {
        let mut bytes = self.buffer[self.start..end].to_vec();
        if next > end && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        (self.start, self.scanned, self.inside) = (next, next, continues);
        Line { bytes, continues }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(max: usize, chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut splitter = Splitter::new(max);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.add(chunk);
            lines.extend(std::iter::from_fn(|| splitter.next()));
            assert!(splitter.buffer.len() - splitter.start <= max, "more than a line is kept");
        }
        lines.extend(splitter.finish());
        lines.into_iter().map(|line| (line.bytes, line.continues)).collect()
    }

    #[test]
    fn lines_end_at_breaks_and_at_the_bound() {
        let line = |text: &str| (text.as_bytes().to_vec(), false);
        let piece = |text: &str| (text.as_bytes().to_vec(), true);
        assert_eq!(split(4, &[b"a\nbc", b"\n\nd"]), [line("a"), line("bc"), line(""), line("d")]);
        assert_eq!(split(4, &[b"a\r\nb\rc\r\n"]), [line("a"), line("b\rc")]);
        assert_eq!(split(4, &[b"1234", b"\n"]), [line("1234")], "the longest");
        assert_eq!(split(4, &[b"12345\n"]), [piece("1234"), line("5")]);
        assert_eq!(split(4, &[b"123456789"]), [piece("1234"), piece("5678"), line("9")]);
        assert_eq!(split(4, &[]), []);
    }

    proptest! {
        /// Whatever the chunks: put together again, the pieces are the lines of the text.
        #[test]
        fn nothing_is_lost_and_nothing_depends_on_the_chunks(
            bytes in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..60),
            cuts in prop::collection::vec(0_usize..60, 0..6),
            max in 1_usize..9,
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let lines = split(max, &chunks);
            prop_assert_eq!(&lines, &split(max, &[&bytes]));
            prop_assert!(lines.iter().all(|(line, _)| line.len() <= max));
            let mut whole = vec![Vec::new()];
            for (line, continues) in &lines {
                whole.last_mut().unwrap().extend_from_slice(line);
                if !continues {
                    whole.push(Vec::new());
                }
            }
            prop_assert_eq!(whole.pop(), Some(Vec::new()), "the last one has an end");
            let mut expected: Vec<_> = bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            if expected.last().is_some_and(Vec::is_empty) {
                expected.pop();
            }
            prop_assert_eq!(whole, expected);
        }
    }
}
