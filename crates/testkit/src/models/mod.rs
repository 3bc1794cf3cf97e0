//! Sequential models of common objects, to check histories against.
//!
//! Each comes with the operations that clients record and what they return. An object that offers
//! less is checked as well: a counter that is never read is a counter.

mod counter;
mod map;
mod queue;
mod register;
mod semaphore;
mod set;

pub use self::counter::{Counter, CounterOp};
pub use self::map::{Map, MapOp};
pub use self::queue::{Queue, QueueOp, QueueRet};
pub use self::register::{Register, RegisterOp, RegisterRet};
pub use self::semaphore::{Semaphore, SemaphoreOp, SemaphoreRet};
pub use self::set::{Set, SetOp};
