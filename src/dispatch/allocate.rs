//! Shares scarce room among cars: first the smallest current to each, most urgent first, then the rest in the same order.
//!
//! A reduction counts at once in what is told, but its room is granted to others only once it is measured free; at most one
//! car starts in a cycle.

use super::charge_point::Want;
use super::envelope::{Envelope, Held};
use super::order::Order;
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
pub fn cars(view: &View<'_>, envelope: &mut Envelope, mut wants: Vec<Want>, starts: &mut u32) -> Vec<Order> {
    wants.sort_by(|a, b| {
        (!a.must, !is_on(view, a), a.departure, &a.id).cmp(&(!b.must, !is_on(view, b), b.departure, &b.id))
    });
    let ideal = ideal(envelope, &wants);
    grant(view, envelope, &wants, &ideal, starts)
}

fn is_on(view: &View<'_>, want: &Want) -> bool {
    view.on_since(&want.id).0
}

type Shares = BTreeMap<Id, (f64, Option<Held>)>;

/// What each would get if everybody obeyed at once.
fn ideal(envelope: &Envelope, wants: &[Want]) -> Shares {
    let mut free = envelope.clone();
    let mut hard = envelope.without_demand();
    let mut shares = Shares::new();
    for w in wants {
        let (room, held) = if w.must {
            hard.room_up(&w.id)
        } else {
            free.room_up(&w.id)
        };
        let fits = w.kw >= w.min_kw - 1e-9 && room >= w.min_kw;
        let kw = if fits { w.min_kw } else { 0.0 };
        let held = if w.kw > 0.0 && !fits { held } else { None };
        free.take(&w.id, kw, kw, kw);
        hard.take(&w.id, kw, kw, kw);
        shares.insert(w.id.clone(), (kw, held));
    }
    for w in wants {
        let Some((kw, held)) = shares.get_mut(&w.id) else {
            continue;
        };
        if *kw <= 0.0 {
            continue;
        }
        let (room, what) = if w.must {
            hard.room_up(&w.id)
        } else {
            free.room_up(&w.id)
        };
        let more = (w.kw.min(w.max_kw) - *kw).min(room.max(0.0)).max(0.0);
        if *kw + more < w.kw - 0.05 {
            *held = what;
        }
        *kw += more;
        free.take(&w.id, more, more, more);
        hard.take(&w.id, more, more, more);
    }
    shares
}

/// From the ideal to what is told now: reductions first, raises into what is measured free.
fn grant(view: &View<'_>, envelope: &mut Envelope, wants: &[Want], ideal: &Shares, starts: &mut u32) -> Vec<Order> {
    let measured: BTreeMap<&Id, f64> = wants
        .iter()
        .map(|w| (&w.id, view.power(&w.id).unwrap_or(0.0).max(0.0)))
        .collect();
    let told = |w: &Want| match view.last(&w.id).map(|l| l.target) {
        Some(Target::Current(a)) => a.as_amps() * w.kw_per_amp,
        _ => 0.0,
    };
    let share = |w: &Want| ideal.get(&w.id).copied().unwrap_or((0.0, None));
    let mut now: BTreeMap<&Id, f64> = BTreeMap::new();
    for w in wants {
        let kw = share(w).0.min(told(w));
        now.insert(&w.id, kw);
        let drawn = measured[&w.id];
        envelope.take(&w.id, kw.min(drawn), kw.max(drawn), kw.min(drawn));
    }
    let mut orders = Vec::new();
    for w in wants {
        let (target, held) = share(w);
        let before = now[&w.id];
        let kw = raised(envelope, w, before, target, measured[&w.id], starts);
        orders.push(order(w, kw, held));
    }
    orders
}

/// Raises one car as far as free room allows; enters the raise into the envelope.
fn raised(envelope: &mut Envelope, w: &Want, before: f64, target: f64, drawn: f64, starts: &mut u32) -> f64 {
    if target <= before {
        return before;
    }
    let counted = before.max(drawn);
    let hard;
    let bounds = if w.must {
        hard = envelope.without_demand();
        &hard
    } else {
        &*envelope
    };
    let room = bounds.room_up(&w.id).0.max(0.0);
    let kw = target.min(counted + room);
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
