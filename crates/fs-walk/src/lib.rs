#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_os = "linux"))]
compile_error!("tidegate-fs-walk reads directories by Linux system calls: only Linux is supported");

mod atomic_writer;
mod dir;
mod entry;
mod error;
mod fds;
mod job;
mod name;
mod reader;
#[cfg(feature = "gitignore")]
mod rules;
#[cfg(not(feature = "gitignore"))]
#[path = "no_rules.rs"]
mod rules;
mod run;
mod selection;
mod sorted;
mod state;
mod stream;
mod summary;
mod sys;
mod visit;
mod walk;
mod worker;

pub use self::{
    atomic_writer::{AtomicWriter, AtomicWriterError, AtomicWriterOptions, Overwrite, Step},
    entry::{Entry, EntryRef, FileType, Metadata, OpenedFile},
    error::{WalkError, WalkErrorKind},
    stream::{Batches, WalkStream},
    summary::{Skipped, Summary},
    visit::{Flow, Visitor},
    walk::{Follow, Order, Visit, Walk},
};
