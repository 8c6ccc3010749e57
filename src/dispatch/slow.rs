//! Components that give up power late: what a jump of loads may use of a limit for a moment is what they correct in time.
//!
//! In: the last setpoints and the measured powers. Out: a mark for each component that was seen to draw more than it was told
//! for longer than a jump may last. It is kept for a day.

use super::may;
use super::view::View;
use crate::site::{Component, Id, Kind};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// A small excess of a limit may last for five seconds (INTERFACE: policies and money); one or two pass until a jump is read,
/// decided on and written.
const IN_TIME: TimeDelta = TimeDelta::seconds(3);
/// Less than this above what was told is noise and the step of a charger's current, kW and as a part of it.
const NOISE_KW: f64 = 0.3;
const NOISE: f64 = 0.05;
const KEPT: TimeDelta = TimeDelta::days(1);

fn reduced_mark(id: &Id) -> String {
    format!("reduced/{id}")
}

const SLOW: &str = "slow/";

fn slow_mark(id: &Id) -> String {
    format!("{SLOW}{id}")
}

/// What corrects a jump: cars and batteries. A heat pump takes its time and is not counted on.
fn corrects(c: &Component) -> bool {
    match &c.kind {
        Kind::ChargePoint(_) => true,
        Kind::Battery(b) => !b.grid_forming,
        _ => false,
    }
}

/// Remembers when each component was last told less, and whether it still draws more for too long.
pub fn learn(view: &View<'_>, marks: &mut BTreeMap<String, (Timestamp, f64)>) {
    for (id, c) in view.plant.components.iter().filter(|(_, c)| corrects(c)) {
        let told = view
            .last(id)
            .and_then(|l| Some((l.at, may::told_kw(view, c, l.target)?)));
        let Some((at, kw)) = told else { continue };
        let name = reduced_mark(id);
        let (since, before) = view.mark(&name).unwrap_or((at, f64::INFINITY));
        let since = if kw < before - NOISE_KW { at } else { since };
        marks.insert(name, (since, kw));
        let above = view.is_fresh(id)
            && view
                .power(id)
                .is_some_and(|drawn| drawn > kw + NOISE_KW.max(NOISE * kw));
        if above && view.reachable(id) && view.now - since > IN_TIME.max(view.cycle()) {
            marks.insert(slow_mark(id), (view.now, 1.0));
        }
    }
}

/// Some component that corrects jumps was seen to do so too late. Every bound asks, so no name is made for each component.
pub fn any(view: &View<'_>) -> bool {
    let marks = view.state.marks.range(SLOW.to_owned()..);
    let mut slow = marks.take_while(|(name, _)| name.starts_with(SLOW));
    slow.any(|(_, (at, _))| view.now - *at < KEPT)
}
