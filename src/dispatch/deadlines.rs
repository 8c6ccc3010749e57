//! Cars behind one fuse are short together. Each alone may have time enough at full power while the fuse cannot carry them all
//! before they leave.
//!
//! The test is the demand bound of earliest-deadline-first scheduling (Baruah, Rosier and Howell 1990): up to each departure,
//! the energy of all cars that leave by then must fit through the fuse. In: sessions, circuits, what else draws behind a fuse,
//! kW. Out: the cars that must charge now.

use super::charge_point::{SPARE, SPARE_H};
use super::view::View;
use crate::site::{ChargePoint, Component, EvMode, Id, Kind};
use crate::time::Timestamp;
use crate::units::hours;
use std::collections::BTreeSet;

/// A car that wants energy by its departure.
struct Due<'p> {
    id: &'p Id,
    component: &'p Component,
    departure: Timestamp,
    /// Energy at the meter still to come, kWh.
    kwh: f64,
}

pub fn short_together(view: &View<'_>) -> BTreeSet<Id> {
    let mut cars: Vec<Due<'_>> = view
        .charge_points()
        .filter_map(|(id, c, p)| due(view, id, c, p))
        .collect();
    cars.sort_by(|a, b| (a.departure, a.id).cmp(&(b.departure, b.id)));
    let mut short = BTreeSet::new();
    for (circuit, limits) in &view.plant.circuits {
        let under = |c: &Component| c.circuit.as_ref().is_some_and(|own| view.plant.is_under(own, circuit));
        let phases = limits.fuse.into_iter().flat_map(|fuse| {
            let kw = fuse.as_amps() * view.volts() / 1e3;
            (0..view.phases()).map(move |p| (kw, Some(p)))
        });
        let whole = limits.power_max.map(|kw| (kw.as_kw(), None));
        for (kw, phase) in phases.chain(whole) {
            let share = |c: &Component| match phase {
                _ if !under(c) => 0.0,
                Some(p) => view.phase_shares(c)[p],
                None => 1.0,
            };
            behind(view, &cars, kw, share, &mut short);
        }
    }
    short
}

fn due<'p>(view: &View<'_>, id: &'p Id, component: &'p Component, point: &ChargePoint) -> Option<Due<'p>> {
    let session = view.state.sessions.get(id)?;
    let kwh = session.missing().as_kwh() / point.efficiency;
    let waits = session.mode != EvMode::Surplus && kwh > 0.0 && view.state.takes_nothing(id).is_none();
    waits.then_some(Due {
        id,
        component,
        departure: session.departure,
        kwh,
    })
}

/// Cars for which one limit, kW, will be too small, unless they charge from now on.
fn behind(view: &View<'_>, cars: &[Due<'_>], limit: f64, share: impl Fn(&Component) -> f64, short: &mut BTreeSet<Id>) {
    let others = view
        .plant
        .components
        .iter()
        .filter(|(_, c)| !matches!(c.kind, Kind::ChargePoint(_)));
    let drawn: f64 = others
        .filter_map(|(id, c)| Some(share(c) * view.power(id)?.max(0.0)))
        .sum();
    let free = (limit - drawn).max(0.0);
    let (mut needed, mut members) = (0.0, Vec::new());
    for car in cars.iter().filter(|car| share(car.component) > 0.0) {
        needed += share(car.component) * car.kwh;
        members.push(car.id);
        let left = (hours(car.departure - view.now) - SPARE_H).max(0.0);
        if members.len() > 1 && free * left <= needed * SPARE {
            short.extend(members.iter().map(|id| (*id).clone()));
        }
    }
}
