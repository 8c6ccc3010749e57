//! The listener: accepts while there is a place, makes one where there is none, and ends what takes too long.

use super::line::{Asked, Line};
use super::room::{Guest, Room};
use super::{Exits, api};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Connections at once. A browser opens six; the page, its live stream and `madang set` need far fewer.
pub const CONNECTIONS_MAX: usize = 256;
/// Head of a request, and what is buffered of an answer; what a browser sends is below 4 kB.
const BUFFER: usize = 32 * 1024;
const HEADERS: usize = 64;
/// How often connections are looked through for one whose time is over.
const SWEEP: Duration = Duration::from_millis(500);
/// Pause after the system refused a connection, for lack of descriptors for instance.
const REFUSED: Duration = Duration::from_millis(200);
/// What a client hears for whom there is no place.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves until `stop` turns true.
pub async fn serve(listener: TcpListener, exits: Exits, mut stop: watch::Receiver<bool>) {
    let most = exits.connections.clamp(1, CONNECTIONS_MAX);
    let room = Room::new(most, (most / 4).max(1));
    let router = api::router(exits, room.clone());
    let mut open = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            // A sender that is gone means stop as well.
            _told = stop.wait_for(|s| *s) => return,
            _now = sweep.tick() => room.sweep(),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(stream, &room, &router, &mut open).await,
                Err(why) => {
                    tracing::debug!("the page cannot take a connection: {why}");
                    tokio::time::sleep(REFUSED).await;
                }
            },
        }
        while open.try_join_next().is_some() {}
    }
}

async fn admit(stream: TcpStream, room: &Arc<Room>, router: &Router, open: &mut JoinSet<()>) {
    let mut guest = room.enter();
    while guest.is_none() && room.make_place() {
        // The closed connection gives its descriptor back when its task is next looked at.
        tokio::task::yield_now().await;
        guest = room.enter();
    }
    let Some(guest) = guest else {
        // All that is open waits for us; whether this client reads the refusal does not matter.
        let _unheard = stream.try_write(FULL);
        return;
    };
    let (id, router) = (guest.id, router.clone());
    room.seated(id, open.spawn(answer(stream, router, guest)));
}

async fn answer(stream: TcpStream, router: Router, guest: Guest) {
    let line = Line {
        stream,
        seat: guest.seat.clone(),
    };
    let asked = Asked {
        router: TowerToHyperService::new(router),
        seat: guest.seat.clone(),
    };
    let served = http1::Builder::new()
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(line), asked);
    if let Err(why) = served.await {
        tracing::debug!("a connection to the page has ended: {why}");
    }
}
