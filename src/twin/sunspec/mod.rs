//! SunSpec register image of a meter, an inverter or a battery: base 40000, models by what the device feeds.
//!
//! Offsets count from a model's ID register; layouts are those of the alliance's model definitions.

mod control;
mod measured;

use super::blank::blank;
use super::mapped::Mapped;
use super::order::Order;
use super::registers::text;
use super::world::World;
use crate::profile::{BatteryWay, MeterSign, Profile, Table};
use crate::site::{Id, Kind, Site};
use crate::time::Timestamp;
use control::Control;
use std::collections::BTreeMap;

const BASE: u16 = 40_000;
/// Scale factors: −1 (0.1 A, 0.1 V), −2 (0.01 Hz, 0.01 %), 1 (10 W, for plants whose watts do not fit an int16).
const TENTH: u16 = 0xFFFF;
const HUNDREDTH: u16 = 0xFFFE;

/// Watts in the steps of 10 that most ratings count in.
fn tens(watts: f64) -> u16 {
    (watts / 10.0).round() as u16
}

#[derive(Debug)]
pub struct SunSpec {
    base: u16,
    registers: Vec<u16>,
    /// The registers at the start.
    initial: Vec<u16>,
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
        // A battery that the models do not tell of: its registers are the vendor's own.
        let apart = profile.quirks.battery == Some(BatteryWay::Nothing);
        let mut ids: Vec<u16> = match (&pv, &battery) {
            (Some(_), Some(_)) if apart => vec![1, 103, 120, 121, 122, 123],
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
            initial: Vec::new(),
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
        image.initial.clone_from(&image.registers);
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
        self.fixed_identity(device, profile);
        self.fixed_inverter();
        self.fixed_strings_and_meter();
        self.fixed_der();
    }

    /// Model 1.
    fn fixed_identity(&mut self, device: &Id, profile: &Profile) {
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
    }

    /// Models 103 and 120 to 124.
    fn fixed_inverter(&mut self) {
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
    }

    /// Models 160 and 203.
    fn fixed_strings_and_meter(&mut self) {
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
    }

    /// Models 701 to 715.
    fn fixed_der(&mut self) {
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
}
