//! Plans that do not flap: closeness to the plan in force as a taste, and a current step that changes what it does only
//! for money.
//!
//! In: the problem as it stands, the plan in force. Out: the problem with that taste; which parts changed their mind in
//! the current step; the same problem solved with those minds kept. A grid-forming battery takes no setpoint: it is never
//! held to anything.

use super::alternative::{force_kept, total};
use super::{Sensitivity, SolveError, SolveOptions, solve_model};
use crate::model::{IDLE_KW, PlacedProblem, PlanValues, Problem, Schedule, Solution, Stick};
use crate::site::{Kind, Plant};
use std::collections::BTreeMap;

/// Share of the typical price of a kWh that moving a planned kWh costs: in the current step, and later.
const FIRST: f64 = 0.01;
const LATER: f64 = 0.002;
/// Steps that are held close; beyond them much is still unknown.
const STEPS: usize = 32;
/// A new mind must gain this share of the plan's cost, or this many typical kWh, whichever is more.
const GAIN_SHARE: f64 = 0.001;
const GAIN_KWH: f64 = 0.002;

/// What a part does in the current step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Draws,
    Gives,
    Rests,
}

fn mode(kw: f64) -> Mode {
    match kw {
        kw if kw > IDLE_KW => Mode::Draws,
        kw if kw < -IDLE_KW => Mode::Gives,
        _ => Mode::Rests,
    }
}

/// kW into a battery or car in step `t`.
fn drawn(plan: &PlanValues, part: &str, t: usize) -> Option<f64> {
    if let Some(b) = plan.batteries.get(part) {
        return Some(b.charge_kw.get(t)? - b.discharge_kw.get(t)?);
    }
    plan.evs.get(part)?.charge_kw.get(t).copied()
}

/// Batteries that can be told what to do, and cars that are there now.
fn parts<'a>(plant: &'a Plant, p: &'a Problem) -> impl Iterator<Item = &'a str> {
    let told = |id: &str| match plant.components.get(id).map(|c| &c.kind) {
        Some(Kind::Battery(b)) => !b.grid_forming,
        _ => true,
    };
    let batteries = p.batteries.iter().map(|b| b.id.as_str()).filter(move |id| told(id));
    let cars = p.evs.iter().filter(|e| e.arrive_step == 0 && e.depart_step > 0);
    batteries.chain(cars.map(|e| e.id.as_str()))
}

/// Typical price of a kWh of the problem; its median, a magnitude.
fn typical(p: &Problem) -> Option<f64> {
    let buy = p.grid.iter().flat_map(|g| g.buy.iter().copied());
    let fuel = p.gensets.iter().map(|g| g.fuel_cost_per_kwh);
    let mut prices: Vec<f64> = buy.chain(fuel).map(f64::abs).collect();
    prices.sort_by(f64::total_cmp);
    prices.get(prices.len() / 2).copied()
}

/// The reference of the taste: what the plan in force does at the same instants. `None` where nothing can be held.
pub fn stick(plant: &Plant, placed: &PlacedProblem, old: &Schedule) -> Option<Stick> {
    let price = typical(&placed.problem)?;
    let starts: Vec<_> = placed.grid.intervals().map(|i| i.start).take(STEPS).collect();
    let of = |part: &str| -> Vec<Option<f64>> {
        let then = |start| drawn(&old.solution.plan, part, old.grid.index_of(start)?);
        starts.iter().map(|start| then(*start)).collect()
    };
    let power_kw: BTreeMap<_, _> = parts(plant, &placed.problem)
        .map(|part| (part.to_owned(), of(part)))
        .collect();
    (!power_kw.is_empty()).then_some(Stick {
        first_per_kwh: FIRST * price,
        later_per_kwh: LATER * price,
        power_kw,
    })
}

/// Parts that would now do something else than the plan in force meant for this step, with what it meant.
pub fn changed(plant: &Plant, placed: &PlacedProblem, new: &Solution, old: &Schedule) -> BTreeMap<String, Mode> {
    let mut all = BTreeMap::new();
    let Some(step) = old.grid.index_of(placed.grid.start) else {
        return all;
    };
    for part in parts(plant, &placed.problem) {
        let (Some(was), Some(is)) = (drawn(&old.solution.plan, part, step), drawn(&new.plan, part, 0)) else {
            continue;
        };
        if mode(was) != mode(is) {
            all.insert(part.to_owned(), mode(was));
        }
    }
    all
}

