//! Where the twin's devices listen: TCP on loopback, or in-memory pipes for virtual time.

use super::fault::Fault;
use super::framing::Framing;
use super::server::{Station, serve, station};
use super::world::World;
use crate::site::{Address, Id, Site};
use crate::time::Clock;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;

/// Room for a few frames each way.
const PIPE: usize = 4096;

/// Stations by device, without a socket.
pub struct Pipes {
    stations: BTreeMap<Id, Arc<Station>>,
}

impl Pipes {
    pub fn new(
        site: &Site,
        world: &Arc<Mutex<World>>,
        clock: &Arc<dyn Clock>,
        faults: &[Fault],
        seed: u64,
    ) -> Result<Self, String> {
        let mut stations = BTreeMap::new();
        for devices in by_address(site, None).into_values() {
            let shared = Arc::new(station(
                site,
                world,
                clock,
                faults,
                seed,
                &devices,
                framing(site, &devices),
            )?);
            stations.extend(devices.into_iter().map(|d| (d, shared.clone())));
        }
        Ok(Self { stations })
    }

    /// A fresh connection to a device; its other end is served by a task of the current runtime.
    pub fn dial(&self, device: &Id) -> Result<DuplexStream, String> {
        let station = self
            .stations
            .get(device)
            .ok_or_else(|| format!("there is no device `{device}`"))?;
        let (ours, theirs) = tokio::io::duplex(PIPE);
        tokio::spawn(serve(station.clone(), theirs));
        Ok(ours)
    }
}

/// How the devices of one address speak: RTU where the site says so.
fn framing(site: &Site, devices: &[Id]) -> Framing {
    let first = devices.first().and_then(|d| site.wiring.devices.get(d));
    match first.map(|d| &d.address) {
        Some(Address::RtuOverTcp { .. } | Address::Rtu { .. }) => Framing::Rtu,
        _ => Framing::Tcp,
    }
}

fn by_address(site: &Site, component: Option<&str>) -> BTreeMap<String, Vec<Id>> {
    let mut all: BTreeMap<String, Vec<Id>> = BTreeMap::new();
    for (id, d) in &site.wiring.devices {
        if component.is_none_or(|c| d.components.iter().any(|own| own.as_str() == c)) {
            all.entry(d.address.to_string()).or_default().push(id.clone());
        }
    }
    all
}

/// A device that listens (INTERFACE: `twin --json`).
#[derive(Debug, Clone, Serialize)]
pub struct Served {
    pub device: Id,
    pub components: Vec<Id>,
    pub profile: String,
    pub address: String,
    pub unit_id: u8,
}

/// What to serve, and where.
pub struct Listening<'a> {
    pub faults: &'a [Fault],
    pub seed: u64,
    /// Only the devices of this component.
    pub component: Option<&'a str>,
    /// Address to listen on instead of the one the site names, without a port.
    pub host: Option<&'a str>,
    /// A port that is taken is replaced by a free one.
    pub free_ports: bool,
}

/// Starts a listener per address, on the port the site names or (with `free_ports`) on a free one where that is taken.
///
/// # Errors
/// Every port that cannot be listened on: whoever serves there would be taken for this twin.
pub async fn serve_tcp(
    site: &Site,
    world: &Arc<Mutex<World>>,
    clock: &Arc<dyn Clock>,
    what: Listening<'_>,
) -> Result<Vec<Served>, String> {
    let (mut served, mut taken) = (Vec::new(), Vec::new());
    for devices in by_address(site, what.component).into_values() {
        let Some(first) = devices.first().and_then(|d| site.wiring.devices.get(d)) else {
            continue;
        };
        let (host, port, scheme) = match &first.address {
            Address::Tcp { host, port } => (host.as_str(), *port, "tcp"),
            Address::RtuOverTcp { host, port } => (host.as_str(), *port, "rtu+tcp"),
            other => return Err(format!("the twin serves tcp:// and rtu+tcp:// addresses, not {other}")),
        };
        let host = what.host.unwrap_or(host);
        let listener = match listen(host, port, what.free_ports).await {
            Ok(listener) => listener,
            Err(why) => {
                let names: Vec<&str> = devices.iter().map(Id::as_str).collect();
                taken.push(format!("{host}:{port} ({}): {why}", names.join(", ")));
                continue;
            }
        };
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let shared = Arc::new(station(
            site,
            world,
            clock,
            what.faults,
            what.seed,
            &devices,
            framing(site, &devices),
        )?);
        for id in &devices {
            let Some(d) = site.wiring.devices.get(id) else { continue };
            served.push(Served {
                device: id.clone(),
                components: d.components.clone(),
                profile: d.profile.clone(),
                address: format!("{scheme}://{address}"),
                unit_id: d.unit,
            });
        }
        tokio::spawn(accept(listener, shared));
    }
    if taken.is_empty() {
        return Ok(served);
    }
    Err(format!(
        "the twin cannot listen where the site says: {}. Another program may serve there already, and a controller would \
         drive that one; stop it, or use free ports (--free-ports) and the addresses that are printed",
        taken.join("; ")
    ))
}

async fn listen(host: &str, port: u16, free_ports: bool) -> std::io::Result<TcpListener> {
    match TcpListener::bind((host, port)).await {
        Err(_) if free_ports => TcpListener::bind((host, 0)).await,
        listener => listener,
    }
}

async fn accept(listener: TcpListener, station: Arc<Station>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it small frames wait for each other; a socket that refuses still works.
                let _slower = stream.set_nodelay(true);
                tokio::spawn(serve(station.clone(), stream));
            }
            Err(error) => {
                tracing::warn!("the twin cannot accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
    }
}
