//! The whole plant in simulated time: steps every model, keeps the balance, books everything.

use super::books::{Books, ComponentBook, StoredBook};
use super::charger::{ChargerModel, Stay};
use super::generator::GeneratorModel;
use super::heat::HeatModel;
use super::limits::Watch;
use super::load::{LoadModel, RunModel};
use super::noise::Noise;
use super::played::Played;
use super::pv::{PvModel, available_kw};
use super::storage::BatteryModel;
use super::weather::Weather;
use crate::model::Quantity;
use crate::site::{Id, Kind, Site};
use crate::tariff::MeterInterval;
use crate::time::{Interval, Timestamp, floor_to};
use crate::units::Energy;
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Length that rooms of storages are taken over where no time passes, hours.
const MOMENT_H: f64 = 1e-6;

/// Longest step of the physics.
const STEP: TimeDelta = TimeDelta::seconds(10);
const METERING: TimeDelta = TimeDelta::minutes(15);

/// One component's physics.
#[derive(Debug, Clone)]
pub enum Model {
    Meter,
    Pv(PvModel),
    Battery(BatteryModel),
    Charger(ChargerModel),
    Load(LoadModel),
    Run(RunModel),
    Heat(HeatModel),
    Generator(GeneratorModel),
}

#[derive(Debug, Clone)]
pub struct World {
    pub site: Arc<Site>,
    now: Timestamp,
    weather: Weather,
    pub models: BTreeMap<Id, Model>,
    played_load: Option<Played>,
    played_pv: Option<Played>,
    /// kW at the connection point, import +.
    grid: f64,
    counters: BTreeMap<Id, ComponentBook>,
    metered: Vec<MeterInterval>,
    stored_start: BTreeMap<Id, f64>,
    unserved_kwh: f64,
    balance_kwh: f64,
    watch: Watch,
    /// Reference meter: last power read, when, and the integral of what was read.
    sampled: Option<(Timestamp, f64)>,
    integrated_kwh: f64,
    integrated_from_kwh: Option<f64>,
    /// Writes to registers that wear, by device and register.
    wear: BTreeMap<(Id, u16), u64>,
}

