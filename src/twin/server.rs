//! Modbus TCP server of the twin's devices: frames, functions, exceptions, and faults at the wire.

use super::fault::{Fault, FaultKind};
use super::mapped::Mapped;
use super::noise::Noise;
use super::sunspec::SunSpec;
use super::world::World;
use crate::profile::Table;
use crate::site::{Id, Site};
use crate::time::{Clock, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A late answer comes this long after the request: after any patience.
const LATE: Duration = Duration::from_millis(2_500);

#[derive(Debug)]
enum Image {
    SunSpec(SunSpec),
    Mapped(Box<Mapped>),
}

/// One device behind a unit id.
pub struct DeviceServer {
    image: Mutex<Image>,
    faults: Vec<FaultKind>,
    dice: Mutex<fastrand::Rng>,
    /// First answers, for a frozen device.
    frozen: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub busy: AtomicBool,
}

/// All devices behind one address.
pub struct Station {
    pub world: Arc<Mutex<World>>,
    pub clock: Arc<dyn Clock>,
    pub units: BTreeMap<u8, DeviceServer>,
}

/// Builds the device servers of one address.
pub fn station(
    site: &Site,
    world: &Arc<Mutex<World>>,
    clock: &Arc<dyn Clock>,
    faults: &[Fault],
    seed: u64,
    devices: &[Id],
) -> Result<Station, String> {
    let mut units = BTreeMap::new();
    for id in devices {
        let Some(d) = site.wiring.devices.get(id) else { continue };
        let profile = crate::profile::builtin(&d.profile)
            .ok_or_else(|| format!("device `{id}`: the twin has no profile `{}`", d.profile))?;
        let image = if profile.sunspec {
            Image::SunSpec(SunSpec::new(site, id))
        } else {
            Image::Mapped(Box::new(Mapped::new(site, id, profile)))
        };
        let own = faults.iter().filter(|f| f.device == *id).map(|f| f.kind).collect();
        let dice = fastrand::Rng::with_seed(Noise::new(seed, id.as_str()).uniform(0).to_bits());
        let server = DeviceServer {
            image: Mutex::new(image),
            faults: own,
            dice: Mutex::new(dice),
            frozen: Mutex::new(BTreeMap::new()),
            busy: AtomicBool::new(false),
        };
        units.insert(d.unit, server);
    }
    Ok(Station {
        world: world.clone(),
        clock: clock.clone(),
        units,
    })
}

/// What to do with an answer.
enum Fate {
    Send(Vec<u8>),
    SendAfter(Duration, Vec<u8>),
    Nothing,
}

/// Serves one connection until it ends.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(station: Arc<Station>, mut stream: S) {
    if station
        .units
        .values()
        .any(|u| u.has(FaultKind::OneClient) && u.busy.swap(true, Ordering::AcqRel))
    {
        return;
    }
    // An error here is the other side going away; there is nobody to tell.
    while let Ok((header, pdu)) = request(&mut stream).await {
        let Some(unit) = station.units.get(&header[6]) else {
            continue;
        };
        let fate = unit.fate(&station, &pdu);
        let (delay, answer) = match fate {
            Fate::Nothing => continue,
            Fate::Send(a) => (Duration::ZERO, a),
            Fate::SendAfter(d, a) => (d, a),
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut frame = header[0..4].to_vec();
        frame.extend((answer.len() as u16 + 1).to_be_bytes());
        frame.push(header[6]);
        frame.extend(answer);
        if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
    station
        .units
        .values()
        .for_each(|u| u.busy.store(false, Ordering::Release));
}

pub(super) async fn request<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<([u8; 7], Vec<u8>)> {
    let mut header = [0u8; 7];
    stream.read_exact(&mut header).await?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[2..4] != [0, 0] || !(2..=254).contains(&length) {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "not a Modbus frame",
        ));
    }
    let mut pdu = vec![0u8; length - 1];
    stream.read_exact(&mut pdu).await?;
    Ok((header, pdu))
}

impl DeviceServer {
    fn has(&self, kind: FaultKind) -> bool {
        self.faults.contains(&kind)
    }

