//! A power that stands still, to the last digit, while what it should follow moved: the grid meter while the parts moved,
//! a controlled part while its target did.

use super::Image;
use crate::model::{DoubtKind, Quantity, Still, Suspicion, Target};
use crate::site::{Id, Kind};
use chrono::TimeDelta;

/// A value stands still when it has not changed for so many polls, and as long as slow meters take to show another.
const POLLS: u32 = 10;
const LASTING: TimeDelta = TimeDelta::seconds(30);
/// What it should follow must have been elsewhere for as long: devices obey and meters measure with a lag.
const LAG: TimeDelta = TimeDelta::seconds(15);
/// The parts must have moved this far under a meter that did not, kW.
const MOVED_KW: f64 = 0.5;
/// A target must have moved by, and the power must lie off it by, this share of the rating.
const OFF: f64 = 0.2;

pub fn check(image: &mut Image<'_>) {
    for (id, value) in image.powers() {
        let Some(other) = image.followed(&id) else {
            image.state.still.remove(&id);
            image.keep(&id, value);
            continue;
        };
        let at = image.at(&id);
        let before = image.state.still.get(&id).copied().filter(|s| s.value == value);
        let mut still = before.unwrap_or(Still::new(value, other, at));
        if before.is_some() {
            still.again(image.is_off(&id, value, still.first, other), at);
        } else {
            image.state.suspicions.remove(&key(&id));
        }
        image.state.still.insert(id.clone(), still);
        if let Some(why) = image.frozen(&id, value, other) {
            let mut s = Suspicion::new(DoubtKind::Frozen, value, at);
            s.proven = true;
            image.state.suspicions.entry(key(&id)).or_insert(s);
            image.refuse(&id, DoubtKind::Frozen, why);
        }
    }
}

fn key(id: &Id) -> String {
    format!("{id}/frozen")
}

impl Image<'_> {
    /// What this power should follow, kW: the sum of the parts for the meter, the target for what is told one.
    fn followed(&self, id: &Id) -> Option<f64> {
        if self.is_grid(id) {
            return self.parts_sum();
        }
        self.target_kw(id)
    }

    /// The power that a component was told last, kW.
    pub fn target_kw(&self, id: &Id) -> Option<f64> {
        let c = self.plant.components.get(id)?;
        if !self.was_told(id) {
            return None;
        }
        let last = self.state.last.get(id)?;
        match (&c.kind, last.target) {
            (Kind::Generator(_), Target::Power(p)) => Some(-p.as_kw().abs()),
            (_, Target::Power(p)) => Some(p.as_kw()),
            (_, Target::Current(a)) => Some(a.as_amps() * self.plant.kw_per_amp(c)),
            _ => None,
        }
    }

    fn frozen(&self, id: &Id, value: f64, other: f64) -> Option<String> {
        let known = self.state.suspicions.get(&key(id));
        let still = self.state.still.get(id)?;
        if known.is_some_and(|s| s.value == value) {
            return Some(format!(
                "{value:.3} kW stands still since {}",
                still.since.format("%H:%M:%S")
            ));
        }
        let lag = still.last - still.off_since;
        let long = still.polls >= POLLS && still.lasted() >= LASTING;
        if !long || still.off < POLLS || lag < LAG {
            return None;
        }
        let seconds = still.lasted().num_seconds();
        Some(if self.is_grid(id) {
            let moved = (other - still.first).abs();
            format!("{value:.3} kW stood still for {seconds} s while the parts moved by {moved:.1} kW")
        } else {
            format!("{value:.3} kW stood still for {seconds} s while it was told {other:.1} kW")
        })
    }

    /// What was found to stand still is not believed again only because it is told nothing any more.
    fn keep(&mut self, id: &Id, value: f64) {
        let known = self.state.suspicions.get(&key(id));
        if let Some(since) = known.filter(|s| s.value == value).map(|s| s.since) {
            let since = since.format("%H:%M:%S");
            let why = format!(
                "{value:.3} kW stood still at {since} while it was told another power, and has not moved since"
            );
            self.refuse(id, DoubtKind::Frozen, why);
        } else {
            self.state.suspicions.remove(&key(id));
        }
    }

    /// What it should follow has moved away from where it was when the value came to stand.
    fn is_off(&self, id: &Id, value: f64, first: f64, other: f64) -> bool {
        let moved = (other - first).abs();
        if self.is_grid(id) {
            // a meter that rests near zero is kept there by a battery: more must have moved
            return moved > if value.abs() < 0.05 { 2.0 * MOVED_KW } else { MOVED_KW };
        }
        let rated = super::plausible::power_range(self.plant, id).map(|(l, h)| l.abs().max(h));
        let Some(rated) = rated else { return false };
        let off = OFF * rated;
        // what takes less than it is told (a full battery, a small car) obeys
        let obeys = if other >= 0.0 {
            (-off..=other + off).contains(&value)
        } else {
            (other - off..=off).contains(&value)
        };
        moved > off && value.abs() > 0.02 * rated && !obeys
    }

    fn parts_sum(&self) -> Option<f64> {
        self.parts().map(|id| self.usable(id, Quantity::ActivePower)).sum()
    }
}
