//! The supervisor, end to end on a paused clock.

mod adding;
mod answers;
mod control;
mod ending;
mod everywhere;
mod limits;
mod nested;
mod play;
mod restarts;
mod seen;
