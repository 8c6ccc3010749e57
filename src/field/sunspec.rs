//! SunSpec: discovery of models, their points with scale factors, and the control programs of models 123, 124 and 704.
//!
//! Offsets count from a model's ID register (SunSpec information models, Apache-2.0 JSON of the alliance). Signs: an
//! inverter's W counts generation, so it turns; a meter's W counts import and stays.

use super::client::{Client, WireError};
use super::codec::encode;
use super::map::{BlockRead, Map, MapPoint, Meaning, Value, Values, power_of_ten};
use super::program::{Expect, Program, RegisterWrite};
use crate::profile::{Every, RegisterType, Table, Wear, WordOrder};

/// A model found on the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    pub id: u16,
    /// Address of its ID register.
    pub addr: u16,
    /// Registers after ID and length.
    pub len: u16,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub manufacturer: String,
    pub model: String,
    pub version: String,
    pub serial: String,
}

/// What discovery found.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovered {
    pub models: Vec<Model>,
    pub identity: Identity,
    pub map: Map,
    /// Registers of the models that commands need, read once: ratings and scale factors.
    pub ratings: Ratings,
}

/// kW; `None` where the device does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratings {
    pub pv_max: Option<f64>,
    pub charge_max: Option<f64>,
    pub wset_scale: Option<f64>,
    pub rate_scale: Option<f64>,
    pub limit_scale: Option<f64>,
}

const BASES: [u16; 3] = [40_000, 50_000, 0];
const MOST_MODELS: usize = 64;
const MAGIC: [u16; 2] = [0x5375, 0x6E53];
/// Commands revert this many seconds after the last refresh.
const REVERSION_S: u16 = 60;
const REFRESH_S: f64 = 20.0;

/// Finds the models, reads the identity, builds the map.
pub async fn discover(client: &mut Client, unit: u8) -> Result<Discovered, WireError> {
    let base = base(client, unit).await?;
    let models = models(client, unit, base + 2).await?;
    if models.is_empty() {
        return Err(WireError::Wrong("a SunSpec marker without models".into()));
    }
    let identity = identity(client, unit, &models).await?;
    let ratings = ratings(client, unit, &models).await?;
    let modules = modules(client, unit, &models).await?;
    let map = map(&models, modules);
    Ok(Discovered {
        models,
        identity,
        map,
        ratings,
    })
}

async fn base(client: &mut Client, unit: u8) -> Result<u16, WireError> {
    let mut last = WireError::Wrong("no SunSpec marker at 40000, 50000 or 0".into());
    for base in BASES {
        match client.read(unit, Table::Holding, base, 2).await {
            Ok(words) if words == MAGIC => return Ok(base),
            Ok(_) => {}
            Err(error) if error.is_refusal() => {}
            Err(error) => last = error,
        }
        if matches!(
            last,
            WireError::Unreachable(_) | WireError::Timeout(_) | WireError::Lost(_)
        ) {
            break;
        }
    }
    Err(last)
}

/// The chain of models; a device without an end model ends with a refusal after the last.
async fn models(client: &mut Client, unit: u8, start: u16) -> Result<Vec<Model>, WireError> {
    let (mut found, mut addr) = (Vec::new(), start);
    while found.len() < MOST_MODELS {
        let id = match client.read(unit, Table::Holding, addr, 1).await {
            Ok(words) => words[0],
            Err(error) if error.is_refusal() && !found.is_empty() => break,
            Err(error) => return Err(error),
        };
        if id == 0xFFFF || id == 0 {
            break;
        }
        let len = client.read(unit, Table::Holding, addr + 1, 1).await?[0];
        found.push(Model { id, addr, len });
        match addr.checked_add(2).and_then(|a| a.checked_add(len)) {
            Some(next) => addr = next,
            None => break,
        }
    }
    Ok(found)
}

