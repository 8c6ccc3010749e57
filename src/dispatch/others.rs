//! Flow of everything that is not decided in a cycle, as the meter shows it: now, a look before, and how far it jumps.
//!
//! In: the meter, own powers of the same moment. Out: flows by bound (`site`, `L1` … `L3`) and the largest jump from one cycle
//! to the next that is remembered, kW.

use super::may;
use super::view::View;
use crate::model::Quantity;
use crate::site::{Component, Id, Kind};
use crate::time::Timestamp;
use crate::units::hours;
use std::collections::BTreeMap;

/// The look before counts if it is no older than so many cycles.
const LOOK: i32 = 3;

/// Power of components that this cycle decides, kW; others count as measured.
pub type Decided = BTreeMap<Id, f64>;

/// Flows of one cycle, kW.
pub struct Flow<'a> {
    pub decided: &'a Decided,
    /// The same, and what could be told and is lost, as last believed.
    pub own: &'a Decided,
    /// At the meter in this moment; `None` where it is not known, or on an island.
    pub grid: Option<f64>,
    /// The meter was read in this cycle.
    pub fresh: bool,
}

/// Largest jump of uncontrolled flow from one cycle to the next that is remembered, kW, by name of the bound.
fn jump_mark(name: &str, up: bool) -> String {
    format!("jump/{name}/{}", if up { "up" } else { "down" })
}

fn flow_mark(name: &str) -> String {
    format!("flow/{name}")
}

/// Flow of everything but these, of the whole site (`None`) or of a phase, kW. A phase that the meter does not show has its
/// share of the site's: others are taken to draw alike on all phases.
pub fn others(view: &View<'_>, flow: &Flow<'_>, phase: Option<usize>) -> Option<f64> {
    let site = || Some(flow.grid? - flow.own.values().sum::<f64>());
    let Some(p) = phase else { return site() };
    let shown = phase_flow(view, p).filter(|_| flow.fresh);
    let shown = shown.map(|kw| kw - on_phase(view, flow.own, p));
    let assumed = || Some(site()? / view.phases() as f64);
    shown.or_else(|| before(view, &phase_name(p))).or_else(assumed)
}

pub fn phase_name(p: usize) -> String {
    format!("L{}", p + 1)
}

/// The same a look earlier.
pub fn before(view: &View<'_>, name: &str) -> Option<f64> {
    let (at, kw) = view.mark(&flow_mark(name))?;
    (view.now - at <= view.cycle() * LOOK).then_some(kw)
}

/// Uncontrolled flow by bound name, for the memory of jumps.
fn uncontrolled(view: &View<'_>, flow: &Flow<'_>) -> BTreeMap<String, f64> {
    let mut flows = BTreeMap::new();
    if flow.grid.is_none() || !flow.fresh {
        return flows;
    }
    flows.extend(others(view, flow, None).map(|kw| ("site".to_owned(), kw)));
    for p in (0..view.phases()).filter(|p| phase_flow(view, *p).is_some()) {
        flows.extend(others(view, flow, Some(p)).map(|kw| (phase_name(p), kw)));
    }
    flows
}

/// Flow that may be added before the next cycle, kW: the largest jump remembered, and never more than the loads can still
/// rise.
pub fn volatility(view: &View<'_>, name: &str, up: bool, base: f64, most: f64) -> f64 {
    let first = first_jump(view, name);
    let jump = view.mark(&jump_mark(name, up)).map_or(first, |(_, kw)| kw.max(first));
    if up { jump.min((most - base).max(0.0)) } else { jump }
}

/// Most that uncontrolled loads ever draw, kW.
fn most_load(view: &View<'_>) -> f64 {
    let loads = view.plant.components.values().map(|c| match &c.kind {
        Kind::Load(l) => l.expected.max.as_kw(),
        _ => 0.0,
    });
    loads.sum()
}

/// Most of everything but what is told or was lost lately, kW.
pub fn most_others(view: &View<'_>, own: &Decided) -> f64 {
    let unknown = view.plant.components.iter().filter(|(id, _)| !own.contains_key(*id));
    most_load(view) + unknown.map(|(id, c)| may::lost(view, id, c).high).sum::<f64>()
}

/// Least that everything else can draw within a bound, kW: loads draw, and what is not in `own` gives its most.
pub fn least_others(view: &View<'_>, own: &Decided, share: impl Fn(&Component) -> f64) -> f64 {
    let unknown = view.plant.components.iter().filter(|(id, _)| !own.contains_key(*id));
    -unknown.map(|(_, c)| share(c) * may::gives(&c.kind)).sum::<f64>()
}

/// Jump assumed before any was seen, and never forgotten.
fn first_jump(view: &View<'_>, name: &str) -> f64 {
    let part = if name == "site" { 0.25 } else { 0.15 };
    part * most_load(view)
}

