//! A file name: raw bytes, kept inside the value when they are short.

use std::fmt;

/// The longest name that needs no allocation; `Name` is 24 bytes with it.
const INLINE_MAX: usize = 22;

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Heap(Box<[u8]>),
}

/// The bytes of one path component, or of a root as the caller wrote it.
#[derive(Clone)]
pub(crate) struct Name(Repr);

impl Name {
    pub(crate) fn new(name: &[u8]) -> Self {
        match u8::try_from(name.len()) {
            Ok(len) if name.len() <= INLINE_MAX => {
                let mut bytes = [0; INLINE_MAX];
                bytes[..name.len()].copy_from_slice(name);
                Self(Repr::Inline { len, bytes })
            }
            _ => Self(Repr::Heap(name.into())),
        }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_around_the_inline_bound_survives() {
        for len in 0..300 {
            let bytes: Vec<u8> = (0..len).map(|i| u8::try_from(i % 255).unwrap_or(0) + 1).collect();
            assert_eq!(Name::new(&bytes).as_bytes(), bytes, "length {len}");
        }
        assert_eq!(size_of::<Name>(), 24);
    }
}
