//! Modbus server of the twin's devices: connections, units behind an address.

use super::device::{Device, Fate, Image};
use super::fault::Fault;
use super::framing::Framing;
use super::mapped::Mapped;
use super::noise::Noise;
use super::sunspec::SunSpec;
use super::world::World;
use crate::profile::Profile;
use crate::site::{Id, Site};
use crate::time::Clock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// All devices behind one address.
pub struct Station {
    pub world: Arc<Mutex<World>>,
    pub clock: Arc<dyn Clock>,
    pub framing: Framing,
    units: BTreeMap<u8, Device>,
    /// A client is connected; matters where one device takes no second.
    busy: AtomicBool,
}

/// Builds the device servers of one address.
pub fn station(
    site: &Site,
    world: &Arc<Mutex<World>>,
    clock: &Arc<dyn Clock>,
    faults: &[Fault],
    seed: u64,
    devices: &[Id],
    framing: Framing,
) -> Result<Station, String> {
    let mut units = BTreeMap::new();
    for id in devices {
        let Some(d) = site.wiring.devices.get(id) else { continue };
        let own = faults.iter().filter(|f| f.device == *id).map(|f| f.kind).collect();
        let dice = fastrand::Rng::with_seed(Noise::new(seed, id.as_str()).uniform(0).to_bits());
        let image = image(
            site,
            id,
            profile_of(site, &d.profile).map_err(|why| format!("device `{id}`: {why}"))?,
        );
        units.insert(d.unit, Device::new(id, image, own, dice));
    }
    Ok(Station {
        world: world.clone(),
        clock: clock.clone(),
        framing,
        units,
        busy: AtomicBool::new(false),
    })
}

fn image(site: &Site, id: &Id, profile: Profile) -> Image {
    if profile.sunspec {
        Image::SunSpec(Box::new(SunSpec::new(site, id, profile)))
    } else {
        Image::Mapped(Box::new(Mapped::new(site, id, profile)))
    }
}

/// A profile from the site's own folder, else from the binary.
pub fn profile_of(site: &Site, name: &str) -> Result<Profile, String> {
    let file = site
        .folder
        .as_ref()
        .map(|f| f.join("profiles").join(format!("{name}.toml")));
    if let Some(file) = file.filter(|f| f.exists()) {
        let text = std::fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        return crate::profile::parse(&text).map_err(|faults| {
            let list: Vec<String> = faults.iter().map(|f| f.message.clone()).collect();
            format!("{}: {}", file.display(), list.join("; "))
        });
    }
    crate::profile::builtin(name).ok_or_else(|| format!("the twin has no profile `{name}`"))
}

impl Station {
    fn one_client(&self) -> bool {
        self.units.values().any(Device::one_client)
    }
}

/// Serves one connection until it ends.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(station: Arc<Station>, mut stream: S) {
    if station.one_client() && station.busy.swap(true, Ordering::AcqRel) {
        return;
    }
    let since = station.clock.now();
    // An error here is the other side going away; there is nobody to tell.
    while let Ok(request) = station.framing.request(&mut stream).await {
        let Some(unit) = station.units.get(&request.unit) else {
            continue;
        };
        let Fate::Send { after, times, pdu } = unit.answer(&station.world, &station.clock, since, &request.pdu) else {
            continue;
        };
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        let frame = station.framing.answer(&request, &pdu).repeat(times);
        if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
    station.busy.store(false, Ordering::Release);
}
