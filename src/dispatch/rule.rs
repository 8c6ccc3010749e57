//! What the rule policy knows without a forecast: the cheapest published hours before a departure, the middle of the day.

use super::view::View;
use crate::model::Session;
use crate::site::{ChargePoint, ShiftableLoad};
use crate::time::{Timestamp, floor_to, local_instant};
use crate::units::hours;
use chrono::{NaiveDate, NaiveTime, TimeDelta};

/// The current quarter of an hour is among the cheapest that are needed until departure; of equal prices the earliest.
pub fn cheap_now(view: &View<'_>, point: &ChargePoint, session: &Session, missing: f64, max_kw: f64) -> bool {
    let step = TimeDelta::minutes(15);
    let first = floor_to(view.now, step);
    let mut slots = Vec::new();
    let mut at = first;
    while at < session.departure && slots.len() < 192 {
        let known = view.plant.tariff.buy(at, view.prices, &view.state.month);
        if let Some(price) = known.filter(|p| !p.estimated) {
            slots.push((price.price.as_per_kwh(), at));
        }
        at += step;
    }
    if slots.is_empty() {
        return true;
    }
    slots.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut needed = missing / (point.efficiency * max_kw).max(1e-6);
    for (_, start) in slots {
        if needed <= 0.0 {
            return false;
        }
        if start == first {
            return true;
        }
        needed -= hours(step.min(session.departure - start));
    }
    false
}

/// Start of a run in the middle of the day as far as its window allows.
pub fn midday_start(
    view: &View<'_>,
    load: &ShiftableLoad,
    day: NaiveDate,
    window: (Timestamp, Timestamp),
) -> Timestamp {
    let noon = NaiveTime::from_hms_opt(12, 30, 0).unwrap_or(load.earliest);
    let middle = local_instant(view.plant.location.time_zone, day.and_time(noon)) - load.duration / 2;
    middle.min(window.1 - load.duration).max(window.0)
}