async fn identity(client: &mut Client, unit: u8, models: &[Model]) -> Result<Identity, WireError> {
    let common = models.iter().find(|m| m.id == 1 && m.len >= 64);
    let Some(common) = common else {
        return Err(WireError::Wrong("no common model (1)".into()));
    };
    let words = client.read(unit, Table::Holding, common.addr, 66).await?;
    let text = |from: usize, n: usize| {
        let bytes: Vec<u8> = words[from..from + n].iter().flat_map(|w| w.to_be_bytes()).collect();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
    };
    Ok(Identity {
        manufacturer: text(2, 16),
        model: text(18, 16),
        version: text(42, 8),
        serial: text(50, 16),
    })
}

async fn ratings(client: &mut Client, unit: u8, models: &[Model]) -> Result<Ratings, WireError> {
    let mut r = Ratings {
        pv_max: None,
        charge_max: None,
        wset_scale: None,
        rate_scale: None,
        limit_scale: None,
    };
    for m in models {
        let (from, count) = match m.id {
            120 => (3, 2),
            121 => (2, 21),
            123 => (23, 1),
            124 => (2, 24),
            704 => (55, 1),
            _ => continue,
        };
        let w = client.read(unit, Table::Holding, m.addr + from, count).await?;
        let kw = |raw: u16, sf: u16| {
            power_of_ten(sf)
                .filter(|_| raw != 0xFFFF)
                .map(|f| f64::from(raw) * f / 1e3)
        };
        match m.id {
            120 => r.pv_max = r.pv_max.or(kw(w[0], w[1])),
            121 => r.pv_max = kw(w[0], w[20]).or(r.pv_max),
            123 => r.limit_scale = power_of_ten(w[0]),
            124 => {
                r.charge_max = kw(w[0], w[16]);
                r.rate_scale = power_of_ten(w[23]);
            }
            _ => r.wset_scale = power_of_ten(w[0]),
        }
    }
    Ok(r)
}

/// Number of DC modules of model 160.
async fn modules(client: &mut Client, unit: u8, models: &[Model]) -> Result<usize, WireError> {
    let Some(m) = models.iter().find(|m| m.id == 160) else {
        return Ok(0);
    };
    let n = client.read(unit, Table::Holding, m.addr + 8, 1).await?[0];
    Ok(usize::from(n).min(usize::from(m.len.saturating_sub(8)) / 20))
}

fn number(name: &str, addr: u16, type_: RegisterType, scale: f64, sf: Option<u16>, unit: &str) -> MapPoint {
    let nan = match type_ {
        RegisterType::I16 => vec![-0x8000],
        RegisterType::U16 => vec![0xFFFF],
        RegisterType::I32 => vec![-0x8000_0000],
        RegisterType::U32 => vec![0xFFFF_FFFF],
        RegisterType::U64 => vec![i128::from(u64::MAX)],
        RegisterType::I64 => vec![i128::from(i64::MIN)],
        _ => vec![],
    };
    MapPoint {
        name: name.to_owned(),
        table: Table::Holding,
        addr,
        count: type_.registers().unwrap_or(1),
        type_,
        words: WordOrder::HiFirst,
        scale,
        offset: 0.0,
        scale_factor: sf,
        unit: unit.to_owned(),
        nan,
        range: (None, None),
        bit: None,
        meaning: Meaning::default(),
    }
}

type Row = (&'static str, u16, RegisterType, f64, Option<u16>, &'static str);
use RegisterType::{F32, I16, U16, U32, U64};

