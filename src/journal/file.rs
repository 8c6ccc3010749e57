//! The journal as the control loop sees it: a queue to a thread of its own.

use super::queue::{Order, Queue};
use super::{chain, keeper, words};
use crate::cycle::{Claim, Delta, JournalPort, Notice, Record, Told};
use crate::model::{ControllerState, Words};
use crate::site::Plant;
use crate::time::Timestamp;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How much the journal may keep.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A keyframe starts a new segment once the current one is larger than this.
    pub segment_bytes: u64,
    /// Oldest segments are removed while all of them are larger than this; the newest two always stay.
    pub total_bytes: u64,
    /// What was appended is durable after this long at the latest; what people said is at once. A killed process loses
    /// neither, a power cut what is younger.
    pub sync_every: Duration,
}

impl Limits {
    /// About a week of a large site.
    pub const DEFAULT: Self = Self {
        segment_bytes: 16 << 20,
        total_bytes: 512 << 20,
        sync_every: Duration::from_secs(30),
    };
}

/// Where a site's journal is, and whose it is.
#[derive(Clone)]
pub struct Place {
    /// The state folder: `journal/` and `people.json` lie in it.
    pub state: PathBuf,
    pub plant: Arc<Plant>,
    /// Asked before anything in the folder is opened.
    pub claim: Claim,
}

impl Place {
    /// A folder that nobody else can have used.
    pub fn own(state: PathBuf, plant: Arc<Plant>) -> Self {
        let claim: Claim = Arc::new(|| Ok(()));
        Self { state, plant, claim }
    }
    pub(super) fn site(&self) -> &str {
        self.plant.name.as_str()
    }
}

/// A disk that has not told what is on it by then is left to itself: control begins without it.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);
/// An intent leaves the process before the wire is written to, but the wire does not wait longer than this.
const SENT_PATIENCE: Duration = Duration::from_millis(20);
/// At the end of the process.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// The keeper at one thing for this long is a disk that does not answer.
const STUCK: Duration = Duration::from_secs(5);

/// Appends through a thread of its own; nothing here waits for a disk longer than the patience above.
#[derive(Debug)]
pub struct FileJournal {
    queue: Arc<Queue>,
    folder: PathBuf,
    site: String,
    /// A record that could not be written in a readable form: shown until one of its kind is.
    refused: Option<(&'static str, String)>,
    /// The last light state in the queue; `None` where the next must be whole.
    light: Option<serde_json::Value>,
    /// The keeper was behind when it was last waited for.
    behind: bool,
    /// It was waited for at the end already, in vain.
    gave_up: bool,
}

impl FileJournal {
    /// Opens or creates the journal and gives back what a controller goes on from, if anything is there. A folder that
    /// cannot be used is a notice, and is tried again; the error is a thread that cannot be started.
    pub fn open(place: Place, limits: Limits, now: Timestamp) -> Result<(Self, Option<ControllerState>), String> {
        let queue = Arc::new(Queue::default());
        let journal = Self {
            queue: queue.clone(),
            folder: place.state.join("journal"),
            site: place.site().to_owned(),
            refused: None,
            light: None,
            behind: false,
            gave_up: false,
        };
        let (found, start) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || keeper::serve(place, limits, now, &queue, &found))
            .map_err(|e| format!("cannot start a thread for the journal: {e}"))?;
        let restored = start.recv_timeout(OPEN_PATIENCE).unwrap_or_else(|_| {
            tracing::error!(
                "the disk of {} does not answer; control begins without it",
                journal.folder.display()
            );
            None
        });
        Ok((journal, restored))
    }

    /// Hex of the chain as far as it is written.
    pub fn hash(&self) -> String {
        self.queue.hash()
    }