    fn strikes(&self, share: f64) -> bool {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).f64() < share
    }

    fn fate(&self, station: &Station, pdu: &[u8]) -> Fate {
        let mut delay = Duration::ZERO;
        for fault in &self.faults {
            match fault {
                FaultKind::Dead => return Fate::Nothing,
                FaultKind::Slow(d) => delay += *d,
                FaultKind::Drop(p) if self.strikes(*p) => return Fate::Nothing,
                FaultKind::Late(p) if self.strikes(*p) => delay += LATE,
                FaultKind::Exception(p) if self.strikes(*p) => return Fate::Send(vec![pdu[0] | 0x80, 6]),
                FaultKind::Garbage(p) if self.strikes(*p) => return Fate::Send(vec![pdu[0], 0xFF, 0x00, 0xAA]),
                FaultKind::Short(p) if self.strikes(*p) => {
                    return Fate::SendAfter(delay, shortened(self.answer(station, pdu)));
                }
                FaultKind::Frozen => return Fate::SendAfter(delay, self.frozen(station, pdu)),
                _ => {}
            }
        }
        let answer = self.answer(station, pdu);
        if delay.is_zero() {
            Fate::Send(answer)
        } else {
            Fate::SendAfter(delay, answer)
        }
    }

    fn frozen(&self, station: &Station, pdu: &[u8]) -> Vec<u8> {
        let mut seen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(pdu.to_vec())
            .or_insert_with(|| self.answer(station, pdu))
            .clone()
    }

    fn answer(&self, station: &Station, pdu: &[u8]) -> Vec<u8> {
        self.carry_out(station, pdu)
            .unwrap_or_else(|code| vec![pdu[0] | 0x80, code])
    }

    fn carry_out(&self, station: &Station, pdu: &[u8]) -> Result<Vec<u8>, u8> {
        let mut world = station.world.lock().unwrap_or_else(PoisonError::into_inner);
        let t = station.clock.now();
        world.advance_to(t);
        let word = |i: usize| pdu.get(i..i + 2).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or(3u8);
        match pdu[0] {
            3 | 4 => {
                let (addr, count) = (word(1)?, word(3)?);
                if !(1..=125).contains(&count) {
                    return Err(3);
                }
                let table = if pdu[0] == 3 { Table::Holding } else { Table::Input };
                let words = self.read(&mut world, t, table, addr, count)?;
                let mut out = vec![pdu[0], (words.len() * 2) as u8];
                out.extend(words.iter().flat_map(|w| w.to_be_bytes()));
                Ok(out)
            }
            6 => {
                self.write(&mut world, t, word(1)?, &[word(3)?])?;
                Ok(pdu[0..5].to_vec())
            }
            16 => {
                let (addr, count) = (word(1)?, word(3)?);
                let bytes = pdu.get(6..).unwrap_or(&[]);
                if count == 0 || count > 123 || bytes.len() != usize::from(count) * 2 {
                    return Err(3);
                }
                let words: Vec<u16> = bytes.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
                self.write(&mut world, t, addr, &words)?;
                Ok(pdu[0..5].to_vec())
            }
            _ => Err(1),
        }
    }

    fn read(&self, world: &mut World, t: Timestamp, table: Table, addr: u16, count: u16) -> Result<Vec<u16>, u8> {
        match &mut *self.image.lock().unwrap_or_else(PoisonError::into_inner) {
            Image::SunSpec(_) if table != Table::Holding => Err(2),
            Image::SunSpec(s) => s.read(world, addr, count),
            Image::Mapped(m) => m.read(world, t, table, addr, count),
        }
    }

    fn write(&self, world: &mut World, t: Timestamp, addr: u16, words: &[u16]) -> Result<(), u8> {
        match &mut *self.image.lock().unwrap_or_else(PoisonError::into_inner) {
            Image::SunSpec(s) => s.write(world, t, addr, words),
            Image::Mapped(m) => m.write(world, t, addr, words),
        }
    }
}

/// One register fewer than asked.
fn shortened(mut answer: Vec<u8>) -> Vec<u8> {
    if answer.len() > 4 && matches!(answer[0], 3 | 4) {
        answer.truncate(answer.len() - 2);
        answer[1] -= 2;
    }
    answer
}
