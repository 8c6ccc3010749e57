//! Why each component does what it does in each step: from the plan, the duals and the prices.
//!
//! A dual is the cost change of a small perturbation of the relaxed (or fixed-integer) program; where several answers
//! cost the same it is one of them, somewhere between what a little less and a little more would change.

use super::alternative;
use super::problem::component_of;
use super::sensitivity::Sensitivity;
use crate::model::{
    Alternative, Compared, EvProblem, Forecast, IDLE_KW as IDLE, Problem, Reason, ReasonCode, Solution, Why,
};
use crate::site::{EvMode, Id, Kind, Plant};
use crate::time::{TimeGrid, Timestamp};
use std::collections::BTreeMap;

/// A battery that draws no more than this, kW, makes up for its standby losses.
const LOSSES: f64 = 0.05;
/// Steps within which heat is stored for what comes.
const SOON: usize = 48;

pub struct Facts<'a> {
    pub plant: &'a Plant,
    pub problem: &'a Problem,
    pub solution: &'a Solution,
    pub sensitivity: Option<&'a Sensitivity>,
    pub forecast: &'a Forecast,
    pub grid: &'a TimeGrid,
    pub power_kw: &'a BTreeMap<Id, Vec<f64>>,
    pub value: &'a BTreeMap<Id, Vec<f64>>,
    pub buy: &'a [Option<f64>],
    pub sell: &'a [Option<f64>],
}

/// One [`Why`] a component and step.
pub fn why(f: &Facts<'_>) -> BTreeMap<Id, Vec<Why>> {
    let steps = 0..f.problem.steps;
    let starts: Vec<Timestamp> = f.grid.intervals().map(|i| i.start).collect();
    let of = |(id, c): (&Id, &crate::site::Component)| {
        let circuits = circuits(f, id);
        let one = |t: usize| {
            let mut why = reason(f, id, &c.kind, t);
            why.binding = why.binding.or_else(|| full_circuit(f, &circuits, id, t));
            why.until = until(f, id, &starts, t);
            why.alternative = bound_of(f, id, t);
            as_told(f, id, t, why)
        };
        let mut all: Vec<Why> = steps.clone().map(one).collect();
        for t in steps.clone() {
            all[t].compared = compared(f, id, &all, t);
        }
        (id.clone(), all)
    };
    f.plant.components.iter().map(of).collect()
}

fn reason(f: &Facts<'_>, id: &Id, kind: &Kind, t: usize) -> Why {
    match kind {
        Kind::Meter(_) => meter(f, id, t),
        Kind::Pv(_) => pv(f, id, t),
        Kind::Battery(_) => battery(f, id, t),
        Kind::ChargePoint(p) => car(f, id, p.default_session.mode, t),
        Kind::Load(_) => plain(ReasonCode::KeepServed),
        Kind::ShiftableLoad(_) => run_once(f, id, t),
        Kind::SheddableLoad(_) => sheddable(f, id, t),
        Kind::HeatPump(_) => heat_pump(f, id, t),
        Kind::Generator(g) => generator(f, id, g.power_min.as_kw(), t),
    }
}

/// In a step that a person told, the person is the reason, but for what keeps the component from doing it.
fn as_told(f: &Facts<'_>, id: &Id, t: usize, why: Why) -> Why {
    let own = f
        .problem
        .told
        .iter()
        .filter(|told| component_of(&told.id) == id.as_str());
    let asked = own.filter_map(|told| Some((told, *told.asked_kw.get(t)?)));
    let Some((told, kw)) = asked.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())) else {
        return why;
    };
    let short = (f.power(id, t) - kw).abs() > IDLE;
    let code = match (why.reason.code, why.binding.as_deref()) {
        (ReasonCode::NoCar, _) => return why,
        (ReasonCode::ChargeDone, _) if short => return why,
        (_, Some("full" | "empty")) if short && f.power(id, t).abs() <= LOSSES => ReasonCode::LimitSoc,
        _ => ReasonCode::Override,
    };
    let lasts = chrono::TimeDelta::milliseconds((told.hours * 3.6e6).round() as i64);
    Why {
        reason: Reason::new(code),
        until: Some(f.grid.start + lasts),
        ..why
    }
}

