//! What a restarted controller goes on from: journal records laid over each other.

use super::ports::Record;
use crate::model::{ControllerState, DecisionId};
use std::sync::Arc;

/// Decisions made after the last record that names one; numbers are never used twice.
const DECISIONS_AHEAD: u64 = 10_000;

/// Lays records over each other, oldest first; `None` where there is no keyframe.
pub fn recover(records: impl Iterator<Item = Record>) -> Option<ControllerState> {
    let mut state: Option<ControllerState> = None;
    for record in records {
        state = match (state, record) {
            (_, Record::Keyframe { state }) => Some(*state),
            (Some(state), record) => Some(lay(state, record)),
            (None, _) => None,
        };
    }
    state.map(|mut s| {
        s.next_decision = DecisionId(s.next_decision.0 + DECISIONS_AHEAD);
        s
    })
}

fn lay(mut state: ControllerState, record: Record) -> ControllerState {
    match record {
        Record::Keyframe { state } => return *state,
        Record::Light { state: light } => return state.overlay(*light),
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
        Record::Written { .. } | Record::Rejected { .. } | Record::People { .. } | Record::Note { .. } => {}
    }
    state
}
