//! Loads that may wait or be switched off: run-once loads inside their window, sheddable loads by priority.

use super::envelope::Envelope;
use super::order::Order;
use super::rule;
use super::view::{Lead, View};
use crate::model::{Reason, ReasonCode, ShiftableHistory, Target};
use crate::site::{Battery, Id, Kind, SheddableLoad, ShiftableLoad};
use crate::time::{Timestamp, local_instant};
use chrono::{Datelike, NaiveDate, TimeDelta};
use std::collections::BTreeMap;

/// A load stays off at least this long once shed.
const SHED_AT_LEAST: TimeDelta = TimeDelta::minutes(10);

/// The window that holds `now` or comes next today: its local day and its ends.
fn window(view: &View<'_>, load: &ShiftableLoad) -> (NaiveDate, Timestamp, Timestamp) {
    let tz = view.plant.location.time_zone;
    let today = view.now.with_timezone(&tz).date_naive();
    let over_midnight = load.latest <= load.earliest;
    let of = |day: NaiveDate| {
        let last = if over_midnight {
            day.succ_opt().unwrap_or(day)
        } else {
            day
        };
        (
            day,
            local_instant(tz, day.and_time(load.earliest)),
            local_instant(tz, last.and_time(load.latest)),
        )
    };
    let yesterday = of(today.pred_opt().unwrap_or(today));
    if over_midnight && view.now < yesterday.2 {
        yesterday
    } else {
        of(today)
    }
}

fn day_number(day: NaiveDate) -> i32 {
    day.num_days_from_ce() - NaiveDate::default().num_days_from_ce()
}

/// Runs once each day: as planned, at the latest when the time left is the run's length; once started it runs through.
pub fn shiftable(
    view: &View<'_>,
    envelope: &mut Envelope,
    id: &Id,
    load: &ShiftableLoad,
    histories: &mut BTreeMap<Id, ShiftableHistory>,
    starts: &mut u32,
) -> Order {
    let (day, from, to) = window(view, load);
    let history = view.state.shiftables.get(id).cloned();
    if let Some(started) = history.as_ref().filter(|h| !h.done).and_then(|h| h.started) {
        return running(view, envelope, id, load, histories, started);
    }
    let had = history.is_some_and(|h| h.day >= day_number(day) && h.done);
    let inside = view.now >= from && view.now < to;
    let deadline = to - load.duration - (view.cycle() * 3).max(TimeDelta::minutes(1));
    let (due, reason) = if had || !inside {
        (false, ReasonCode::WaitShiftable)
    } else if view.now >= deadline {
        (true, ReasonCode::DeadlineShiftable)
    } else {
        (is_time(view, id, load, day, (from, to)), ReasonCode::RunShiftable)
    };
    let kw = load.power.as_kw();
    let fits = envelope.room_up(id).0 >= 0.98 * kw;
    if due && fits && *starts == 0 {
        *starts += 1;
        envelope.take(id, 0.0, kw, kw);
        let history = ShiftableHistory {
            day: day_number(day),
            started: Some(view.now),
            done: false,
        };
        histories.insert(id.clone(), history);
        return Order::new(id, Target::On(true), Reason::new(reason));
    }
    let why = match envelope.room_up(id).1 {
        Some(held) if due && !fits => Reason::new(held.code).limited(held.limit),
        _ => Reason::new(ReasonCode::WaitShiftable),
    };
    Order::new(id, Target::On(false), why)
}

fn running(
    view: &View<'_>,
    envelope: &mut Envelope,
    id: &Id,
    load: &ShiftableLoad,
    histories: &mut BTreeMap<Id, ShiftableHistory>,
    started: Timestamp,
) -> Order {
    if view.now - started >= load.duration {
        if let Some(mut h) = view.state.shiftables.get(id).cloned() {
            h.done = true;
            histories.insert(id.clone(), h);
        }
        return Order::new(id, Target::On(false), Reason::new(ReasonCode::WaitShiftable));
    }
    let kw = load.power.as_kw();
    envelope.take(id, 0.0, kw, kw);
    Order::new(id, Target::On(true), Reason::new(ReasonCode::RunShiftable))
}