/// Limited circuits that the component draws through, by their members and weights.
fn circuits<'a>(f: &Facts<'a>, id: &Id) -> Vec<&'a crate::model::CircuitProblem> {
    let inside = |c: &&crate::model::CircuitProblem| {
        let own = c.members.iter().position(|m| component_of(m) == id.as_str());
        own.is_some_and(|i| c.weights.get(i).copied().unwrap_or(1.0) > 0.0)
    };
    f.problem.circuits.iter().filter(inside).collect()
}

/// The circuit at its limit in step `t` while the component draws through it.
fn full_circuit(f: &Facts<'_>, circuits: &[&crate::model::CircuitProblem], id: &Id, t: usize) -> Option<String> {
    if f.power(id, t).abs() <= IDLE {
        return None;
    }
    let through = |c: &&&crate::model::CircuitProblem| {
        let drawn = |(i, m): (usize, &String)| {
            let weight = c.weights.get(i).copied().unwrap_or(1.0);
            let kw = match m.as_str() {
                "load" => f.problem.load_kw[t] - f.solution.plan.unserved_kw[t],
                "spill" => f.solution.plan.spill_kw[t],
                part => part_kw(f, part, t),
            };
            weight * kw
        };
        c.members.iter().enumerate().map(drawn).sum::<f64>().abs() > c.limit_kw - IDLE
    };
    let full = circuits.iter().find(through)?;
    Some(format!("circuit {}", component_of(&full.id)))
}

/// kW that a part of the problem draws; parts of one component (a charger's sessions) are never there at once.
fn part_kw(f: &Facts<'_>, part: &str, t: usize) -> f64 {
    match f.solution.plan.evs.get(part) {
        Some(ev) => ev.charge_kw[t],
        None => f.power(&Id::new(component_of(part)), t),
    }
}

/// Departure of the car that is there, end of a generator's minimum time.
fn until(f: &Facts<'_>, id: &Id, starts: &[Timestamp], t: usize) -> Option<Timestamp> {
    if let Some(sessions) = f.forecast.sessions.get(id) {
        let start = starts.get(t).copied()?;
        return sessions.iter().map(|s| s.departure).find(|d| *d > start);
    }
    let g = f.problem.gensets.iter().find(|g| g.id == id.as_str())?;
    (t < g.fixed_steps).then(|| starts.get(g.fixed_steps).copied())?
}

/// What the best other choice costs at least; the current interval's is solved exactly elsewhere.
fn bound_of(f: &Facts<'_>, id: &Id, t: usize) -> Option<Alternative> {
    let known = f.sensitivity?;
    let parts = f
        .problem
        .batteries
        .iter()
        .map(|b| &b.id)
        .chain(f.problem.evs.iter().map(|e| &e.id));
    parts
        .filter(|part| component_of(part) == id.as_str())
        .find_map(|part| alternative::bounded(f.problem, f.solution, known, part, t))
        .filter(|a| a.extra_cost > 0.0)
}

/// The other step that decided: where stored energy is used or refilled, where it is cheaper or dearer.
fn compared(f: &Facts<'_>, id: &Id, all: &[Why], t: usize) -> Option<Compared> {
    use ReasonCode as C;
    let does = |k: usize| f.power(id, k);
    let later = || t + 1..f.problem.steps;
    let window = |k: &usize| f.until_step(id, t).is_none_or(|end| *k < end);
    let now = f.price(t);
    let dearer = |c: &Compared| now.is_none_or(|now| c.per_kwh > now);
    let cheaper = |c: &Compared| now.is_none_or(|now| c.per_kwh < now);
    match all.get(t)?.reason.code {
        C::GridCharge | C::StoreSurplus | C::HoldForLater => {
            highest(f, later().filter(|k| does(*k) < -IDLE)).filter(dearer)
        }
        C::CoverLoad | C::SellStored => lowest(f, later().filter(|k| does(*k) > IDLE)).filter(cheaper),
        C::ChargeCheap => highest(f, later().filter(window)).filter(dearer),
        C::WaitCheaper => lowest(f, later().filter(window).filter(|k| does(*k) > IDLE)),
        C::RunHeat => highest(f, later().filter(|k| k - t <= SOON)).filter(dearer),
        C::HeatSatisfied | C::WaitShiftable => {
            let next = later().find(|k| does(*k) > IDLE)?;
            Some(Compared {
                step: next,
                per_kwh: f.price(next)?,
            })
        }
        C::RunShiftable => highest(f, later()).filter(dearer),
        _ => None,
    }
}

