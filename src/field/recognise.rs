//! Which profile fits a unit that answers: SunSpec by discovery, others by what they say of themselves, the rest by whether
//! their values can be.

use super::client::{Client, WireError};
use super::device::FieldDevice;
use super::dial::Dial;
use super::map::{BlockRead, Map, Value, Values};
use super::plausible::{Evidence, weigh};
use super::probe::{Heard, Probe, ProbeError};
use super::propose::{feeds_of, feeds_of_models, wants};
use super::read::alone;
use super::scan::{Confidence, FoundDevice, ScanOptions};
use super::sunspec::Identity;
use crate::profile::{Identify, Profile, Table};
use crate::site::{Address, Id};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The profile of any SunSpec device.
const PLAIN: &str = "sunspec";
/// `SunS`
const MAGIC: [u16; 2] = [0x5375, 0x6E53];
/// Where a SunSpec map may begin besides 40000.
const OTHER_BASES: [u16; 2] = [50_000, 0];
/// Some devices serve one client and are slow to notice that it left.
const HANG_UP: Duration = Duration::from_millis(200);
/// Weight of evidence for a device without an identity.
const LIKELY: u32 = 8;
const POSSIBLE: u32 = 3;

type Place = (Table, u16, u16);

/// A device, and words by which it is known again at another unit.
pub struct Recognised {
    pub device: FoundDevice,
    pub print: Vec<String>,
}

/// A device read whole by a profile.
struct Read {
    profile: Profile,
    device: FieldDevice,
    values: Values,
}

pub struct Recogniser {
    address: Address,
    profiles: Vec<Profile>,
    patience: Duration,
    now: Timestamp,
    /// What this unit has answered so far: no register is asked for twice.
    heard: BTreeMap<(u8, Place), Heard>,
    pub requests: u64,
    /// Why what looked like SunSpec was not understood.
    pub trouble: Option<String>,
}

impl Recogniser {
    pub fn new(address: &Address, options: &ScanOptions) -> Self {
        let fits = |p: &&Profile| p.sunspec || p.link.transport.iter().any(|t| speaks(t, address));
        Self {
            address: address.clone(),
            profiles: options.profiles.iter().filter(fits).cloned().collect(),
            patience: options.patience,
            now: options.now,
            heard: BTreeMap::new(),
            requests: 0,
            trouble: None,
        }
    }

    /// `marker` is what the unit answered for the registers at 40000.
    pub async fn recognise(
        &mut self,
        probe: &mut Probe,
        unit: u8,
        marker: Heard,
    ) -> Result<Option<Recognised>, ProbeError> {
        self.heard.clear();
        self.heard.insert((unit, (Table::Holding, 40_000, 2)), marker);
        if self.has_sunspec(probe, unit).await?
            && let Some(found) = self.sunspec(probe, unit).await
        {
            return Ok(Some(found));
        }
        if let Some(found) = self.by_identity(probe, unit).await? {
            return Ok(Some(found));
        }
        self.by_values(probe, unit).await
    }

    /// Some servers say "device failure" for units that are not there.
    pub fn is_nobody(&self, unit: u8) -> bool {
        let own = self.heard.iter().filter(|((u, _), _)| *u == unit);
        own.map(|(_, heard)| heard)
            .all(|h| matches!(h, Heard::Silence | Heard::Refused(4)))
    }

    async fn ask(&mut self, probe: &mut Probe, unit: u8, place: Place) -> Result<Heard, ProbeError> {
        if let Some(known) = self.heard.get(&(unit, place)) {
            return Ok(known.clone());
        }
        let heard = probe.read(unit, place, self.patience).await?;
        self.heard.insert((unit, place), heard.clone());
        Ok(heard)
    }