const INVERTER: [Row; 3] = [
    ("active_power", 14, I16, -1e-3, Some(15), "kW"),
    ("frequency", 16, U16, 1.0, Some(17), "Hz"),
    ("energy_export", 24, U32, 1e-3, Some(26), "kWh"),
];
const INVERTER_FLOAT: [Row; 2] = [
    ("active_power", 22, F32, -1e-3, None, "kW"),
    ("energy_export", 32, F32, 1e-3, None, "kWh"),
];
const METER: [Row; 13] = [
    ("current_l1", 3, I16, 1.0, Some(6), "A"),
    ("current_l2", 4, I16, 1.0, Some(6), "A"),
    ("current_l3", 5, I16, 1.0, Some(6), "A"),
    ("voltage_l1", 8, I16, 1.0, Some(15), "V"),
    ("voltage_l2", 9, I16, 1.0, Some(15), "V"),
    ("voltage_l3", 10, I16, 1.0, Some(15), "V"),
    ("frequency", 16, I16, 1.0, Some(17), "Hz"),
    ("active_power", 18, I16, 1e-3, Some(22), "kW"),
    ("active_power_l1", 19, I16, 1e-3, Some(22), "kW"),
    ("active_power_l2", 20, I16, 1e-3, Some(22), "kW"),
    ("active_power_l3", 21, I16, 1e-3, Some(22), "kW"),
    ("energy_export", 38, U32, 1e-3, Some(54), "kWh"),
    ("energy_import", 46, U32, 1e-3, Some(54), "kWh"),
];
const METER_FLOAT: [Row; 3] = [
    ("active_power", 28, F32, 1e-3, None, "kW"),
    ("energy_export", 60, F32, 1e-3, None, "kWh"),
    ("energy_import", 68, F32, 1e-3, None, "kWh"),
];
/// W counts generation: discharging of a battery is negative here.
const DER_AC: [Row; 4] = [
    ("active_power", 10, I16, -1e-3, Some(116), "kW"),
    ("frequency", 17, U32, 1.0, Some(115), "Hz"),
    ("energy_export", 19, U64, 1e-3, Some(120), "kWh"),
    ("energy_import", 23, U64, 1e-3, Some(120), "kWh"),
];
const STORAGE: [Row; 2] = [
    ("soc", 8, U16, 1.0, Some(22), "%"),
    ("storage_mode", 5, U16, 1.0, None, ""),
];
const DER_STORAGE: [Row; 2] = [("soc", 4, U16, 1.0, Some(8), "%"), ("soh", 5, U16, 1.0, Some(8), "%")];

fn rows(id: u16) -> &'static [Row] {
    match id {
        101..=103 => &INVERTER,
        111..=113 => &INVERTER_FLOAT,
        124 => &STORAGE,
        201..=204 => &METER,
        211..=214 => &METER_FLOAT,
        701 => &DER_AC,
        713 => &DER_STORAGE,
        _ => &[],
    }
}

/// Blocks and points of the models found. Neighbouring models share a block as long as a request can hold them.
fn map(models: &[Model], modules: usize) -> Map {
    let mut points: Vec<MapPoint> = Vec::new();
    let mut spans: Vec<(u16, u16)> = Vec::new();
    for m in models {
        let mut own: Vec<MapPoint> = rows(m.id)
            .iter()
            .filter(|(_, off, ..)| *off < m.len + 2)
            .map(|(name, off, t, k, sf, unit)| number(name, m.addr + off, *t, *k, sf.map(|s| m.addr + s), unit))
            .collect();
        if m.id == 160 {
            for i in 0..modules {
                let at = m.addr + 10 + 20 * i as u16;
                let name = |what: &str| format!("mppt[{}].{what}", i + 1);
                own.push(number(&name("dc_power"), at + 11, U16, 1e-3, Some(m.addr + 4), "kW"));
                own.push(number(&name("dc_energy"), at + 12, U32, 1e-3, Some(m.addr + 5), "kWh"));
            }
        }
        let needed = own
            .iter()
            .flat_map(|p| [p.addr, p.addr + p.count - 1].into_iter().chain(p.scale_factor));
        let (low, high) = needed.fold((u16::MAX, 0), |(l, h), a| (l.min(a), h.max(a)));
        if low <= high {
            spans.push((low, high));
        }
        for p in own {
            // Repeated models are kept apart; the first keeps the plain name.
            let copies = points
                .iter()
                .filter(|o| o.name.split('#').next() == Some(p.name.as_str()))
                .count();
            let name = if copies == 0 {
                p.name.clone()
            } else {
                format!("{}#{}", p.name, copies + 1)
            };
            points.push(MapPoint { name, ..p });
        }
    }
    Map {
        blocks: blocks(&spans),
        points,
    }
}

