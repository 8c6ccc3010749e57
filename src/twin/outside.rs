//! What comes from outside, whatever control does: the load that is wanted and the sun there is. For perfect foresight.

use super::world::{Model, World};
use crate::site::Id;
use std::collections::BTreeMap;

impl World {
    /// kW magnitude at this instant: wanted by each load, available to each PV.
    pub fn outside(&self) -> BTreeMap<Id, f64> {
        let t = self.now();
        let parts = self.models.iter().filter_map(|(id, m)| match m {
            Model::Load(l) => Some((id.clone(), self.played_load_at(t).unwrap_or_else(|| l.wanted(t)))),
            Model::Pv(p) => Some((id.clone(), p.available)),
            _ => None,
        });
        parts.collect()
    }
}
