//! PV: free to produce, limited where export is (contract, outside, negative price) or an island's battery is full.

use super::battery::reach;
use super::envelope::Envelope;
use super::order::Order;
use super::view::{Lead, View};
use crate::model::{Reason, ReasonCode, Target};
use crate::site::{Id, Pv};
use crate::units::Power;

/// `others`: kW of everything but PV at the meter in the next moment, as told and as measured; `taken`: how much more of
/// it batteries would take if there were more sun.
pub fn order(view: &View<'_>, envelope: &Envelope, id: &Id, pv: &Pv, share: f64, others: f64, taken: f64) -> Order {
    let release = |code| Order::new(id, Target::Release, Reason::new(code));
    if !pv.curtailable {
        return release(ReasonCode::FollowPlan);
    }
    let rated = pv.inverter_max.as_kw();
    let mut most;
    let mut reason = Reason::new(ReasonCode::FollowPlan);
    if view.plant.connection.is_some() {
        let (room, held) = envelope.room_down(id);
        most = -room * share;
        if let Some(h) = held {
            reason = Reason::new(h.code).limited(h.limit);
        }
        if view.lead() != Lead::Idle && view.sell().is_some_and(|p| p < 0.0) {
            // paid to import: not even the own use is worth producing
            let use_of_it = if view.buy().is_some_and(|p| p < 0.0) {
                0.0
            } else {
                (others + taken).max(0.0)
            };
            if use_of_it * share < most {
                most = use_of_it * share;
                reason = Reason::new(ReasonCode::CurtailNegative).worth(None, view.sell());
            }
        }
    } else {
        most = (others + room_on_island(view)).max(0.0) * share;
        reason = Reason::new(ReasonCode::CurtailSurplus);
    }
    if most >= rated {
        return release(ReasonCode::FollowPlan);
    }
    let kw = ((most.max(0.0)) * 50.0).floor() / 50.0;
    let kw = match view.last(id).map(|l| l.target) {
        Some(Target::PowerLimit(p)) if p.as_kw() <= kw && kw - p.as_kw() < 0.01 * rated => p.as_kw(),
        _ => kw,
    };
    // only a ceiling that the sun reaches holds anything back
    let reached = view.power(id).is_none_or(|p| -p >= kw - NEAR * rated);
    let reason = if reached {
        reason
    } else {
        Reason::new(ReasonCode::Ceiling)
    };
    Order::new(id, Target::PowerLimit(Power::kw(kw)), reason)
}

/// A production this near its ceiling, as a part of the rating, may be held back by it.
const NEAR: f64 = 0.02;

/// What the island's batteries can still take, with a taper in the last minutes before they are full.
fn room_on_island(view: &View<'_>) -> f64 {
    let rooms = view.batteries().map(|(id, b)| {
        let left = view
            .snapshot
            .soc(id)
            .map_or(0.0, |s| (b.soc_max.as_ratio() - s.as_ratio()).max(0.0));
        let slow = left * b.capacity.as_kwh() / b.charge_efficiency / 0.1;
        (0.95 * reach(view, id, b).1).min(slow)
    });
    rooms.sum()
}