fn highest(f: &Facts<'_>, steps: impl Iterator<Item = usize>) -> Option<Compared> {
    let priced = steps.filter_map(|step| {
        Some(Compared {
            step,
            per_kwh: f.price(step)?,
        })
    });
    // the first of equals
    priced.fold(None, |best: Option<Compared>, c| match best {
        Some(b) if b.per_kwh >= c.per_kwh => Some(b),
        _ => Some(c),
    })
}

fn lowest(f: &Facts<'_>, steps: impl Iterator<Item = usize>) -> Option<Compared> {
    let priced = steps.filter_map(|step| {
        Some(Compared {
            step,
            per_kwh: f.price(step)?,
        })
    });
    priced.fold(None, |best: Option<Compared>, c| match best {
        Some(b) if b.per_kwh <= c.per_kwh => Some(b),
        _ => Some(c),
    })
}

impl Facts<'_> {
    fn power(&self, id: &Id, t: usize) -> f64 {
        self.power_kw
            .get(id)
            .and_then(|v| v.get(t).copied())
            .unwrap_or(f64::NAN)
    }
    fn value(&self, id: &Id, t: usize) -> Option<f64> {
        self.value.get(id)?.get(t).copied()
    }
    fn bus(&self, t: usize) -> Option<f64> {
        self.solution.duals.as_ref()?.bus.get(t).copied()
    }
    fn import(&self, t: usize) -> f64 {
        self.solution.plan.import_kw[t]
    }
    fn export(&self, t: usize) -> f64 {
        self.solution.plan.export_kw[t]
    }
    /// What a kWh costs in a step as the plan uses it: sold where the site sells, else bought.
    fn price(&self, t: usize) -> Option<f64> {
        let sells = self.export(t) > IDLE && self.import(t) <= IDLE;
        let price = if sells { &self.sell } else { &self.buy };
        price.get(t).copied().flatten()
    }
    /// First step after the departure of the car that is there in step `t`.
    fn until_step(&self, id: &Id, t: usize) -> Option<usize> {
        let here = |e: &&EvProblem| component_of(&e.id) == id.as_str() && (e.arrive_step..e.depart_step).contains(&t);
        self.problem.evs.iter().find(here).map(|e| e.depart_step)
    }
    /// Share of a limit of the connection point that is used, import or export.
    fn at_limit(&self, t: usize) -> Option<(&'static str, f64)> {
        let g = self.problem.grid.as_ref()?;
        let reached = |kw: f64, limit: Option<f64>| limit.filter(|l| kw > l - IDLE);
        match (
            reached(self.import(t), g.import_limit(t)),
            reached(self.export(t), g.export_limit(t)),
        ) {
            (Some(limit), _) if self.import(t) > IDLE => Some(("import limit", limit)),
            (_, Some(limit)) if self.export(t) > IDLE => Some(("export limit", limit)),
            _ => None,
        }
    }
    /// The bus price is above the meter's: the demand peak binds here.
    fn peak_binds(&self, t: usize) -> bool {
        let charged = self
            .problem
            .grid
            .as_ref()
            .is_some_and(|g| !g.demands(self.problem.steps).is_empty());
        let dearer = match (self.bus(t), self.buy[t]) {
            (Some(bus), Some(buy)) => bus > 1.02 * buy + 1e-6,
            _ => false,
        };
        charged && dearer && self.import(t) > IDLE && self.at_limit(t).is_none()
    }
}

