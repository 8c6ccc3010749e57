//! Schedule + Snapshot → Setpoints: envelope, value of stored energy, ramps, failsafe ladder, reasons. Pure.
//!
//! One cycle: the ladder says who leads; what can be told is taken out of the measured flow ([`envelope`]); loads, cars and
//! heat pumps are decided by urgency; generators, then batteries follow what is left; PV is limited last. Only this room
//! makes setpoints, each with a reason, a number and an end.

mod allocate;
mod battery;
mod charge_point;
mod deadlines;
mod envelope;
mod generator;
mod heat_pump;
mod ladder;
mod laws;
mod loads;
mod may;
mod order;
mod others;
mod pv;
mod rule;
mod safe;
mod slow;
mod view;

use crate::model::{
    ControllerState, DecisionId, LastTarget, Policy, Reason, ReasonCode, Rung, Setpoint, Snapshot, Target,
};
use crate::site::{Kind, Plant};
use crate::tariff::PriceFiles;
use crate::time::Timestamp;
use crate::units::Power;
use chrono::TimeDelta;
pub use loads::is_shed;
use order::Order;
use view::View;

/// What one cycle decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub setpoints: Vec<Setpoint>,
    pub rung: Rung,
    /// A limit at the connection point, a circuit or a fuse held something back in this cycle.
    pub binding: bool,
}

/// A setpoint holds at least this long, and three cycles.
const LEASE: TimeDelta = TimeDelta::seconds(30);

/// Decides all setpoints of this cycle. Updates only `state.last`, `state.rung`, `state.good_cycles`, `state.started`,
/// `state.marks`, `state.next_decision` and the histories of generators and shiftable loads.
pub fn decide(
    plant: &Plant,
    policy: Policy,
    snapshot: &Snapshot,
    state: &mut ControllerState,
    prices: Option<&PriceFiles>,
    now: Timestamp,
) -> Decision {
    let rung = ladder::climb(plant, policy, snapshot, state, now);
    if rung == Rung::Safe && state.rung != rung {
        state.marks.insert(safe::BEGAN.into(), (now, 0.0));
    }
    state.rung = rung;
    let schedule = state.schedule.clone();
    let step = schedule.as_ref().and_then(|s| s.grid.index_of(now));
    let plan = match rung {
        Rung::Normal | Rung::LastPlan => schedule.as_deref().zip(step),
        Rung::Rule | Rung::Safe | Rung::Released => None,
    };
    let mut marks = std::collections::BTreeMap::new();
    let nothing = may::InForce::new();
    let view = View {
        plant,
        snapshot,
        state,
        prices,
        policy,
        now,
        plan,
        force: &nothing,
    };
    let force = may::in_force(&view, &mut marks);
    let view = View { force: &force, ..view };
    may::learn(&view, &mut marks);
    slow::learn(&view, &mut marks);
    let memory = match rung {
        Rung::Released => laws::Outcome::of(released(&view)),
        Rung::Safe if !state.started => laws::Outcome::of(Vec::new()),
        Rung::Safe => laws::Outcome::of(safe::orders(&view)),
        Rung::Normal | Rung::LastPlan | Rung::Rule => laws::all(&view),
    };
    let binding = memory.orders.iter().any(Order::binds);
    state.marks.extend(marks);
    state.marks.extend(memory.marks);
    state.generators.extend(memory.generators);
    state.shiftables.extend(memory.shiftables);
    let setpoints = memory.orders.into_iter().map(|o| lease(plant, state, o, now)).collect();
    Decision {
        setpoints,
        rung,
        binding,
    }
}

/// Everything that could be told something is given back.
fn released(view: &View<'_>) -> Vec<Order> {
    let told = view.plant.components.iter().filter(|(id, c)| {
        let controllable = match &c.kind {
            Kind::Meter(_) | Kind::Load(_) => false,
            Kind::Battery(b) => !b.grid_forming,
            _ => true,
        };
        controllable && view.reachable(id)
    });
    told.map(|(id, _)| Order::new(id, Target::Release, Reason::new(ReasonCode::HandedBack)))
        .collect()
}

/// Turns an order into a numbered lease and remembers it.
fn lease(plant: &Plant, state: &mut ControllerState, order: Order, now: Timestamp) -> Setpoint {
    let decision = state.next_decision;
    state.next_decision = DecisionId(decision.0 + 1);
    let same_mode = state
        .last
        .get(&order.component)
        .filter(|l| mode(&l.target) == mode(&order.target));
    let last = LastTarget {
        target: order.target,
        at: now,
        mode_since: same_mode.map_or(now, |l| l.mode_since),
        reason: order.reason.clone(),
    };
    state.last.insert(order.component.clone(), last);
    Setpoint {
        component: order.component,
        target: order.target,
        valid_until: now + LEASE.max(plant.timing.cycle * 3),
        reason: order.reason,
        decision,
    }
}

/// Direction of a target: a change of it is a change of mode.
fn mode(target: &Target) -> i8 {
    match target {
        Target::Power(p) if *p < Power::kw(-0.05) => -1,
        Target::PowerLimit(_) => 2,
        Target::Release => 3,
        other => i8::from(view::is_on(other)),
    }
}

#[cfg(test)]
mod tests;