fn blocks(spans: &[(u16, u16)]) -> Vec<BlockRead> {
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (low, high) in spans {
        match merged.last_mut() {
            Some(last) if high - last.0 < 125 && *low >= last.0 => last.1 = last.1.max(*high),
            _ => merged.push((*low, *high)),
        }
    }
    let block = |(low, high): &(u16, u16)| BlockRead {
        table: Table::Holding,
        addr: *low,
        count: high - low + 1,
        every: Every::Fast,
        unit: None,
    };
    merged.iter().map(block).collect()
}

/// Values that follow from others: battery and PV of a hybrid from its DC modules (3 charges, 4 discharges, as GEN24).
pub fn derive(models: &[Model], values: &mut Values) {
    let has = |id| models.iter().any(|m| m.id == id);
    if !(has(124) && has(160)) {
        return;
    }
    let module = |i: usize, what: &str| values.get(&format!("mppt[{i}].{what}")).and_then(Value::number);
    let difference = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a - b);
    // The device gives no value for a string that is dark: it generates nothing then.
    let strings: Vec<f64> = (1..=2).filter_map(|i| module(i, "dc_power")).collect();
    let derived = [
        (
            "battery_power",
            difference(module(3, "dc_power"), module(4, "dc_power")),
        ),
        ("energy_charged", module(3, "dc_energy")),
        ("energy_discharged", module(4, "dc_energy")),
        ("pv_power", (!strings.is_empty()).then(|| -strings.iter().sum::<f64>())),
        (
            "energy_produced",
            module(1, "dc_energy").map(|e| e + module(2, "dc_energy").unwrap_or_default()),
        ),
    ];
    for (name, v) in derived {
        values.insert(name.to_owned(), v.map_or(Value::Missing, Value::Number));
    }
}

impl Discovered {
    fn model(&self, id: u16) -> Option<Model> {
        self.models.iter().copied().find(|m| m.id == id)
    }

    /// The program of a canonical command for `value` in kW (passive sign for batteries, magnitude for limits).
    pub fn program(&self, command: &str, value: f64) -> Result<Program, String> {
        match command {
            "battery_power" if self.model(704).is_some() => self.set_power(value),
            "battery_power" => self.set_rates(value),
            "pv_limit" => self.limit(value),
            _ => Err(format!("a SunSpec device has no command `{command}`")),
        }
    }

    /// Writes that give control back.
    pub fn release(&self, command: &str) -> Result<Vec<RegisterWrite>, String> {
        let write = |m: Model, off: u16, words: Vec<u16>| RegisterWrite::new(16, m.addr + off, words);
        match command {
            "battery_power" => match (self.model(704), self.model(124)) {
                (Some(m), _) => Ok(vec![write(m, 22, vec![0])]),
                (None, Some(m)) => {
                    let full = self.percent(100.0)?;
                    Ok(vec![write(m, 5, vec![0]), write(m, 12, vec![full, full])])
                }
                _ => Err("the device has neither model 704 nor 124".into()),
            },
            "pv_limit" => {
                let m = self
                    .model(123)
                    .ok_or("the device has no model 123 (immediate controls)")?;
                Ok(vec![write(m, 9, vec![0])])
            }
            _ => Err(format!("a SunSpec device has no command `{command}`")),
        }
    }