impl Facts<'_> {
    fn in_outage(&self, t: usize) -> bool {
        let mut outages = self.problem.grid.iter().flat_map(|g| &g.outages);
        outages.any(|o| (o.from_step..o.to_step).contains(&t))
    }
    /// Subscribed power, where more would be bought if it were free to go beyond it, kW.
    fn subscribed_binds(&self, t: usize) -> Option<f64> {
        let kw = self.problem.grid.as_ref()?.capacity.as_ref()?.free_kw(t);
        let dearer = self.bus(t)? > 1.02 * self.buy[t]? + 1e-6;
        (dearer && (self.import(t) - kw).abs() <= IDLE).then_some(kw)
    }
    /// The batteries hold no more than the critical loads of the hours to come need.
    fn lifeline_binds(&self, t: usize) -> bool {
        let Some(need) = self.problem.lifeline.as_ref().and_then(|l| l.need_kwh.get(t)) else {
            return false;
        };
        let held = |b: &crate::model::BatteryProblem| {
            let e = self.solution.plan.batteries.get(&b.id)?.energy_kwh.get(t)?;
            Some(b.discharge_eff * (e - b.soc_min_kwh))
        };
        let held: f64 = self.problem.batteries.iter().filter_map(held).sum();
        *need > IDLE && held <= need + 0.005 * need.max(1.0)
    }
    /// What makes a bought kWh dearer than the meter's price where no peak does: the dearer block, the cap on carbon.
    fn site_wide(&self, t: usize) -> Option<&'static str> {
        let grid = self.problem.grid.as_ref()?;
        let dearer = self.bus(t)? > 1.02 * self.buy[t]? + 1e-6;
        match dearer && self.import(t) > IDLE {
            true if grid.is_in_blocks(t) => Some("block price"),
            true if self.problem.co2_cap_kg.is_some() => Some("carbon cap"),
            _ => None,
        }
    }
}

fn plain(code: ReasonCode) -> Why {
    because(Reason::new(code), None)
}

fn bound(reason: Reason, binding: &str) -> Why {
    because(reason, Some(binding.to_owned()))
}

fn because(reason: Reason, binding: Option<String>) -> Why {
    Why {
        reason,
        binding,
        compared: None,
        until: None,
        alternative: None,
    }
}

fn meter(f: &Facts<'_>, _: &Id, t: usize) -> Why {
    if f.in_outage(t) {
        return bound(Reason::new(ReasonCode::FollowPlan), "outage");
    }
    if let Some(kw) = f.subscribed_binds(t) {
        return bound(Reason::new(ReasonCode::ShavePeak).limited(kw), "subscribed power");
    }
    match f.at_limit(t) {
        Some(("import limit", limit)) => bound(Reason::new(ReasonCode::LimitImport).limited(limit), "import limit"),
        Some((name, limit)) => bound(Reason::new(ReasonCode::LimitExport).limited(limit), name),
        None if f.peak_binds(t) => bound(Reason::new(ReasonCode::ShavePeak).limited(f.import(t)), "peak"),
        None => because(Reason::new(ReasonCode::FollowPlan), f.site_wide(t).map(str::to_owned)),
    }
}

fn pv(f: &Facts<'_>, id: &Id, t: usize) -> Why {
    let available = f
        .problem
        .pv
        .iter()
        .find(|p| p.id == id.as_str())
        .map(|p| p.available_kw[t]);
    let curtailed = available.is_some_and(|kw| kw + f.power(id, t) > IDLE);
    match (curtailed, f.sell[t], f.at_limit(t)) {
        (false, ..) => plain(ReasonCode::FollowPlan),
        (true, _, Some(("export limit", limit))) => {
            bound(Reason::new(ReasonCode::LimitExport).limited(limit), "export limit")
        }
        (true, Some(price), _) if price < 0.0 => bound(
            Reason::new(ReasonCode::CurtailNegative).worth(f.bus(t), Some(price)),
            "export price",
        ),
        (true, ..) => plain(ReasonCode::CurtailSurplus),
    }
}

