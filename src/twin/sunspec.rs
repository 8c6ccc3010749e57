//! SunSpec register image of a meter, an inverter or a battery: base 40000, models by what the device feeds.
//!
//! Offsets count from a model's ID register; layouts are those of the alliance's model definitions.

use super::blank::blank;
use super::glitch::{Spot, What, absent};
use super::mapped::Mapped;
use super::order::{Order, Wish};
use super::registers::text;
use super::world::{Model, World};
use crate::model::{Quantity, Target};
use crate::profile::{MeterSign, Profile, RegisterType, Table, WordOrder};
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
    base: u16,
    registers: Vec<u16>,
    /// Model id → address of its ID register.
    models: BTreeMap<u16, u16>,
    meter: Option<Id>,
    pv: Option<Id>,
    battery: Option<Id>,
    pv_max_w: f64,
    charge_max_w: f64,
    /// Powers are shown in steps ten times as large, with the scale factor that says so.
    pub coarse: bool,
    /// The vendor's meter counts export as positive.
    export_positive: bool,
    /// When the command of a control model (and which of its parts) falls back.
    reversion: BTreeMap<Control, Timestamp>,
    /// Registers of the vendor's own beside the models.
    beside: Option<Box<Mapped>>,
}

/// The commands that the models hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Control {
    Limit123,
    Rates124,
    Limit704,
    Set704,
}

impl SunSpec {
    pub fn new(site: &Site, device: &Id, profile: Profile) -> Self {
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
        let mut ids: Vec<u16> = match (&pv, &battery) {
            (Some(_), Some(_)) => vec![1, 103, 120, 121, 122, 123, 124, 160],
            (Some(_), None) => vec![1, 103, 120, 121, 122, 123],
            (None, Some(_)) if forming => vec![1, 701, 713],
            (None, Some(_)) => vec![1, 701, 702, 704, 713, 715],
            (None, None) => vec![1],
        };
        // A meter behind the inverter follows in the same map.
        ids.extend(meter.as_ref().map(|_| 203));
        let kind = |id: &Option<Id>| id.as_ref().and_then(|i| site.plant.components.get(i)).map(|c| &c.kind);
        let pv_max_w = match kind(&pv) {
            Some(Kind::Pv(p)) => p.inverter_max.as_kw() * 1e3,
            _ => 0.0,
        };
        let charge_max_w = match kind(&battery) {
            Some(Kind::Battery(b)) => b.charge_max.max(b.discharge_max).as_kw() * 1e3,
            _ => 0.0,
        };
        let export_positive = profile.quirks.meter_sign == Some(MeterSign::ExportPositive);
        let mut image = Self {
            base: profile.quirks.bases.first().copied().unwrap_or(BASE),
            registers: vec![0x5375, 0x6E53],
            models: BTreeMap::new(),
            meter,
            pv,
            battery,
            pv_max_w,
            charge_max_w,
            coarse: false,
            export_positive,
            reversion: BTreeMap::new(),
            beside: None,
        };
        for id in ids {
            image.models.insert(id, image.base + image.registers.len() as u16);
            let blank = blank(id);
            image.registers.extend([id, blank.len() as u16]);
            image.registers.extend(blank);
        }
        image.registers.extend([0xFFFF, 0]);
        image.fixed(device, &profile);
        if !profile.blocks.is_empty() {
            image.beside = Some(Box::new(Mapped::new(site, device, profile)));
        }
        image
    }

    fn set(&mut self, model: u16, offset: u16, words: &[u16]) {
        let Some(at) = self.models.get(&model).map(|a| usize::from(a - self.base + offset)) else {
            return;
        };
        if let Some(slot) = self.registers.get_mut(at..at + words.len()) {
            slot.copy_from_slice(words);
        }
    }

    fn get(&self, model: u16, offset: u16) -> Option<u16> {
        let at = usize::from(self.models.get(&model)? - self.base + offset);
        self.registers.get(at).copied()
    }