    async fn has_sunspec(&mut self, probe: &mut Probe, unit: u8) -> Result<bool, ProbeError> {
        if !self.profiles.iter().any(|p| p.sunspec) {
            return Ok(false);
        }
        let marked = |h: &Heard| matches!(h, Heard::Words(w) if *w == MAGIC);
        if self.heard.values().any(marked) {
            return Ok(true);
        }
        for base in OTHER_BASES {
            if marked(&self.ask(probe, unit, (Table::Holding, base, 2)).await?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the whole device as `madang read` does; one connection, so the probe hangs up first.
    async fn sunspec(&mut self, probe: &mut Probe, unit: u8) -> Option<Recognised> {
        let plain = self.profiles.iter().find(|p| p.sunspec && p.id == PLAIN);
        let profile = plain.or_else(|| self.profiles.iter().find(|p| p.sunspec))?.clone();
        probe.close().await;
        let mut read = match self.read_all(unit, &profile).await {
            Ok(read) => read,
            Err(error) => {
                self.trouble = Some(error.to_string());
                return None;
            }
        };
        let identity = read.device.identity_text()?;
        for vendor in self.vendors(&identity) {
            // A vendor's own registers beside the models must answer, with values that can be.
            let own = self.read_all(unit, &vendor).await.ok();
            if let Some(own) = own.filter(|r| vendor.blocks.is_empty() || answers(&vendor, &r.values)) {
                read = own;
                break;
            }
        }
        let Read {
            profile,
            device,
            values,
        } = read;
        let said = serde_json::json!({"status": device.identity, "manufacturer": identity.manufacturer,
            "model": identity.model, "version": identity.version, "serial": identity.serial});
        let families = device.found().map(|f| f.families()).unwrap_or_default();
        let feeds = feeds_of_models(&profile, &values, &families);
        let print = vec![
            profile.id.clone(),
            identity.manufacturer,
            identity.model,
            identity.serial,
        ];
        let device = FoundDevice {
            unit_id: unit,
            profile: profile.id.clone(),
            identity: said,
            confidence: Confidence::Confirmed,
            evidence: vec!["a SunSpec map that says what it is".into()],
            also: Vec::new(),
            wants: wants(&profile, &feeds),
            feeds,
            ratings: ratings(&values),
        };
        Some(Recognised { device, print })
    }

    async fn read_all(&mut self, unit: u8, profile: &Profile) -> Result<Read, WireError> {
        let id = Id::new("scan");
        let wiring = alone(&self.address, unit, profile);
        let mut client = Client::new(Dial::Sockets, id.clone(), self.address.clone(), profile.link.clone());
        let mut device = FieldDevice::new(id, wiring, profile.clone());
        let read = device.poll(&mut client, self.now).await;
        self.requests += client.requests;
        drop(client);
        tokio::time::sleep(HANG_UP).await;
        Ok(Read {
            profile: profile.clone(),
            device,
            values: read?,
        })
    }

    /// SunSpec profiles for this maker's device; those with registers of their own first, since these have to answer.
    fn vendors(&self, said: &Identity) -> Vec<Profile> {
        let made = |p: &&Profile| {
            p.maker
                .as_ref()
                .is_some_and(|m| m.made(&said.manufacturer, &said.model))
        };
        let mut all: Vec<Profile> = self
            .profiles
            .iter()
            .filter(|p| p.sunspec)
            .filter(made)
            .cloned()
            .collect();
        all.sort_by_key(|p| p.blocks.is_empty());
        all
    }

    /// Profiles whose expectations the device meets; of several the one whose values fit best. A number may meet an
    /// expectation by chance: a map that is refused, or whose values cannot be, makes it no more than possible.
    async fn by_identity(&mut self, probe: &mut Probe, unit: u8) -> Result<Option<Recognised>, ProbeError> {
        let mut candidates = Vec::new();
        for profile in self.profiles.clone() {
            if profile.sunspec || !profile.identify.iter().any(expects) {
                continue;
            }
            let Some(said) = self.says(probe, unit, &profile).await? else {
                continue;
            };
            let values = self.values(probe, unit, &profile).await?;
            let evidence = values.as_ref().and_then(|v| weigh(v).ok());
            candidates.push((evidence.map(|e| e.points), profile, said, values.unwrap_or_default()));
        }
        candidates.sort_by_key(|(points, ..)| std::cmp::Reverse(*points));
        let also = candidates.iter().skip(1).map(|(_, p, ..)| p.id.clone()).collect();
        let Some((points, profile, said, values)) = candidates.into_iter().next() else {
            return Ok(None);
        };
        let (confidence, status) = match points {
            Some(_) => (Confidence::Confirmed, "confirmed"),
            None => (Confidence::Possible, "unchecked"),
        };
        let feeds = feeds_of(&profile, &values);
        let mut print = vec![profile.id.clone()];
        print.extend(said.iter().cloned().chain(texts(&values, "serial")));
        let device = FoundDevice {
            unit_id: unit,
            profile: profile.id.clone(),
            identity: identity(status, &values, &said),
            confidence,
            evidence: said.iter().map(|s| format!("it says `{s}`")).collect(),
            also,
            wants: wants(&profile, &feeds),
            feeds,
            ratings: ratings(&values),
        };
        Ok(Some(Recognised { device, print }))
    }

    /// What the device says where the profile expects something; `None` where it is another.
    async fn says(
        &mut self,
        probe: &mut Probe,
        unit: u8,
        profile: &Profile,
    ) -> Result<Option<Vec<String>>, ProbeError> {
        let mut said = Vec::new();
        for i in profile.identify.iter().filter(|i| expects(i)) {
            match self.ask(probe, unit, (i.table, i.addr, i.count)).await? {
                Heard::Words(words) => match fits(i, &words) {
                    Some(text) => said.push(text),
                    None => return Ok(None),
                },
                _ => return Ok(None),
            }
        }
        Ok(Some(said))
    }

    async fn by_values(&mut self, probe: &mut Probe, unit: u8) -> Result<Option<Recognised>, ProbeError> {
        let mut candidates: Vec<(Profile, Values, Evidence)> = Vec::new();
        for profile in self.profiles.clone() {
            if profile.sunspec || profile.identify.iter().any(expects) {
                continue;
            }
            let Some(values) = self.values(probe, unit, &profile).await? else {
                continue;
            };
            match weigh(&values) {
                Ok(evidence) if evidence.points >= POSSIBLE => candidates.push((profile, values, evidence)),
                Ok(_) => {}
                Err(why) => tracing::debug!("unit {unit} is no {}: {why}", profile.id),
            }
        }
        // Most evidence first; of equals the map with fewer points says more with each.
        candidates.sort_by_key(|(p, _, e)| (std::cmp::Reverse(e.points), p.points.len()));
        let also = candidates
            .iter()
            .skip(1)
            .map(|(p, ..)| p.id.clone())
            .collect::<Vec<_>>();
        let rival = candidates.get(1).map_or(0, |(_, _, e)| e.points);
        let Some((profile, values, evidence)) = candidates.into_iter().next() else {
            return Ok(None);
        };
        let feeds = feeds_of(&profile, &values);
        let clear = evidence.points >= LIKELY && evidence.points > rival;
        let device = FoundDevice {
            unit_id: unit,
            profile: profile.id.clone(),
            identity: identity("unchecked", &values, &[]),
            confidence: if clear {
                Confidence::Likely
            } else {
                Confidence::Possible
            },
            evidence: evidence.fits,
            also,
            wants: wants(&profile, &feeds),
            feeds,
            ratings: ratings(&values),
        };
        Ok(Some(Recognised {
            device,
            print: counters(&values),
        }))
    }

    /// Values of all blocks; `None` as soon as one that matters is refused or silent.
    async fn values(&mut self, probe: &mut Probe, unit: u8, profile: &Profile) -> Result<Option<Values>, ProbeError> {
        let map = Map::of(profile);
        let mut values = Values::new();
        for block in &map.blocks {
            match self.block(probe, unit, block).await? {
                Heard::Words(words) => values.extend(map.values(block, &words)),
                // Slow blocks hold what only some models have.
                _ if block.every == crate::profile::Every::Fast => return Ok(None),
                _ => {}
            }
        }
        Ok(Some(values))
    }

    async fn block(&mut self, probe: &mut Probe, unit: u8, block: &BlockRead) -> Result<Heard, ProbeError> {
        let place = (block.table, block.addr, block.count);
        self.ask(probe, block.unit.unwrap_or(unit), place).await
    }
}

/// Behind a TCP address may stand a gateway with any serial device; on a serial line stands no TCP device.
fn speaks(transport: &str, address: &Address) -> bool {
    match address {
        Address::Tcp { .. } | Address::Tls { .. } => true,
        Address::Rtu { .. } | Address::RtuOverTcp { .. } => transport == "rtu" || transport == "rtu_over_tcp",
    }
}

/// Whether the registers that a vendor has beside the models show something.
fn answers(vendor: &Profile, values: &Values) -> bool {
    let fast: Vec<&crate::profile::Block> = vendor
        .blocks
        .iter()
        .filter(|b| b.every == crate::profile::Every::Fast)
        .collect();
    let lies = |p: &crate::profile::Point| {
        let inside = |b: &&crate::profile::Block| {
            b.table == p.table && (b.addr..b.addr.saturating_add(b.count)).contains(&p.addr)
        };
        fast.iter().any(inside)
    };
    let shown = |p: &&crate::profile::Point| matches!(values.get(&p.name), Some(Value::Number(_)));
    vendor.points.iter().filter(|p| lies(p)).any(|p| shown(&p))
}

fn expects(i: &Identify) -> bool {
    !i.expect.is_empty()
}

/// What the probe shows, if that is what the profile expects.
fn fits(i: &Identify, words: &[u16]) -> Option<String> {
    let (shown, number) = super::device::shown(i, words);
    (i.fits(&shown, number) == Some(true)).then_some(shown)
}

fn texts(values: &Values, name: &str) -> Option<String> {
    match values.get(name)? {
        Value::Text(t) | Value::State(_, t) => Some(t.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Missing | Value::Invalid => None,
    }
}

/// INTERFACE `identity`: what the device's own points say of it.
pub(super) fn identity(status: &str, values: &Values, said: &[String]) -> serde_json::Value {
    let mut found = serde_json::json!({ "status": status });
    for (key, point) in [
        ("manufacturer", "manufacturer"),
        ("model", "model"),
        ("version", "firmware"),
        ("serial", "serial"),
    ] {
        if let Some(text) = texts(values, point) {
            found[key] = text.into();
        }
    }
    if found["model"].is_null()
        && let Some(first) = said.first()
    {
        found["model"] = first.clone().into();
    }
    found
}

/// Counters move slowly: the same ones at another unit are the same device.
fn counters(values: &Values) -> Vec<String> {
    let counter = |(name, v): (&String, &Value)| match v {
        Value::Number(n) if name.contains("energy") && *n > 0.0 => Some(format!("{name}={n:.0}")),
        _ => None,
    };
    values.iter().filter_map(counter).collect()
}

/// Ratings that a fragment needs, and the points that may say them: what is set goes before the nameplate.
const RATINGS: [(&str, &[&str]); 6] = [
    ("rated_power", &["rated_power"]),
    ("inverter_max", &["max_power", "rated_power"]),
    ("max_charge", &["max_charge", "max_charge_rating"]),
    ("max_discharge", &["max_discharge", "max_discharge_rating"]),
    ("capacity", &["capacity", "capacity_rating"]),
    ("pv_max", &["pv_max"]),
];

pub(super) fn ratings(values: &Values) -> BTreeMap<String, f64> {
    let number = |name: &str| values.get(name).and_then(Value::number);
    let of = |(rating, points): &(&str, &[&str])| {
        let n = points.iter().find_map(|p| number(p).filter(|n| *n > 0.0))?;
        Some(((*rating).to_owned(), (n * 1e3).round() / 1e3))
    };
    let mut all: BTreeMap<String, f64> = RATINGS.iter().filter_map(of).collect();
    // Model 124 counts both directions in per cent of the one WChaMax.
    if let (Some(kw), Some(_), false) = (
        all.get("max_charge").copied(),
        number("discharge_rate"),
        all.contains_key("max_discharge"),
    ) {
        all.insert("max_discharge".into(), kw);
    }
    all
}
