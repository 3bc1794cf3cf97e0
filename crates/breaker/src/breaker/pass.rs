//! What the gate or the machine has said to a call that it lets pass.

use crate::state::{Admission, Id, Word};

/// A call that was let pass. Two words, which stay in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(super) word: Word,
    pub(super) probe: Option<Id>,
}

impl Pass {
    pub(super) fn admission(self) -> Admission {
        self.word.admission(self.probe)
    }

    pub(super) fn is_probe(self) -> bool {
        self.probe.is_some()
    }
}
