#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod consume;
mod error;
mod panic;
mod pipeline;
mod plan;
mod queue;
mod run;
mod shared;
mod stage;
mod state;
mod stats;
mod stream;
mod trace;
mod worker;

pub use self::{
    error::{ItemError, ItemErrorKind, PipelineError, Reason},
    pipeline::Pipeline,
    stage::Stage,
    stats::{StageKind, StageStats, Stats, StatsHandle, Summary},
    stream::PipelineStream,
};
pub use tidegate_core::OnError;
