//! When an island's generator should run: dynamic programme over the battery's charge and the generator's state.
//!
//! The relaxed programme and its prices say little here: a grid-forming battery flattens the prices, and a fraction of a
//! running generator costs a fraction of running it. With one generator and one battery the choice is small enough to be
//! made exactly, but for the spacing of charge and power; the LP then settles the watts. Sums over 120 steps take 1–2 ms.

use super::formulation::Model;
use crate::model::{BatteryProblem, GensetProblem, Problem, ToldProblem};

/// Levels of charge (values between them are interpolated) and of generator power.
const LEVELS: usize = 64;
const POWERS: usize = 7;

struct Island<'a> {
    g: &'a GensetProblem,
    b: &'a BatteryProblem,
    dt: &'a [f64],
    /// Load that must be met and sun that may be used, kW.
    load: Vec<f64>,
    sun: Vec<f64>,
    /// Running costs of a generated kWh, and what not serving or dumping one costs.
    fuel: f64,
    missing: f64,
    /// kW that a person told the generator to give in the first steps, and the price of each kWh off that.
    told: Option<&'a ToldProblem>,
    /// Steps at whose start the generator may be switched.
    may_switch: Vec<bool>,
}

/// Value of a state by hold (steps the mode must still be kept) and level of charge.
type Values = [Vec<Vec<f64>>; 2];

/// One generator with commitment beside one battery, without a grid.
pub fn applies(p: &Problem) -> bool {
    p.grid.is_none() && p.batteries.len() == 1 && p.gensets.len() == 1 && p.gensets.iter().all(|g| g.commitment)
}

/// On or off by step; `None` where the problem is not one generator beside one battery. `x` holds the other decisions.
pub fn path(model: &Model<'_>, x: &[f64]) -> Option<Vec<bool>> {
    let island = Island::of(model, x)?;
    let mut values = vec![island.end()];
    for t in (0..island.dt.len()).rev() {
        let before = island.before(t, &values[values.len() - 1]);
        values.push(before);
    }
    values.reverse();
    Some(island.walk(&values))
}

impl<'a> Island<'a> {
    fn of(model: &'a Model<'_>, x: &[f64]) -> Option<Self> {
        let p = model.p;
        if !applies(p) {
            return None;
        }
        let ([g], [b]) = (&p.gensets[..], &p.batteries[..]) else {
            return None;
        };
        let own = |id: &str| id == g.id || id == b.id || p.pv.iter().any(|v| v.id == id);
        let others = model.draw.iter().filter(|(id, _)| !own(id));
        let mut load = vec![0.0; model.dt.len()];
        for (_, draws) in others {
            for (sum, expr) in load.iter_mut().zip(draws) {
                *sum += expr.constant + expr.terms.iter().map(|(v, k)| k * x[v.0]).sum::<f64>();
            }
        }
        let sun = model
            .steps()
            .map(|t| p.pv.iter().map(|v| v.available_kw[t]).sum())
            .collect();
        let block = |t: usize| g.commit_blocks.as_ref().and_then(|b| b.get(t).copied());
        let same = |t: usize| t > g.fixed_steps && t > 0 && block(t).is_some() && block(t) == block(t - 1);
        Some(Self {
            g,
            b,
            dt: &model.dt,
            load,
            sun,
            fuel: g.fuel_cost_per_kwh + p.co2_price_per_kg * g.co2_kg_per_kwh,
            missing: p.unserved_cost_per_kwh,
            told: p.told.iter().find(|told| told.id == g.id),
            may_switch: model.steps().map(|t| t >= g.fixed_steps && !same(t)).collect(),
        })
    }

    fn hold_of(&self, on: usize) -> usize {
        if on == 1 {
            self.g.min_up_steps.max(1)
        } else {
            self.g.min_down_steps.max(1)
        }
    }

    fn charge_at(&self, level: usize) -> f64 {
        let share = level as f64 / (LEVELS - 1) as f64;
        self.b.soc_min_kwh + share * (self.b.soc_max_kwh - self.b.soc_min_kwh)
    }

    fn end(&self) -> Values {
        let left: Vec<f64> = (0..LEVELS)
            .map(|l| -self.b.end_value_per_kwh * self.charge_at(l))
            .collect();
        [0, 1].map(|on| vec![left.clone(); self.hold_of(on)])
    }

    /// Between levels; beyond the ends as at them.
    fn interpolate(&self, row: &[f64], kwh: f64) -> f64 {
        let width = (self.b.soc_max_kwh - self.b.soc_min_kwh).max(1e-9);
        let at = ((kwh - self.b.soc_min_kwh) / width).clamp(0.0, 1.0) * (LEVELS - 1) as f64;
        let low = (at as usize).min(LEVELS - 2);
        row[low] + (row[low + 1] - row[low]) * (at - low as f64)
    }

