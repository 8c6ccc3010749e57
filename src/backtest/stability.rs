//! `bench stability`: plans made again each quarter-hour on forecasts that are a little wrong each time. Ours (interior
//! point, wear, closeness to the plan in force, minds changed only for money) beside a plain simplex vertex of the same
//! problem, and beside our own plans made afresh each time, for what calm costs. The twin's own future, known ahead, is
//! the truth; the first step of each plan happens.

use super::market::Market;
use super::modes::{Modes, Ratings};
use super::perfect::foresight;
use super::runs::RunSpec;
use crate::cycle::{Oracle, PlanInput, PlanOutcome, PricePort, make_plan};
use crate::dispatch::is_shed;
use crate::model::{
    ControllerState, Forecast, GeneratorHistory, Measurement, PlacedProblem, PlanValues, Policy, Quantiles, Quantity,
    Scan, Schedule, Session, SheddableProblem, Snapshot, Trigger,
};
use crate::plan::{self, SolveOptions};
use crate::reading::Reading;
use crate::site::{ChargePoint, Id, Kind, Plant, Site};
use crate::time::{TimeGrid, Timestamp, local_instant, local_midnight};
use crate::units::{Energy, Power, hours};
use crate::{forecast, state};
use chrono::{NaiveDate, NaiveTime, TimeDelta};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Relative error of each forecast value, drawn anew for each plan.
const NOISE: f64 = 0.05;
/// PV counts as limited beyond this share of its rating.
const HELD_BACK: f64 = 0.05;

/// Who plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Planner {
    Ours,
    /// Ours, but not held to the plan in force.
    Free,
    PlainSimplex,
}

/// How much one planner changed its mind, and what it paid.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub site: String,
    pub planner: Planner,
    pub days: u32,
    /// Changes between charging, discharging and rest (`modes`), per day and battery that takes setpoints; `None` where
    /// none does: a grid-forming battery does what balances, and nobody commands it.
    pub mode_changes_per_day: Option<f64>,
    /// Those of them that turn its power round.
    pub reversals_per_day: Option<f64>,
    /// What else is switched, by kind (generator, load, pv_limit): on and off, per day, of the device switched most.
    pub switchings_per_day: BTreeMap<&'static str, f64>,
    /// Times a car's charging began, per session.
    pub ev_starts_per_session: f64,
    /// Mean change of a battery's planned power between two plans, same instants, kW.
    pub plan_change_kw: f64,
    /// Money of the days, energy in batteries, cars and tanks valued alike.
    pub cost: f64,
    pub ev_shortfall_kwh: f64,
}

/// Runs one planner over `days` from `date`.
pub fn run(site: &Arc<Site>, planner: Planner, date: NaiveDate, days: u32, seed: u64) -> Result<Row, String> {
    let start = local_midnight(site.plant.location.time_zone, date);
    let spec = RunSpec {
        site: site.clone(),
        policy: Policy::Perfect,
        seed,
        start,
        days,
        cycle: TimeDelta::seconds(60),
        wire: false,
        faults: Vec::new(),
    };
    let truth = foresight(&spec)?.ok_or("the twin's future is not known")?;
    let end = start + TimeDelta::days(i64::from(days));
    let market = Market::of(site, end + TimeDelta::days(3))?;
    let mut sim = Sim::new(site, truth, market, seed, start);
    while sim.now < end {
        sim.step(planner)?;
    }
    Ok(sim.row(planner, days))
}

/// Heat in a tank that is half warm, now and at the start, kWh.
fn half_warm(kind: &Kind) -> Option<(f64, f64)> {
    let Kind::HeatPump(h) = kind else { return None };
    let half = 0.5 * (h.tank.max.as_celsius() - h.tank.min.as_celsius()) * h.tank.kwh_per_k;
    Some((half, half))
}

/// The plan's first step has the load switched off, as dispatch reads it.
fn shed(load: &SheddableProblem, plan: &PlanValues) -> bool {
    let first = |v: &[f64]| v.first().copied().unwrap_or(0.0);
    let kw = plan.shed_kw.get(&load.id).map_or(0.0, |v| first(v));
    is_shed(kw, first(&load.load_kw) - kw)
}

