//! Why each component does what it does in each step: from the plan, the duals and the prices.
//!
//! A dual is the cost change of a small perturbation of the relaxed (or fixed-integer) program; where several answers
//! cost the same it is one of them.

use super::problem::component_of;
use crate::model::{EvProblem, Problem, Reason, ReasonCode, Solution, Why};
use crate::site::{EvMode, Id, Kind, Plant};
use std::collections::BTreeMap;

/// Power that counts as none, kW.
const IDLE: f64 = 0.02;

pub struct Facts<'a> {
    pub plant: &'a Plant,
    pub problem: &'a Problem,
    pub solution: &'a Solution,
    pub power_kw: &'a BTreeMap<Id, Vec<f64>>,
    pub value: &'a BTreeMap<Id, Vec<f64>>,
    pub buy: &'a [Option<f64>],
    pub sell: &'a [Option<f64>],
}

/// One [`Why`] a component and step.
pub fn why(f: &Facts<'_>) -> BTreeMap<Id, Vec<Why>> {
    let steps = 0..f.problem.steps;
    let of = |(id, c): (&Id, &crate::site::Component)| {
        let one = |t: usize| match &c.kind {
            Kind::Meter(_) => meter(f, id, t),
            Kind::Pv(_) => pv(f, id, t),
            Kind::Battery(_) => battery(f, id, t),
            Kind::ChargePoint(p) => car(f, id, p.default_session.mode, t),
            Kind::Load(_) => plain(ReasonCode::KeepServed),
            Kind::ShiftableLoad(_) => run_once(f, id, t),
            Kind::SheddableLoad(_) => sheddable(f, id, t),
            Kind::HeatPump(_) => heat_pump(f, id, t),
            Kind::Generator(g) => generator(f, id, g.power_min.as_kw(), t),
        };
        (id.clone(), steps.clone().map(one).collect())
    };
    f.plant.components.iter().map(of).collect()
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
    /// Share of a limit of the connection point that is used, import or export.
    fn at_limit(&self, t: usize) -> Option<(&'static str, f64)> {
        let g = self.problem.grid.as_ref()?;
        let reached = |kw: f64, limit: Option<f64>| limit.filter(|l| kw > l - IDLE);
        match (
            reached(self.import(t), g.import_max_kw.at(t)),
            reached(self.export(t), g.export_max_kw.at(t)),
        ) {
            (Some(limit), _) if self.import(t) > IDLE => Some(("import limit", limit)),
            (_, Some(limit)) if self.export(t) > IDLE => Some(("export limit", limit)),
            _ => None,
        }
    }
    /// The bus price is above the meter's: the demand peak binds here.
    fn peak_binds(&self, t: usize) -> bool {
        let charged = self.problem.grid.as_ref().is_some_and(|g| g.demand_charge_per_kw > 0.0);
        let dearer = match (self.bus(t), self.buy[t]) {
            (Some(bus), Some(buy)) => bus > 1.02 * buy + 1e-6,
            _ => false,
        };
        charged && dearer && self.import(t) > IDLE && self.at_limit(t).is_none()
    }
}

fn plain(code: ReasonCode) -> Why {
    Why {
        reason: Reason::new(code),
        binding: None,
    }
}

fn bound(reason: Reason, binding: &str) -> Why {
    Why {
        reason,
        binding: Some(binding.to_owned()),
    }
}

fn meter(f: &Facts<'_>, _: &Id, t: usize) -> Why {
    match f.at_limit(t) {
        Some(("import limit", limit)) => bound(Reason::new(ReasonCode::LimitImport).limited(limit), "import limit"),
        Some((name, limit)) => bound(Reason::new(ReasonCode::LimitExport).limited(limit), name),
        None if f.peak_binds(t) => bound(Reason::new(ReasonCode::ShavePeak).limited(f.import(t)), "peak"),
        None => plain(ReasonCode::FollowPlan),
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
        (true, Some(price), _) if price < 0.0 => Why {
            reason: Reason::new(ReasonCode::CurtailNegative).worth(f.bus(t), Some(price)),
            binding: Some("export price".into()),
        },
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
    let binding = battery_binding(b, power, energy);
    let why = if power > IDLE {
        if f.import(t) > IDLE && power > surplus(f, t) + IDLE {
            reason(ReasonCode::GridCharge, f.buy[t])
        } else {
            reason(ReasonCode::StoreSurplus, f.sell[t])
        }
    } else if power < -IDLE {
        if f.peak_binds(t) {
            reason(ReasonCode::ShavePeak, f.buy[t])
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
    Why {
        reason: why,
        binding: binding.map(str::to_owned),
    }
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
    let binding = if power >= ev.charge_max_kw - IDLE {
        Some("charge power")
    } else {
        f.at_limit(t).map(|(name, _)| name)
    };
    Why {
        reason: Reason::new(code).worth(value, f.buy[t]),
        binding: binding.map(str::to_owned),
    }
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
    Why {
        reason: Reason::new(code).worth(price, f.buy[t]),
        binding: None,
    }
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
    Why {
        reason: Reason::new(ReasonCode::ShedLoad).worth(price, f.bus(t)),
        binding: Some("power".into()),
    }
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
    Why {
        reason: Reason::new(code).worth(value, f.bus(t)),
        binding,
    }
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
        (false, _) => Why {
            reason: Reason::new(ReasonCode::GeneratorRest).worth(f.bus(t), None),
            binding: None,
        },
        (true, true) => bound(Reason::new(ReasonCode::GeneratorMinimum), "minimum running time"),
        (true, false) => {
            let binding = (power <= power_min + IDLE).then(|| "minimum power".to_owned());
            Why {
                reason: Reason::new(ReasonCode::GeneratorNeeded),
                binding,
            }
        }
    }
}
