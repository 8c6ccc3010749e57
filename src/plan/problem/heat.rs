//! Heat: what the buildings will need, what the tanks hold, what the heat pumps give.
//!
//! All heat pumps of a site share one heat balance; the indoor target is constant, a little above the comfort minimum.

use super::Context;
use crate::model::{HeatProblem, HeatPumpProblem, PerStep, Quantity, TankProblem};
use crate::site::{HeatPump, Id, Kind};
use crate::units::hours;

/// Indoor target above the comfort minimum, K.
const MARGIN: f64 = 1.0;
/// Time in which a building off its target is brought back, h.
const RECOVERY: f64 = 6.0;

/// Heat of all heat pumps whose outdoor temperature is known or forecast; `None` where there is none.
pub fn heat(x: &Context<'_>) -> Option<HeatProblem> {
    let all = x.all(|k| if let Kind::HeatPump(h) = k { Some(h) } else { None });
    let mut load_kw = vec![0.0; x.steps.len()];
    let (mut heat_pumps, mut tanks) = (Vec::new(), Vec::new());
    for (id, _, h) in all {
        let Some(outdoor) = outdoor(x, id) else { continue };
        let cop: Vec<f64> = outdoor.iter().map(|t| cop(h, *t)).collect();
        let typical = cop.iter().sum::<f64>() / cop.len().max(1) as f64;
        let tank = tank(x, id, h, typical);
        for (t, kw) in building_load(x, id, h, &outdoor).into_iter().enumerate() {
            load_kw[t] += kw + tank.as_ref().map_or(0.0, |_| standing_loss(h));
        }
        heat_pumps.push(HeatPumpProblem {
            id: id.to_string(),
            electric_max_kw: h.electric_max.as_kw(),
            cop: PerStep::Each(cop),
        });
        tanks.extend(tank);
    }
    (!heat_pumps.is_empty()).then(|| HeatProblem {
        load_kw,
        unserved_cost_per_kwh: 5.0 * x.prices.top,
        dump_allowed: true,
        chps: Vec::new(),
        boilers: Vec::new(),
        heat_pumps,
        tanks,
        buildings: Vec::new(),
    })
}

/// °C by step: forecast, else what is measured now.
fn outdoor(x: &Context<'_>, id: &Id) -> Option<Vec<f64>> {
    if let Some(forecast) = x.forecast.outdoor.as_ref().filter(|q| q.mean.len() == x.steps.len()) {
        return Some(forecast.mean.clone()).filter(|v| v.iter().all(|t| t.is_finite()));
    }
    let now = x.snapshot.usable(id, Quantity::OutdoorTemperature)?;
    Some(vec![now; x.steps.len()])
}

/// Linear through the two rated points and beyond, at least 1.
pub fn cop(h: &HeatPump, outdoor: f64) -> f64 {
    let [(t0, c0), (t1, c1)] = h.cop;
    let (t0, t1) = (t0.as_celsius(), t1.as_celsius());
    let slope = if (t1 - t0).abs() < 1e-9 {
        0.0
    } else {
        (c1 - c0) / (t1 - t0)
    };
    (c0 + slope * (outdoor - t0)).max(1.0)
}

/// kW of heat that keeps the building at its target, plus bringing it there where it is measured off.
fn building_load(x: &Context<'_>, id: &Id, h: &HeatPump, outdoor: &[f64]) -> Vec<f64> {
    let b = &h.building;
    let target = (b.comfort_min.as_celsius() + MARGIN).min(b.comfort_max.as_celsius());
    let off = x
        .snapshot
        .usable(id, Quantity::RoomTemperature)
        .map(|room| target - room);
    let mut passed = 0.0;
    x.steps
        .iter()
        .zip(outdoor)
        .map(|(step, outdoor)| {
            let recovery = off
                .filter(|_| passed < RECOVERY)
                .map_or(0.0, |k| k * b.kwh_per_k / RECOVERY);
            passed += hours(step.length());
            (b.loss_kw_per_k * (target - outdoor) + recovery).max(0.0)
        })
        .collect()
}

/// Loss of the tank at its lowest temperature, kW; what is above is lost in proportion.
fn standing_loss(h: &HeatPump) -> f64 {
    let room = h.building.comfort_min.as_celsius();
    (h.tank.loss_kw_per_k * (h.tank.min.as_celsius() - room)).max(0.0)
}

/// The store above its lowest temperature; left out where its temperature is not known.
fn tank(x: &Context<'_>, id: &Id, h: &HeatPump, typical_cop: f64) -> Option<TankProblem> {
    let k = &h.tank;
    let now = x.snapshot.usable(id, Quantity::TankTemperature)?;
    let most = h.electric_max.as_kw() * h.cop.iter().map(|(_, c)| *c).fold(typical_cop, f64::max);
    let saved = x.prices.quantile(0.2).unwrap_or(x.prices.typical).max(0.0);
    Some(TankProblem {
        id: format!("{id}#tank"),
        capacity_kwh: (k.max.as_celsius() - k.min.as_celsius()).max(0.0) * k.kwh_per_k,
        start_kwh: (now - k.min.as_celsius()).max(0.0) * k.kwh_per_k,
        charge_max_kw: most,
        discharge_max_kw: 2.0 * most,
        loss_per_hour: if k.kwh_per_k > 0.0 {
            k.loss_kw_per_k / k.kwh_per_k
        } else {
            0.0
        },
        end_min_kwh: None,
        end_value_per_kwh: 0.9 * saved / typical_cop.max(1.0),
    })
}
