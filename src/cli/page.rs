//! The thread of page and API: its port, and how many connections it may hold.

use crate::site::Site;
use crate::web::{self, CONNECTIONS_MAX};
use rustix::process::{Resource, getrlimit};
use std::net::Ipv4Addr;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Descriptors of everything but links and page: journal, history with its two readers, sinks, price file, runtimes, the
/// terminal. A site of twelve chargers uses 35 with its links (measured); the rest is room for what is opened anew.
const OWN_DESCRIPTORS: u64 = 96;
/// A link that is made anew holds two for a moment; the twin of a demo holds the other end.
const DESCRIPTORS_A_DEVICE: u64 = 4;
/// Fewer serve no browser.
const CONNECTIONS_MIN: u64 = 8;

/// Tells the page's thread to end, and the thread.
pub type Page = (watch::Sender<bool>, JoinHandle<()>);

/// Connections that leave the descriptors which control needs.
pub fn connections(site: &Site) -> usize {
    // No limit is `None`.
    let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = OWN_DESCRIPTORS + DESCRIPTORS_A_DEVICE * site.wiring.devices.len() as u64;
    let left = open.saturating_sub(needed);
    if left < CONNECTIONS_MIN {
        tracing::warn!(
            "{open} open files are few for this site: control needs about {needed}; raise LimitNOFILE of the unit, or `ulimit -n`"
        );
    }
    left.clamp(CONNECTIONS_MIN, CONNECTIONS_MAX as u64) as usize
}

pub fn listen(port: u16) -> Result<(std::net::TcpListener, u16), String> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|e| {
        format!("cannot listen on 127.0.0.1:{port}: {e}; another controller may run there, choose one with --port")
    })?;
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    Ok((listener, port))
}

/// The page has a thread of its own: however slow a browser is, control does not notice.
pub fn start(listener: std::net::TcpListener, exits: web::Exits) -> Result<Page, String> {
    let (stop, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start the page: {e}"))?;
    let serve = move || {
        runtime.block_on(async {
            match TcpListener::from_std(listener) {
                Ok(listener) => web::serve(listener, exits, stopped).await,
                Err(why) => tracing::error!("the page cannot be served: {why}"),
            }
        });
        // A handler that still works must not hold the process up.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("web".into()).spawn(serve);
    Ok((
        stop,
        thread.map_err(|e| format!("cannot start a thread for the page: {e}"))?,
    ))
}
