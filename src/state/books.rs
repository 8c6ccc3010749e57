//! Running books: metering window, month peak, money of the day.
//!
//! In: the snapshot of a cycle and the time since the last. Out: [`DayBooks`], [`MonthUse`] and the metering window in
//! the state. The money has the parts of [`Costs`], for what happened and for the baseline: the same day with the
//! batteries at rest. A stretch in which a value that money needs is unknown is kept as a gap.

use super::worth;
use crate::model::{
    BaselineUse, ControllerState, Costs, DayBooks, GeneratorDay, MissedPeak, Quantity, Schedule, Snapshot,
    StoredEnergy, Unknown, WindowUse,
};
use crate::site::{Generator, Id, Kind, Plant};
use crate::tariff::PriceFiles;
use crate::time::{Timestamp, floor_to, local_midnight};
use crate::units::{Energy, Money, Power, hours};
use chrono::TimeDelta;

/// A generator that gives less than this share of its rating does not run, where the device says nothing of running.
const RUNS_ABOVE: f64 = 0.01;

/// Carries the books over `dt`, the time since the last cycle, ending at `now`.
pub fn update(
    plant: &Plant,
    snapshot: &Snapshot,
    state: &mut ControllerState,
    prices: Option<&PriceFiles>,
    dt: TimeDelta,
    now: Timestamp,
) {
    turn_window(plant, state, now);
    turn_month(plant, state, now);
    turn_day(plant, state, now);
    let books = Books {
        plant,
        snapshot,
        prices,
        dt,
        now,
    };
    let flows = books.flows(state);
    books.count(state, &flows);
    books.stores(state);
    books.value_stores(state);
}

/// The clock jumped by `step` to `now`. Nothing that was counted is given up and nothing is counted twice: a day or month that a
/// clock set back finds begun goes on, and where it lies more than a day ahead (a wrong year was corrected) it becomes
/// that of `now`. A clock set forward turns them as time does.
pub fn step(plant: &Plant, state: &mut ControllerState, step: TimeDelta, now: Timestamp) {
    let ahead = |start: Timestamp| start > now + TimeDelta::days(1);
    if ahead(state.today.start) {
        state.today.start = midnight(plant, now);
    }
    if ahead(state.month.month_start) {
        state.month.month_start = plant.tariff.month_start(now);
    }
    if step.abs() >= window_length(plant) {
        // what was imported in another window says nothing about this one
        state.window = fresh_window(floor_to(now, window_length(plant)));
        if let Some(rest) = &mut state.baseline {
            rest.window = Energy::ZERO;
        }
    }
}

/// A clock that could not be right has become right: a day and a month that began by it are those of `now`; `before` is what it
/// said last.
pub fn redate(plant: &Plant, state: &mut ControllerState, before: Timestamp, now: Timestamp) {
    if state.today.start <= before {
        state.today.start = midnight(plant, now);
    }
    if state.month.month_start <= before {
        state.month.month_start = plant.tariff.month_start(now);
    }
}

/// Length of the metering window: the tariff's, or 15 minutes.
pub fn window_length(plant: &Plant) -> TimeDelta {
    plant.tariff.power_window().unwrap_or(TimeDelta::minutes(15))
}

/// What one cycle's money is counted from.
struct Books<'a> {
    plant: &'a Plant,
    snapshot: &'a Snapshot,
    prices: Option<&'a PriceFiles>,
    dt: TimeDelta,
    now: Timestamp,
}

/// Powers and money of the cycle, as far as they are known.
struct Flows {
    /// At the connection point, import positive; zero on an island.
    grid: Option<Power>,
    /// The same with batteries and generators at rest.
    at_rest: Option<Power>,
    /// By tariff.
    cost: Option<Money>,
    missing: Option<Unknown>,
}