fn is_time(view: &View<'_>, id: &Id, load: &ShiftableLoad, day: NaiveDate, window: (Timestamp, Timestamp)) -> bool {
    match view.lead() {
        Lead::Idle => true,
        Lead::Rule => view.now >= rule::midday_start(view, load, day, window),
        Lead::Plan => view.planned_kw(id).is_some_and(|kw| kw > 0.5 * load.power.as_kw()),
    }
}

/// How short of energy an island is; each level sheds one priority more, the highest number first.
pub fn shed_all_from(view: &View<'_>) -> Option<u8> {
    if view.plant.connection.is_some() {
        return None;
    }
    let priorities: Vec<u8> = sheddables(view).map(|(_, l)| l.priority).collect();
    let (last, first) = (priorities.iter().min()?, priorities.iter().max()?);
    let spare = spare_charge(view)?;
    // from 5 % of the usable charge left to nothing, one priority after the other
    let levels = f64::from(last.abs_diff(*first)) + 1.0;
    let gone = ((SHED_BELOW - spare) / SHED_BELOW * levels).ceil();
    (gone > 0.0).then(|| first.saturating_sub((gone as u8).saturating_sub(1)).max(*last))
}

/// Usable charge above the least, as a share of capacity, below which loads are shed; and what brings them back.
const SHED_BELOW: f64 = 0.04;
const SERVE_ABOVE: f64 = 0.08;

fn sheddables<'a>(view: &View<'a>) -> impl Iterator<Item = (&'a Id, &'a SheddableLoad)> + use<'a> {
    view.plant.components.iter().filter_map(|(id, c)| match &c.kind {
        Kind::SheddableLoad(l) => Some((id, l)),
        _ => None,
    })
}

/// State of charge above the least of the fullest battery; `None` where none is known.
fn spare_charge(view: &View<'_>) -> Option<f64> {
    let spare = |(id, b): (&Id, &Battery)| Some(view.snapshot.soc(id)?.as_ratio() - b.soc_min.as_ratio());
    view.batteries().filter_map(spare).reduce(f64::max)
}

/// Serves unless the plan or a nearly empty battery says otherwise.
pub fn sheddable(
    view: &View<'_>,
    envelope: &mut Envelope,
    id: &Id,
    load: &SheddableLoad,
    shed_from: Option<u8>,
) -> Order {
    let (on, since) = match view.last(id) {
        None => (true, TimeDelta::days(1)),
        Some(_) => view.on_since(id),
    };
    let forced = shed_from.is_some_and(|p| load.priority >= p);
    let may_return = since >= SHED_AT_LEAST && spare_charge(view).is_none_or(|s| s > SERVE_ABOVE);
    let planned = view.lead() == Lead::Plan && shed_by_plan(view, id);
    let serve = !forced && !planned && (on || may_return);
    if serve {
        let most = load.expected.max.as_kw();
        let kw = view.power(id).filter(|_| on).unwrap_or(most);
        envelope.take(id, 0.0, most.max(kw), kw);
        return Order::new(id, Target::On(true), Reason::new(ReasonCode::KeepServed));
    }
    Order::new(id, Target::On(false), Reason::new(ReasonCode::ShedLoad))
}

fn shed_by_plan(view: &View<'_>, id: &Id) -> bool {
    let Some((schedule, step)) = view.plan else {
        return false;
    };
    let sheds = schedule.solution.plan.shed_kw.get(id.as_str());
    let shed = sheds.and_then(|s| s.get(step).copied());
    let served = view.planned_kw(id).unwrap_or(0.0);
    shed.is_some_and(|shed| is_shed(shed, served))
}

/// A load is on or off as a whole: off where the plan leaves more than half of it unserved. Both in kW.
pub fn is_shed(shed: f64, served: f64) -> bool {
    shed > 0.05 && shed > served
}