struct Sim {
    plant: Arc<Plant>,
    truth: Oracle,
    market: Option<Market>,
    rng: fastrand::Rng,
    now: Timestamp,
    memory: ControllerState,
    stored_kwh: BTreeMap<Id, f64>,
    start_kwh: f64,
    /// Heat above the tanks' lowest temperature, kWh, and what was there at the start.
    heat_kwh: BTreeMap<Id, (f64, f64)>,
    modes: BTreeMap<Id, Modes>,
    /// On or off, and how often that changed, by kind and id.
    switches: BTreeMap<(&'static str, String), (bool, u32)>,
    charging: BTreeMap<Id, bool>,
    sessions: u32,
    starts: u32,
    last: Option<(TimeGrid, PlanValues)>,
    moved: (f64, u32),
    cost: f64,
    bought: (f64, f64),
    short: f64,
}

impl Sim {
    fn new(site: &Site, truth: Oracle, market: Option<Market>, seed: u64, start: Timestamp) -> Self {
        let mut plant = site.plant.clone();
        plant.mode = crate::site::Mode::Control;
        let middle = |k: &Kind| match k {
            Kind::Battery(b) => Some(0.5 * (b.soc_min.as_ratio() + b.soc_max.as_ratio()) * b.capacity.as_kwh()),
            _ => None,
        };
        let stored: BTreeMap<Id, f64> = plant
            .components
            .iter()
            .filter_map(|(id, c)| Some((id.clone(), middle(&c.kind)?)))
            .collect();
        Self {
            memory: ControllerState::fresh(&plant, start),
            start_kwh: stored.values().sum(),
            stored_kwh: stored,
            heat_kwh: plant
                .components
                .iter()
                .filter_map(|(id, c)| Some((id.clone(), half_warm(&c.kind)?)))
                .collect(),
            plant: Arc::new(plant),
            truth,
            market,
            rng: fastrand::Rng::with_seed(seed),
            now: start,
            modes: BTreeMap::new(),
            switches: BTreeMap::new(),
            charging: BTreeMap::new(),
            sessions: 0,
            starts: 0,
            last: None,
            moved: (0.0, 0),
            cost: 0.0,
            bought: (0.0, 0.0),
            short: 0.0,
        }
    }

    fn step(&mut self, planner: Planner) -> Result<(), String> {
        self.cars();
        let snapshot = Arc::new(self.snapshot());
        let (wrong, right) = self.forecasts(&snapshot);
        let (placed, plan, schedule) = self.plan(planner, &snapshot, wrong)?;
        let dt = hours(self.plant.timing.interval);
        self.compare(&placed, &plan);
        self.switched(&placed.problem, &plan);
        self.happen(&placed, &plan, &right, dt);
        self.last = Some((placed.grid, plan));
        self.memory.schedule = schedule.map(Arc::from);
        self.now += self.plant.timing.interval;
        Ok(())
    }

    /// Cars come home at 18:00 local time, ten minutes apart, and leave as their charge point says.
    fn cars(&mut self) {
        let plant = self.plant.clone();
        let points = plant.components.iter().filter_map(|(id, c)| match &c.kind {
            Kind::ChargePoint(p) => Some((id, p)),
            _ => None,
        });
        for (n, (id, p)) in points.enumerate() {
            if let Some(s) = self.memory.sessions.get(id)
                && s.departure <= self.now
            {
                self.short += s.missing().as_kwh();
                self.memory.sessions.remove(id);
                self.charging.remove(id);
            }
            if let Some(session) = self.arrival(p, n)
                && !self.memory.sessions.contains_key(id)
            {
                self.sessions += 1;
                self.memory.sessions.insert(id.clone(), session);
            }
        }
    }

