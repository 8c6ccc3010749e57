//! Heat pumps under the plan: its energy, at or above the least power of the machine,
//! with comfort above all and surplus on top.

use super::envelope::Envelope;
use super::order::Order;
use super::view::View;
use crate::model::{Quantity, Reason, ReasonCode, Target};
use crate::site::{HeatPump, Id};
use crate::time::Timestamp;
use crate::units::{Power, hours};
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// A compressor runs and rests at least this long.
const MIN_RUN: TimeDelta = TimeDelta::minutes(10);
/// K below the comfort minimum plus this the room is heated whatever the plan says; K above, heating for comfort ends.
const NEAR_COLD: f64 = 0.15;
const TANK_FULL: f64 = 0.5;

/// `drawn`: what it draws now, `surplus`: export that nobody else takes, kW.
pub fn order(
    view: &View<'_>,
    envelope: &mut Envelope,
    id: &Id,
    pump: &HeatPump,
    (drawn, surplus): (f64, f64),
    told: Option<f64>,
    marks: &mut BTreeMap<String, (Timestamp, f64)>,
) -> Order {
    let (wish, reason) = match told {
        Some(kw) => (kw, Reason::new(ReasonCode::Override)),
        None => wish(view, id, pump, surplus, marks),
    };
    let least = pump.electric_min.as_kw();
    let wish = wish.min(pump.electric_max.as_kw());
    let hard = envelope.without_demand();
    let (room, held) = hard.room_up(id);
    let drawn = drawn.max(0.0);
    let kw = if wish < 0.5 * least { 0.0 } else { wish.max(least) };
    let fits = if room >= least { kw.min(room) } else { 0.0 };
    // what storage has not given up yet is not there yet
    let counted = drawn.max(view.in_force(id));
    let now = fits.min(hard.room_now(id).max(counted));
    let now = if now >= least { now } else { 0.0 };
    envelope.take(id, 0.0, fits.max(counted), now);
    let reason = match held {
        Some(h) if now < kw => Reason::new(h.code).limited(h.limit),
        _ => reason,
    };
    Order::new(id, Target::Power(Power::kw(steady(view, id, now))), reason)
}

/// Small changes of power are not worth a write.
fn steady(view: &View<'_>, id: &Id, kw: f64) -> f64 {
    let rounded = (kw * 50.0).floor() / 50.0;
    match view.last(id).map(|l| l.target) {
        Some(Target::Power(p)) if p.as_kw() <= kw && kw - p.as_kw() < 0.06 && rounded > 0.0 && p.as_kw() > 0.0 => {
            p.as_kw()
        }
        _ => rounded,
    }
}

fn wish(
    view: &View<'_>,
    id: &Id,
    pump: &HeatPump,
    surplus: f64,
    marks: &mut BTreeMap<String, (Timestamp, f64)>,
) -> (f64, Reason) {
    let tank = view.snapshot.usable(id, Quantity::TankTemperature);
    let room = view.snapshot.usable(id, Quantity::RoomTemperature);
    let planned = duty(view, id, pump, marks);
    let (least, most) = (pump.electric_min.as_kw(), pump.electric_max.as_kw());
    if tank.is_some_and(|t| t >= pump.tank.max.as_celsius() - TANK_FULL) {
        return (0.0, Reason::new(ReasonCode::HeatSatisfied));
    }
    let cold = room.is_some_and(|t| t < pump.building.comfort_min.as_celsius() + NEAR_COLD);
    let drained = tank.is_some_and(|t| t < pump.tank.min.as_celsius() + 1.0);
    if cold && tank.is_none_or(|t| t < pump.tank.min.as_celsius() + 5.0) || drained {
        return (planned.max(0.7 * most), Reason::new(ReasonCode::ComfortHeat));
    }
    let worth = view.worth(id).map(|heat| heat * cop(view, id, pump));
    let valued = worth.zip(view.sell()).is_some_and(|(w, s)| w > s);
    let (on, _) = view.on_since(id);
    let enough = if on { 0.7 * least } else { 1.1 * least };
    if valued && surplus > enough && surplus > planned {
        let reason = Reason::new(ReasonCode::RunHeat).worth(worth, view.sell());
        return (surplus.clamp(least, most), reason);
    }
    let code = if planned > 0.0 {
        ReasonCode::FollowPlan
    } else {
        ReasonCode::HeatSatisfied
    };
    (planned, Reason::new(code).worth(worth, view.buy()))
}

/// Planned power; below the least power of the machine as runs and rests that carry the same energy.
fn duty(view: &View<'_>, id: &Id, pump: &HeatPump, marks: &mut BTreeMap<String, (Timestamp, f64)>) -> f64 {
    let planned = view.planned_kw(id).unwrap_or(0.0).max(0.0);
    let least = pump.electric_min.as_kw();
    let name = format!("owed/{id}");
    let drawn = view.power(id).unwrap_or(planned);
    let block = least * hours(MIN_RUN);
    let owed = view.mark(&name).map_or(0.0, |(then, owed)| {
        let dt = (view.now - then).min(view.cycle() * 3);
        (owed + (planned - drawn) * hours(dt)).clamp(-block, 1.5 * block)
    });
    marks.insert(name, (view.now, owed));
    if planned >= least {
        return planned;
    }
    let (on, since) = view.on_since(id);
    let run = if on {
        owed > 0.0 || since < MIN_RUN
    } else {
        owed > 0.8 * block && since >= MIN_RUN
    };
    if run { least } else { 0.0 }
}

/// Linear through the two rated points and beyond, at least 1.
fn cop(view: &View<'_>, id: &Id, pump: &HeatPump) -> f64 {
    let [(t0, c0), (t1, c1)] = pump.cop;
    let (t0, t1) = (t0.as_celsius(), t1.as_celsius());
    let Some(outdoor) = view.snapshot.usable(id, Quantity::OutdoorTemperature) else {
        return c0.min(c1).max(1.0);
    };
    let slope = if (t1 - t0).abs() < 1e-9 {
        0.0
    } else {
        (c1 - c0) / (t1 - t0)
    };
    (c0 + slope * (outdoor - t0)).max(1.0)
}