    /// Cost of step `t` from charge `kwh` with the generator at `power`, and the charge after it.
    fn stage(&self, t: usize, kwh: f64, power: f64) -> (f64, f64) {
        let (b, dt) = (self.b, self.dt[t]);
        let need = self.load[t] - power;
        let surplus = self.sun[t] - need;
        let room = b
            .charge_max_kw
            .min((b.soc_max_kwh - kwh) / (b.charge_eff * dt))
            .max(0.0);
        let stock = b
            .discharge_max_kw
            .min((kwh - b.soc_min_kwh) * b.discharge_eff / dt)
            .max(0.0);
        let (charge, discharge) = (surplus.clamp(0.0, room), (-surplus).clamp(0.0, stock));
        // the sun yields first; what the generator makes beyond load and charging cannot go anywhere
        let amiss = (-need - charge).max(0.0) + (-surplus - discharge).max(0.0);
        let gain = b.charge_eff * charge - discharge / b.discharge_eff - b.standby_kw - b.loss_per_hour * kwh;
        let after = kwh + dt * gain;
        let below = b
            .reserve
            .map_or(0.0, |r| r.cost_per_kwh_hour * (r.kwh - after).max(0.0));
        let money = self.fuel * power + b.wear_cost_per_kwh * (charge + discharge) + self.missing * amiss + below;
        (dt * (money + self.disobeyed(t, power)), after)
    }

    /// Price of an hour in which the generator gives `power` and not what it was told.
    fn disobeyed(&self, t: usize, power: f64) -> f64 {
        let told = self.told.and_then(|told| Some((told, *told.power_kw.get(t)?)));
        told.map_or(0.0, |(told, kw)| told.short_cost_per_kwh * (power + kw).abs())
    }

    /// Powers worth trying: evenly spaced, and the one that lets the battery rest.
    fn powers(&self, t: usize, on: usize) -> Vec<f64> {
        if on == 0 {
            return vec![0.0];
        }
        let (min, max) = (self.g.min_kw, self.g.max_kw);
        let even = (0..POWERS).map(|k| min + (max - min) * k as f64 / (POWERS - 1) as f64);
        let told = self
            .told
            .and_then(|told| told.power_kw.get(t))
            .map(|kw| (-kw).clamp(min, max));
        even.chain([(self.load[t] - self.sun[t]).clamp(min, max)])
            .chain(told)
            .collect()
    }

    /// Cost from step `t` on when it is spent in mode `on`, by hold after it.
    fn spent(&self, t: usize, on: usize, kwh: f64, powers: &[f64], next: &Values) -> Vec<f64> {
        let mut best = vec![f64::INFINITY; self.hold_of(on)];
        for power in powers {
            let (cost, after) = self.stage(t, kwh, *power);
            for (hold, least) in best.iter_mut().enumerate() {
                *least = least.min(cost + self.interpolate(&next[on][hold], after));
            }
        }
        let idle = self.g.no_load_cost_per_hour * self.dt[t] * on as f64;
        best.iter_mut().for_each(|cost| *cost += idle);
        best
    }

    fn before(&self, t: usize, next: &Values) -> Values {
        let powers = [self.powers(t, 0), self.powers(t, 1)];
        let by_level = (0..LEVELS).map(|level| {
            let kwh = self.charge_at(level);
            [0, 1].map(|on| self.spent(t, on, kwh, &powers[on], next))
        });
        let spent: Vec<[Vec<f64>; 2]> = by_level.collect();
        let row = |on, hold| spent.iter().map(|s| self.choose(t, on, hold, s).0).collect();
        [0, 1].map(|on| (0..self.hold_of(on)).map(|hold| row(on, hold)).collect())
    }

    /// Best cost from a state before step `t`, and the mode and hold (after the step) that give it.
    fn choose(&self, t: usize, on: usize, hold: usize, spent: &[Vec<f64>; 2]) -> (f64, usize, usize) {
        let kept = hold.saturating_sub(1);
        let stay = (spent[on][kept], on, kept);
        let other = 1 - on;
        let held = self.hold_of(other) - 1;
        let change = spent[other][held] + self.g.start_cost * other as f64;
        if hold == 0 && self.may_switch[t] && change < stay.0 {
            (change, other, held)
        } else {
            stay
        }
    }

    fn walk(&self, values: &[Values]) -> Vec<bool> {
        let (mut on, mut hold) = (usize::from(self.g.initial_on), 0);
        let mut kwh = self.b.soc_start_kwh;
        let mut path = Vec::with_capacity(self.dt.len());
        for t in 0..self.dt.len() {
            let next = &values[t + 1];
            let powers = [self.powers(t, 0), self.powers(t, 1)];
            let spent = [0, 1].map(|on| self.spent(t, on, kwh, &powers[on], next));
            (_, on, hold) = self.choose(t, on, hold, &spent);
            path.push(on == 1);
            let cost = |power: &f64| {
                let (cost, after) = self.stage(t, kwh, *power);
                (cost + self.interpolate(&next[on][hold], after), after)
            };
            let best = powers[on].iter().map(cost).min_by(|a, b| a.0.total_cmp(&b.0));
            kwh = best.map_or(kwh, |(_, after)| after);
        }
        path
    }
}