    fn arrival(&self, p: &ChargePoint, n: usize) -> Option<Session> {
        let tz = self.plant.location.time_zone;
        let date = self.now.with_timezone(&tz).date_naive();
        let home = NaiveTime::from_hms_opt(18, 0, 0)?;
        let since = local_instant(tz, date.and_time(home)) + TimeDelta::minutes(10 * n as i64);
        if since > self.now || self.now - since >= self.plant.timing.interval {
            return None;
        }
        let leaves = |d: NaiveDate| local_instant(tz, d.and_time(p.default_session.departure));
        let departure = [date, date.succ_opt()?]
            .into_iter()
            .map(leaves)
            .find(|t| *t > self.now)?;
        Some(Session {
            since,
            departure,
            energy: p.default_session.energy,
            mode: p.default_session.mode,
            delivered: Energy::ZERO,
            drawn: Energy::ZERO,
            counter: None,
            told: true,
            idle_since: None,
            woke: false,
        })
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut measurements = Vec::new();
        let mut put = |id: &Id, quantity, value| {
            measurements.push(Measurement {
                component: id.clone(),
                quantity,
                reading: Reading::good(value, self.now),
            });
        };
        for (id, c) in &self.plant.components {
            match &c.kind {
                Kind::Battery(b) => put(id, Quantity::StateOfCharge, self.stored_kwh[id] / b.capacity.as_kwh()),
                Kind::HeatPump(h) => {
                    let warmth = self.heat_kwh[id].0 / h.tank.kwh_per_k;
                    put(id, Quantity::TankTemperature, h.tank.min.as_celsius() + warmth);
                    put(id, Quantity::RoomTemperature, h.building.comfort_min.as_celsius() + 1.0);
                }
                _ => {}
            }
        }
        let scan = Scan {
            measurements,
            devices: Vec::new(),
        };
        state::snapshot(&self.plant, &scan, &mut self.memory, self.now)
    }

    /// (what the planner is told, what will be)
    fn forecasts(&mut self, snapshot: &Snapshot) -> (Forecast, Forecast) {
        let timing = self.plant.timing;
        let grid = TimeGrid::aligned(self.now, timing.interval, timing.horizon);
        let prices = self.market.as_mut().and_then(|m| m.current(self.now));
        let guess = forecast::forecast(
            &self.plant,
            &self.memory,
            Some(snapshot),
            prices.as_deref(),
            grid,
            self.now,
        );
        let right = forecast::perfect(guess, &*self.truth);
        let mut wrong = right.clone();
        for q in wrong.load.values_mut().chain(wrong.pv.values_mut()) {
            for t in 0..q.mean.len() {
                let error = 1.0 + NOISE * 1.732 * (2.0 * self.rng.f64() - 1.0);
                for head in [&mut q.mean, &mut q.p10, &mut q.p50, &mut q.p90] {
                    head[t] *= error;
                }
            }
        }
        (wrong, right)
    }

    fn plan(
        &self,
        planner: Planner,
        snapshot: &Arc<Snapshot>,
        forecast: Forecast,
    ) -> Result<(PlacedProblem, PlanValues, Option<Box<Schedule>>), String> {
        let mut placed = plan::problem(&self.plant, snapshot, &forecast, &self.memory);
        if planner == Planner::PlainSimplex {
            placed.problem.taste = None;
            let options = SolveOptions {
                solver: "microlp".into(),
                ..SolveOptions::controller()
            };
            let solution = plan::solve(&placed.problem, &options).map_err(|e| e.to_string())?;
            return Ok((placed, solution.plan, None));
        }
        let mut state = self.memory.clone();
        if planner == Planner::Free {
            state.schedule = None;
        }
        let outcome = make_plan(&PlanInput {
            plant: self.plant.clone(),
            snapshot: snapshot.clone(),
            state,
            forecast,
            id: 1,
            trigger: Trigger::Interval,
            now: self.now,
            deadline: None,
            explain: false,
        });
        match outcome {
            PlanOutcome::Adopted(schedule) => Ok((placed, schedule.solution.plan.clone(), Some(schedule))),
            PlanOutcome::Rejected(why) => Err(why),
        }
    }

    /// How far this plan is from the last one, over the instants both know.
    fn compare(&mut self, placed: &PlacedProblem, plan: &PlanValues) {
        let Some((grid, last)) = &self.last else { return };
        for (id, b) in &plan.batteries {
            let Some(old) = last.batteries.get(id) else { continue };
            for (t, step) in placed.grid.intervals().enumerate() {
                let Some(k) = grid.index_of(step.start) else { continue };
                let net = (b.charge_kw[t] - b.discharge_kw[t]) - (old.charge_kw[k] - old.discharge_kw[k]);
                self.moved.0 += net.abs();
                self.moved.1 += 1;
            }
        }
    }

