//! Nested circuits: every component counts in its circuit and in all above it.

use super::{Context, component_of};
use crate::model::{CircuitProblem, Problem};
use crate::site::{Circuit, Id, Kind, Plant};
use std::collections::BTreeSet;

pub fn circuits(x: &Context<'_>, p: &Problem) -> Vec<CircuitProblem> {
    let limit = |c: &Circuit| {
        let fuse = c.fuse.map(|a| a.as_amps() * x.voltage() * x.phases() / 1e3);
        [fuse, c.power_max.map(|p| p.as_kw())]
            .into_iter()
            .flatten()
            .reduce(f64::min)
    };
    let with_limit = x
        .plant
        .circuits
        .iter()
        .filter_map(|(id, c)| limit(c).map(|kw| (id, kw)));
    with_limit
        .map(|(id, kw)| CircuitProblem {
            id: id.to_string(),
            limit_kw: kw.max(0.0),
            members: members(x.plant, id, p),
        })
        .filter(|c| !c.members.is_empty())
        .collect()
}

/// Parts of the problem under a circuit; the inflexible load only where every fixed load is under it.
fn members(plant: &Plant, circuit: &Id, p: &Problem) -> Vec<String> {
    let under: BTreeSet<&str> = plant
        .components
        .iter()
        .filter(|(_, c)| c.circuit.as_ref().is_some_and(|own| is_under(plant, own, circuit)))
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

fn is_under(plant: &Plant, from: &Id, circuit: &Id) -> bool {
    let mut at = Some(from);
    // as many steps as there are circuits end every chain, even a circular one
    for _ in 0..=plant.circuits.len() {
        match at {
            Some(id) if id == circuit => return true,
            Some(id) => at = plant.circuits.get(id).and_then(|c| c.parent.as_ref()),
            None => return false,
        }
    }
    false
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