    /// What never changes: identity, ratings, scale factors.
    fn fixed(&mut self, device: &Id, profile: &Profile) {
        let known = profile
            .models
            .first()
            .map(String::as_str)
            .filter(|_| profile.id != "sunspec");
        let model = if let Some(known) = known {
            known.get(..known.len().min(30)).unwrap_or("Twin")
        } else if self.meter.is_some() && self.pv.is_none() && self.battery.is_none() {
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
        // Scale factors of VA, VAr, PF, DC and temperature.
        self.set(103, 19, &[1]);
        self.set(103, 21, &[1]);
        self.set(103, 23, &[HUNDREDTH]);
        self.set(103, 32, &[1]);
        self.set(103, 37, &[0]);
        self.set(103, 38, &[4, 4]);
        self.set(122, 2, &[7, 7, 1]);
        self.set(122, 32, &[1]);
        self.set(123, 4, &[1]);
        self.set(124, 7, &[500]);
        self.set(124, 10, &[4_000, 3]);
        self.set(124, 21, &[HUNDREDTH]);
        self.set(124, 24, &[TENTH]);
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
        self.set(160, 2, &[HUNDREDTH, TENTH, 1, 0]);
        self.set(160, 8, &[4]);
        for i in 0..4 {
            self.set(160, 10 + 20 * i, &[i + 1]);
            self.set(160, 10 + 20 * i + 16, &[32, 4]);
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
        self.set(704, 14, &[0, 100, 100, 0, 0, 0, 0, 0]);
        self.set(704, 22, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.set(704, 54, &[0, 0]);
        self.set(713, 7, &[1, HUNDREDTH]);
        self.set(715, 2, &[0, 0, 0, 0, 0]);
    }

    /// Watts as the device shows them now, and their scale factor: tens, or hundreds where it has changed its mind.
    fn watts(&self, w: f64) -> u16 {
        int(w / if self.coarse { 100.0 } else { 10.0 })
    }

    /// Brings measured values, timers and scale factors up to date.
    fn refresh(&mut self, world: &mut World, t: Timestamp) {
        self.fall_back(t);
        let scale = if self.coarse { 2 } else { 1 };
        for (model, offset) in [(103, 15), (160, 4), (203, 22), (701, 116)] {
            self.set(model, offset, &[scale]);
        }
        let beats = t.timestamp().rem_euclid(1 << 31) as u32;
        self.set(715, 3, &[(beats >> 16) as u16, beats as u16]);
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
        .map(|q| of(q) * 1e3);
        let sign = if self.export_positive { -1.0 } else { 1.0 };
        let watts = watts.map(|w| self.watts(sign * w));
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
        self.set(103, 14, &[self.watts(pv - battery)]);
        self.set(103, 16, &[5_000]);
        self.electrical(pv - battery, pv);
        self.set(103, 24, &wide32(energy));
        let step = if self.coarse { 100.0 } else { 10.0 };
        // Two strings share the roof.
        for (i, share) in [(0u16, 0.55), (1, 0.45)] {
            self.set(160, 10 + 20 * i + 11, &[unsigned(pv * share / step)]);
            self.set(160, 10 + 20 * i + 12, &wide32(energy * share));
        }
    }

    /// What follows from an inverter's power at 230 V: currents, voltages, apparent power, the DC side, temperature.
    fn electrical(&mut self, watts: f64, dc: f64) {
        let amps = unsigned(watts.abs() / 690.0 * 10.0);
        self.set(103, 2, &[unsigned(watts.abs() / 230.0 * 10.0), amps, amps, amps]);
        self.set(103, 7, &[4_000, 4_000, 4_000, 2_300, 2_300, 2_300]);
        self.set(103, 18, &[int(watts.abs() / 10.0)]);
        self.set(103, 20, &[0]);
        self.set(103, 22, &[100]);
        self.set(103, 31, &[int(dc / 10.0)]);
        self.set(103, 33, &[36]);
        self.set(122, 31, &[unsigned(dc / 10.0)]);
        for i in 0..4u16 {
            let power = self.get(160, 10 + 20 * i + 11).filter(|w| *w != 0xFFFF).unwrap_or(0);
            let step = if self.coarse { 100.0 } else { 10.0 };
            let amps = unsigned(f64::from(power) * step / 400.0 * 100.0);
            self.set(160, 10 + 20 * i + 9, &[amps, 4_000]);
        }
    }

    fn refresh_battery(&mut self, world: &mut World, id: &Id) {
        let mut of = |q| world.read(id, q).unwrap_or(f64::NAN);
        let (w, soc) = (of(Quantity::ActivePower) * 1e3, of(Quantity::StateOfCharge));
        let (into, out) = (of(Quantity::EnergyImport) * 1e3, of(Quantity::EnergyExport) * 1e3);
        let step = if self.coarse { 100.0 } else { 10.0 };
        self.set(124, 8, &[(soc * 10_000.0).round() as u16]);
        for (i, power, energy) in [(2u16, w.max(0.0), into), (3, (-w).max(0.0), out)] {
            self.set(160, 10 + 20 * i + 11, &[unsigned(power / step)]);
            self.set(160, 10 + 20 * i + 12, &wide32(energy));
        }
        self.set(701, 10, &[self.watts(-w)]);
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

    pub fn read(&mut self, world: &mut World, t: Timestamp, addr: u16, count: u16) -> Result<Vec<u16>, u8> {
        if self.beside(addr)
            && let Some(own) = &mut self.beside
        {
            return own.read(world, t, Table::Holding, addr, count);
        }
        self.refresh(world, t);
        let at = usize::from(addr.checked_sub(self.base).ok_or(2u8)?);
        self.registers
            .get(at..at + usize::from(count))
            .map(<[u16]>::to_vec)
            .ok_or(2)
    }

    /// Whether an address is one of the vendor's own, outside the models.
    pub fn beside(&self, addr: u16) -> bool {
        let inside = addr >= self.base && usize::from(addr - self.base) < self.registers.len();
        !inside && self.beside.is_some()
    }

    pub fn write_beside(
        &mut self,
        world: &mut World,
        t: Timestamp,
        table: Table,
        addr: u16,
        words: &[u16],
    ) -> Result<Vec<Order>, u8> {
        self.beside.as_mut().ok_or(2u8)?.write(world, t, table, addr, words)
    }

    /// Only the control models take writes; exception 2 elsewhere.
    pub fn write(&mut self, t: Timestamp, addr: u16, words: &[u16]) -> Result<Vec<Order>, u8> {
        let model = self
            .models
            .iter()
            .filter(|(_, a)| **a <= addr)
            .max_by_key(|(_, a)| **a)
            .map(|(m, _)| *m);
        let model = model.filter(|m| matches!(m, 123 | 124 | 704 | 715)).ok_or(2u8)?;
        let start = self.models[&model];
        if addr < start + 2 || u32::from(addr) + words.len() as u32 > u32::from(start) + 2 + blank(model).len() as u32 {
            return Err(2);
        }
        self.fall_back(t);
        self.set(model, addr - start, words);
        let offset = addr - start;
        let touches = |from: u16, to: u16| offset <= to && offset + words.len() as u16 > from;
        let mut orders = Vec::new();
        match model {
            123 if touches(5, 9) => orders.push(self.obey_limit(t)?),
            124 if touches(5, 17) => orders.push(self.obey_rates(t)?),
            704 => {
                if touches(14, 19) {
                    orders.push(self.obey_discharge_limit(t)?);
                }
                if touches(22, 32) {
                    orders.push(self.obey_setpoint(t)?);
                }
            }
            _ => {}
        }
        Ok(orders)
    }

    /// Starts or stops the timer of a command; when it ends.
    fn arm(&mut self, control: Control, on: bool, t: Timestamp, seconds: Option<i64>) -> Timestamp {
        let until = t + lease(seconds);
        match seconds.filter(|s| on && *s > 0) {
            Some(_) => self.reversion.insert(control, until),
            None => self.reversion.remove(&control),
        };
        until
    }

    fn obey_limit(&mut self, t: Timestamp) -> Result<Order, u8> {
        let (Some(pv), Some(pct)) = (self.pv.clone(), self.get(123, 5)) else {
            return Err(4);
        };
        if pct > 10_000 {
            return Err(3);
        }
        let on = self.get(123, 9) == Some(1);
        let until = self.arm(Control::Limit123, on, t, self.get(123, 7).map(i64::from));
        let target = if on {
            Target::PowerLimit(Power::kw(self.pv_max_w / 1e3 * f64::from(pct) / 10_000.0))
        } else {
            Target::Release
        };
        Ok(Order::new(&pv, target, until))
    }

    /// GEN24: rates limit, a negative discharge rate charges, a negative charge rate discharges.
    fn obey_rates(&mut self, t: Timestamp) -> Result<Order, u8> {
        let Some(battery) = self.battery.clone() else {
            return Err(4);
        };
        let rate = |off| self.get(124, off).map_or(0.0, |w| f64::from(w as i16) / 10_000.0);
        let mode = self.get(124, 5).unwrap_or(0);
        let out = if mode & 2 == 0 { 1.0 } else { rate(12) };
        let into = if mode & 1 == 0 { 1.0 } else { rate(13) };
        let full = self.charge_max_w / 1e3;
        let until = self.arm(Control::Rates124, mode & 3 != 0, t, self.get(124, 15).map(i64::from));
        let wish = if mode & 3 == 0 {
            Wish::Target(Target::Release)
        } else if out < 0.0 {
            Wish::Target(Target::Power(Power::kw(-out * full)))
        } else if into < 0.0 {
            Wish::Target(Target::Power(Power::kw(into * full)))
        } else if out == 0.0 && into == 0.0 {
            Wish::Target(Target::Power(Power::ZERO))
        } else {
            Wish::Bounds(-out * full, into * full)
        };
        Ok(Order {
            component: battery,
            wish,
            until,
        })
    }

    fn wide(&self, model: u16, off: u16) -> Option<i32> {
        Some((i32::from(self.get(model, off)?) << 16) | i32::from(self.get(model, off + 1)?))
    }

    fn obey_setpoint(&mut self, t: Timestamp) -> Result<Order, u8> {
        let (Some(battery), Some(watts)) = (self.battery.clone(), self.wide(704, 24)) else {
            return Err(4);
        };
        let on = self.get(704, 22) == Some(1);
        let seconds = self.wide(704, 31).map(i64::from);
        let until = self.arm(Control::Set704, on, t, seconds);
        let safe = self.wide(704, 26).filter(|_| self.get(704, 30) == Some(1));
        let kw = |w: i32| -f64::from(w) / 1e3;
        let wish = match (on, safe) {
            (false, _) => Wish::Target(Target::Release),
            (true, Some(safe)) => Wish::PowerThen(kw(watts), kw(safe)),
            (true, None) => Wish::Target(Target::Power(Power::kw(kw(watts)))),
        };
        Ok(Order {
            component: battery,
            wish,
            until,
        })
    }

    /// WMaxLimPct of a storage: no more than this share is generated.
    fn obey_discharge_limit(&mut self, t: Timestamp) -> Result<Order, u8> {
        let (Some(battery), Some(pct)) = (self.battery.clone(), self.get(704, 15)) else {
            return Err(4);
        };
        if pct > 100 {
            return Err(3);
        }
        let on = self.get(704, 14) == Some(1);
        let until = self.arm(Control::Limit704, on, t, self.wide(704, 18).map(i64::from));
        let wish = if on {
            Wish::Bounds(-self.charge_max_w / 1e3 * f64::from(pct) / 100.0, f64::INFINITY)
        } else {
            Wish::Target(Target::Release)
        };
        Ok(Order {
            component: battery,
            wish,
            until,
        })
    }

    /// Timers that have run out: the registers show what the device fell back to, the others how long they still have.
    fn fall_back(&mut self, t: Timestamp) {
        let over: Vec<Control> = self
            .reversion
            .iter()
            .filter(|(_, u)| **u <= t)
            .map(|(c, _)| *c)
            .collect();
        for control in over {
            self.reversion.remove(&control);
            match control {
                Control::Limit123 => self.set(123, 9, &[0]),
                Control::Rates124 => self.set(124, 5, &[0]),
                Control::Limit704 => self.revert_704(14, 15, 16, 1, 17),
                Control::Set704 => self.revert_704(22, 24, 26, 2, 30),
            }
        }
        for (control, offset) in [(Control::Limit704, 20), (Control::Set704, 33)] {
            let left = self
                .reversion
                .get(&control)
                .map_or(0, |u| (*u - t).num_seconds().max(0) as u32);
            self.set(704, offset, &[(left >> 16) as u16, left as u16]);
        }
    }

    /// The enable and the value of a function of 704 become what the master named for this case.
    fn revert_704(&mut self, enable: u16, value: u16, safe: u16, size: u16, safe_enable: u16) {
        let on = self.get(704, safe_enable).unwrap_or(0);
        self.set(704, enable, &[on]);
        let words: Vec<u16> = (safe..safe + size).filter_map(|o| self.get(704, o)).collect();
        self.set(704, value, &words);
    }

    /// What another master would write to take its device back.
    pub fn taken_back(&self) -> Vec<(u16, Vec<u16>)> {
        let at = |model: u16, offset: u16, words: &[u16]| self.models.get(&model).map(|a| (a + offset, words.to_vec()));
        let own = [
            at(123, 9, &[0]),
            at(124, 12, &[10_000, 10_000]),
            at(124, 5, &[0]),
            at(704, 22, &[0]),
            at(704, 24, &[0, 0]),
        ];
        let beside = self.beside.as_ref().map(|b| b.taken_back()).unwrap_or_default();
        own.into_iter().flatten().chain(beside).collect()
    }

    /// Where measured values lie.
    pub fn spots(&self) -> Vec<Spot> {
        use RegisterType::{I16, U16, U32, U64};
        let rows: [(u16, u16, RegisterType, What); 24] = [
            (103, 14, I16, What::Power),
            (103, 16, U16, What::Other),
            (103, 24, U32, What::Counter),
            (124, 8, U16, What::Other),
            (160, 21, U16, What::Power),
            (160, 22, U32, What::Counter),
            (160, 41, U16, What::Power),
            (160, 42, U32, What::Counter),
            (160, 61, U16, What::Power),
            (160, 62, U32, What::Counter),
            (160, 81, U16, What::Power),
            (160, 82, U32, What::Counter),
            (203, 8, I16, What::Other),
            (203, 16, I16, What::Other),
            (203, 18, I16, What::Power),
            (203, 19, I16, What::Power),
            (203, 20, I16, What::Power),
            (203, 21, I16, What::Power),
            (203, 38, U32, What::Counter),
            (203, 46, U32, What::Counter),
            (701, 10, I16, What::Power),
            (701, 19, U64, What::Counter),
            (701, 23, U64, What::Counter),
            (713, 4, U16, What::Other),
        ];
        let spot = |(model, offset, type_, what): (u16, u16, RegisterType, What)| {
            let addr = self.models.get(&model)? + offset;
            let (table, words) = (Table::Holding, WordOrder::HiFirst);
            Some(Spot {
                table,
                addr,
                type_,
                words,
                absent: absent(type_),
                what,
            })
        };
        let beside = self.beside.as_ref().map(|b| b.spots()).unwrap_or_default();
        rows.into_iter().filter_map(spot).chain(beside).collect()
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
