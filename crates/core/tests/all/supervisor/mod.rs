//! The supervisor, end to end on a paused clock.

mod control;
mod ending;
mod everywhere;
mod limits;
mod play;
mod restarts;
mod stress;