impl Books<'_> {
    fn flows(&self, state: &ControllerState) -> Flows {
        let grid = match &self.plant.connection {
            Some(_) => self.snapshot.grid.and_then(|g| g.usable()),
            None => Some(Power::ZERO),
        };
        let cost = grid.and_then(|grid| self.cost(state, grid));
        let silent = self.generators().any(|(id, _)| self.snapshot.power(id).is_none());
        let missing = match (grid, silent, cost) {
            (None, ..) => Some(Unknown::Grid),
            (_, true, _) => Some(Unknown::Generator),
            (.., None) => Some(Unknown::Price),
            _ => None,
        };
        Flows {
            grid,
            at_rest: grid.and_then(|grid| self.at_rest(grid)),
            cost,
            missing,
        }
    }

    fn generators(&self) -> impl Iterator<Item = (&Id, &Generator)> {
        self.plant.components.iter().filter_map(|(id, c)| match &c.kind {
            Kind::Generator(g) => Some((id, g)),
            _ => None,
        })
    }

    /// By tariff, of what flows at the connection point during the cycle; `None` where the price is unknown.
    fn cost(&self, state: &ControllerState, grid: Power) -> Option<Money> {
        if self.plant.connection.is_none() {
            return Some(Money::ZERO);
        }
        let buy = self.plant.tariff.buy(self.now, self.prices, &state.month)?.price;
        let sell = self.plant.tariff.sell(self.now, self.prices)?;
        Some(import(grid, self.dt) * buy - import(-grid, self.dt) * sell)
    }

    /// What the connection point would show if storages and generators did nothing.
    fn at_rest(&self, grid: Power) -> Option<Power> {
        let mut net = grid;
        for (id, c) in &self.plant.components {
            if matches!(c.kind, Kind::Battery(_) | Kind::Generator(_)) {
                net -= self.snapshot.power(id)?;
            }
        }
        Some(net)
    }

    /// Adds what is known. What is not leaves a gap, in which the baseline costs what the day costs.
    fn count(&self, state: &mut ControllerState, flows: &Flows) {
        let bought = flows.grid.map_or(Energy::ZERO, |grid| import(grid, self.dt));
        if let Some(grid) = flows.grid {
            let sold = import(-grid, self.dt);
            state.window.imported += bought;
            state.window.exported += sold;
            state.window.covered_s += self.dt.as_seconds_f64();
            self.plant.tariff.count(&mut state.month, self.now, bought);
            state.today.imported += bought;
            state.today.exported += sold;
        }
        let day = &mut state.today;
        day.counted_from.get_or_insert(self.now);
        day.gap.note(flows.missing, self.dt, self.now);
        let burnt = self.burn(day);
        let part = Part {
            energy: flows.cost.unwrap_or(Money::ZERO),
            fuel: burnt.cost,
            co2_kg: bought.as_kwh() * self.plant.tariff.grid_carbon + burnt.co2_kg,
        };
        day.co2_kg += part.co2_kg;
        day.costs.wear += self.wear();
        self.add(&mut day.costs, &part);
        let rest = self.at_rest_part(state, flows, &part);
        self.add(&mut state.today.baseline, &rest);
    }

    fn add(&self, costs: &mut Costs, part: &Part) {
        costs.energy += part.energy.amount();
        costs.fuel += part.fuel;
        costs.carbon += self.plant.objective.carbon_per_kg * part.co2_kg;
    }

    fn wear(&self) -> f64 {
        let parts = self.plant.components.iter().filter_map(|(id, c)| {
            let kw = self.snapshot.power(id)?.as_kw().abs();
            Some(worth::wear(&c.kind, kw * hours(self.dt)))
        });
        parts.sum()
    }

    /// Adds what the generators did; their cost and CO₂ of this cycle.
    fn burn(&self, day: &mut DayBooks) -> Burnt {
        let mut burnt = Burnt { cost: 0.0, co2_kg: 0.0 };
        for (id, g) in self.generators() {
            let kwh = self.snapshot.power(id).map_or(0.0, |p| (-p.as_kw()).max(0.0)) * hours(self.dt);
            let runs = match self.snapshot.usable(id, Quantity::Running) {
                Some(flag) => flag > 0.5,
                None => kwh > RUNS_ABOVE * g.power_max.as_kw() * hours(self.dt),
            };
            let of_day = day.generators.entry(id.clone()).or_insert(GeneratorDay {
                energy_kwh: 0.0,
                run_h: 0.0,
                starts: 0,
                cost: 0.0,
                litres: Some(0.0),
                // a generator that runs when the books begin was started before
                running: runs,
            });
            let run_h = if runs { hours(self.dt) } else { 0.0 };
            let starts = u32::from(runs && !of_day.running);
            let cost = worth::fuel(g, kwh, run_h, starts);
            of_day.energy_kwh += kwh;
            of_day.run_h += run_h;
            of_day.starts += starts;
            of_day.cost += cost;
            of_day.litres = of_day
                .litres
                .zip(worth::litres(g, kwh, run_h))
                .map(|(sum, more)| sum + more);
            of_day.running = runs;
            burnt.cost += cost;
            burnt.co2_kg += g.carbon * kwh;
        }
        burnt
    }

    /// The same cycle with the batteries at rest; where that is not known, the cycle as it was: a saving is claimed only
    /// for time in which it is measured.
    fn at_rest_part(&self, state: &mut ControllerState, flows: &Flows, was: &Part) -> Part {
        let peaks = state.month.peaks.clone();
        let use_at_rest = state.baseline.get_or_insert(BaselineUse {
            window: Energy::ZERO,
            peaks,
            running: false,
        });
        let net = flows.at_rest.filter(|_| flows.missing.is_none());
        let at_meter = net.or(flows.grid).unwrap_or(Power::ZERO);
        if self.plant.connection.is_some() {
            use_at_rest.window += import(at_meter, self.dt);
        }
        let Some(net) = net else { return *was };
        if self.plant.connection.is_none() {
            return self.engine_alone(net, use_at_rest);
        }
        Part {
            energy: self.cost(state, net).unwrap_or(was.energy),
            fuel: 0.0,
            co2_kg: import(net, self.dt).as_kwh() * self.plant.tariff.grid_carbon,
        }
    }

    /// An island's first generator, if it carried the `net` load without a battery: it runs at its least power or more from
    /// the moment the sun does not suffice.
    fn engine_alone(&self, net: Power, rest: &mut BaselineUse) -> Part {
        let nothing = Part {
            energy: Money::ZERO,
            fuel: 0.0,
            co2_kg: 0.0,
        };
        let Some((_, g)) = self.generators().next() else {
            return nothing;
        };
        let kw = net.as_kw();
        // Stops only when the sun gives its least power besides the load: noise around zero starts it once.
        let runs = kw > if rest.running { -g.power_min.as_kw() } else { 0.0 };
        let starts = u32::from(runs && !rest.running);
        rest.running = runs;
        if !runs {
            return nothing;
        }
        let kwh = kw.clamp(g.power_min.as_kw(), g.power_max.as_kw()) * hours(self.dt);
        Part {
            fuel: worth::fuel(g, kwh, hours(self.dt), starts),
            co2_kg: g.carbon * kwh,
            ..nothing
        }
    }

    /// Stored energy as it is now; what is unknown stays as it was last seen.
    fn stores(&self, state: &mut ControllerState) {
        for (id, c) in &self.plant.components {
            let known = match &c.kind {
                Kind::Battery(b) => self.snapshot.soc(id).map(|s| s.as_ratio() * b.capacity.as_kwh()),
                Kind::HeatPump(h) => {
                    let tank = self.snapshot.usable(id, Quantity::TankTemperature);
                    tank.map(|t| (t - h.tank.min.as_celsius()) * h.tank.kwh_per_k)
                }
                // What a car has got leaves with it: it is a service then, and no store.
                Kind::ChargePoint(_) => Some(state.sessions.get(id).map_or(0.0, |s| s.delivered.as_kwh())),
                _ => None,
            };
            let Some(kwh) = known else { continue };
            let first = StoredEnergy {
                start_kwh: kwh,
                now_kwh: kwh,
            };
            state.today.stored.entry(id.clone()).or_insert(first).now_kwh = kwh;
        }
    }

    fn value_stores(&self, state: &mut ControllerState) {
        let end = next_midnight(self.plant, state.today.start);
        if state.today.stored_price.is_none() {
            state.today.stored_price =
                worth::stored_price(self.plant, self.prices, &state.month, state.today.start, end);
        }
        let Some(price) = state.today.stored_price else { return };
        let (mut all, mut resting) = (0.0, 0.0);
        for (id, change) in state.today.stored.iter().map(|(id, s)| (id, s.change())) {
            let Some(kind) = self.plant.components.get(id).map(|c| &c.kind) else {
                continue;
            };
            let money = worth::stored(kind, change, price).unwrap_or(0.0);
            all += money;
            resting += if matches!(kind, Kind::Battery(_)) { 0.0 } else { money };
        }
        state.today.costs.stored = all;
        state.today.baseline.stored = resting;
    }
}

