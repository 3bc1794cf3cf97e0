//! The decisions, without clocks, locks and tasks: time comes in as nanoseconds since an origin of the
//! caller's choice.

mod gcra;
mod limits;
mod line;
mod scale;
mod table;
mod window;
mod word;

pub use self::{gcra::Gcra, scale::Scale, window::Window};
pub(crate) use self::{
    limits::Limits,
    line::Line,
    table::{Asked, Held, Left, Plan, Swept, Table},
    word::{Taken, Word},
};

/// What is asked for cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not before this time, in nanoseconds, and then if nobody else takes anything.
    Until(u64),
    /// Not as long as the limit is as it is.
    Never,
}

impl Refusal {
    /// What two limits say together.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Until(one), Self::Until(other)) => Self::Until(one.max(other)),
            _ => Self::Never,
        }
    }
}
