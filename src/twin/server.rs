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
use crate::time::{Clock, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// All devices behind one address.
pub struct Station {
    pub world: Arc<Mutex<World>>,
    pub clock: Arc<dyn Clock>,
    pub framing: Framing,
    /// Devices behind each unit id: more than one where a device has two maps, each with an entry of its own.
    units: BTreeMap<u8, Vec<Device>>,
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
    let mut units: BTreeMap<u8, Vec<Device>> = BTreeMap::new();
    for id in devices {
        let Some(d) = site.wiring.devices.get(id) else { continue };
        let own = faults.iter().filter(|f| f.device == *id).map(|f| f.kind).collect();
        let dice = fastrand::Rng::with_seed(Noise::new(seed, id.as_str()).uniform(0).to_bits());
        let image = image(
            site,
            id,
            site.find_profile(&d.profile)
                .map_err(|why| format!("device `{id}`: {why}"))?,
        );
        units.entry(d.unit).or_default().push(Device::new(id, image, own, dice));
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

/// Modbus exception: no such register.
const ILLEGAL_ADDRESS: u8 = 2;

impl Station {
    /// What becomes of a request to a unit; where two maps stand behind it, the one that has the register answers.
    fn answer(&self, since: Timestamp, unit: u8, pdu: &[u8]) -> Option<Fate> {
        let mut fate = None;
        for device in self.units.get(&unit)? {
            let own = device.answer(&self.world, &self.clock, since, pdu);
            let elsewhere =
                matches!(&own, Fate::Send { pdu, .. } if pdu[0] & 0x80 != 0 && pdu.get(1) == Some(&ILLEGAL_ADDRESS));
            fate = Some(own);
            if !elsewhere {
                break;
            }
        }
        fate
    }

    fn one_client(&self) -> bool {
        self.units.values().flatten().any(Device::one_client)
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
        let Some(Fate::Send { after, times, pdu }) = station.answer(since, request.unit, &request.pdu) else {
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
