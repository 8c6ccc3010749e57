//! SunSpec register image of a meter, an inverter or a battery: base 40000, models by what the device feeds.
//!
//! Offsets count from a model's ID register; layouts are those of the alliance's model definitions.

use super::blank::blank;
use super::registers::text;
use super::world::{Model, World};
use crate::model::{Quantity, Target};
use crate::site::{Id, Kind, Site};
use crate::time::Timestamp;
use crate::units::Power;
use chrono::TimeDelta;
use std::collections::BTreeMap;

const BASE: u16 = 40_000;
const MISSING16: u16 = 0x8000;
/// Scale factors: −1 (0.1 A, 0.1 V), −2 (0.01 Hz, 0.01 %), 1 (10 W, for plants whose watts do not fit an int16).
const TENTH: u16 = 0xFFFF;
const HUNDREDTH: u16 = 0xFFFE;
/// A command without a reversion time stays for as long as a simulation can last.
const FOR_EVER_S: i64 = 10 * 365 * 86_400;

#[derive(Debug)]
pub struct SunSpec {
    registers: Vec<u16>,
    /// Model id → address of its ID register.
    models: BTreeMap<u16, u16>,
    meter: Option<Id>,
    pv: Option<Id>,
    battery: Option<Id>,
    pv_max_w: f64,
    charge_max_w: f64,
}

impl SunSpec {
    pub fn new(site: &Site, device: &Id) -> Self {
        let components = site
            .wiring
            .devices
            .get(device)
            .map(|d| d.components.clone())
            .unwrap_or_default();
        let find = |wanted: fn(&Kind) -> bool| {
            components
                .iter()
                .find(|c| site.plant.components.get(*c).is_some_and(|x| wanted(&x.kind)))
                .cloned()
        };
        let meter = find(|k| matches!(k, Kind::Meter(_)));
        let pv = find(|k| matches!(k, Kind::Pv(_)));
        let battery = find(|k| matches!(k, Kind::Battery(_)));
        let forming = battery
            .as_ref()
            .is_some_and(|b| matches!(&site.plant.components[b].kind, Kind::Battery(b) if b.grid_forming));
        let ids: &[u16] = match (&meter, &pv, &battery) {
            (Some(_), ..) => &[1, 203],
            (None, Some(_), Some(_)) => &[1, 103, 120, 121, 122, 123, 124, 160],
            (None, Some(_), None) => &[1, 103, 120, 121, 122, 123],
            _ if forming => &[1, 701, 713],
            _ => &[1, 701, 702, 704, 713],
        };
        let kind = |id: &Option<Id>| id.as_ref().and_then(|i| site.plant.components.get(i)).map(|c| &c.kind);
        let pv_max_w = match kind(&pv) {
            Some(Kind::Pv(p)) => p.inverter_max.as_kw() * 1e3,
            _ => 0.0,
        };
        let charge_max_w = match kind(&battery) {
            Some(Kind::Battery(b)) => b.charge_max.max(b.discharge_max).as_kw() * 1e3,
            _ => 0.0,
        };
        let mut image = Self {
            registers: vec![0x5375, 0x6E53],
            models: BTreeMap::new(),
            meter,
            pv,
            battery,
            pv_max_w,
            charge_max_w,
        };
        for id in ids {
            image.models.insert(*id, BASE + image.registers.len() as u16);
            let blank = blank(*id);
            image.registers.extend([*id, blank.len() as u16]);
            image.registers.extend(blank);
        }
        image.registers.extend([0xFFFF, 0]);
        image.fixed(device);
        image
    }

    fn set(&mut self, model: u16, offset: u16, words: &[u16]) {
        let Some(at) = self.models.get(&model).map(|a| usize::from(a - BASE + offset)) else {
            return;
        };
        if let Some(slot) = self.registers.get_mut(at..at + words.len()) {
            slot.copy_from_slice(words);
        }
    }

    fn get(&self, model: u16, offset: u16) -> Option<u16> {
        let at = usize::from(self.models.get(&model)? - BASE + offset);
        self.registers.get(at).copied()
    }

