//! Inflexible, sheddable and run-once loads, and PV: forecasts put on the steps.

use super::{Context, part};
use crate::model::{Override, PvProblem, Quantiles, SheddableProblem, ShiftableProblem, Target};
use crate::site::{Id, Kind, ShiftableLoad};
use crate::time::{Timestamp, local_instant};
use crate::units::hours;
use chrono::{Datelike, NaiveDate};

/// How far an island leans from the expected sun towards its 10 % quantile: what `bench savings` favoured of what was tried
/// (docs/savings.md). Less: dull days start the generator once too often. More: on bright days its energy displaces sun.
const CAUTION: f64 = 0.538_461_538;
/// A load that is worth its fuel is not shed for a start of the generator or for the reserve, only for want of energy:
/// the least worth of a kWh of it, in highest prices.
const WANTED: f64 = 4.5;

/// Mean of a forecast series by step; steps it does not cover and values that are not numbers count as nothing expected.
fn mean(x: &Context<'_>, series: Option<&Quantiles>) -> Vec<f64> {
    let value = |t: usize| series.and_then(|q| q.mean.get(t).copied()).filter(|v| v.is_finite());
    (0..x.steps.len())
        .map(|t| value(t).map_or(0.0, |v| v.max(0.0)))
        .collect()
}

/// Sum of all loads nobody can move.
pub fn fixed(x: &Context<'_>) -> Vec<f64> {
    let mut sum = vec![0.0; x.steps.len()];
    for (id, _, _) in x.all(|k| if let Kind::Load(l) = k { Some(l) } else { None }) {
        for (total, kw) in sum.iter_mut().zip(mean(x, x.forecast.load.get(id))) {
            *total += kw;
        }
    }
    sum
}

pub fn pv(x: &Context<'_>) -> Vec<PvProblem> {
    let all = x.all(|k| if let Kind::Pv(p) = k { Some(p) } else { None });
    all.into_iter()
        .map(|(id, _, p)| {
            let most = p.inverter_max.as_kw();
            let available_kw = sun(x, id).into_iter().map(|kw| kw.min(most)).collect();
            PvProblem {
                id: id.to_string(),
                available_kw,
                curtailable: p.curtailable,
            }
        })
        .collect()
}

/// The sun a plan counts on: the expected one beside a grid. An island leans towards its 10 % quantile: sun beyond the plan
/// is at worst not used, sun that stays away starts the generator once more.
fn sun(x: &Context<'_>, id: &Id) -> Vec<f64> {
    let series = x.forecast.pv.get(id);
    let expected = mean(x, series);
    if x.plant.connection.is_some() {
        return expected;
    }
    let low = |t: usize| series.and_then(|q| q.p10.get(t).copied()).filter(|v| v.is_finite());
    let lean = |(t, kw): (usize, f64)| low(t).map_or(kw, |low| kw + CAUTION * (low.max(0.0) - kw).min(0.0));
    expected.into_iter().enumerate().map(lean).collect()
}

/// What may be shed and what that costs; lower priorities go first.
pub fn sheddable(x: &Context<'_>) -> Vec<SheddableProblem> {
    let all = x.all(|k| if let Kind::SheddableLoad(l) = k { Some(l) } else { None });
    let classes: Vec<(u8, f64)> = all
        .iter()
        .map(|(_, _, l)| (l.priority, worth(l.value.as_per_kwh().max(0.0), x.prices.top)))
        .collect();
    all.into_iter()
        .zip(by_priority(&classes))
        .map(|((id, _, _), shed_cost_per_kwh)| SheddableProblem {
            id: id.to_string(),
            load_kw: mean(x, x.forecast.load.get(id)),
            shed_cost_per_kwh,
        })
        .collect()
}

/// Worth of a kWh: the owner's where it is below the dearest energy (such a load runs when energy is cheap), else at least
/// what keeps it served whenever there is energy.
fn worth(value: f64, top: f64) -> f64 {
    if value > top { value.max(WANTED * top) } else { value }
}

/// Worth of a kWh of each class (priority, value): its own, and above that of every class that is less important.
fn by_priority(classes: &[(u8, f64)]) -> Vec<f64> {
    const ABOVE: f64 = 1.01;
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(classes[*i].0));
    let mut worth = vec![0.0; classes.len()];
    for i in order.iter().copied() {
        let (priority, own) = classes[i];
        let below = order.iter().filter(|j| classes[**j].0 > priority);
        worth[i] = below.map(|j| ABOVE * worth[*j]).fold(own, f64::max);
    }
    worth
}

