//! Stands in for the ignore rules when the feature `gitignore` is off: nothing is ignored.

use std::os::fd::BorrowedFd;

use tidegate_core::sync::Arc;

use crate::dir::{Dir, OpenDir};
use crate::error::WalkError;
use crate::run::Run;
use crate::sys::Errno;

/// No rules.
#[derive(Clone, Default)]
pub(crate) struct Rules(());

/// No buffer.
#[derive(Default)]
pub(crate) struct Scratch(());

impl Rules {
    pub(crate) fn above_root(
        _run: &Run,
        _anchor: &Arc<OpenDir>,
        _root: &[u8],
        _errors: &mut Vec<WalkError>,
    ) -> Self {
        Self(())
    }

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the same shape as with the feature"
    )]
    pub(crate) fn enter(
        &self,
        _run: &Run,
        _fd: BorrowedFd<'_>,
        _dir: &Arc<Dir>,
        _errors: &mut Vec<WalkError>,
    ) -> Result<Self, Errno> {
        Ok(Self(()))
    }

    #[expect(clippy::unused_self, reason = "the same shape as with the feature")]
    pub(crate) fn prepare(&self, _dir: &Arc<Dir>, _scratch: &mut Scratch) {}

    #[inline]
    #[expect(clippy::unused_self, reason = "the same shape as with the feature")]
    pub(crate) fn ignores(&self, _scratch: &mut Scratch, _name: &[u8], _is_dir: bool) -> bool {
        false
    }
}
