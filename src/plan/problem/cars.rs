//! Charging sessions: the car that is there and those that are expected.

use super::{Context, money, part};
use crate::model::{EvProblem, ExpectedSession};
use crate::site::{ChargePoint, Component, EvMode, Id, Kind};
use crate::units::hours;
use chrono::TimeDelta;

/// Shortfall of a wish, in highest prices: what people asked for and what is only expected.
const WISH: f64 = 10.0;
const EXPECTED: f64 = 5.0;

/// A promise to a person comes before the month's peak: missing a kWh costs at least what the peak would rise by if the car
/// took it within this time, h. Capped at half of what a broken limit costs, as multiples of the highest price.
const WITHIN_H: f64 = 1.0;
const MOST: f64 = 50.0;

/// How long before its departure a car that leaves early may be gone.
const EARLY: TimeDelta = TimeDelta::hours(2);
/// What such a car misses it takes elsewhere, in highest prices: a public charger costs about twice what a household pays.
const ELSEWHERE: f64 = 2.0;

pub fn cars(x: &Context<'_>) -> Vec<EvProblem> {
    let all = x.all(|k| if let Kind::ChargePoint(c) = k { Some(c) } else { None });
    all.into_iter()
        .flat_map(|(id, component, c)| {
            let sessions = x.forecast.sessions.get(id).map_or(&[][..], Vec::as_slice);
            let cars = sessions.iter().enumerate();
            cars.filter_map(move |(n, s)| car(x, part(id, n), id, component, c, s))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn car(
    x: &Context<'_>,
    name: String,
    id: &Id,
    component: &Component,
    c: &ChargePoint,
    s: &ExpectedSession,
) -> Option<EvProblem> {
    let told = x.state.sessions.get(id).filter(|_| !s.expected);
    let mode = told.map_or(c.default_session.mode, |t| t.mode);
    let charge_max_kw = c.current_max.as_amps() * x.plant.kw_per_amp(component);
    let (arrive, depart) = window(x, s);
    // what can still be charged after the horizon need not be charged in it
    let after = hours(s.departure - x.forecast.grid.end()).max(0.0) * charge_max_kw * c.efficiency;
    let need = (s.energy_kwh - after).max(0.0);
    let wanted = need > 1e-3 || x.state.overrides.contains_key(id);
    if depart <= arrive || !need.is_finite() || !wanted || s.departure <= s.arrival {
        return None;
    }
    let top = x.prices.top;
    let shortfall_cost_per_kwh = match (mode, s.expected) {
        (EvMode::Surplus, _) => top,
        (_, true) => EXPECTED * top,
        (_, false) => promise(x),
    };
    Some(EvProblem {
        id: name,
        arrive_step: arrive,
        depart_step: depart,
        energy_needed_kwh: need,
        charge_max_kw,
        // the minimum current is kept by dispatch: whole plans stay linear with many chargers
        charge_min_kw: 0.0,
        charge_eff: c.efficiency,
        shortfall_cost_per_kwh,
        asap: mode == EvMode::Fast && !s.expected,
        surplus_only: mode == EvMode::Surplus,
        late_step: Some(x.steps_over_by(s.departure - EARLY)),
        late_cost_per_kwh: s.leaves_early * ELSEWHERE * top,
        demand_kw: None,
        demand_missed_cost_per_kwh: 0.0,
        extra_max_kwh: 0.0,
        extra_value_per_kwh: 0.0,
        later: Vec::new(),
        // dispatch only charges: what a plan gave back would never come
        store: None,
    })
}

/// Price of a kWh that a person asked for and does not get.
fn promise(x: &Context<'_>) -> f64 {
    let peak = money::peak_per_kw(x.plant) / WITHIN_H;
    peak.clamp(WISH * x.prices.top, MOST * x.prices.top)
}

/// First usable and first unusable step; a car that is still there after its departure keeps the current step.
fn window(x: &Context<'_>, s: &ExpectedSession) -> (usize, usize) {
    let arrive = if s.expected { x.first_step_from(s.arrival) } else { 0 };
    let depart = x.steps_over_by(s.departure);
    (arrive, if s.expected { depart } else { depart.max(1) })
}
