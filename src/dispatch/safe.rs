//! Setpoints without sight of the connection point: storage rests, cars charge at the least current the limits surely
//! allow, PV stays below its share of the export limit, heat pumps run on their own thermostats.
//!
//! What is given back may start in the same moment, and nothing shows what else flows. So the rest goes first: a heat pump is
//! given back once everything else is seen to draw no more than it is told here.

use super::may;
use super::order::Order;
use super::view::View;
use crate::model::{Direction, Reason, ReasonCode, Target};
use crate::site::{Component, Id, Kind};
use crate::units::{Current, Power};
use chrono::TimeDelta;

/// Longest time that a heat pump waits for the rest. A tank and a building carry the heat of this time; where a charger stays
/// silent for longer, its timer is over, or nobody knows what the charger does, and the building must not grow cold for that.
const WAIT: TimeDelta = TimeDelta::minutes(10);
/// Mark: when the ladder last fell to Safe.
pub const BEGAN: &str = "safe";
/// Setpoints are written in steps of their registers, kW.
const STEP: f64 = 0.05;

pub fn orders(view: &View<'_>) -> Vec<Order> {
    let parts = || view.plant.components.iter().filter(|(id, _)| view.reachable(id));
    let cars = cars_fit(view);
    let is_heat = |c: &Component| matches!(c.kind, Kind::HeatPump(_));
    let mut orders: Vec<Order> = parts()
        .filter(|(_, c)| !is_heat(c))
        .filter_map(|(id, c)| order(view, id, c, cars))
        .collect();
    let quiet = rest_is_down(view, &orders);
    orders.extend(parts().filter(|(_, c)| is_heat(c)).map(|(id, _)| heat(view, id, quiet)));
    orders
}

/// The heat pump on its thermostat; before the rest is down, as it was told last.
fn heat(view: &View<'_>, id: &Id, quiet: bool) -> Order {
    let held = view.last(id).filter(|l| matches!(l.target, Target::Power(_)));
    let waits = view.mark(BEGAN).is_some_and(|(then, _)| view.now - then < WAIT);
    let target = match held {
        Some(last) if !quiet && waits => last.target,
        _ => Target::Release,
    };
    Order::new(id, target, Reason::new(ReasonCode::SafeGridSilent))
}

/// No setpoint of another component that may still be in force lets it draw more than it is told now.
fn rest_is_down(view: &View<'_>, orders: &[Order]) -> bool {
    view.plant.components.iter().all(|(id, c)| {
        let told = orders.iter().find(|o| o.component == *id);
        let allowed = told.and_then(|o| may::told_kw(view, c, o.target)).unwrap_or(0.0);
        matches!(c.kind, Kind::HeatPump(_)) || view.in_force(id) <= allowed + STEP
    })
}

fn order(view: &View<'_>, id: &Id, component: &Component, cars: bool) -> Option<Order> {
    let target = match &component.kind {
        Kind::Battery(b) if !b.grid_forming => Target::Power(Power::ZERO),
        Kind::ChargePoint(p) => {
            let wants = view.state.sessions.get(id).is_some_and(|s| s.delivered < s.energy);
            Target::Current(if wants && cars { p.current_min } else { Current::ZERO })
        }
        Kind::Pv(p) if p.curtailable => static_share(view, p.inverter_max.as_kw())?,
        _ => return None,
    };
    Some(Order::new(id, target, Reason::new(ReasonCode::SafeGridSilent)))
}

/// This inverter's share of the export limit, as if nobody used anything; `None` where all of it may be exported.
fn static_share(view: &View<'_>, rated: f64) -> Option<Target> {
    let own = view.plant.connection.as_ref()?.export_max.as_kw();
    let export = view.state.limits.most_kw(Direction::Export, own, view.now);
    let all: f64 = view
        .plant
        .components
        .values()
        .map(|c| {
            if let Kind::Pv(p) = &c.kind {
                p.inverter_max.as_kw()
            } else {
                0.0
            }
        })
        .sum();
    let kw = export * rated / all.max(1e-9);
    Some(if kw >= rated {
        Target::Release
    } else {
        Target::PowerLimit(Power::kw(kw))
    })
}

/// The smallest currents of all cars fit below the import limit beside the highest load ever expected.
fn cars_fit(view: &View<'_>) -> bool {
    let Some(point) = &view.plant.connection else {
        return true;
    };
    let own = point.import_max.as_kw();
    let import = view.state.limits.most_kw(Direction::Import, own, view.now);
    let most: f64 = view
        .plant
        .components
        .iter()
        .map(|(id, c)| match &c.kind {
            Kind::Load(l) => l.expected.max.as_kw(),
            Kind::SheddableLoad(l) => l.expected.max.as_kw(),
            Kind::ShiftableLoad(l) => l.power.as_kw(),
            Kind::HeatPump(h) => h.electric_max.as_kw(),
            Kind::ChargePoint(p) if view.state.sessions.contains_key(id) => {
                p.current_min.as_amps() * view.kw_per_amp(c)
            }
            _ => 0.0,
        })
        .sum();
    most <= import
}
