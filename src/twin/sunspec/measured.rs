//! What the models show of the plant now.

use super::SunSpec;
use crate::model::Quantity;
use crate::profile::{RegisterType, Table, WordOrder};
use crate::site::Id;
use crate::time::Timestamp;
use crate::twin::glitch::{Spot, What, absent};
use crate::twin::world::{Model, World};

const MISSING16: u16 = 0x8000;

impl SunSpec {
    /// Watts as the device shows them now, and their scale factor: tens, or hundreds where it has changed its mind.
    fn watts(&self, w: f64) -> u16 {
        int(w / if self.coarse { 100.0 } else { 10.0 })
    }

    /// Brings measured values, timers and scale factors up to date.
    pub(super) fn refresh(&mut self, world: &mut World, t: Timestamp) {
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
        // Without modules for the battery (160) it hangs on the same DC side as the PV.
        let dc = if self.models.contains_key(&160) {
            pv
        } else {
            pv - battery
        };
        self.electrical(pv - battery, dc);
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

    /// Where measured values lie.
    pub fn spots(&self) -> Vec<Spot> {
        use RegisterType::{I16, U16, U32, U64};
        let step = if self.coarse { 100.0 } else { 10.0 };
        let rows: [(u16, u16, RegisterType, What); 29] = [
            (103, 10, U16, What::Voltage),
            (103, 11, U16, What::Voltage),
            (103, 12, U16, What::Voltage),
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
            (203, 8, I16, What::Voltage),
            (203, 9, I16, What::Voltage),
            (203, 10, I16, What::Voltage),
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
                per_kw: match (model, offset) {
                    (203, 19..=21) => 1e3 / step / 3.0,
                    _ if what == What::Power => 1e3 / step,
                    _ => 0.0,
                },
            })
        };
        let beside = self.beside.as_ref().map(|b| b.spots()).unwrap_or_default();
        rows.into_iter().filter_map(spot).chain(beside).collect()
    }
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
