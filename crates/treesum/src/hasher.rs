//! The BLAKE3 sum of one open file, read through a buffer that is used again for the next.

use std::fmt;
use std::io::{self, Read};

use blake3::Hash;

/// Bytes per read: large enough for every SIMD width of BLAKE3, and small enough to leave room in
/// the L2 cache for what the kernel needs to open the next file.
const CHUNK: usize = 64 << 10;

/// A file of a pseudo file system is read no further than this: `/proc/<pid>/pagemap` holds
/// hundreds of gigabytes and `/proc/kcore` says it has 128 TiB, while `/proc/kallsyms` ends.
const PSEUDO_LIMIT: u64 = 64 << 20;

/// Why there is no sum.
#[derive(Debug)]
pub(crate) enum HashError {
    /// The file could not be read.
    Read(io::Error),
    /// A file of a pseudo file system gave more than 64 MiB.
    Endless,
    /// The scan was told to stop.
    Stopped,
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Endless => f.write_str("a pseudo file that does not end within 64 MiB"),
            Self::Stopped => f.write_str("not done"),
        }
    }
}

impl std::error::Error for HashError {}

/// Where the buffer begins, in bytes: at a page.
///
/// The kernel copies out of its page cache, whose pages begin at multiples of this. A string copy
/// to an address just above the same offset is ten times slower on AMD's Zen 3, and a large
/// allocation begins exactly there, 16 bytes into a page.
const PAGE: usize = 4096;

/// What a thread reads into: one of these per thread, used for file after file.
pub(crate) struct Buffer {
    memory: Box<[u8]>,
    start: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        let memory = vec![0; CHUNK + PAGE].into_boxed_slice();
        // The offset is only a matter of speed; `align_offset` may decline to find one.
        let start = Some(memory.as_ptr().align_offset(PAGE)).filter(|start| *start < PAGE);
        Self { start: start.unwrap_or(0), memory }
    }

    fn chunk(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..CHUNK]
    }
}

/// Something that can be summed.
pub(crate) trait Source: Read {
    /// Whether the kernel makes the contents up while they are read; asked once, and only of
    /// a long file.
    fn is_pseudo(&self) -> bool;
}

/// The sum of what `source` gives and how many bytes that was.
///
/// A file of a known `size` is read up to it, which saves the read that only says "no more":
/// what another program appends meanwhile is left out, and if it cuts the file short the sum is
/// of what was there. A file of size 0 (as all of `/proc` is) is read to its end.
/// `stopped` is asked between two reads.
pub(crate) fn hash(
    source: &mut impl Source,
    size: u64,
    buffer: &mut Buffer,
    stopped: impl Fn() -> bool,
) -> Result<(Hash, u64), HashError> {
    let buffer = buffer.chunk();
    let limit = if size == 0 { u64::MAX } else { size };
    let want = |done: u64| usize::try_from(limit - done).unwrap_or(CHUNK).min(CHUNK);
    let mut done = fill(source, &mut buffer[..want(0)])?;
    // Most files fit: no hasher state has to be set up for them.
    if done < CHUNK {
        return Ok((blake3::hash(&buffer[..done]), done as u64));
    }
    let mut hasher = blake3::Hasher::new();
    let mut total = 0;
    let mut may_be_pseudo = true;
    while done > 0 {
        hasher.update(&buffer[..done]);
        total += done as u64;
        if total == limit {
            break;
        }
        if stopped() {
            return Err(HashError::Stopped);
        }
        if total >= PSEUDO_LIMIT && std::mem::take(&mut may_be_pseudo) && source.is_pseudo() {
            return Err(HashError::Endless);
        }
        done = fill(source, &mut buffer[..want(total)])?;
    }
    Ok((hasher.finalize(), total))
}

/// Fills the buffer unless the file ends first.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, HashError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(HashError::Read(error)),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// A reader that is a file of a pseudo file system, or is not.
    struct Of<R> {
        reader: R,
        pseudo: bool,
    }

    impl<R: Read> Read for Of<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reader.read(buffer)
        }
    }

    impl<R: Read> Source for Of<R> {
        fn is_pseudo(&self) -> bool {
            self.pseudo
        }
    }

    fn try_sum(
        reader: impl Read,
        pseudo: bool,
        size: u64,
        stopped: impl Fn() -> bool,
    ) -> Result<(Hash, u64), HashError> {
        hash(&mut Of { reader, pseudo }, size, &mut Buffer::new(), stopped)
    }

    fn sum(reader: impl Read, size: usize) -> (Hash, u64) {
        try_sum(reader, true, size as u64, || false).unwrap()
    }

    /// Gives the bytes in pieces of changing length, with interruptions in between.
    struct Pieces<'a> {
        left: &'a [u8],
        step: usize,
        interrupt: bool,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupt = !self.interrupt;
            if self.interrupt {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.step = self.step % 5000 + 997;
            let n = self.step.min(self.left.len()).min(buffer.len());
            buffer[..n].copy_from_slice(&self.left[..n]);
            self.left = &self.left[n..];
            Ok(n)
        }
    }

    #[test]
    fn sizes_around_the_chunk_are_summed_whole() {
        let data: Vec<u8> = (0..=3 * CHUNK).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 1] {
            let data = &data[..size];
            let expected = (blake3::hash(data), size as u64);
            assert_eq!(sum(data, size), expected, "known size {size}");
            assert_eq!(sum(data, 0), expected, "unknown size {size}");
            let pieces = Pieces { left: data, step: 1, interrupt: false };
            assert_eq!(sum(pieces, size), expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_file_that_changes_is_summed_as_far_as_it_was_announced() {
        let data = vec![7; 2 * CHUNK + 5];
        for shown in [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
            assert_eq!(
                sum(&data[..], shown),
                (blake3::hash(&data[..shown]), shown as u64),
                "grown"
            );
            let cut = &data[..shown];
            assert_eq!(
                sum(cut, data.len()),
                (blake3::hash(cut), shown as u64),
                "shrunk to {shown}"
            );
        }
    }

    #[test]
    fn a_pseudo_file_without_end_is_given_up() {
        for size in [0, 1 << 47] {
            let result = try_sum(io::repeat(0), true, size, || false);
            assert!(matches!(result, Err(HashError::Endless)), "{result:?}");
        }
    }

    #[test]
    fn a_long_file_that_says_it_is_empty_is_summed_whole() {
        let long = PSEUDO_LIMIT + 5 * CHUNK as u64 + 1;
        let (hash, bytes) = try_sum(io::repeat(3).take(long), false, 0, || false).unwrap();
        let mut expected = blake3::Hasher::new();
        expected.update_reader(io::repeat(3).take(long)).unwrap();
        assert_eq!((hash, bytes), (expected.finalize(), long));
    }

    #[test]
    fn it_stops_after_the_chunk_in_which_it_was_told_to() {
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() == 3
        };
        let result = try_sum(io::repeat(0), false, 1 << 50, stop);
        assert!(matches!(result, Err(HashError::Stopped)), "{result:?}");
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn an_error_of_the_file_comes_through() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
        let result = try_sum(Broken, false, 0, || false);
        assert!(matches!(result, Err(HashError::Read(_))), "{result:?}");
    }

    proptest! {
        #[test]
        fn equals_the_one_shot_sum(data in proptest::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(sum(&data[..], data.len()).0, blake3::hash(&data));
        }
    }
}
