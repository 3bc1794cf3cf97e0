//! The decisions, without clocks, locks and tasks: time comes in as nanoseconds since an origin of the
//! caller's choice.

mod count;
mod far;
mod gate;
mod hear;
mod machine;
mod probes;
mod rules;
mod table;
mod tally;
mod time;
mod window;

pub(crate) use self::{
    far::Part,
    gate::{Gate, Said, Word},
    hear::{Mine, Say, Stand},
    machine::Asked,
    probes::Id,
    window::nanos,
};
pub use self::{
    machine::{Admission, Change, Machine, Note, Recorded, Refusal},
    rules::{HalfOpen, MAX_PROBES, Settings, Trip},
    table::{Cause, Row, State, TABLE, diagram},
    tally::{Sample, Tally},
    window::{MAX_COUNT, MAX_SLICES, Window},
};