struct Burnt {
    cost: f64,
    co2_kg: f64,
}

/// What one cycle adds, for what happened or for the baseline.
#[derive(Clone, Copy)]
struct Part {
    energy: Money,
    fuel: f64,
    co2_kg: f64,
}

/// Energy of the positive part of a power.
fn import(power: Power, dt: TimeDelta) -> Energy {
    power.max(Power::ZERO) * dt
}

fn turn_window(plant: &Plant, state: &mut ControllerState, now: Timestamp) {
    let length = window_length(plant);
    let start = floor_to(now, length);
    if start == state.window.start {
        return;
    }
    // Where the clock was set back in the window, a part of it was passed twice.
    let share = length.as_seconds_f64() / measured(&state.window, length).as_seconds_f64();
    let (ended, imported) = (state.window.start, state.window.imported * share);
    let before = state.month.peaks.peak;
    let charge = plant.tariff.window_charge(&mut state.month.peaks, ended, imported);
    state.today.costs.demand += charge.amount();
    miss_peak(state, length, before);
    if let Some(rest) = &mut state.baseline {
        let charge = plant.tariff.window_charge(&mut rest.peaks, ended, rest.window * share);
        state.today.baseline.demand += charge.amount();
        rest.window = Energy::ZERO;
    }
    // Prices of the day may have arrived since.
    state.today.stored_price = None;
    state.window = fresh_window(start);
}