    /// Model 704: power setpoint with reversion to zero, one request; W counts generation.
    fn set_power(&self, kw: f64) -> Result<Program, String> {
        let m = self.model(704).ok_or("the device has no model 704")?;
        let scale = self.ratings.wset_scale.ok_or("model 704 gives no scale for WSet")?;
        let set = encode(RegisterType::I32, WordOrder::HiFirst, -kw * 1e3 / scale)?;
        // WSetEna, WSetMod (1 = watts), WSet, WSetRvrt, WSetPct, WSetPctRvrt, WSetEnaRvrt, WSetRvrtTms
        let mut words = vec![1, 1];
        words.extend(&set);
        words.extend([0, 0, 0, 0, 0, 0, REVERSION_S]);
        let check = [vec![1, 1], set].concat();
        Ok(Program {
            arm: vec![],
            set: vec![RegisterWrite::new(16, m.addr + 22, words)],
            expect: Expect::Words {
                table: Table::Holding,
                addr: m.addr + 22,
                words: check,
            },
            refresh_s: REFRESH_S,
            wear: Wear::Ram,
        })
    }

    fn percent(&self, value: f64) -> Result<u16, String> {
        let scale = self
            .ratings
            .rate_scale
            .ok_or("model 124 gives no scale for its rates")?;
        Ok(encode(RegisterType::I16, WordOrder::HiFirst, value / scale)?[0])
    }

    /// Model 124 as Fronius GEN24 understands it: both rates are limits, a negative discharge rate forces charging and a
    /// negative charge rate forces discharging. Rates and timer first, the mode last.
    fn set_rates(&self, kw: f64) -> Result<Program, String> {
        let m = self.model(124).ok_or("the device has neither model 704 nor 124")?;
        let full = self
            .ratings
            .charge_max
            .filter(|w| *w > 0.0)
            .ok_or("model 124 gives no WChaMax")?;
        let share = (100.0 * kw / full).clamp(-100.0, 100.0);
        let (out, into) = if kw > 0.0 {
            (self.percent(-share)?, self.percent(100.0)?)
        } else if kw < 0.0 {
            (self.percent(100.0)?, self.percent(share)?)
        } else {
            (0, 0)
        };
        let mode = if kw > 0.0 {
            2
        } else if kw < 0.0 {
            1
        } else {
            3
        };
        let write = |off: u16, words: Vec<u16>| RegisterWrite::new(16, m.addr + off, words);
        Ok(Program {
            arm: vec![write(17, vec![1])],
            // OutWRte, InWRte, WinTms, RvrtTms
            set: vec![write(12, vec![out, into, 0, REVERSION_S]), write(5, vec![mode])],
            expect: Expect::Words {
                table: Table::Holding,
                addr: m.addr + 12,
                words: vec![out, into],
            },
            refresh_s: REFRESH_S,
            wear: Wear::Ram,
        })
    }

    /// Model 123: limit in percent of WMax with reversion, one request over 5..=9.
    fn limit(&self, kw: f64) -> Result<Program, String> {
        let m = self
            .model(123)
            .ok_or("the device has no model 123 (immediate controls)")?;
        let full = self
            .ratings
            .pv_max
            .filter(|w| *w > 0.0)
            .ok_or("the device does not say its WMax")?;
        let scale = self
            .ratings
            .limit_scale
            .ok_or("model 123 gives no scale for WMaxLimPct")?;
        let pct = encode(
            RegisterType::U16,
            WordOrder::HiFirst,
            (100.0 * kw / full).clamp(0.0, 100.0) / scale,
        )?[0];
        Ok(Program {
            arm: vec![],
            // WMaxLimPct, WinTms, RvrtTms, RmpTms, Ena
            set: vec![RegisterWrite::new(16, m.addr + 5, vec![pct, 0, REVERSION_S, 0, 1])],
            expect: Expect::Words {
                table: Table::Holding,
                addr: m.addr + 5,
                words: vec![pct],
            },
            refresh_s: REFRESH_S,
            wear: Wear::Ram,
        })
    }
}