    fn order(&mut self, at: Timestamp, record: &Record, words: Option<(Vec<u8>, Told)>) -> Result<(), String> {
        let kind = kind(record);
        let json = match self.written(record) {
            Ok(json) => json,
            Err(why) => {
                if self.refused.is_none() {
                    tracing::error!("a record ({kind}) is not kept, it could not be read back: {why}");
                }
                if let Some((_, told)) = words {
                    told(Err(why.clone()));
                }
                self.refused = Some((kind, why.clone()));
                return Err(why);
            }
        };
        self.refused.take_if(|(k, _)| *k == kind);
        let keyframe = matches!(record, Record::Keyframe { .. });
        let order = Order {
            at,
            json,
            keyframe,
            words,
        };
        self.queue.push(order).map_err(|order| {
            self.light = None;
            let why = "the disk is behind; the record found no room in the queue".to_owned();
            if let Some((_, told)) = order.words {
                told(Err(why.clone()));
            }
            why
        })
    }

    /// The record in its written form: a light state after another one is only what changed.
    fn written(&mut self, record: &Record) -> Result<Vec<u8>, String> {
        let whole = chain::json(record)?;
        match record {
            Record::Keyframe { .. } => self.light = None,
            Record::Light { state } => {
                let light = serde_json::to_value(&**state).map_err(|e| e.to_string())?;
                if let Some(last) = self.light.replace(light)
                    && let Some(light) = &self.light
                {
                    let light = Delta::between(&last, light);
                    return chain::json(&Record::Change { light });
                }
            }
            _ => {}
        }
        Ok(whole)
    }
}

/// What kind of record, for sentences and for which one follows which.
fn kind(record: &Record) -> &'static str {
    match record {
        Record::Keyframe { .. } | Record::Light { .. } | Record::Change { .. } => "state",
        Record::Plan { .. } => "plan",
        Record::People { .. } => "words",
        _ => "report",
    }
}

impl JournalPort for FileJournal {
    fn append(&mut self, now: Timestamp, record: &Record) -> Result<(), String> {
        self.order(now, record, None)
    }

    fn keep(&mut self, now: Timestamp, record: &Record, words: &Words, told: Told) {
        match words::text(&self.site, words) {
            // The order tells, whatever becomes of it.
            Ok(text) => drop(self.order(now, record, Some((text, told)))),
            Err(why) => told(Err(why)),
        }
    }

    fn sent(&mut self) {
        let patience = if self.behind { Duration::ZERO } else { SENT_PATIENCE };
        self.behind = !self.queue.wait_done(patience);
    }

    fn commit(&mut self) -> Result<(), String> {
        self.gave_up = !self.queue.flush(LAST_PATIENCE);
        if self.gave_up {
            return Err("the disk has not taken all of it".into());
        }
        Ok(())
    }

    fn wants_keyframe(&mut self) -> bool {
        self.queue.take_wants_keyframe()
    }

    fn notices(&mut self) -> Vec<Notice> {
        let mut all = self.queue.notices();
        let mut add = |en: String, ko: String| {
            all.retain(|n| n.code != "journal");
            all.push(Notice {
                code: "journal",
                en,
                ko,
            });
        };
        if let Some((kind, why)) = &self.refused {
            add(
                format!(
                    "a record ({kind}) is not kept, because it could not be read back: {why}. Control goes on. Please report this"
                ),
                format!("기록({kind})을 저장할 수 없음: {why}. 제어는 계속됩니다. 개발자에게 알려 주십시오"),
            );
        }
        let folder = self.folder.display();
        if self.queue.has_ended() {
            add(
                format!(
                    "nothing is recorded: the journal's thread has ended. Control goes on. Restart the service ({folder})"
                ),
                format!(
                    "운전 기록이 중단됨: 기록 스레드가 종료되었습니다. 제어는 계속됩니다. 서비스를 다시 시작하십시오 ({folder})"
                ),
            );
        } else if self.queue.stuck_for() > STUCK {
            add(
                format!(
                    "nothing is recorded: the disk does not answer. Control goes on. Check the disk and its cable or network ({folder})"
                ),
                format!(
                    "운전 기록이 저장되지 않음: 디스크가 응답하지 않습니다. 제어는 계속됩니다. 디스크와 연결을 확인하십시오 ({folder})"
                ),
            );
        }
        all
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        let patience = if self.gave_up { Duration::ZERO } else { LAST_PATIENCE };
        if !self.queue.close(patience) {
            tracing::error!(
                "{}: the disk does not answer; the last records may be lost",
                self.folder.display()
            );
        }
    }
}
