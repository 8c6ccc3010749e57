//! Append-only, hash-chained flight recorder; crash recovery.
//!
//! Each record's hash covers the hash before it and its own bytes, so that nothing can be changed, dropped or reordered
//! unnoticed.

mod hash;

pub use hash::HashJournal;
