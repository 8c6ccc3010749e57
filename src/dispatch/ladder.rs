//! The ladder: normal → last plan → rule → safe → released. Down at once, up only after good cycles.

use crate::model::{ControllerState, Policy, Quantity, Rung, Schedule, Snapshot};
use crate::site::{Kind, Plant};
use crate::time::Timestamp;
use chrono::TimeDelta;

/// Good cycles before the controller leaves Safe; one is enough at the start.
const GOOD: u32 = 5;
/// The grid meter may be silent this long, or for one cycle where that is longer.
const SILENCE: TimeDelta = TimeDelta::seconds(5);
/// Age of a plan, in intervals, up to which it is the current one, and up to which it is better than none.
const CURRENT: f64 = 1.5;
const USABLE: f64 = 3.0;

/// The rung of this cycle; counts good cycles.
pub fn climb(plant: &Plant, policy: Policy, snapshot: &Snapshot, state: &mut ControllerState, now: Timestamp) -> Rung {
    let good = is_good(plant, snapshot, now);
    state.good_cycles = if good { state.good_cycles.saturating_add(1) } else { 0 };
    if state.rung == Rung::Released {
        return Rung::Released;
    }
    let enough = if state.started { GOOD } else { 1 };
    let blind = !good && (!state.started || is_blind(plant, snapshot, now));
    let waiting = state.rung == Rung::Safe && state.good_cycles < enough;
    if blind || waiting {
        return Rung::Safe;
    }
    state.started = true;
    match policy {
        Policy::Idle | Policy::Rule => Rung::Normal,
        Policy::Plan | Policy::Perfect => by_plan(plant, state.schedule.as_deref(), now),
    }
}

/// The connection's meter was read in this cycle; on an island, the battery that balances it.
fn is_good(plant: &Plant, snapshot: &Snapshot, now: Timestamp) -> bool {
    let fresh = plant.timing.cycle.max(TimeDelta::seconds(1)) * 3 / 2;
    if plant.connection.is_some() {
        return snapshot
            .grid
            .is_some_and(|g| g.usable().is_some() && g.age(now) <= fresh);
    }
    let forming = |b: &&crate::site::Id| snapshot.usable(b, Quantity::ActivePower).is_some();
    let batteries: Vec<_> = plant
        .components
        .iter()
        .filter(|(_, c)| matches!(&c.kind, Kind::Battery(b) if b.grid_forming))
        .map(|(id, _)| id)
        .collect();
    batteries.iter().all(forming)
}

/// The meter has been unusable for too long.
fn is_blind(plant: &Plant, snapshot: &Snapshot, now: Timestamp) -> bool {
    let Some(grid) = snapshot.grid else { return false };
    let patience = SILENCE.max(plant.timing.cycle * 3 / 2);
    grid.usable().is_none() || grid.age(now) > patience
}

fn by_plan(plant: &Plant, schedule: Option<&Schedule>, now: Timestamp) -> Rung {
    let Some(s) = schedule.filter(|s| s.check.ok && s.grid.index_of(now).is_some()) else {
        return Rung::Rule;
    };
    let age = (now - s.made_at).as_seconds_f64() / plant.timing.interval.as_seconds_f64().max(1.0);
    if age <= CURRENT {
        Rung::Normal
    } else if age <= USABLE {
        Rung::LastPlan
    } else {
        Rung::Rule
    }
}
