//! `GET /api/v1/live`: server-sent events, `now` with each cycle and `plan` whenever that changed. A listener that is slow
//! skips cycles; all listeners share the text of an event.

use super::hub::{Hub, Latest};
use super::room::Room;
use super::{guard, room};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Without a cycle for so long a line without meaning shows that the connection stands.
const QUIET: Duration = Duration::from_secs(15);

pub fn answer(hub: &Hub, room: &Room, seat: &room::Seat, headers: &HeaderMap) -> Response {
    room.stream(seat, guard::is_own_page(headers));
    let listener = Listener {
        latest: hub.listen(),
        shown_plan: None,
        waiting: None,
    };
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::from_stream(events(listener))).into_response()
}

struct Listener {
    latest: watch::Receiver<Option<Arc<Latest>>>,
    shown_plan: Option<u64>,
    waiting: Option<Bytes>,
}

fn events(listener: Listener) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(listener, |mut l| async move {
        if let Some(event) = l.waiting.take() {
            return Some((Ok(event), l));
        }
        match tokio::time::timeout(QUIET, l.latest.changed()).await {
            Err(_) => return Some((Ok(Bytes::from_static(b":\n\n")), l)),
            Ok(gone) => gone.ok()?,
        }
        let latest = l.latest.borrow_and_update().clone()?;
        let plan = latest.report.state.schedule.as_ref().map(|s| s.id);
        if plan != l.shown_plan {
            l.shown_plan = plan;
            l.waiting = latest.plan_event();
        }
        Some((Ok(latest.now_event()), l))
    })
}