/// Larger jumps are forgotten over days.
const MEMORY_H: f64 = 72.0;

/// Memory of the largest jumps after this cycle: from what two looks show alike to what the two after them show. A look in which
/// parts and meter were read at different moments shows a flow that never was, and is back in the next. Where a component was
/// lost or found, or was read at another moment than the meter, its own power looks like a jump of others: nothing is learned
/// from that.
pub fn learn_jumps(view: &View<'_>, flow: &Flow<'_>, marks: &mut BTreeMap<String, (Timestamp, f64)>) {
    let flows = uncontrolled(view, flow);
    if flows.is_empty() {
        return;
    }
    let together = flow.own.keys().all(|id| view.is_fresh(id));
    let members = members(view, flow.own);
    let same = together && view.mark(MEMBERS).is_some_and(|(_, m)| m == members);
    let alike = if same {
        view.mark(ALIKE).map_or(0.0, |(_, n)| n) + 1.0
    } else {
        0.0
    };
    marks.insert(MEMBERS.to_owned(), (view.now, if together { members } else { 0.0 }));
    marks.insert(ALIKE.to_owned(), (view.now, alike));
    for (name, kw) in flows {
        let looks = looks(view, &name, marks, kw).filter(|_| alike >= 3.0);
        for up in [true, false] {
            let mark = jump_mark(&name, up);
            let (then, held) = view.mark(&mark).unwrap_or((view.now, first_jump(view, &name)));
            let held = held * (-hours(view.now - then) / MEMORY_H).exp();
            let jump = looks.map_or(
                0.0,
                |[before, after]| {
                    if up { after.0 - before.1 } else { before.0 - after.1 }
                },
            );
            marks.insert(mark, (view.now, held.max(jump)));
        }
    }
}

/// Least and most of the two looks before the last one, and of the last one with this one; keeps this one. `None` over a gap:
/// anything may have moved meanwhile, which says nothing of a cycle.
fn looks(
    view: &View<'_>,
    name: &str,
    marks: &mut BTreeMap<String, (Timestamp, f64)>,
    kw: f64,
) -> Option<[(f64, f64); 2]> {
    let marked = [flow_mark(name), format!("flow/{name}/2"), format!("flow/{name}/3")];
    let earlier: Vec<(Timestamp, f64)> = marked.iter().map_while(|m| view.mark(m)).collect();
    let mut newer = (view.now, kw);
    let mut no_gap = earlier.len() == marked.len();
    for (mark, look) in marked.iter().zip(&earlier) {
        no_gap &= newer.0 - look.0 <= view.cycle() * LOOK;
        marks.insert(mark.clone(), newer);
        newer = *look;
    }
    if let Some(mark) = marked.get(earlier.len()) {
        marks.insert(mark.clone(), newer);
    }
    let range = |a: f64, b: f64| (a.min(b), a.max(b));
    match earlier[..] {
        [last, second, third] if no_gap => Some([range(second.1, third.1), range(last.1, kw)]),
        _ => None,
    }
}

/// Looks in a row with the same components left out, all read together with the meter.
const ALIKE: &str = "flow/alike";

/// Which components the last look at others' flow left out, as a number that differs with them.
const MEMBERS: &str = "flow/members";

fn members(view: &View<'_>, own: &Decided) -> f64 {
    let places = view.plant.components.keys().enumerate();
    let own = places.filter(|(_, id)| own.contains_key(*id));
    own.map(|(i, _)| (i as f64 + 1.0).powi(3)).sum()
}

/// Least and most of this look and the one before.
pub fn both_looks(view: &View<'_>, name: &str, seen: f64) -> [f64; 2] {
    let earlier = before(view, name).unwrap_or(seen);
    [seen.min(earlier), seen.max(earlier)]
}

/// kW through one phase at the meter, import positive: the current where it is shown, as that is what a fuse feels.
fn phase_flow(view: &View<'_>, p: usize) -> Option<f64> {
    use Quantity::*;
    let meter = &view.plant.connection.as_ref()?.meter;
    let (power, current) = [
        (ActivePowerL1, CurrentL1),
        (ActivePowerL2, CurrentL2),
        (ActivePowerL3, CurrentL3),
    ][p];
    let power = view.snapshot.usable(meter, power);
    let total = view.snapshot.grid.and_then(|g| g.usable()).map(|g| g.as_kw());
    let sign = if power.or(total)? < 0.0 { -1.0 } else { 1.0 };
    let current = view
        .snapshot
        .usable(meter, current)
        .map(|a| a.abs() * view.volts() / 1e3 * sign);
    current.or(power)
}

fn on_phase(view: &View<'_>, decided: &Decided, p: usize) -> f64 {
    let parts = decided
        .iter()
        .filter_map(|(id, kw)| Some((view.plant.components.get(id)?, kw)));
    parts.map(|(c, kw)| view.phase_shares(c)[p] * kw).sum()
}