fn battery(f: &Facts<'_>, id: &Id, t: usize) -> Why {
    let Some(b) = f.problem.batteries.iter().find(|b| b.id == id.as_str()) else {
        return bound(Reason::new(ReasonCode::DeviceSilent), "state of charge unknown");
    };
    let power = f.power(id, t);
    let value = f.value(id, t);
    let reason = |code, price| Reason::new(code).worth(value, price);
    let energy = f
        .solution
        .plan
        .batteries
        .get(&b.id)
        .and_then(|v| v.energy_kwh.get(t).copied());
    let outage = f.in_outage(t) && power < -IDLE;
    let binding = match battery_binding(b, power, energy) {
        _ if outage => Some("outage"),
        None if power.abs() <= IDLE && f.lifeline_binds(t) => Some("lifeline"),
        other => other,
    };
    let why = if power > IDLE {
        if f.import(t) > IDLE && power > surplus(f, t) + IDLE {
            reason(ReasonCode::GridCharge, f.buy[t])
        } else {
            reason(ReasonCode::StoreSurplus, f.sell[t])
        }
    } else if power < -IDLE {
        if outage {
            reason(ReasonCode::CoverLoad, f.buy[t])
        } else if f.peak_binds(t) {
            reason(ReasonCode::ShavePeak, f.buy[t]).limited(f.import(t))
        } else if let Some(kw) = f.subscribed_binds(t) {
            return bound(reason(ReasonCode::ShavePeak, f.buy[t]).limited(kw), "subscribed power");
        } else if f.export(t) > IDLE {
            reason(ReasonCode::SellStored, f.sell[t])
        } else {
            reason(ReasonCode::CoverLoad, f.buy[t])
        }
    } else if binding == Some("empty") || binding == Some("full") {
        reason(ReasonCode::LimitSoc, f.buy[t])
    } else {
        reason(ReasonCode::HoldForLater, f.buy[t])
    };
    because(why, binding.map(str::to_owned))
}

/// kW of PV above the load that nobody moves.
fn surplus(f: &Facts<'_>, t: usize) -> f64 {
    f.problem.pv.iter().map(|p| p.available_kw[t]).sum::<f64>() - f.problem.load_kw[t]
}

fn battery_binding(b: &crate::model::BatteryProblem, power: f64, energy: Option<f64>) -> Option<&'static str> {
    let room = 0.005 * (b.soc_max_kwh - b.soc_min_kwh);
    match energy {
        _ if power >= b.charge_max_kw - IDLE && power > IDLE => Some("charge power"),
        _ if -power >= b.discharge_max_kw - IDLE && power < -IDLE => Some("discharge power"),
        Some(e) if e >= b.soc_max_kwh - room => Some("full"),
        Some(e) if e <= b.soc_min_kwh + room => Some("empty"),
        Some(e) if b.reserve.is_some_and(|r| (e - r.kwh).abs() <= room) => Some("reserve"),
        _ => None,
    }
}

fn car(f: &Facts<'_>, id: &Id, default: EvMode, t: usize) -> Why {
    let here = |e: &&EvProblem| component_of(&e.id) == id.as_str() && (e.arrive_step..e.depart_step).contains(&t);
    let Some(ev) = f.problem.evs.iter().find(here) else {
        return plain(ReasonCode::NoCar);
    };
    let power = f.power(id, t);
    let value = f.value(id, t).map(|v| v * ev.charge_eff);
    let mode = if ev.asap {
        EvMode::Fast
    } else if ev.surplus_only {
        EvMode::Surplus
    } else {
        default
    };
    let code = match (power > IDLE, mode) {
        (true, EvMode::Fast) => ReasonCode::ChargeFast,
        (true, EvMode::Surplus) => ReasonCode::ChargeSurplus,
        (true, EvMode::Cheapest) if must_charge(f, ev, t) => ReasonCode::MustChargeNow,
        (true, EvMode::Cheapest) => ReasonCode::ChargeCheap,
        (false, _) if delivered_after(f, ev, t) <= 1e-3 => ReasonCode::ChargeDone,
        (false, _) => ReasonCode::WaitCheaper,
    };
    let binding = if code == ReasonCode::MustChargeNow {
        Some("departure")
    } else if power >= ev.charge_max_kw - IDLE {
        Some("charge power")
    } else {
        f.at_limit(t).map(|(name, _)| name).filter(|_| power > IDLE)
    };
    because(Reason::new(code).worth(value, f.buy[t]), binding.map(str::to_owned))
}