/// One problem a run: the one that is on, or those of today's and tomorrow's windows that fit into the horizon.
pub fn shiftable(x: &Context<'_>) -> Vec<ShiftableProblem> {
    let all = x.all(|k| if let Kind::ShiftableLoad(l) = k { Some(l) } else { None });
    all.into_iter().flat_map(|(id, _, l)| runs(x, id, l)).collect()
}

fn runs(x: &Context<'_>, id: &Id, l: &ShiftableLoad) -> Vec<ShiftableProblem> {
    let tz = x.plant.location.time_zone;
    let today = x.now().with_timezone(&tz).date_naive();
    let history = x.state.shiftables.get(id);
    let day_of = |d: NaiveDate| d.num_days_from_ce() - NaiveDate::default().num_days_from_ce();
    let running = history
        .filter(|h| !h.done)
        .and_then(|h| h.started)
        .map(|since| hours(l.duration - (x.now() - since)));
    let told = x.state.overrides.get(id).filter(|o| o.until > x.now());
    let free_from = told.map_or(x.now(), |o| o.until);
    let mut found: Vec<_> = run_now(x, id, l, running, told).into_iter().collect();
    let done_today =
        running.is_some() || history.is_some_and(|h| h.day >= day_of(today) && (h.done || h.started.is_some()));
    // yesterday's window may reach over midnight
    for day in [today.pred_opt(), Some(today), today.succ_opt()].into_iter().flatten() {
        let over_midnight = l.latest <= l.earliest;
        let last_day = if over_midnight {
            day.succ_opt().unwrap_or(day)
        } else {
            day
        };
        let window = (
            local_instant(tz, day.and_time(l.earliest)),
            local_instant(tz, last_day.and_time(l.latest)),
        );
        let past = day < today && !over_midnight;
        let done = done_today && day <= today || history.is_some_and(|h| h.day >= day_of(day) && h.done);
        let window = (window.0.max(free_from), window.1);
        let fits = window.1 - window.0 >= l.duration && window.1 <= x.forecast.grid.end();
        if !past && !done && fits {
            found.push(one(x, id, l, window, 0.0));
        }
    }
    for (n, problem) in found.iter_mut().enumerate() {
        problem.id = part(id, n);
    }
    found
}

/// The run that is on, hours of which are left, as a person told it: on until then; off until then, and what is left of it after.
fn run_now(
    x: &Context<'_>,
    id: &Id,
    l: &ShiftableLoad,
    left: Option<f64>,
    told: Option<&Override>,
) -> Option<ShiftableProblem> {
    let left = left.filter(|left| *left > 0.0);
    let on = |left: f64| one(x, id, l, (x.now(), x.now()), left);
    match told.map(|o| (o.target, o.until, hours(o.until - x.now()))) {
        Some((Target::On(true), _, held)) => Some(on(left.map_or(held, |left| left.max(held)))),
        Some((Target::On(false), until, held)) => {
            let after = left.map(|left| left - held).filter(|after| *after > 0.0)?;
            Some(ShiftableProblem {
                duration_hours: after,
                ..one(x, id, l, (until, until + l.duration), 0.0)
            })
        }
        _ => left.map(on),
    }
}

fn one(
    x: &Context<'_>,
    id: &Id,
    l: &ShiftableLoad,
    window: (Timestamp, Timestamp),
    running_hours: f64,
) -> ShiftableProblem {
    ShiftableProblem {
        id: id.to_string(),
        power_kw: l.power.as_kw().max(0.0),
        duration_hours: hours(l.duration),
        earliest_step: x.first_step_from(window.0),
        latest_step: x.steps_over_by(window.1),
        missed_cost_per_kwh: 20.0 * x.prices.top,
        running_hours,
        phases: Vec::new(),
        after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_worth_its_fuel_is_kept_served_and_one_that_is_not_waits_for_cheap_energy() {
        assert_eq!(
            [worth(0.2, 0.5), worth(0.6, 0.5), worth(9.0, 0.5)],
            [0.2, WANTED * 0.5, 9.0]
        );
    }

    #[test]
    fn what_is_more_important_is_never_shed_before_what_is_less() {
        // the owner's values already in order: kept; not in order: the more important one is raised
        assert_eq!(by_priority(&[(1, 3.0), (2, 2.0), (2, 1.0)]), [3.0, 2.0, 1.0]);
        let raised = by_priority(&[(2, 1.0), (1, 0.5), (3, 4.0)]);
        assert!(
            raised[1] > raised[0] && raised[0] > raised[2] && raised[2] == 4.0,
            "{raised:?}"
        );
    }
}