    /// The first step comes true: the meter (or, on an island, the battery) takes what the forecast got wrong.
    fn happen(&mut self, placed: &PlacedProblem, plan: &PlanValues, right: &Forecast, dt: f64) {
        let first = |v: &[f64]| v.first().copied().unwrap_or(0.0);
        let p = &placed.problem;
        let truth = |s: &BTreeMap<Id, Quantiles>| s.values().map(|q| first(&q.mean)).sum::<f64>();
        let planned_sun: f64 = plan.pv_kw.values().map(|v| first(v)).sum();
        let told_sun: f64 = p.pv.iter().map(|v| first(&v.available_kw)).sum();
        let curtailed = (told_sun - planned_sun).max(0.0);
        let off = p.sheddable.iter().filter(|s| shed(s, plan));
        let sheds: f64 = off.map(|s| first(&s.load_kw)).sum();
        let mut net = truth(&right.load) - sheds - (truth(&right.pv) - curtailed).max(0.0);
        net += plan.shiftable_kw.values().map(|v| first(v)).sum::<f64>();
        net += plan
            .heat
            .iter()
            .flat_map(|h| h.heat_pumps.values())
            .map(|h| first(&h.electric_kw))
            .sum::<f64>();
        net += self.cars_charge(plan, dt);
        for (id, (kwh, _)) in &mut self.heat_kwh {
            let tank = plan.heat.as_ref().and_then(|h| h.tanks.get(&format!("{id}#tank")));
            *kwh = tank
                .and_then(|t| t.energy_kwh.first().copied())
                .unwrap_or(f64::NAN)
                .max(0.0);
        }
        net -= self.engines(p, plan, dt);
        net += self.batteries(p, plan, net, dt);
        self.meter(p, net, dt);
    }

    fn cars_charge(&mut self, plan: &PlanValues, dt: f64) -> f64 {
        let mut total = 0.0;
        for (id, s) in &mut self.memory.sessions {
            let kw = plan
                .evs
                .get(id.as_str())
                .and_then(|e| e.charge_kw.first().copied())
                .unwrap_or(0.0);
            let Some(Kind::ChargePoint(p)) = self.plant.components.get(id).map(|c| &c.kind) else {
                continue;
            };
            s.delivered = Energy::kwh(s.delivered.as_kwh() + kw * dt * p.efficiency);
            let on = kw > 0.05;
            self.starts += u32::from(on && !self.charging.insert(id.clone(), on).unwrap_or(false));
            self.charging.insert(id.clone(), on);
            total += kw;
        }
        total
    }

    fn engines(&mut self, p: &crate::model::Problem, plan: &PlanValues, dt: f64) -> f64 {
        let mut total = 0.0;
        for g in &p.gensets {
            let Some(v) = plan.gensets.get(&g.id) else { continue };
            let on = v.on.first().is_some_and(|z| *z > 0.5);
            let history = self.memory.generators.get(g.id.as_str());
            let was = history.is_some_and(|h| h.running);
            let fuel = g.fuel_cost_per_kwh + p.co2_price_per_kg * g.co2_kg_per_kwh;
            self.cost += dt * (fuel * v.power_kw[0] + g.no_load_cost_per_hour * f64::from(u8::from(on)));
            self.cost += if on && !was { g.start_cost } else { 0.0 };
            if on != was || history.is_none() {
                let history = GeneratorHistory {
                    running: on,
                    since: self.now,
                    starts: 0,
                };
                self.memory.generators.insert(Id::new(&g.id), history);
            }
            total += v.power_kw[0];
        }
        total
    }

    /// kW into the batteries: as planned beside a grid, else what the others leave.
    fn batteries(&mut self, p: &crate::model::Problem, plan: &PlanValues, net: f64, dt: f64) -> f64 {
        let mut total = 0.0;
        for b in &p.batteries {
            let Some(v) = plan.batteries.get(&b.id) else { continue };
            let planned = v.charge_kw[0] - v.discharge_kw[0];
            let kw = if p.grid.is_some() { planned } else { -net };
            let id = Id::new(&b.id);
            let moved = if kw > 0.0 {
                kw * b.charge_eff
            } else {
                kw / b.discharge_eff
            };
            if let Some(stored) = self.stored_kwh.get_mut(&id) {
                *stored = (*stored + dt * (moved - b.standby_kw)).clamp(0.0, b.capacity_kwh);
            }
            self.cost += dt * b.wear_cost_per_kwh * kw.abs();
            if self.takes_setpoints(&id) {
                let ratings = Ratings {
                    charge_kw: b.charge_max_kw,
                    discharge_kw: b.discharge_max_kw,
                    band_kwh: (b.soc_min_kwh, b.soc_max_kwh),
                };
                let kwh = self.stored_kwh.get(&id).copied().unwrap_or(f64::NAN);
                self.modes.entry(id).or_default().see(planned, kwh, dt, &ratings);
            }
            total += kw;
        }
        total
    }