/// kWh that the plan still delivers after step `t`.
fn delivered_after(f: &Facts<'_>, ev: &EvProblem, t: usize) -> f64 {
    let charge = f
        .solution
        .plan
        .evs
        .get(&ev.id)
        .map_or(&[][..], |e| e.charge_kw.as_slice());
    charge
        .iter()
        .enumerate()
        .skip(t + 1)
        .map(|(k, kw)| kw * f.problem.step_hours.at(k).unwrap_or(f64::NAN))
        .sum()
}

/// Every usable step is needed at full power.
fn must_charge(f: &Facts<'_>, ev: &EvProblem, t: usize) -> bool {
    let hours = |k: usize| f.problem.step_hours.at(k).unwrap_or(f64::NAN);
    let room: f64 = (t..ev.depart_step.min(f.problem.steps))
        .map(|k| hours(k) * ev.charge_max_kw)
        .sum();
    let planned = delivered_after(f, ev, t)
        + f.solution
            .plan
            .evs
            .get(&ev.id)
            .map_or(0.0, |e| e.charge_kw[t] * hours(t));
    planned >= 0.97 * room
}

fn run_once(f: &Facts<'_>, id: &Id, t: usize) -> Why {
    let runs = f.power(id, t) > IDLE;
    let price = f.bus(t);
    let code = if runs {
        ReasonCode::RunShiftable
    } else {
        ReasonCode::WaitShiftable
    };
    because(Reason::new(code).worth(price, f.buy[t]), None)
}

fn sheddable(f: &Facts<'_>, id: &Id, t: usize) -> Why {
    let shed = f.solution.plan.shed_kw.get(id.as_str()).map_or(0.0, |v| v[t]);
    if shed <= IDLE {
        return plain(ReasonCode::KeepServed);
    }
    let price = f
        .problem
        .sheddable
        .iter()
        .find(|s| s.id == id.as_str())
        .map(|s| s.shed_cost_per_kwh);
    bound(Reason::new(ReasonCode::ShedLoad).worth(price, f.bus(t)), "power")
}

fn heat_pump(f: &Facts<'_>, id: &Id, t: usize) -> Why {
    let power = f.power(id, t);
    let heat = f.problem.heat.as_ref();
    let Some(h) = heat.and_then(|h| h.heat_pumps.iter().find(|h| h.id == id.as_str())) else {
        return plain(ReasonCode::Thermostat);
    };
    let cop = h.cop.at(t).unwrap_or(f64::NAN);
    // worth of the heat that a kWh of electricity makes
    let value = f.value(id, t).map(|v| v * cop);
    let stores = heat.is_some_and(|p| cop * power > p.load_kw[t] + IDLE);
    let code = match (power > IDLE, stores) {
        (true, true) => ReasonCode::RunHeat,
        (true, false) => ReasonCode::ComfortHeat,
        (false, _) => ReasonCode::HeatSatisfied,
    };
    let binding = (power >= h.electric_max_kw - IDLE).then(|| "heat pump power".to_owned());
    because(Reason::new(code).worth(value, f.bus(t)), binding)
}

fn generator(f: &Facts<'_>, id: &Id, power_min: f64, t: usize) -> Why {
    let on = f.solution.plan.gensets.get(id.as_str()).is_some_and(|g| g.on[t] > 0.5);
    let power = -f.power(id, t);
    let held = f
        .problem
        .gensets
        .iter()
        .any(|g| g.id == id.as_str() && g.initial_on && t < g.fixed_steps);
    match (on, held) {
        (false, _) => because(Reason::new(ReasonCode::GeneratorRest).worth(f.bus(t), None), None),
        (true, true) => bound(Reason::new(ReasonCode::GeneratorMinimum), "minimum running time"),
        (true, false) => {
            let binding = (power <= power_min + IDLE).then(|| "minimum power".to_owned());
            because(Reason::new(ReasonCode::GeneratorNeeded), binding)
        }
    }
}
