//! HTTP API, live stream, embedded page.
//!
//! In: the report of each cycle ([`Hub::publish`], never waits) and requests. Out: JSON, server-sent events, the page, and
//! what people say into the cycle's inbox. Listens where it is told (loopback); changes need the site's token.
//! Absent: state of its own, cross-origin access, inline scripts, and any way for browsers, however many or slow, to slow
//! control or to take the descriptors and the memory it needs.

// A refusal is the answer itself: made once, and sent at once.
#![allow(clippy::result_large_err)]

mod api;
mod ask;
mod desk;
mod guard;
mod hub;
mod line;
mod live;
mod now;
mod openapi;
mod past;
mod people;
mod plan;
mod room;
mod says;
mod sentence;
mod serve;
mod site;
mod standing;
mod ui;
mod why;
mod would;

pub use hub::Hub;
pub use serve::{CONNECTIONS_MAX, serve};

use crate::cycle::{Heard, HistoryRead, JournalRead};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What the page and the API stand on.
pub struct Exits {
    pub hub: Arc<Hub>,
    /// To the control loop.
    pub inbox: mpsc::Sender<Heard>,
    pub history: Option<Arc<dyn HistoryRead>>,
    /// What was decided before this process began.
    pub journal: Option<Arc<dyn JournalRead>>,
    /// Text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Connections at once; at most [`CONNECTIONS_MAX`], fewer where descriptors are scarce.
    pub connections: usize,
}
