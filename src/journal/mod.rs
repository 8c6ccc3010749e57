//! Append-only, hash-chained flight recorder; crash recovery.
//!
//! In: records of the cycle, through a bounded queue to a thread of its own. Out: segments `journal/000001.journal` in the
//! state folder, one line a record: `<sha256 hex> <RFC 3339 time> <JSON>`. Each hash covers the hash before it, the time and
//! the JSON, so that nothing can be changed, dropped or reordered unnoticed; the first record of a segment says whose it is
//! and names the hash before it. What people said last stands in `people.json` besides, written whole and durable before
//! they are told so. A folder that cannot be used stops nobody: it is said, and tried again.
//! An intent has left the process before the wire is written to, unless the disk is slower than 20 ms. Absent: rewriting.
//! A torn tail is moved aside, never patched; behind damage a new segment is begun.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

mod chain;
mod disk;
mod file;
mod finite;
mod hash;
mod keeper;
mod past;
mod queue;
mod read;
mod words;

pub use disk::site_of;
pub use file::{FileJournal, Limits, Place};
pub use hash::HashJournal;
pub use past::Past;
pub use read::{Chain, Entry, Segment, read_segment, segments};
