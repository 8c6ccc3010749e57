//! What a restarted controller goes on from: journal records laid over each other, and over them the last words of people.

use super::delta::Delta;
use super::people;
use super::ports::Record;
use crate::model::{ControllerState, DecisionId, PeopleInput, Words};
use crate::site::{Id, Plant};
use crate::time::Timestamp;
use std::sync::Arc;

/// Decisions made after the last record that names one; numbers are never used twice.
const DECISIONS_AHEAD: u64 = 10_000;
/// Inputs kept while no state is found to lay them over.
const SAID_KEPT: usize = 1000;

/// Lays records over each other, oldest first; `None` where there is no keyframe.
pub fn recover(records: impl Iterator<Item = Record>) -> Option<ControllerState> {
    let mut recovery = Recovery::default();
    records.for_each(|r| recovery.take(Timestamp::UNIX_EPOCH, r));
    recovery.state()
}

/// Takes records one by one, so that no file need be held whole.
#[derive(Debug, Default)]
pub struct Recovery {
    state: Option<ControllerState>,
    /// The last light state as written: what a change is laid over.
    light: Option<serde_json::Value>,
    /// Time of the newest record.
    at: Option<Timestamp>,
    /// When a person last said something that stands here.
    said_at: Option<Timestamp>,
    /// What people said before the first state.
    said: Vec<PeopleInput>,
}

impl Recovery {
    pub fn take(&mut self, at: Timestamp, record: Record) {
        self.at = Some(at);
        if let Record::People { input } = &record {
            self.said_at = Some(at);
            if self.state.is_none() && self.said.len() < SAID_KEPT {
                self.said.push(input.clone());
            }
        }
        self.state = match (self.state.take(), record) {
            (_, Record::Keyframe { state }) => {
                self.light = None;
                Some(*state)
            }
            (Some(state), Record::Light { state: light }) => {
                self.light = serde_json::to_value(&*light).ok();
                Some(state.overlay(*light))
            }
            (Some(state), Record::Change { light }) => Some(self.change(state, &light)),
            (Some(state), record) => Some(lay(state, record)),
            (None, _) => None,
        };
    }

    /// A change whose ground was lost is left out; the next whole state has it.
    fn change(&mut self, state: ControllerState, delta: &Delta) -> ControllerState {
        let Some(light) = &mut self.light else { return state };
        delta.apply(light);
        match serde_json::from_value(light.clone()) {
            Ok(light) => state.overlay(light),
            Err(_) => state,
        }
    }

    pub fn has_state(&self) -> bool {
        self.state.is_some()
    }

    /// Components that the state has decided for.
    pub fn decided_for(&self) -> Vec<&Id> {
        self.state.iter().flat_map(|s| s.last.keys()).collect()
    }

    /// The state alone.
    pub fn state(self) -> Option<ControllerState> {
        self.state.map(ahead)
    }

    /// The state with people's last words over it, whatever else is lost: without a state they are laid over a fresh one.
    /// `words` are left out where a person said something later that stands in the records.
    pub fn with_words(self, words: Option<Words>, plant: &Plant, now: Timestamp) -> Option<ControllerState> {
        let known = self.said_at;
        let words = words.filter(|w| known.is_none_or(|t| w.at >= t));
        let older = |w: &Words| self.state.is_none() || self.at.is_none_or(|t| t < w.at);
        let cars_too = words.as_ref().is_some_and(older);
        let mut state = match self.state {
            Some(state) => ahead(state),
            None if words.is_none() && self.said.is_empty() => return None,
            None => {
                let mut fresh = ControllerState::fresh(plant, now);
                for input in &self.said {
                    // What was too much then is too much now.
                    let _full = people::lay(&mut fresh, input);
                }
                fresh
            }
        };
        if let Some(words) = words {
            words.lay(&mut state, cars_too);
        }
        Some(state)
    }
}

fn ahead(mut state: ControllerState) -> ControllerState {
    state.next_decision = DecisionId(state.next_decision.0.saturating_add(DECISIONS_AHEAD));
    state
}

fn lay(mut state: ControllerState, record: Record) -> ControllerState {
    match record {
        Record::Slots { slots } => {
            for (name, start, mean) in slots {
                state.forecast.put_slot(&name, start, mean);
            }
        }
        Record::Plan { schedule } => state.adopt(Arc::new(*schedule)),
        // Written before the registers were: the device may hold it already.
        Record::Intent { setpoints } => {
            let meant = setpoints.into_iter().map(|s| (s.component, s.target));
            state.field.intended.extend(meant);
        }
        // Said and answered before the next state was written.
        Record::People { input } => {
            // What was too much then is too much now.
            let _full = people::lay(&mut state, &input);
        }
        // The states are taken before; the rest changes none.
        Record::Keyframe { .. } | Record::Light { .. } | Record::Change { .. } | Record::Opened { .. } => {}
        Record::Written { .. } | Record::Rejected { .. } | Record::Note { .. } => {}
    }
    state
}