    fn takes_setpoints(&self, id: &Id) -> bool {
        match self.plant.components.get(id).map(|c| &c.kind) {
            Some(Kind::Battery(b)) => !b.grid_forming,
            _ => false,
        }
    }

    /// What the first step switches: generators, loads, limits of PV.
    fn switched(&mut self, p: &crate::model::Problem, plan: &PlanValues) {
        let first = |v: &[f64]| v.first().copied().unwrap_or(f64::NAN);
        let gensets = plan.gensets.iter().map(|(id, v)| ("generator", id, first(&v.on) > 0.5));
        let loads = p.sheddable.iter().map(|s| ("load", &s.id, !shed(s, plan)));
        let suns = p.pv.iter().filter_map(|v| {
            let limited = first(&v.available_kw) - first(plan.pv_kw.get(&v.id)?);
            let rating = v.available_kw.iter().copied().fold(0.0, f64::max);
            Some(("pv_limit", &v.id, limited > HELD_BACK * rating))
        });
        for (kind, id, on) in gensets.chain(loads).chain(suns) {
            let entry = self.switches.entry((kind, id.clone())).or_insert((on, 0));
            entry.1 += u32::from(entry.0 != on);
            entry.0 = on;
        }
    }

    fn meter(&mut self, p: &crate::model::Problem, net: f64, dt: f64) {
        let Some(g) = &p.grid else { return };
        let price = g.buy[0] + g.self_sufficiency_per_kwh + p.co2_price_per_kg * g.co2_kg_per_kwh.at(0).unwrap_or(0.0);
        self.cost += dt * (price * net.max(0.0) - g.sell[0] * (-net).max(0.0));
        self.bought = (self.bought.0 + dt * price, self.bought.1 + dt);
        let tariff = &self.plant.tariff;
        if let (Some(_), Some(window)) = (&tariff.demand, tariff.power_window()) {
            // what flows in one step is taken as the mean of its window
            let energy = Power::kw(net.max(0.0)) * window;
            let charge = tariff.window_charge(&mut self.memory.month.peaks, self.now, energy);
            self.cost += self.plant.objective.money * charge.amount();
        }
    }

    fn row(&self, planner: Planner, days: u32) -> Row {
        let fuel = self.plant.components.values().find_map(|c| match &c.kind {
            Kind::Generator(g) => Some(self.plant.objective.money * g.fuel.as_per_kwh()),
            _ => None,
        });
        let mean = if self.bought.1 > 0.0 {
            self.bought.0 / self.bought.1
        } else {
            fuel.unwrap_or(0.0)
        };
        let stored = self.stored_kwh.values().sum::<f64>() - self.start_kwh;
        // a car that leaves tomorrow, and warm water: else whoever waits seems cheaper
        let charged: f64 = self.memory.sessions.values().map(|s| s.delivered.as_kwh()).sum();
        let warmed = self
            .plant
            .components
            .iter()
            .filter_map(|(id, c)| match (&c.kind, self.heat_kwh.get(id)) {
                (Kind::HeatPump(h), Some((end, start))) => Some((end - start) / h.cop[1].1),
                _ => None,
            });
        let kept = 0.95 * mean * stored + mean * (charged + warmed.sum::<f64>());
        let per_day = |count: u32| f64::from(count) / f64::from(days);
        let each = |count: fn(&Modes) -> u32| {
            let told = self.modes.len();
            (told > 0).then(|| per_day(self.modes.values().map(count).sum()) / told as f64)
        };
        let mut switchings_per_day = BTreeMap::new();
        for ((kind, _), (_, count)) in &self.switches {
            let most: &mut f64 = switchings_per_day.entry(*kind).or_insert(0.0);
            *most = most.max(per_day(*count));
        }
        Row {
            site: self.plant.name.to_string(),
            planner,
            days,
            mode_changes_per_day: each(|m| m.changes),
            reversals_per_day: each(|m| m.reversals),
            switchings_per_day,
            ev_starts_per_session: if self.sessions == 0 {
                0.0
            } else {
                f64::from(self.starts) / f64::from(self.sessions)
            },
            plan_change_kw: if self.moved.1 == 0 {
                0.0
            } else {
                self.moved.0 / f64::from(self.moved.1)
            },
            cost: self.cost - kept,
            ev_shortfall_kwh: self.short,
        }
    }
}