/// The problem solved with the changed parts kept at what they did; the new plan where that would cost real money.
pub fn kept_unless_it_pays(
    problem: &Problem,
    new: (Solution, Option<Sensitivity>),
    changed: &BTreeMap<String, Mode>,
    options: &SolveOptions,
) -> (Solution, Option<Sensitivity>) {
    let kept = match solve_kept(problem, changed, options) {
        Ok(kept) => kept,
        // what it did is not possible any more
        Err(_) => return new,
    };
    let gain = total(&kept.0) - total(&new.0);
    let enough = (GAIN_SHARE * new.0.objective.abs()).max(GAIN_KWH * typical(problem).unwrap_or(0.0));
    if gain > enough { new } else { kept }
}

fn solve_kept(
    problem: &Problem,
    changed: &BTreeMap<String, Mode>,
    options: &SolveOptions,
) -> Result<(Solution, Option<Sensitivity>), SolveError> {
    solve_model(problem, problem.elastic, options, &|m| {
        for (part, was) in changed {
            force_kept(m, part, *was);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ControllerState;
    use crate::plan::site_tests::{forecast, now, planned, plant, snapshot};
    use crate::plan::tests::small_home;
    use crate::plan::{solve, solve_explained};

    #[test]
    fn a_change_of_mind_that_gains_nothing_is_not_made_and_one_that_pays_is() {
        let mut p = small_home();
        // nothing to gain: the price is the same in both hours, and no sun
        p.pv[0].available_kw = vec![0.0, 0.0];
        p.batteries[0].soc_start_kwh = 1.0;
        for (buy, kept) in [([0.3, 0.3], true), ([0.5, 0.1], false)] {
            if let Some(g) = p.grid.as_mut() {
                g.buy = buy.to_vec();
            }
            let options = SolveOptions::exact();
            let new = solve_explained(&p, &options).unwrap();
            let best = new.0.objective;
            assert!(new.0.plan.batteries["bat"].discharge_kw[0] > IDLE_KW, "{buy:?}");
            // the plan in force meant to rest
            let was = BTreeMap::from([("bat".to_owned(), Mode::Rests)]);
            let (s, _) = kept_unless_it_pays(&p, new, &was, &options);
            let b = &s.plan.batteries["bat"];
            assert_eq!(b.discharge_kw[0] < IDLE_KW, kept, "{buy:?}: {b:?}");
            assert!(s.objective <= best + 0.0013, "{buy:?}");
        }
    }

    #[test]
    fn what_takes_no_setpoint_is_held_to_nothing_on_any_site() {
        for (site, forming, held) in [
            ("home-amsterdam", false, true),
            ("home-amsterdam", true, false),
            ("island-microgrid", true, false),
        ] {
            let mut plant = plant(site);
            if let Some(Kind::Battery(b)) = plant.components.get_mut("battery").map(|c| &mut c.kind) {
                b.grid_forming = forming;
            }
            let state = ControllerState::fresh(&plant, now());
            let (snapshot, forecast) = (snapshot(&plant, Some(0.5)), forecast(&plant, false));
            let mut old = planned(&plant, &snapshot, &forecast, &state);
            let placed = crate::plan::problem(&plant, &snapshot, &forecast, &state);
            // the battery was meant to rest, and now it is to charge
            let mut new = old.solution.clone();
            let b = old.solution.plan.batteries.get_mut("battery").unwrap();
            b.charge_kw.fill(0.0);
            b.discharge_kw.fill(0.0);
            new.plan.batteries.get_mut("battery").unwrap().charge_kw[0] = 3.0;
            let stick = stick(&plant, &placed, &old);
            assert_eq!(
                stick.is_some_and(|s| s.power_kw.contains_key("battery")),
                held,
                "{site}"
            );
            let changed = changed(&plant, &placed, &new, &old);
            assert_eq!(changed.get("battery"), held.then_some(&Mode::Rests), "{site}");
        }
    }

    #[test]
    fn of_plans_that_cost_the_same_the_one_in_force_is_kept_to_the_watt() {
        let mut p = small_home();
        p.pv[0].available_kw = vec![0.0, 0.0];
        p.batteries[0].soc_start_kwh = 1.0;
        if let Some(g) = p.grid.as_mut() {
            g.buy = vec![0.3, 0.3];
        }
        for first in [0.0, 0.25, 0.8] {
            let power_kw = BTreeMap::from([("bat".to_owned(), vec![Some(-first), Some(first - 0.8)])]);
            let stick = Some(Stick {
                first_per_kwh: 0.003,
                later_per_kwh: 0.0006,
                power_kw,
            });
            p.taste = Some(crate::model::Taste {
                wear_per_kwh: 0.0,
                early_per_kwh_step: 0.0,
                stick,
            });
            let s = solve(&p, &SolveOptions::exact()).unwrap();
            let b = &s.plan.batteries["bat"];
            assert!((b.discharge_kw[0] - first).abs() < 1e-4, "{first}: {b:?}");
            assert!((s.objective - 0.66).abs() < 1e-6, "taste is not money: {}", s.objective);
        }
    }
}