impl World {
    /// `patience`: how long a limit may be exceeded a little (5 s, or the control cycle where that is longer).
    pub fn new(site: &Arc<Site>, seed: u64, start: Timestamp, patience: TimeDelta) -> Result<Self, String> {
        let weather = Weather::new(site, seed);
        let played = |file: &Option<String>, column: &Option<String>, default: &str| match file {
            None => Ok(None),
            Some(f) => {
                let text = site.read_file(f)?;
                Played::parse(&text, column.as_deref().unwrap_or(default))
                    .map(Some)
                    .map_err(|why| format!("{f}: {why}"))
            }
        };
        let twin = site.twin.as_ref();
        let played_load = twin.map_or(Ok(None), |t| played(&t.load, &t.load_column, "load_kw"))?;
        let played_pv = twin.map_or(Ok(None), |t| played(&t.pv, &t.pv_column, "pv_kw"))?;
        let models = models(site, seed, start, &weather);
        let counters = models.keys().map(|id| {
            (
                id.clone(),
                ComponentBook {
                    energy_in: 0.0,
                    energy_out: 0.0,
                },
            )
        });
        let mut world = Self {
            site: site.clone(),
            now: start,
            weather,
            counters: counters.collect(),
            models,
            played_load,
            played_pv,
            grid: 0.0,
            metered: Vec::new(),
            stored_start: BTreeMap::new(),
            unserved_kwh: 0.0,
            balance_kwh: 0.0,
            watch: Watch::new(&site.plant, patience.as_seconds_f64().max(5.0)),
            sampled: None,
            integrated_kwh: 0.0,
            integrated_from_kwh: None,
            wear: BTreeMap::new(),
        };
        world.settle(0.0);
        // The first instant's powers are known now; the books begin here.
        world.stored_start = stored(&world.models);
        for model in world.models.values_mut() {
            if let Model::Battery(b) = model {
                b.lost_kwh = 0.0;
            }
        }
        Ok(world)
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Counters as of a plant that has run for a while, so that none reads as one that counts nothing.
    pub fn age(&mut self) {
        for book in self.counters.values_mut() {
            (book.energy_in, book.energy_out) = (book.energy_in + 1_234.5, book.energy_out + 987.6);
        }
    }

    /// A master wrote a register that wears.
    pub fn note_wear(&mut self, device: &Id, register: u16) {
        *self.wear.entry((device.clone(), register)).or_insert(0) += 1;
    }

    /// Writes so far to registers that wear, by device and register.
    pub fn wear(&self) -> &BTreeMap<(Id, u16), u64> {
        &self.wear
    }

    /// What feeds on the sun at this device gets none.
    pub fn is_dark(&self, device: &Id) -> bool {
        let own = self
            .site
            .wiring
            .devices
            .get(device)
            .map_or(&[][..], |d| &d.components[..]);
        own.iter().all(|id| match self.models.get(id) {
            Some(Model::Pv(p)) => p.available <= 0.0,
            _ => false,
        })
    }

    /// The recorded load, where one is played.
    pub fn played_load_at(&self, t: Timestamp) -> Option<f64> {
        self.played_load.as_ref().and_then(|p| p.at(t))
    }

    /// Moves time forward to `t`; never backwards.
    pub fn advance_to(&mut self, t: Timestamp) {
        while self.now < t {
            let dt = (t - self.now).min(STEP);
            self.now += dt;
            let dt_s = dt.as_seconds_f64();
            self.settle(dt_s);
            self.book(dt, dt_s);
        }
    }

    /// All powers for the step that ends now.
    fn settle(&mut self, dt_s: f64) {
        // only the first moment has no length; what flows in a step of a millisecond is booked by its true length
        let h = if dt_s > 0.0 { dt_s / 3600.0 } else { MOMENT_H };
        let (t, outdoor) = (self.now, self.weather.temperature(self.now));
        let soc = self.models.values().find_map(|m| match m {
            Model::Battery(b) => Some(b.soc()),
            _ => None,
        });
        for (id, model) in &mut self.models {
            match model {
                Model::Load(l) => {
                    let played = self.played_load.as_ref().and_then(|p| p.at(t));
                    let wanted = played.unwrap_or_else(|| l.wanted(t));
                    l.power = if l.on.at(t).unwrap_or(true) { wanted } else { 0.0 };
                    let sheddable = matches!(self.site.plant.components[id].kind, Kind::SheddableLoad(_));
                    if sheddable && dt_s > 0.0 {
                        self.unserved_kwh += (wanted - l.power) * h;
                    }
                }
                Model::Charger(c) => c.step(t, h),
                Model::Run(r) => r.step(t, h),
                Model::Heat(m) => m.step(t, if dt_s > 0.0 { h } else { 0.0 }, outdoor),
                Model::Pv(p) => {
                    let own = || available_kw(&p.rating, &self.weather, t);
                    let kw = self.played_pv.as_ref().and_then(|s| s.at(t)).unwrap_or_else(own);
                    p.step(kw, t, None);
                }
                Model::Meter | Model::Battery(_) | Model::Generator(_) => {}
            }
        }
        if self.site.plant.connection.is_some() {
            self.settle_connected(h, soc);
        } else {
            self.settle_island(h, soc, dt_s);
        }
    }

    fn settle_connected(&mut self, h: f64, soc: Option<f64>) {
        let t = self.now;
        for model in self.models.values_mut() {
            if let Model::Generator(g) = model {
                g.step(t, h, soc, f64::INFINITY);
            }
        }
        let mut net: f64 = self.models.values().map(power).sum::<f64>() - self.battery_sum();
        for model in self.models.values_mut() {
            if let Model::Battery(b) = model {
                b.step(b.wanted(t, net), h);
                net += b.power;
            }
        }
        self.grid = net;
    }

    /// The grid-forming battery takes what the others leave; what it cannot take is throttled or not served.
    fn settle_island(&mut self, h: f64, soc: Option<f64>, dt_s: f64) {
        let t = self.now;
        let (charge, discharge) = self.battery_rooms(h);
        let load: f64 = self
            .models
            .values()
            .filter(|m| !matches!(m, Model::Battery(_) | Model::Pv(_) | Model::Generator(_)))
            .map(power)
            .sum();
        for model in self.models.values_mut() {
            if let Model::Generator(g) = model {
                g.step(t, h, soc, load + charge);
            }
        }
        let generated: f64 = self
            .models
            .values()
            .filter(|m| matches!(m, Model::Generator(_)))
            .map(|m| -power(m))
            .sum();
        let mut room = load + charge - generated;
        for model in self.models.values_mut() {
            if let Model::Pv(p) = model {
                p.step(p.available, t, Some(room.max(0.0)));
                room -= p.power;
            }
        }
        let pv: f64 = self
            .models
            .values()
            .filter(|m| matches!(m, Model::Pv(_)))
            .map(|m| -power(m))
            .sum();
        let short = (load - generated - pv - discharge).max(0.0);
        if short > 0.0 {
            self.black_out(short, load, h, dt_s);
        }
        let net: f64 = self.models.values().map(power).sum::<f64>() - self.battery_sum();
        for model in self.models.values_mut() {
            if let Model::Battery(b) = model {
                b.step(-net, h);
            }
        }
        self.grid = 0.0;
    }

    /// Not enough power: loads are cut evenly, and the energy is counted as not served.
    fn black_out(&mut self, short: f64, load: f64, h: f64, dt_s: f64) {
        let keep = 1.0 - short / load;
        for model in self.models.values_mut() {
            match model {
                Model::Load(l) => l.power *= keep,
                Model::Run(r) => r.power *= keep,
                Model::Heat(m) => m.power *= keep,
                Model::Charger(c) => c.power *= keep,
                Model::Meter | Model::Pv(_) | Model::Battery(_) | Model::Generator(_) => {}
            }
        }
        if dt_s > 0.0 {
            self.unserved_kwh += short * h;
        }
    }

    fn battery_sum(&self) -> f64 {
        self.models
            .values()
            .filter(|m| matches!(m, Model::Battery(_)))
            .map(power)
            .sum()
    }

    fn battery_rooms(&self, h: f64) -> (f64, f64) {
        self.models.values().fold((0.0, 0.0), |(c, d), m| match m {
            Model::Battery(b) => (c + b.charge_room(h), d + b.discharge_room(h)),
            _ => (c, d),
        })
    }

    fn book(&mut self, dt: TimeDelta, dt_s: f64) {
        let h = dt_s / 3600.0;
        let mut powers = BTreeMap::new();
        let mut sum = 0.0;
        for (id, model) in &self.models {
            let kw = if matches!(model, Model::Meter) {
                self.grid
            } else {
                power(model)
            };
            let book = self.counters.entry(id.clone()).or_insert(ComponentBook {
                energy_in: 0.0,
                energy_out: 0.0,
            });
            book.energy_in += kw.max(0.0) * h;
            book.energy_out += (-kw).max(0.0) * h;
            if !matches!(model, Model::Meter) {
                sum += kw;
                powers.insert(id.clone(), kw);
            }
        }
        self.balance_kwh += (self.grid - sum) * h;
        self.meter(dt, h);
        let plant = self.site.plant.clone();
        self.watch.step(&plant, &powers, self.grid, dt_s);
    }

    fn meter(&mut self, dt: TimeDelta, h: f64) {
        let start = floor_to(self.now - dt, METERING);
        if self.metered.last().is_none_or(|m| m.interval.start != start) {
            let interval = Interval {
                start,
                end: start + METERING,
            };
            self.metered.push(MeterInterval {
                interval,
                import: Energy::ZERO,
                export: Energy::ZERO,
            });
        }
        if let Some(m) = self.metered.last_mut() {
            m.import += Energy::kwh(self.grid.max(0.0) * h);
            m.export += Energy::kwh((-self.grid).max(0.0) * h);
        }
    }

    /// What the component's device shows of a quantity; `None` where it does not measure it.
    pub fn read(&mut self, id: &Id, quantity: Quantity) -> Option<f64> {
        let book = *self.counters.get(id)?;
        match quantity {
            Quantity::ActivePower => return Some(self.show_power(id)),
            // Registers carry whole watt-hours.
            Quantity::EnergyImport => return Some((book.energy_in * 1e3).floor() / 1e3),
            Quantity::EnergyExport => return Some((book.energy_out * 1e3).floor() / 1e3),
            _ => {}
        }
        let volts = self
            .site
            .plant
            .connection
            .as_ref()
            .map_or(230.0, |c| c.voltage.as_volts());
        let t = self.now;
        match (self.models.get(id)?, quantity) {
            (Model::Meter | Model::Charger(_), Quantity::VoltageL1 | Quantity::VoltageL2 | Quantity::VoltageL3) => {
                Some(volts)
            }
            (Model::Meter | Model::Charger(_), Quantity::Frequency) => Some(if volts < 225.0 { 60.0 } else { 50.0 }),
            (Model::Meter, Quantity::CurrentL1) => Some(self.phase_kw(0) * 1e3 / volts),
            (Model::Meter, Quantity::CurrentL2) => Some(self.phase_kw(1) * 1e3 / volts),
            (Model::Meter, Quantity::CurrentL3) => Some(self.phase_kw(2) * 1e3 / volts),
            (Model::Meter, Quantity::ActivePowerL1) => Some(self.phase_kw(0)),
            (Model::Meter, Quantity::ActivePowerL2) => Some(self.phase_kw(1)),
            (Model::Meter, Quantity::ActivePowerL3) => Some(self.phase_kw(2)),
            (Model::Battery(b), Quantity::StateOfCharge) => Some((b.soc() * 1e4).round() / 1e4),
            (Model::Battery(b), Quantity::PowerLimit) => b.target.at(t),
            (Model::Pv(p), Quantity::PowerLimit) => p.limit.at(t),
            (Model::Charger(c), Quantity::ChargePointState) => Some(c.state()),
            (Model::Charger(c), Quantity::CurrentLimit) => Some(c.amps(t)),
            (Model::Charger(c), Quantity::SessionEnergy) => Some(c.session_kwh),
            (Model::Heat(m), Quantity::TankTemperature) => Some(m.tank_c),
            (Model::Heat(m), Quantity::RoomTemperature) => Some(m.room_c),
            (Model::Heat(m), Quantity::OutdoorTemperature) => Some(m.outdoor_c),
            (Model::Heat(m), Quantity::PowerLimit) => m.target.at(t),
            (Model::Generator(g), Quantity::Running) => Some(f64::from(u8::from(g.running()))),
            (Model::Generator(g), Quantity::PowerLimit) => g.target.at(t),
            (Model::Load(l), Quantity::Running) => Some(f64::from(u8::from(l.on.at(t).unwrap_or(true)))),
            (Model::Run(r), Quantity::Running) => Some(f64::from(u8::from(r.power > 0.0))),
            _ => None,
        }
    }

    /// Power now; the reference meter remembers what it showed, to be held against its counters.
    fn show_power(&mut self, id: &Id) -> f64 {
        let Some(model) = self.models.get(id) else {
            return f64::NAN;
        };
        if !matches!(model, Model::Meter) {
            return power(model);
        }
        if self.sampled.is_none_or(|(t, _)| t < self.now) {
            if let Some((t, kw)) = self.sampled {
                self.integrated_kwh += (kw.abs() + self.grid.abs()) / 2.0 * (self.now - t).as_seconds_f64() / 3600.0;
            } else {
                self.integrated_from_kwh = self.counters.get(id).map(|b| b.energy_in + b.energy_out);
            }
            self.sampled = Some((self.now, self.grid));
        }
        self.grid
    }

    fn phase_kw(&self, phase: usize) -> f64 {
        let plant = &self.site.plant;
        let on = self.models.iter().filter(|(_, m)| !matches!(m, Model::Meter));
        on.filter_map(|(id, m)| {
            let phases = plant.components.get(id)?.phases;
            let n = phases.iter().filter(|p| **p).count() as f64;
            phases[phase].then(|| power(m) / n)
        })
        .sum()
    }

    pub fn books(&self) -> Books {
        let sum = |f: fn(&Model) -> f64| self.models.values().map(f).sum::<f64>();
        let missed = sum(|m| if let Model::Run(r) = m { r.missed_kwh } else { 0.0 });
        Books {
            components: self.counters.clone(),
            metered: self.metered.clone(),
            stored: self.stored_books(),
            stays: self.stays(),
            unserved_kwh: self.unserved_kwh + missed,
            discomfort_kh: sum(|m| if let Model::Heat(h) = m { h.discomfort_kh } else { 0.0 }),
            fuel_cost: sum(|m| if let Model::Generator(g) = m { g.cost } else { 0.0 }),
            generator_starts: self
                .models
                .values()
                .map(|m| if let Model::Generator(g) = m { g.starts } else { 0 })
                .sum(),
            generator_run_h: sum(|m| if let Model::Generator(g) = m { g.run_h } else { 0.0 }),
            fuel_litres: self
                .models
                .values()
                .filter_map(|m| {
                    if let Model::Generator(g) = m {
                        Some(g.litres)
                    } else {
                        None
                    }
                })
                .sum(),
            balance_error_kwh: self.balance_error(),
            meter_against_integrated_percent: self.meter_error(),
            limits: self.watch.book(),
        }
    }

    fn stays(&self) -> BTreeMap<Id, Vec<Stay>> {
        let chargers = self.models.iter().filter_map(|(id, m)| match m {
            Model::Charger(c) => Some((id.clone(), c.ended.clone())),
            _ => None,
        });
        chargers.collect()
    }

    fn stored_books(&self) -> BTreeMap<Id, StoredBook> {
        let end = stored(&self.models);
        let pair = |(id, start_kwh): (&Id, &f64)| {
            Some((
                id.clone(),
                StoredBook {
                    start_kwh: *start_kwh,
                    end_kwh: *end.get(id)?,
                },
            ))
        };
        self.stored_start.iter().filter_map(pair).collect()
    }

    /// Connection point against components, and each battery's stored energy against what flowed through it.
    fn balance_error(&self) -> f64 {
        let batteries = self.models.iter().filter_map(|(id, m)| match m {
            Model::Battery(b) => {
                let book = self.counters.get(id)?;
                let gained = b.stored_kwh - self.stored_start.get(id)?;
                Some((book.energy_in - book.energy_out - gained - b.lost_kwh).abs())
            }
            _ => None,
        });
        self.balance_kwh.abs() + batteries.sum::<f64>()
    }

    fn meter_error(&self) -> f64 {
        let meter = self
            .models
            .iter()
            .find(|(_, m)| matches!(m, Model::Meter))
            .map(|(id, _)| id);
        let counted = meter
            .and_then(|id| self.counters.get(id))
            .map(|b| b.energy_in + b.energy_out);
        match (counted, self.integrated_from_kwh) {
            (Some(end), Some(start)) if end - start > 1e-6 => {
                100.0 * (self.integrated_kwh - (end - start)).abs() / (end - start)
            }
            _ => 0.0,
        }
    }
}

/// Power into a component, kW, passive sign; zero for the meter, which is not a component of the balance.
pub fn power(model: &Model) -> f64 {
    match model {
        Model::Meter => 0.0,
        Model::Pv(p) => -p.power,
        Model::Battery(b) => b.power,
        Model::Charger(c) => c.power,
        Model::Load(l) => l.power,
        Model::Run(r) => r.power,
        Model::Heat(h) => h.power,
        Model::Generator(g) => -g.power,
    }
}

fn stored(models: &BTreeMap<Id, Model>) -> BTreeMap<Id, f64> {
    let one = |(id, m): (&Id, &Model)| match m {
        Model::Battery(b) => Some((id.clone(), b.stored_kwh)),
        Model::Heat(h) => Some((id.clone(), h.stored_kwh())),
        // A car is a store as long as it stays plugged in; what it got leaves with it as a service.
        Model::Charger(c) => Some((id.clone(), if c.visit.is_some() { c.delivered_kwh } else { 0.0 })),
        _ => None,
    };
    models.iter().filter_map(one).collect()
}

fn models(site: &Site, seed: u64, start: Timestamp, weather: &Weather) -> BTreeMap<Id, Model> {
    let tz = site.plant.location.time_zone;
    let country = &site.plant.location.country;
    let volts = site.plant.connection.as_ref().map_or(230.0, |c| c.voltage.as_volts());
    let twin = site.twin.as_ref();
    let one = |(id, c): (&Id, &crate::site::Component)| {
        let noise = Noise::new(seed, id.as_str());
        let phases = c.phases.iter().filter(|p| **p).count();
        let model = match &c.kind {
            Kind::Meter(_) => Model::Meter,
            Kind::Pv(p) => Model::Pv(PvModel::new(p.clone())),
            Kind::Battery(b) => {
                let soc = twin.and_then(|t| t.soc_start.get(id)).map_or(0.5, |s| s.as_ratio());
                Model::Battery(BatteryModel::new(b.clone(), soc))
            }
            Kind::ChargePoint(p) => {
                let visits = twin.and_then(|t| t.visits.get(id)).cloned();
                Model::Charger(ChargerModel::new(p.clone(), phases, volts, visits, tz, noise))
            }
            Kind::Load(l) => Model::Load(LoadModel::new(l.expected.clone(), country, tz, noise)),
            Kind::SheddableLoad(l) => Model::Load(LoadModel::new(l.expected.clone(), country, tz, noise)),
            Kind::ShiftableLoad(l) => Model::Run(RunModel::new(l.clone(), tz, start)),
            Kind::HeatPump(h) => Model::Heat(HeatModel::new(h.clone(), weather.temperature(start))),
            Kind::Generator(g) => Model::Generator(GeneratorModel::new(g.clone())),
        };
        (id.clone(), model)
    };
    site.plant.components.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Target;
    use crate::units::{Current, Power};

    fn world(name: &str, seed: u64) -> World {
        let site = Arc::new(crate::site::builtin(name).unwrap());
        let start = crate::time::local_midnight(
            site.plant.location.time_zone,
            chrono::NaiveDate::from_ymd_opt(2026, 5, 12).unwrap(),
        );
        World::new(&site, seed, start, TimeDelta::seconds(10)).unwrap()
    }

    /// Random commands all day long, after steps of a minute and of what an answer takes.
    fn stirred(name: &str, seed: u64) -> World {
        let mut w = world(name, seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let ids: Vec<Id> = w.models.keys().cloned().collect();
        for _ in 0..(24 * 60) {
            w.advance_to(w.now() + TimeDelta::milliseconds(1));
            let t = w.now() + TimeDelta::milliseconds(59_999);
            for id in &ids {
                let target = match rng.u8(0..6) {
                    0 => Target::Power(Power::kw(rng.f64() * 100.0 - 50.0)),
                    1 => Target::PowerLimit(Power::kw(rng.f64() * 50.0)),
                    2 => Target::Current(Current::amps(rng.f64() * 40.0)),
                    3 => Target::On(rng.bool()),
                    4 => Target::Release,
                    _ => continue,
                };
                let _unfit = w.obey(id, target, t + TimeDelta::seconds(60));
            }
            w.advance_to(t);
        }
        w
    }

    #[test]
    fn energy_balances_whatever_is_commanded_and_batteries_stay_in_their_band() {
        for name in crate::site::builtin_names() {
            for seed in 1..4 {
                let w = stirred(&name, seed);
                assert!(
                    w.books().balance_error_kwh < 1e-6,
                    "{name} {seed}: {:e}",
                    w.books().balance_error_kwh
                );
                for m in w.models.values() {
                    if let Model::Battery(b) = m {
                        assert!(
                            b.soc() <= b.rating.soc_max.as_ratio() + 1e-9
                                && b.soc() >= b.rating.soc_min.as_ratio() - 1e-9
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_comes_from_outside_does_not_depend_on_control() {
        let outside = |w: &World| -> Vec<f64> {
            w.models
                .values()
                .map(|m| match m {
                    Model::Pv(p) => p.available,
                    Model::Load(l) => l.wanted(w.now()),
                    Model::Charger(c) => c.visit.map_or(0.0, |v| v.need_kwh),
                    _ => 0.0,
                })
                .collect()
        };
        let stirred = stirred("home-amsterdam", 7);
        let mut calm = world("home-amsterdam", 7);
        calm.advance_to(stirred.now());
        assert_eq!(outside(&calm), outside(&stirred));
        let mut other = world("home-amsterdam", 8);
        other.advance_to(stirred.now());
        assert_ne!(outside(&calm), outside(&other));
    }

    #[test]
    fn a_command_that_is_not_refreshed_reverts() {
        let mut w = world("home-amsterdam", 1);
        let battery = Id::new("battery");
        let t = w.now();
        w.obey(&battery, Target::Power(Power::kw(3.0)), t + TimeDelta::seconds(60))
            .unwrap();
        w.advance_to(t + TimeDelta::seconds(30));
        assert_eq!(w.read(&battery, Quantity::ActivePower), Some(3.0));
        w.advance_to(t + TimeDelta::seconds(70));
        let own = w.read(&battery, Quantity::ActivePower).unwrap();
        assert!(own < 0.0, "self-consumption covers the night's load");
        assert!(w.grid > 0.0 && w.grid < 0.02 * -own, "{} kW are left", w.grid);
    }

    #[test]
    fn days_are_plausible() {
        let mut w = world("home-amsterdam", 1);
        w.advance_to(w.now() + TimeDelta::days(4));
        let books = w.books();
        let per_day = |id: &str| {
            let b = books.components[&Id::new(id)];
            ((b.energy_in / 4.0), (b.energy_out / 4.0))
        };
        assert!((5.0..16.0).contains(&per_day("home").0), "{:?}", per_day("home"));
        assert!((8.0..45.0).contains(&per_day("pv").1), "{:?}", per_day("pv"));
        assert!(
            (0.5..20.0).contains(&per_day("heat-pump").0),
            "{:?}",
            per_day("heat-pump")
        );
        assert!(books.meter_against_integrated_percent < 0.5);
    }
}
