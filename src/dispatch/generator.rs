//! Generators: idle follows the net load, the rule a band of charge, the plan its own hours, and always a guard that
//! starts when charge or power becomes short. Minimum running and resting times hold unless the guard starts.

use super::battery::reach;
use super::order::Order;
use super::view::{Lead, View};
use crate::model::{GeneratorHistory, Reason, ReasonCode, Target};
use crate::site::{Battery, Generator, Id};
use crate::units::{Power, hours};
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// `net`: kW that load asks for beyond what sun (and the grid) give, without generators and batteries.
pub fn order(
    view: &View<'_>,
    id: &Id,
    g: &Generator,
    net: f64,
    told: Option<f64>,
    histories: &mut BTreeMap<Id, GeneratorHistory>,
) -> Order {
    let history = view.state.generators.get(id).cloned();
    let running = history.as_ref().is_some_and(|h| h.running);
    let (since, starts) = history.map_or((TimeDelta::days(1), 0), |h| (view.now - h.since, h.starts));
    let guard = guard(view, id, net, running);
    let (wanted, code) = wanted(view, id, g, net, told, running);
    let (on, code) = match (running, guard) {
        (_, true) => (true, ReasonCode::GeneratorNeeded),
        (true, _) if !wanted && since < g.min_up => (true, ReasonCode::GeneratorMinimum),
        (false, _) if wanted && since < g.min_down => (false, ReasonCode::GeneratorRest),
        _ => (wanted, code),
    };
    if on != running || !view.state.generators.contains_key(id) {
        let history = GeneratorHistory {
            running: on,
            since: view.now,
            starts: starts + u32::from(on),
        };
        histories.insert(id.clone(), history);
    }
    let kw = if on { power(view, id, g, net, told, guard) } else { 0.0 };
    Order::new(id, Target::Power(Power::kw(kw)), Reason::new(code))
}

fn wanted(view: &View<'_>, id: &Id, g: &Generator, net: f64, told: Option<f64>, running: bool) -> (bool, ReasonCode) {
    let soc = charge(view);
    let (on, why) = match (told, view.lead()) {
        (Some(kw), _) => return (kw > 0.0, ReasonCode::Override),
        (None, Lead::Idle) => {
            let least = g.power_min.as_kw();
            (
                net > if running { 0.5 * least } else { least },
                ReasonCode::GeneratorNeeded,
            )
        }
        (None, Lead::Rule) => match soc {
            Some(soc) if running => (soc < g.stop_above.as_ratio(), ReasonCode::GeneratorNeeded),
            Some(soc) => (soc < g.start_below.as_ratio(), ReasonCode::GeneratorNeeded),
            None => (net > g.power_min.as_kw(), ReasonCode::GeneratorNeeded),
        },
        (None, Lead::Plan) => {
            let on = view.planned_kw(id).is_some_and(|kw| -kw > 0.3 * g.power_min.as_kw());
            (on, ReasonCode::FollowPlan)
        }
    };
    (on, if on { why } else { ReasonCode::GeneratorRest })
}

/// State of charge of the emptiest battery that carries the load; `None` where it is not known.
fn charge(view: &View<'_>) -> Option<f64> {
    view.batteries()
        .filter_map(|(id, b)| least_charge(view, id, b))
        .reduce(f64::min)
}

/// State of charge as shown, else what it cannot have fallen below since it was last believed; `None` before there was one.
fn least_charge(view: &View<'_>, id: &Id, b: &Battery) -> Option<f64> {
    if let Some(soc) = view.snapshot.soc(id) {
        return Some(soc.as_ratio());
    }
    let (at, soc) = view.state.believed_charge(id)?;
    let drawn = b.discharge_max.as_kw() / b.discharge_efficiency * hours(view.now - at);
    Some((soc - drawn / b.capacity.as_kwh()).max(0.0))
}

/// Charge near its end, or load near the batteries' power: run whatever the plan says. Ends with some distance.
fn guard(view: &View<'_>, id: &Id, net: f64, running: bool) -> bool {
    if view.plant.connection.is_some() {
        return false;
    }
    let forced = running
        && view
            .last(id)
            .is_some_and(|l| l.reason.code == ReasonCode::GeneratorNeeded);
    let low = |(id, b): (&Id, &Battery)| {
        let kept = b.reserve.as_ratio().max(b.soc_min.as_ratio() + 0.04);
        let start = 0.5 * (b.soc_min.as_ratio() + kept);
        let end = if forced { start + 0.08 } else { start };
        least_charge(view, id, b).is_none_or(|soc| soc < end)
    };
    let most: f64 = view.batteries().map(|(_, b)| b.discharge_max.as_kw()).sum();
    let batteries = view.batteries().count();
    let short = net > if forced { 0.7 * most } else { 0.9 * most };
    batteries == 0 || view.batteries().all(low) || short
}

/// Power while running: as told, following the load, well loaded by rule, at least as planned; never more than load and
/// batteries can take.
fn power(view: &View<'_>, id: &Id, g: &Generator, net: f64, told: Option<f64>, guard: bool) -> f64 {
    let (least, most) = (g.power_min.as_kw(), g.power_max.as_kw());
    let room: f64 = view.batteries().map(|(id, b)| reach(view, id, b).1).sum();
    let taken = (net + 0.95 * room).max(0.0);
    let wish = match (told, view.lead()) {
        (Some(kw), _) => kw.abs(),
        (None, Lead::Idle) => net,
        (None, Lead::Rule) => most,
        (None, Lead::Plan) => {
            let planned = view.planned_kw(id).map_or(0.0, |kw| -kw);
            if guard {
                planned.max(net).max(0.7 * most)
            } else {
                planned
            }
        }
    };
    let kw = wish.min(taken).clamp(least, most);
    let kw = (kw * 5.0).round() / 5.0;
    let shown = view.last(id).map(|l| l.target);
    match shown {
        Some(Target::Power(p)) if p.as_kw() >= least && (p.as_kw() - kw).abs() < 0.03 * most => p.as_kw(),
        _ => kw.clamp(least, most),
    }
}
