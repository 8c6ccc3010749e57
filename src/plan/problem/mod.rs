//! Plant + Snapshot + Forecast + ControllerState → [`PlacedProblem`].
//!
//! Always elastic: whatever was measured, whichever limit is in force, a plan exists. A component whose state is not
//! known (no state of charge, no outdoor temperature) is left out of the problem instead of being guessed.

mod cars;
mod circuits;
mod generators;
mod grid;
mod heat;
mod loads;
mod money;
mod storage;
mod told;

use crate::model::{ControllerState, Elastic, Forecast, PerStep, PlacedProblem, Problem, ShareWish, Snapshot, Taste};
use crate::site::{Component, Id, Kind, Plant, ShareGoal};
use crate::time::{Interval, Timestamp};
use crate::units::hours;
use money::Prices;

pub use money::effective_prices;

/// Everything a part of the problem is made from.
struct Context<'a> {
    plant: &'a Plant,
    snapshot: &'a Snapshot,
    forecast: &'a Forecast,
    state: &'a ControllerState,
    /// The forecast's steps.
    steps: Vec<Interval>,
    prices: Prices,
}

impl<'a> Context<'a> {
    /// Components of the plant with their kind-specific part picked out.
    fn all<K: 'a>(&self, pick: impl Fn(&'a Kind) -> Option<&'a K>) -> Vec<(&'a Id, &'a Component, &'a K)> {
        self.plant
            .components
            .iter()
            .filter_map(|(id, c)| pick(&c.kind).map(|k| (id, c, k)))
            .collect()
    }
    fn now(&self) -> Timestamp {
        self.forecast.grid.start
    }
    /// Number of steps that are over by `t`: the first step that is not.
    fn steps_over_by(&self, t: Timestamp) -> usize {
        self.steps.iter().take_while(|s| s.end <= t).count()
    }
    /// Number of steps of which something that lasts until `t` covers half or more.
    fn steps_told(&self, t: Timestamp) -> usize {
        self.steps.iter().take_while(|s| s.start + s.length() / 2 <= t).count()
    }
    /// Length of each step, h.
    fn step_hours(&self) -> Vec<f64> {
        self.steps.iter().map(|s| hours(s.length())).collect()
    }
    /// First step that starts at `t` or later.
    fn first_step_from(&self, t: Timestamp) -> usize {
        self.steps.iter().take_while(|s| s.start < t).count()
    }
    /// Phase-to-neutral voltage, V; an island's inverter makes 230 V.
    fn voltage(&self) -> f64 {
        self.plant.connection.as_ref().map_or(230.0, |c| c.voltage.as_volts())
    }
    fn phases(&self) -> f64 {
        self.plant.connection.as_ref().map_or(3.0, |c| f64::from(c.phases))
    }
}

/// The dispatch problem of the site as it stands.
pub fn problem(plant: &Plant, snapshot: &Snapshot, forecast: &Forecast, state: &ControllerState) -> PlacedProblem {
    let x = Context {
        plant,
        snapshot,
        forecast,
        state,
        steps: forecast.grid.intervals().collect(),
        prices: Prices::of(plant, forecast),
    };
    let top = x.prices.top;
    let mut problem = Problem {
        schema: "ems-case-1".into(),
        id: plant.name.to_string(),
        title: plant.title_en.clone(),
        kind: "MILP".into(),
        steps: x.steps.len(),
        step_hours: PerStep::Each(forecast.grid.hours()),
        load_kw: loads::fixed(&x),
        unserved_cost_per_kwh: plant.objective.unserved.map_or(20.0 * top, |p| p.as_per_kwh().max(top)),
        spill_cost_per_kwh: None,
        co2_price_per_kg: plant.objective.carbon_per_kg,
        co2_cap_kg: None,
        grid: plant.connection.as_ref().map(|c| grid::grid(&x, c)),
        pv: loads::pv(&x),
        batteries: storage::batteries(&x),
        evs: cars::cars(&x),
        gensets: generators::generators(&x),
        heat: heat::heat(&x),
        hydro: Vec::new(),
        sheddable: loads::sheddable(&x),
        shiftable: loads::shiftable(&x),
        deferrable: Vec::new(),
        lifeline: None,
        self_sufficiency: wish(plant, plant.objective.own),
        renewable: wish(plant, plant.objective.renewable),
        circuits: Vec::new(),
        told: Vec::new(),
        elastic: Some(Elastic {
            limit_per_kwh: 100.0 * top,
            soc_per_kwh: 0.5 * top,
        }),
        taste: Some(Taste {
            wear_per_kwh: 0.005 * x.prices.typical,
            early_per_kwh_step: 2e-4 * x.prices.typical,
            stick: None,
        }),
        expected: None,
    };
    problem.circuits = circuits::circuits(&x, &problem);
    problem.lifeline = storage::lifeline(&x, &problem.load_kw).filter(|_| !problem.batteries.is_empty());
    told::lay(&x, &mut problem);
    PlacedProblem {
        grid: forecast.grid.clone(),
        problem,
    }
}

fn wish(plant: &Plant, goal: Option<ShareGoal>) -> Option<ShareWish> {
    goal.map(|g| ShareWish {
        share: g.share,
        missing_cost_per_kwh: plant.objective.money * g.missing.as_per_kwh(),
    })
}

/// The component a part of the problem belongs to: `garage#1` is the second session at `garage`.
pub fn component_of(part: &str) -> &str {
    part.split_once('#').map_or(part, |(component, _)| component)
}

/// Name of the `n`-th part of a component.
fn part(id: &Id, n: usize) -> String {
    if n == 0 { id.to_string() } else { format!("{id}#{n}") }
}