    /// What never changes: identity, ratings, scale factors.
    fn fixed(&mut self, device: &Id) {
        let model = if self.meter.is_some() {
            "Twin Meter"
        } else if self.battery.is_some() && self.pv.is_some() {
            "Twin Hybrid"
        } else if self.pv.is_some() {
            "Twin PV"
        } else {
            "Twin Battery"
        };
        self.set(1, 2, &text("Madang", 16));
        self.set(1, 18, &text(model, 16));
        self.set(1, 34, &text("", 8));
        self.set(1, 42, &text(env!("CARGO_PKG_VERSION"), 8));
        self.set(1, 50, &text(device.as_str(), 16));
        self.set(1, 66, &[1, 0x8000]);
        self.set(103, 6, &[TENTH]);
        self.set(103, 13, &[TENTH]);
        self.set(103, 15, &[1]);
        self.set(103, 17, &[HUNDREDTH]);
        self.set(103, 26, &[0]);
        self.set(103, 38, &[4]);
        let tens = |w: f64| (w / 10.0).round() as u16;
        self.set(120, 2, &[4, tens(self.pv_max_w), 1]);
        self.set(121, 2, &[tens(self.pv_max_w)]);
        self.set(121, 22, &[1]);
        self.set(123, 5, &[10_000, 0, 0, 0, 0]);
        self.set(123, 23, &[HUNDREDTH]);
        self.set(124, 2, &[tens(self.charge_max_w)]);
        self.set(124, 5, &[0]);
        self.set(124, 12, &[10_000, 10_000, 0, 0]);
        self.set(124, 17, &[0, 1]);
        self.set(124, 22, &[HUNDREDTH]);
        self.set(124, 25, &[HUNDREDTH]);
        self.set(160, 4, &[1, 0]);
        self.set(160, 8, &[4]);
        for i in 0..4 {
            self.set(160, 10 + 20 * i, &[i + 1]);
        }
        self.set(203, 6, &[TENTH]);
        self.set(203, 15, &[TENTH]);
        self.set(203, 17, &[HUNDREDTH]);
        self.set(203, 22, &[1]);
        self.set(203, 54, &[0]);
        self.set(701, 113, &[TENTH, TENTH, HUNDREDTH, 1]);
        self.set(701, 120, &[0]);
        let rating = tens(self.charge_max_w);
        self.set(702, 2, &[rating]);
        self.set(702, 10, &[rating, rating]);
        self.set(702, 45, &[1]);
        self.set(704, 22, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.set(704, 55, &[0]);
        self.set(713, 7, &[1, HUNDREDTH]);
    }

    /// Brings measured values up to date.
    fn refresh(&mut self, world: &mut World) {
        if let Some(id) = self.meter.clone() {
            self.refresh_meter(world, &id);
        }
        if let Some(id) = self.pv.clone() {
            self.refresh_inverter(world, &id);
        }
        if let Some(id) = self.battery.clone() {
            self.refresh_battery(world, &id);
        }
    }

    fn refresh_meter(&mut self, world: &mut World, id: &Id) {
        let mut of = |q| world.read(id, q).unwrap_or(f64::NAN);
        let volts = [Quantity::VoltageL1, Quantity::VoltageL2, Quantity::VoltageL3].map(|q| int(of(q) * 10.0));
        let amps = [Quantity::CurrentL1, Quantity::CurrentL2, Quantity::CurrentL3].map(|q| int(of(q) * 10.0));
        let watts = [
            Quantity::ActivePower,
            Quantity::ActivePowerL1,
            Quantity::ActivePowerL2,
            Quantity::ActivePowerL3,
        ]
        .map(|q| int(of(q) * 100.0));
        let hertz = int(of(Quantity::Frequency) * 100.0);
        let (import, export) = (of(Quantity::EnergyImport) * 1e3, of(Quantity::EnergyExport) * 1e3);
        self.set(203, 3, &amps);
        self.set(203, 8, &volts);
        self.set(203, 16, &[hertz]);
        self.set(203, 18, &watts);
        self.set(203, 38, &wide32(export));
        self.set(203, 46, &wide32(import));
    }

    fn refresh_inverter(&mut self, world: &mut World, id: &Id) {
        let mut of = |q| world.read(id, q).unwrap_or(f64::NAN);
        let (pv, energy) = (-of(Quantity::ActivePower) * 1e3, of(Quantity::EnergyExport) * 1e3);
        let battery = self
            .battery
            .clone()
            .and_then(|b| world.read(&b, Quantity::ActivePower))
            .unwrap_or(0.0)
            * 1e3;
        self.set(103, 14, &[int((pv - battery) / 10.0)]);
        self.set(103, 16, &[5_000]);
        self.set(103, 24, &wide32(energy));
        // Two strings share the roof.
        for (i, share) in [(0u16, 0.55), (1, 0.45)] {
            self.set(160, 10 + 20 * i + 11, &[unsigned(pv * share / 10.0)]);
            self.set(160, 10 + 20 * i + 12, &wide32(energy * share));
        }
    }

    fn refresh_battery(&mut self, world: &mut World, id: &Id) {
        let mut of = |q| world.read(id, q).unwrap_or(f64::NAN);
        let (w, soc) = (of(Quantity::ActivePower) * 1e3, of(Quantity::StateOfCharge));
        let (into, out) = (of(Quantity::EnergyImport) * 1e3, of(Quantity::EnergyExport) * 1e3);
        self.set(124, 8, &[(soc * 10_000.0).round() as u16]);
        for (i, power, energy) in [(2u16, w.max(0.0), into), (3, (-w).max(0.0), out)] {
            self.set(160, 10 + 20 * i + 11, &[unsigned(power / 10.0)]);
            self.set(160, 10 + 20 * i + 12, &wide32(energy));
        }
        self.set(701, 10, &[int(-w / 10.0)]);
        self.set(701, 17, &[0, 6_000]);
        self.set(701, 19, &wide64(out));
        self.set(701, 23, &wide64(into));
        let capacity = match world.models.get(id) {
            Some(Model::Battery(b)) => b.rating.capacity.as_kwh() * 1e3,
            _ => f64::NAN,
        };
        let tens = |wh: f64| (wh / 10.0).round() as u16;
        self.set(
            713,
            2,
            &[
                tens(capacity),
                tens(capacity * soc),
                (soc * 10_000.0).round() as u16,
                10_000,
            ],
        );
    }

    pub fn read(&mut self, world: &mut World, addr: u16, count: u16) -> Result<Vec<u16>, u8> {
        self.refresh(world);
        let at = usize::from(addr.checked_sub(BASE).ok_or(2u8)?);
        self.registers
            .get(at..at + usize::from(count))
            .map(<[u16]>::to_vec)
            .ok_or(2)
    }

    /// Only the control models take writes; exception 2 elsewhere.
    pub fn write(&mut self, world: &mut World, t: Timestamp, addr: u16, words: &[u16]) -> Result<(), u8> {
        let model = self
            .models
            .iter()
            .filter(|(_, a)| **a <= addr)
            .max_by_key(|(_, a)| **a)
            .map(|(m, _)| *m);
        let model = model.filter(|m| matches!(m, 123 | 124 | 704)).ok_or(2u8)?;
        let start = self.models[&model];
        if addr < start + 2 || u32::from(addr) + words.len() as u32 > u32::from(start) + 2 + blank(model).len() as u32 {
            return Err(2);
        }
        self.set(model, addr - start, words);
        match model {
            123 => self.obey_limit(world, t),
            124 => self.obey_rates(world, t),
            _ => self.obey_setpoint(world, t),
        }
    }

    fn obey_limit(&mut self, world: &mut World, t: Timestamp) -> Result<(), u8> {
        let (Some(pv), Some(pct)) = (self.pv.clone(), self.get(123, 5)) else {
            return Err(4);
        };
        let on = self.get(123, 9) == Some(1);
        let target = if on {
            Target::PowerLimit(Power::kw(self.pv_max_w / 1e3 * f64::from(pct) / 10_000.0))
        } else {
            Target::Release
        };
        world
            .obey(&pv, target, t + lease(self.get(123, 7).map(i64::from)))
            .map_err(|_| 4)
    }

    /// GEN24: rates limit, a negative discharge rate charges, a negative charge rate discharges.
    fn obey_rates(&mut self, world: &mut World, t: Timestamp) -> Result<(), u8> {
        let Some(battery) = self.battery.clone() else {
            return Err(4);
        };
        let rate = |off| self.get(124, off).map_or(0.0, |w| f64::from(w as i16) / 10_000.0);
        let mode = self.get(124, 5).unwrap_or(0);
        let out = if mode & 2 == 0 { 1.0 } else { rate(12) };
        let into = if mode & 1 == 0 { 1.0 } else { rate(13) };
        let full = self.charge_max_w / 1e3;
        let until = t + lease(self.get(124, 15).map(i64::from));
        if mode & 3 == 0 {
            return world.obey(&battery, Target::Release, until).map_err(|_| 4);
        }
        let forced = if out < 0.0 {
            Some(-out * full)
        } else if into < 0.0 {
            Some(into * full)
        } else if out == 0.0 && into == 0.0 {
            Some(0.0)
        } else {
            None
        };
        match (forced, world.models.get_mut(&battery)) {
            (Some(kw), _) => world.obey(&battery, Target::Power(Power::kw(kw)), until).map_err(|_| 4),
            (None, Some(Model::Battery(b))) => {
                b.target.release();
                b.bounds.set((-out * full, into * full), until);
                Ok(())
            }
            _ => Err(4),
        }
    }

    fn obey_setpoint(&mut self, world: &mut World, t: Timestamp) -> Result<(), u8> {
        let Some(battery) = self.battery.clone() else {
            return Err(4);
        };
        let wide = |off| Some((i32::from(self.get(704, off)?) << 16) | i32::from(self.get(704, off + 1)?));
        let (Some(watts), Some(seconds)) = (wide(24), wide(31)) else {
            return Err(4);
        };
        let target = if self.get(704, 22) == Some(1) {
            Target::Power(Power::kw(-f64::from(watts) / 1e3))
        } else {
            Target::Release
        };
        world
            .obey(&battery, target, t + lease(Some(i64::from(seconds))))
            .map_err(|_| 4)
    }
}

fn lease(seconds: Option<i64>) -> TimeDelta {
    TimeDelta::seconds(seconds.filter(|s| *s > 0).unwrap_or(FOR_EVER_S))
}

fn int(v: f64) -> u16 {
    if v.is_finite() {
        v.round().clamp(-32_767.0, 32_767.0) as i16 as u16
    } else {
        MISSING16
    }
}

fn unsigned(v: f64) -> u16 {
    if v.is_finite() {
        v.round().clamp(0.0, 65_534.0) as u16
    } else {
        0xFFFF
    }
}

fn wide32(v: f64) -> [u16; 2] {
    let n = v.max(0.0) as u32;
    [(n >> 16) as u16, n as u16]
}

fn wide64(v: f64) -> [u16; 4] {
    let n = v.max(0.0) as u64;
    [(n >> 48) as u16, (n >> 32) as u16, (n >> 16) as u16, n as u16]
}
