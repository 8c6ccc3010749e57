//! What stood in the state at an instant of the past, for people who ask why.
//!
//! One request reads one segment, up to the instant, on the thread of who asks; the keeper's files are only read.

use super::read::{first_at, scan, segments};
use crate::cycle::{JournalRead, Record};
use crate::model::{ControllerState, LastTarget};
use crate::site::Id;
use crate::time::Timestamp;
use chrono::TimeDelta;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// A state is written every 5 s: a gap this long before the instant is a controller that did not run.
const GAP: TimeDelta = TimeDelta::seconds(60);

/// The journal of a state folder, read beside the thread that keeps it.
#[derive(Debug, Clone)]
pub struct Past {
    folder: PathBuf,
}

impl Past {
    /// `state`: the state folder, in which `journal/` lies.
    pub fn of(state: &std::path::Path) -> Self {
        Self {
            folder: state.join("journal"),
        }
    }

    /// The newest segment that began by `at`.
    fn segment(&self, at: Timestamp) -> io::Result<Option<PathBuf>> {
        let all = segments(&self.folder)?;
        let begun = all.partition_point(|(_, path)| first_at(path).is_some_and(|first| first <= at));
        Ok(begun
            .checked_sub(1)
            .and_then(|i| all.into_iter().nth(i))
            .map(|(_, path)| path))
    }
}

impl JournalRead for Past {
    fn decided(&self, at: Timestamp) -> Result<Option<BTreeMap<Id, LastTarget>>, String> {
        let why = |e: io::Error| format!("{}: {e}", self.folder.display());
        let Some(path) = self.segment(at).map_err(why)? else {
            return Ok(None);
        };
        let mut then = Then::default();
        scan(&path, |entry| {
            if entry.at <= at {
                then.take(entry.at, entry.record);
            }
        })
        .map_err(why)?;
        Ok(then.decided(at))
    }
}

/// The light state as it was written last.
#[derive(Default)]
struct Then {
    written: Option<(Timestamp, Value)>,
}

impl Then {
    fn take(&mut self, at: Timestamp, record: Record) {
        match record {
            Record::Keyframe { state } => self.whole(at, &state.light()),
            Record::Light { state } => self.whole(at, &state),
            Record::Change { light } => {
                if let Some((since, value)) = &mut self.written {
                    light.apply(value);
                    *since = at;
                }
            }
            _ => (),
        }
    }

    fn whole(&mut self, at: Timestamp, state: &ControllerState) {
        self.written = serde_json::to_value(state).ok().map(|value| (at, value));
    }

    fn decided(self, at: Timestamp) -> Option<BTreeMap<Id, LastTarget>> {
        let (_, mut value) = self.written.filter(|(since, _)| at - *since <= GAP)?;
        serde_json::from_value(value.get_mut("last")?.take()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycle::JournalPort;
    use crate::journal::{FileJournal, Limits, Place};
    use crate::model::{Reason, ReasonCode, Target};
    use crate::site::builtin;
    use crate::units::Power;
    use std::sync::Arc;
    use std::time::Duration;

    fn begin() -> Timestamp {
        chrono::DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    /// A run of the controller whose battery's decision has another reason from each of these minutes on.
    fn run(folder: &std::path::Path, decisions: &[(i64, ReasonCode)], until: i64) {
        let plant = Arc::new(builtin("home-amsterdam").unwrap().plant);
        let limits = Limits {
            // each keyframe begins a segment
            segment_bytes: 1,
            total_bytes: 1 << 30,
            sync_every: Duration::from_secs(30),
        };
        let from = decisions[0].0;
        let start = begin() + TimeDelta::minutes(from);
        let (mut journal, _) = FileJournal::open(Place::own(folder.to_owned(), plant.clone()), limits, start).unwrap();
        let mut state = ControllerState::fresh(&plant, start);
        for half in 2 * from..=2 * until {
            let at = begin() + TimeDelta::seconds(30 * half);
            if let Some((_, code)) = decisions.iter().find(|(minute, _)| 2 * minute == half) {
                let last = LastTarget {
                    target: Target::Power(Power::kw(1.0)),
                    at,
                    mode_since: at,
                    reason: Reason::new(*code),
                };
                state.last.insert(Id::new("battery"), last);
            }
            let whole = Box::new(state.clone());
            let record = match half == 2 * from || half % 120 == 0 {
                true => Record::Keyframe { state: whole },
                false => Record::Light {
                    state: Box::new(state.light()),
                },
            };
            journal.append(at, &record).unwrap();
            journal.sent();
        }
        journal.commit().unwrap();
    }

    #[test]
    fn what_was_decided_then_is_found_over_segments_changes_and_restarts() {
        let folder = tempfile::tempdir().unwrap();
        use ReasonCode as C;
        run(folder.path(), &[(10, C::HoldForLater), (40, C::CoverLoad)], 130);
        run(folder.path(), &[(200, C::Override), (205, C::StoreSurplus)], 210);
        let past = Past::of(folder.path());
        let rows = [
            (9, None),
            (10, Some((C::HoldForLater, 10))),
            (39, Some((C::HoldForLater, 10))),
            (40, Some((C::CoverLoad, 40))),
            (59, Some((C::CoverLoad, 40))),
            (61, Some((C::CoverLoad, 40))),
            (130, Some((C::CoverLoad, 40))),
            // the controller did not run
            (132, None),
            (199, None),
            (204, Some((C::Override, 200))),
            (206, Some((C::StoreSurplus, 205))),
            (300, None),
        ];
        for (minute, expected) in rows {
            let found = past.decided(begin() + TimeDelta::minutes(minute)).unwrap();
            let got = found.as_ref().and_then(|all| all.get(&Id::new("battery")));
            let got = got.map(|l| (l.reason.code, (l.mode_since - begin()).num_minutes()));
            assert_eq!(got, expected, "minute {minute}");
        }
        let nowhere = Past::of(std::path::Path::new("/nonexistent/madang"));
        assert!(nowhere.decided(begin()).is_err());
    }
}
