//! Setpoints without sight of the connection point: storage rests, cars charge at the least current the limits surely
//! allow, PV stays below its share of the export limit, heat pumps run on their own thermostats.
//!
//! What is given back may start in the same moment, and nothing shows what else flows. So what draws goes down first: a heat
//! pump is given back, and a battery ends its support, once everything else is seen to draw no more than it is told here.

use super::may;
use super::order::Order;
use super::view::View;
use crate::model::{Direction, Reason, ReasonCode, Target};
use crate::site::{Component, Id, Kind};
use crate::units::{Current, Energy, Power};
use chrono::TimeDelta;

/// Longest time that heat pumps and batteries wait for the rest. A tank and a building carry the heat of this time; where a
/// charger stays silent for longer, its timer is over, or nobody knows what the charger does, and the building must not grow
/// cold, nor the battery empty, for that.
const WAIT: TimeDelta = TimeDelta::minutes(10);
/// Mark: when the ladder last fell to Safe.
pub const BEGAN: &str = "safe";
/// Setpoints are written in steps of their registers, kW.
const STEP: f64 = 0.05;

pub fn orders(view: &View<'_>) -> Vec<Order> {
    let parts = || view.plant.components.iter().filter(|(id, _)| view.reachable(id));
    let cars = cars_fit(view);
    let mut orders: Vec<Order> = parts().filter_map(|(id, c)| order(view, id, c, cars)).collect();
    let waits = view.mark(BEGAN).is_some_and(|(then, _)| view.now - then < WAIT);
    if waits && !rest_is_down(view, &orders) {
        for order in &mut orders {
            if let Some(target) = meanwhile(view, &order.component) {
                order.target = target;
            }
        }
    }
    orders
}

/// What a component does while the rest still draws: a heat pump goes on as it was told last, a battery gives as before, as far
/// as that may be exported.
fn meanwhile(view: &View<'_>, id: &Id) -> Option<Target> {
    let Target::Power(last) = view.last(id)?.target else {
        return None;
    };
    match &view.plant.components.get(id)?.kind {
        Kind::HeatPump(_) => Some(Target::Power(last)),
        Kind::Battery(b) if !b.grid_forming && last < Power::ZERO => {
            let room = (export_max(view)? - pv_rated(view)).max(0.0);
            Some(Target::Power(last.max(Power::kw(-room))))
        }
        _ => None,
    }
}

/// No other component may draw more than it is told now: neither by a setpoint that may still be in force nor, where its
/// device is silent, by itself.
fn rest_is_down(view: &View<'_>, orders: &[Order]) -> bool {
    view.plant.components.iter().all(|(id, c)| {
        let told = orders.iter().find(|o| o.component == *id);
        let allowed = told.and_then(|o| may::told_kw(view, c, o.target)).unwrap_or(0.0);
        let silent = told.is_none() && may_draw(&c.kind);
        let lost = if silent { may::lost(view, id, c).high } else { 0.0 };
        matches!(c.kind, Kind::HeatPump(_)) || view.in_force(id).max(lost) <= allowed + STEP
    })
}

fn order(view: &View<'_>, id: &Id, component: &Component, cars: bool) -> Option<Order> {
    let target = match &component.kind {
        Kind::Battery(b) if !b.grid_forming => Target::Power(Power::ZERO),
        Kind::ChargePoint(p) => {
            let wants = view.state.sessions.get(id).is_some_and(|s| s.missing() > Energy::ZERO);
            Target::Current(if wants && cars { p.current_min } else { Current::ZERO })
        }
        Kind::HeatPump(_) => Target::Release,
        Kind::Pv(p) if p.curtailable => static_share(view, p.inverter_max.as_kw())?,
        _ => return None,
    };
    Some(Order::new(id, target, Reason::new(ReasonCode::SafeGridSilent)))
}

/// It draws as it is told, or by itself once nothing is told.
fn may_draw(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::ChargePoint(_) | Kind::SheddableLoad(_) | Kind::ShiftableLoad(_)
    )
}

/// This inverter's share of the export limit, as if nobody used anything; `None` where all of it may be exported.
fn static_share(view: &View<'_>, rated: f64) -> Option<Target> {
    let kw = export_max(view)? * rated / pv_rated(view).max(1e-9);
    Some(if kw >= rated {
        Target::Release
    } else {
        Target::PowerLimit(Power::kw(kw))
    })
}

/// Export limit in force, kW.
fn export_max(view: &View<'_>) -> Option<f64> {
    let own = view.plant.connection.as_ref()?.export_max.as_kw();
    Some(view.state.limits.most_kw(Direction::Export, own, view.now))
}

/// What all inverters of PV can give together, kW.
fn pv_rated(view: &View<'_>) -> f64 {
    let rated = |c: &Component| {
        if let Kind::Pv(p) = &c.kind {
            p.inverter_max.as_kw()
        } else {
            0.0
        }
    };
    view.plant.components.values().map(rated).sum()
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
