//! The embedded historian: every series in one SQLite file, no server.
//!
//! In: the samples of a cycle, through a bounded queue to a thread of its own. Out: [`HistoryRead`] for the page,
//! [`HistoryFeed`] for sinks that resend after an outage. Recent instants are rows of all their values (`tick`); each full
//! hour is sealed into one compressed chunk a series, and older than `keep_days` only 15-minute means stay (`mean`).
//! Absent: one row per sample (wears flash), and waiting: a full queue drops the tick and counts it.
//!
//! [`HistoryRead`]: crate::cycle::HistoryRead
//! [`HistoryFeed`]: crate::cycle::HistoryFeed

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

mod chunk;
mod read;
mod seal;
mod store;
mod writer;

pub use read::History;
pub use writer::Historian;
