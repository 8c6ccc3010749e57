//! HTTP API, live stream, embedded page.
//!
//! In: the report of each cycle ([`Hub::publish`], never waits) and requests. Out: JSON, server-sent events, the page, and
//! what people say into the cycle's inbox. Listens where it is told (loopback); changes need the site's token.
//! Absent: state of its own, cross-origin access, inline scripts, and any way for a slow browser to slow control.

mod api;
mod guard;
mod hub;
mod now;
mod openapi;
mod people;
mod plan;
mod sentence;
mod site;
mod ui;

pub use hub::Hub;

use crate::cycle::{Heard, HistoryRead};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// What the page and the API stand on.
pub struct Exits {
    pub hub: Arc<Hub>,
    /// To the control loop.
    pub inbox: mpsc::Sender<Heard>,
    pub history: Option<Arc<dyn HistoryRead>>,
    /// Text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Serves until `stop` turns true.
pub async fn serve(listener: TcpListener, exits: Exits, mut stop: watch::Receiver<bool>) {
    let router = api::router(exits);
    let stopped = async move {
        // A sender that is gone means stop as well.
        let _told = stop.wait_for(|s| *s).await;
    };
    tokio::select! {
        served = async { axum::serve(listener, router).await } => {
            if let Err(why) = served {
                tracing::error!("the page has ended: {why}");
            }
        }
        () = stopped => {}
    }
}