/// A rise of the peak by less than this share is nothing that a plan promised to avoid.
const PEAK_TOLERANCE: f64 = 0.02;

/// The window that ends raised the month's peak above what a plan of the day meant to keep. The next plan means to keep what
/// it is then.
fn miss_peak(state: &mut ControllerState, length: TimeDelta, before: Power) {
    let Some(kept) = state.today.kept_peak else { return };
    let peak = state.month.peaks.peak;
    if peak <= before || peak <= kept.peak * (1.0 + PEAK_TOLERANCE) {
        return;
    }
    let window = state.window.start;
    state.today.missed_peak = Some(MissedPeak {
        kept,
        window,
        reached: peak,
        planned: state
            .schedule
            .as_deref()
            .and_then(|s| planned_import(s, window, length)),
    });
    state.today.kept_peak = None;
}

/// Mean import that a plan expects of the steps that begin in a window.
fn planned_import(schedule: &Schedule, window: Timestamp, length: TimeDelta) -> Option<Power> {
    let steps = schedule.grid.intervals().zip(&schedule.solution.plan.import_kw);
    let inside: Vec<f64> = steps
        .filter(|(i, _)| i.start >= window && i.start < window + length)
        .map(|(_, kw)| *kw)
        .collect();
    (!inside.is_empty()).then(|| Power::kw(inside.iter().sum::<f64>() / inside.len() as f64))
}

/// What the window's energy is a mean over: its length; more where the clock was set back in it, and a part was passed twice.
fn measured(window: &WindowUse, length: TimeDelta) -> TimeDelta {
    let covered = TimeDelta::milliseconds((window.covered_s * 1e3) as i64);
    let passed_twice = covered > length + TimeDelta::seconds(1).max(length / 50);
    if passed_twice { covered } else { length }
}

fn fresh_window(start: Timestamp) -> WindowUse {
    WindowUse {
        start,
        imported: Energy::ZERO,
        exported: Energy::ZERO,
        covered_s: 0.0,
    }
}

fn turn_month(plant: &Plant, state: &mut ControllerState, now: Timestamp) {
    let start = plant.tariff.month_start(now);
    if start > state.month.month_start {
        state.month = state.month.next(&plant.tariff, start);
        state.baseline = None;
    }
}

fn turn_day(plant: &Plant, state: &mut ControllerState, now: Timestamp) {
    let start = midnight(plant, now);
    if start > state.today.start {
        state.today = DayBooks::new(start, start);
    }
}

fn midnight(plant: &Plant, t: Timestamp) -> Timestamp {
    let tz = plant.location.time_zone;
    local_midnight(tz, t.with_timezone(&tz).date_naive())
}

/// Local midnight that ends the day; a day has at most 25 hours.
fn next_midnight(plant: &Plant, start: Timestamp) -> Timestamp {
    midnight(plant, start + TimeDelta::hours(26))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeptPeak;
    use crate::site::builtin;

    /// A window that ends with a mean of `reached` kW after a plan meant to keep `kept` kW, in a month whose peak was
    /// `before` kW: whether that is told.
    fn check(before: f64, kept: Option<f64>, reached: f64, told: bool) {
        let plant = builtin("apartment-seoul").unwrap().plant;
        let length = window_length(&plant);
        let start = chrono::DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let mut state = ControllerState::fresh(&plant, start);
        state.month.peaks = crate::tariff::Peaks::of(Power::kw(before));
        state.window.imported = Power::kw(reached) * length;
        state.today.kept_peak = kept.map(|kw| KeptPeak {
            peak: Power::kw(kw),
            said_at: start,
        });
        turn_window(&plant, &mut state, start + length);
        let missed = state.today.missed_peak;
        assert_eq!(missed.is_some(), told, "{before} {kept:?} {reached}");
        if let Some(m) = missed {
            assert!((m.reached.as_kw() - reached).abs() < 1e-9 && m.window == start, "{m:?}");
            assert_eq!(state.today.kept_peak, None, "the next plan keeps what the peak is now");
        }
    }

    #[test]
    fn a_window_above_what_the_plan_meant_to_keep_is_remembered() {
        check(20.0, Some(30.9), 55.6, true);
        check(20.0, Some(30.9), 31.2, false);
        check(20.0, Some(30.9), 25.0, false);
        // the peak was higher before: nothing rose
        check(60.0, Some(60.0), 55.6, false);
        check(20.0, None, 55.6, false);
    }
}
