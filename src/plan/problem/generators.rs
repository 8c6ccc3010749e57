//! Generators with commitment and the history that binds their first steps.

use super::Context;
use crate::model::{GensetProblem, Quantity};
use crate::site::{Generator, Id, Kind};
use chrono::TimeDelta;

pub fn generators(x: &Context<'_>) -> Vec<GensetProblem> {
    let all = x.all(|k| if let Kind::Generator(g) = k { Some(g) } else { None });
    all.into_iter().map(|(id, _, g)| generator(x, id, g)).collect()
}

fn generator(x: &Context<'_>, id: &Id, g: &Generator) -> GensetProblem {
    let history = x.state.generators.get(id);
    let seen = x.snapshot.usable(id, Quantity::Running).map(|r| r > 0.5);
    let on = history.map(|h| h.running).or(seen) == Some(true);
    let hold = if on { g.min_up } else { g.min_down };
    let fixed_steps = history.map_or(0, |h| x.first_step_from(h.since + hold));
    let money = x.plant.objective.money;
    GensetProblem {
        id: id.to_string(),
        min_kw: g.power_min.as_kw(),
        max_kw: g.power_max.as_kw(),
        fuel_cost_per_kwh: money * g.fuel.as_per_kwh(),
        co2_kg_per_kwh: g.carbon,
        commitment: true,
        no_load_cost_per_hour: money * g.no_load_per_hour,
        start_cost: money * g.start_cost,
        min_up_steps: whole_steps(x, g.min_up),
        min_down_steps: whole_steps(x, g.min_down),
        initial_on: on,
        fixed_steps,
        commit_blocks: Some(blocks(x)),
        part_load: Vec::new(),
    }
}

fn whole_steps(x: &Context<'_>, time: TimeDelta) -> usize {
    let step = x.plant.timing.interval.num_seconds().max(1);
    (time.num_seconds().max(0) as usize).div_ceil(step as usize).max(1)
}

/// Each step of the next two hours decides for itself, later ones by the hour: plans are made again long before.
fn blocks(x: &Context<'_>) -> Vec<usize> {
    let fine = x.now() + TimeDelta::hours(2);
    let number = |(t, s): (usize, &crate::time::Interval)| match s.start < fine {
        true => t,
        false => x.steps.len() + ((s.start - fine).num_minutes() / 60) as usize,
    };
    x.steps.iter().enumerate().map(number).collect()
}
