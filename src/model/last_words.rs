//! What people last said, apart from everything else: the one part of the state that no damage may take.

use super::limits::Limits;
use super::state::{Absence, ControllerState, Override, Rung, Session};
use crate::site::{Id, Mode, Plant};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// All that people's words leave in force at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Words {
    /// When the last of them was said.
    pub at: Timestamp,
    pub mode: Mode,
    /// What the site file said then, see [`ControllerState::file_mode`].
    pub file_mode: Mode,
    pub released: bool,
    pub limits: Limits,
    pub overrides: BTreeMap<Id, Override>,
    #[serde(default)]
    pub away: Option<Absence>,
    /// Cars that a person spoke about.
    pub sessions: BTreeMap<Id, Session>,
}

impl Words {
    pub fn of(state: &ControllerState, at: Timestamp) -> Self {
        let told = state.sessions.iter().filter(|(_, s)| s.told);
        Self {
            at,
            mode: state.mode,
            file_mode: state.file_mode,
            released: state.rung == Rung::Released,
            limits: state.limits.clone(),
            overrides: state.overrides.clone(),
            away: state.away,
            sessions: told.map(|(id, s)| (id.clone(), s.clone())).collect(),
        }
    }

    /// Lays the words over a state that knows none said later. `cars_too`: the state is older than the words, so that a car
    /// it does not know may be there.
    pub fn lay(self, state: &mut ControllerState, cars_too: bool) {
        (state.mode, state.file_mode) = (self.mode, self.file_mode);
        if self.released {
            state.rung = Rung::Released;
        } else if state.rung == Rung::Released {
            state.rung = Rung::Safe;
        }
        (state.limits, state.overrides, state.away) = (self.limits, self.overrides, self.away);
        for (id, told) in self.sessions {
            match state.sessions.get_mut(&id) {
                Some(s) if s.since == told.since => {
                    (s.departure, s.energy, s.mode, s.told) = (told.departure, told.energy, told.mode, true);
                }
                None if cars_too => {
                    state.sessions.insert(id, told);
                }
                // Another car came since.
                _ => {}
            }
        }
    }
}

/// Which site a state folder belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    pub name: String,
    /// Degrees, to about a kilometre.
    pub latitude: f64,
    pub longitude: f64,
    /// `component kind`.
    pub components: BTreeSet<String>,
}

impl Identity {
    pub fn of(plant: &Plant) -> Self {
        let rounded = |degrees: f64| (degrees * 100.0).round() / 100.0;
        let components = plant.components.iter();
        Self {
            name: plant.name.as_str().to_owned(),
            latitude: rounded(plant.location.latitude.as_degrees()),
            longitude: rounded(plant.location.longitude.as_degrees()),
            components: components.map(|(id, c)| format!("{id} {}", c.kind.name())).collect(),
        }
    }

    /// The same site, although its file may have changed: the name is the same, and so is the place or nearly all components
    /// that the smaller of both has.
    pub fn is_same_site(&self, other: &Self) -> bool {
        let place = (self.latitude, self.longitude) == (other.latitude, other.longitude);
        let common = self.components.intersection(&other.components).count();
        let fewer = self.components.len().min(other.components.len());
        self.name == other.name && (place || 4 * common >= 3 * fewer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_stays_itself_when_its_file_grows_and_is_not_another_of_the_same_name() {
        let home = Identity::of(&crate::site::builtin("home-amsterdam").unwrap().plant);
        let flat = Identity::of(&crate::site::builtin("apartment-seoul").unwrap().plant);
        let mut grown = home.clone();
        grown.components.insert("sauna sheddable_load".into());
        let mut moved = home.clone();
        moved.latitude += 0.5;
        let renamed = Identity {
            name: home.name.clone(),
            ..flat.clone()
        };
        let same = |other: &Identity| home.is_same_site(other);
        assert_eq!(
            [same(&home), same(&grown), same(&moved), same(&flat), same(&renamed)],
            [true, true, true, false, false]
        );
    }
}
