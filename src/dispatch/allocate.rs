//! Shares scarce room among cars: first the smallest current to each, most urgent first, then the rest in the same order; what
//! is left goes to those that take nothing anyway.
//!
//! A reduction counts at once in what is told, but its room is granted to others only once it is measured free and the old
//! setpoint is seen to be gone; at most one car starts in a cycle.

use super::charge_point::Want;
use super::envelope::{Envelope, Held};
use super::order::Order;
use super::others::Decided;
use super::view::View;
use crate::model::{Reason, ReasonCode, Target};
use crate::site::Id;
use crate::units::Current;
use std::collections::BTreeMap;

/// Currents are told in tenths of an ampere.
const STEPS_PER_A: f64 = 10.0;
/// Smaller raises wait until they are worth a write, A.
const RAISE_A: f64 = 0.4;

/// Decides every car and enters it into the envelope.
pub fn cars(
    view: &View<'_>,
    envelope: &mut Envelope,
    mut wants: Vec<Want>,
    decided: &Decided,
    starts: &mut u32,
) -> Vec<Order> {
    let rank = |w: &Want| (w.spare, !w.must, !is_on(view, w), w.departure);
    wants.sort_by(|a, b| (rank(a), &a.id).cmp(&(rank(b), &b.id)));
    let ideal = ideal(envelope, &wants);
    grant(view, envelope, &wants, &ideal, decided, starts)
}

fn is_on(view: &View<'_>, want: &Want) -> bool {
    view.on_since(&want.id).0
}

type Shares = BTreeMap<Id, (f64, Option<Held>)>;

/// What each would get if everybody obeyed at once.
fn ideal(envelope: &Envelope, wants: &[Want]) -> Shares {
    let mut room = Room {
        free: envelope.clone(),
        hard: envelope.without_demand(),
        shares: Shares::new(),
    };
    let (hungry, spare): (Vec<&Want>, Vec<&Want>) = wants.iter().partition(|w| !w.spare);
    hungry.iter().for_each(|w| room.least(w));
    hungry.iter().for_each(|w| room.rest(w));
    spare.iter().for_each(|w| room.least(w));
    room.shares
}

struct Room {
    free: Envelope,
    hard: Envelope,
    shares: Shares,
}

impl Room {
    fn left(&self, w: &Want) -> (f64, Option<Held>) {
        let bounds = if w.must { &self.hard } else { &self.free };
        bounds.room_up(&w.id)
    }

    fn take(&mut self, w: &Want, kw: f64) {
        self.free.take(&w.id, kw, kw, kw);
        self.hard.take(&w.id, kw, kw, kw);
    }

    /// The smallest current, where it fits.
    fn least(&mut self, w: &Want) {
        let (room, held) = self.left(w);
        let fits = w.kw >= w.min_kw - 1e-9 && room >= w.min_kw;
        let kw = if fits { w.min_kw } else { 0.0 };
        let held = if w.kw > 0.0 && !fits { held } else { None };
        self.take(w, kw);
        self.shares.insert(w.id.clone(), (kw, held));
    }

    /// What it wants beyond that.
    fn rest(&mut self, w: &Want) {
        let (room, what) = self.left(w);
        let Some((kw, held)) = self.shares.get_mut(&w.id).filter(|(kw, _)| *kw > 0.0) else {
            return;
        };
        let more = (w.kw.min(w.max_kw) - *kw).min(room.max(0.0)).max(0.0);
        if *kw + more < w.kw - 0.05 {
            *held = what;
        }
        *kw += more;
        self.take(w, more);
    }
}

/// From the ideal to what is told now: reductions first, raises into what is measured free.
fn grant(
    view: &View<'_>,
    envelope: &mut Envelope,
    wants: &[Want],
    ideal: &Shares,
    decided: &Decided,
    starts: &mut u32,
) -> Vec<Order> {
    let told = |w: &Want| match view.last(&w.id).map(|l| l.target) {
        Some(Target::Current(a)) => a.as_amps() * w.kw_per_amp,
        _ => 0.0,
    };
    let share = |w: &Want| ideal.get(&w.id).copied().unwrap_or((0.0, None));
    let mut counted: BTreeMap<&Id, f64> = BTreeMap::new();
    for w in wants {
        let kw = share(w).0.min(told(w));
        let drawn = decided.get(&w.id).map_or(0.0, |kw| kw.max(0.0));
        let most = kw.max(drawn).max(view.in_force(&w.id));
        counted.insert(&w.id, most);
        envelope.take(&w.id, kw.min(drawn), most, kw.min(drawn));
    }
    let mut orders = Vec::new();
    let mut owed = Vec::new();
    for w in wants {
        let (target, held) = share(w);
        let most = counted[&w.id];
        let kw = raised(envelope, w, target.min(told(w)), target, most, starts);
        owed.push((&w.id, target - kw.max(most)));
        orders.push(order(w, kw, held));
    }
    // storage makes room for what is still to come
    for (id, kw) in owed {
        envelope.take(id, 0.0, kw.max(0.0), 0.0);
    }
    orders
}

/// Raises one car as far as free room allows; enters the raise into the envelope.
fn raised(envelope: &mut Envelope, w: &Want, before: f64, target: f64, counted: f64, starts: &mut u32) -> f64 {
    if target <= before {
        return before;
    }
    let hard;
    let bounds = if w.must {
        hard = envelope.without_demand();
        &hard
    } else {
        &*envelope
    };
    // Below zero where what counts already is too much: what a car still draws after it was told less is no grant.
    let kw = target.min(counted + bounds.room_now(&w.id));
    if kw <= before {
        return before;
    }
    let starting = before < w.min_kw;
    if kw < w.min_kw || (starting && *starts > 0) {
        return if starting { 0.0 } else { before };
    }
    if !starting && kw - before < RAISE_A * w.kw_per_amp && kw < w.max_kw - 1e-6 {
        return before;
    }
    *starts += u32::from(starting);
    let more = (kw - counted).max(0.0);
    envelope.take(&w.id, 0.0, more, 0.0);
    kw
}

fn order(w: &Want, kw: f64, held: Option<Held>) -> Order {
    let amps = (kw / w.kw_per_amp.max(1e-9) * STEPS_PER_A + 1e-6).floor() / STEPS_PER_A;
    let reason = match held {
        Some(h) => Reason::new(h.code).limited(h.limit),
        None if kw > 0.0 && w.reason.code == ReasonCode::WaitCheaper => Reason::new(ReasonCode::FollowPlan),
        None => w.reason.clone(),
    };
    Order::new(&w.id, Target::Current(Current::amps(amps)), reason)
}
