//! Append-only, hash-chained flight recorder; crash recovery.
//!
//! In: records of the cycle. Out: segments `journal/000001.journal` in the state folder, one line a record:
//! `<sha256 hex> <RFC 3339 time> <JSON>`. Each hash covers the hash before it, the time and the JSON, so that nothing can
//! be changed, dropped or reordered unnoticed. A segment starts with a keyframe: the newest good one is enough to go on.
//! A record has left the process when `append` returns, so that a killed process loses none; a thread of its own makes
//! them durable, so that a slow disk stops nobody. Absent: rewriting. A torn tail is moved aside, never patched.

mod chain;
mod file;
mod hash;
mod read;

pub use file::{FileJournal, Limits};
pub use hash::HashJournal;
pub use read::{Entry, Segment, read_segment, segments};
