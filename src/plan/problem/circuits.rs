//! Nested circuits: every component counts in its circuit and in all above it; per phase where some draw on one only.

use super::{Context, component_of};
use crate::model::{CircuitProblem, Problem};
use crate::site::{Id, Kind, Plant};
use std::collections::BTreeSet;

pub fn circuits(x: &Context<'_>, p: &Problem) -> Vec<CircuitProblem> {
    let mut all = Vec::new();
    for (id, c) in &x.plant.circuits {
        let members = members(x.plant, id, p);
        if members.is_empty() {
            continue;
        }
        if let Some(power) = c.power_max {
            all.push(whole(id.to_string(), power.as_kw(), members.clone()));
        }
        if let Some(fuse) = c.fuse {
            all.extend(fuse_limits(x, id.as_str(), fuse.as_amps(), members));
        }
    }
    if let Some(c) = &x.plant.connection {
        let parts: Vec<String> = part_names(p).cloned().chain(["load".into(), "spill".into()]).collect();
        // drawn equally, the limit of the connection point itself says the same
        if !balanced(x.plant, &parts) {
            all.extend(fuse_limits(x, "main-fuse", c.fuse.as_amps(), parts));
        }
    }
    all
}

fn whole(id: String, limit: f64, members: Vec<String>) -> CircuitProblem {
    CircuitProblem {
        id,
        limit_kw: limit.max(0.0),
        members,
        weights: Vec::new(),
    }
}

/// One limit for all phases together, or one a phase where the members do not share them equally.
fn fuse_limits(x: &Context<'_>, id: &str, amps: f64, members: Vec<String>) -> Vec<CircuitProblem> {
    let phase_kw = amps * x.voltage() / 1e3;
    if x.phases() < 2.0 || balanced(x.plant, &members) {
        return vec![whole(id.to_owned(), phase_kw * x.phases(), members)];
    }
    (0..3)
        .map(|phase| CircuitProblem {
            id: format!("{id}#L{}", phase + 1),
            limit_kw: phase_kw.max(0.0),
            weights: members.iter().map(|m| share(x.plant, m, phase)).collect(),
            members: members.clone(),
        })
        .collect()
}

/// Share of a component's power on one phase; what is not a component (the fixed load) is taken as spread equally.
fn share(plant: &Plant, part: &str, phase: usize) -> f64 {
    let Some(c) = plant.components.get(component_of(part)) else {
        return 1.0 / 3.0;
    };
    let used = c.phases.iter().filter(|p| **p).count();
    if used == 0 {
        1.0 / 3.0
    } else {
        f64::from(u8::from(c.phases[phase])) / used as f64
    }
}

fn balanced(plant: &Plant, members: &[String]) -> bool {
    members
        .iter()
        .all(|m| (0..3).all(|phase| (share(plant, m, phase) - 1.0 / 3.0).abs() < 1e-9))
}

/// Parts of the problem under a circuit; the inflexible load only where every fixed load is under it.
fn members(plant: &Plant, circuit: &Id, p: &Problem) -> Vec<String> {
    let under: BTreeSet<&str> = plant
        .components
        .iter()
        .filter(|(_, c)| c.circuit.as_ref().is_some_and(|own| plant.is_under(own, circuit)))
        .map(|(id, _)| id.as_str())
        .collect();
    let mut parts: Vec<String> = part_names(p)
        .filter(|part| under.contains(component_of(part)))
        .cloned()
        .collect();
    let fixed = || plant.components.iter().filter(|(_, c)| matches!(c.kind, Kind::Load(_)));
    if fixed().next().is_some() && fixed().all(|(id, _)| under.contains(id.as_str())) {
        parts.push("load".into());
    }
    parts
}

fn part_names(p: &Problem) -> impl Iterator<Item = &String> {
    let heat = p.heat.iter().flat_map(|h| h.heat_pumps.iter().map(|x| &x.id));
    let ids =
        p.pv.iter()
            .map(|x| &x.id)
            .chain(p.batteries.iter().map(|x| &x.id))
            .chain(p.evs.iter().map(|x| &x.id));
    let ids = ids
        .chain(p.gensets.iter().map(|x| &x.id))
        .chain(p.sheddable.iter().map(|x| &x.id));
    ids.chain(p.shiftable.iter().map(|x| &x.id)).chain(heat)
}
