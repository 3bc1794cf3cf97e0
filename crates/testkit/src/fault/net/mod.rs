//! A network in memory: connections that take their time, are held up, and are refused, on the
//! clock of the test.
//!
//! | part | what it is |
//! |---|---|
//! | [`pipe`] | the bytes on one way, and when they arrive: a state machine without a clock |
//! | [`state`] | all connections, and the line of those to be accepted |
//! | [`shared`] | who waits for what, around the state |
//! | [`stream`], [`ends`] | what a test holds in its hands |

mod ends;
mod pipe;
mod shared;
mod state;
mod stream;

pub use self::ends::{MemConnector, MemListener, MemNet, MemNetBuilder, MemNetError, mem_net};
pub use self::stream::MemStream;
