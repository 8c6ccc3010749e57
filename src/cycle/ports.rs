//! The small ports through which the cycle talks to I/O rooms; each I/O room implements one.

use super::delta::Delta;
use super::kept::{Notice, Told};
use crate::model::{
    ControllerState, FieldMemory, LastTarget, PeopleInput, Scan, Schedule, Setpoint, Snapshot, Words, WriteReport,
};
use crate::site::{Id, Mode};
use crate::tariff::PriceFiles;
use crate::time::Timestamp;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

/// The wire (or, in virtual time without it, the twin itself).
pub trait FieldPort {
    /// Reads every device once and returns when all have reported or the cycle's patience is over. Measurements of silent
    /// devices are absent; `devices` says who is silent.
    fn scan(&mut self, now: Timestamp) -> impl Future<Output = Scan> + Send;
    /// Writes setpoints (on change or when a refresh is due) and reports what became of each.
    fn apply(&mut self, now: Timestamp, setpoints: &[Setpoint]) -> impl Future<Output = Vec<WriteReport>> + Send;
    /// Whether registers may be written from now on; in observe mode `apply` withholds everything.
    fn set_mode(&mut self, mode: Mode);
    /// What must survive a restart; `None` where there is nothing (no wire).
    fn memory(&self) -> Option<&FieldMemory> {
        None
    }
    /// What a former process remembered; called before anything is written.
    fn remember(&mut self, _memory: &FieldMemory) {}
    /// The owner wants control again of what was left to another controller.
    fn take_back(&mut self) {}
    /// Gives every device back; bounded in time.
    fn release(&mut self) -> impl Future<Output = Vec<WriteReport>> + Send;
}

/// Where dynamic prices come from (a watched file, or the twin's market).
pub trait PricePort: Send {
    /// What is published at `now`; `None` where the site has no dynamic price or nothing is known.
    fn current(&mut self, now: Timestamp) -> Option<Arc<PriceFiles>>;
    /// Rises whenever something new was published.
    fn version(&self) -> u64;
    /// Why what is known may be old.
    fn trouble(&self) -> Option<Trouble> {
        None
    }
}

/// Something wrong with a part beside the loop, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Stable code of the alarm.
    pub code: &'static str,
    pub part: Option<String>,
    pub en: String,
    pub ko: String,
}

/// Flight recorder. No call waits for a disk, but for the bounded ones that say so.
pub trait JournalPort: Send {
    /// Takes a record; the error says why it is not kept.
    fn append(&mut self, now: Timestamp, record: &Record) -> Result<(), String>;
    /// Takes what a person said, with all that people's words leave in force now, and tells once whether both are on the
    /// disk. Where nothing outlives the process anyway, that is at once.
    fn keep(&mut self, now: Timestamp, record: &Record, _words: &Words, told: Told) {
        told(self.append(now, record));
    }
    /// Waits a few milliseconds at most until what was appended has left the process.
    fn sent(&mut self) {}
    /// Waits a few seconds at most until what was appended is durable: at the end.
    fn commit(&mut self) -> Result<(), String>;
    /// Records were lost, or a new file was begun: the next state must be a whole one.
    fn wants_keyframe(&mut self) -> bool {
        false
    }
    /// What is not kept at present.
    fn notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }
}

/// One entry of the journal. A value that JSON cannot hold (NaN, infinity) makes it a record that is not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// First of a file: whose it is, and the link before it (hex) where it was not the first of all.
    Opened {
        site: String,
        before: String,
    },
    /// Full state, from which a restart goes on.
    Keyframe {
        state: Box<ControllerState>,
    },
    /// What changed within seconds ([`ControllerState::light`]); laid over the last keyframe.
    Light {
        state: Box<ControllerState>,
    },
    /// What changed in the light state since the last one, which is a whole one or such a change.
    Change {
        light: Delta,
    },
    /// Slots the forecaster closed since: series, start of slot, mean kW.
    Slots {
        slots: Vec<(String, Timestamp, Option<f32>)>,
    },
    /// Setpoints that changed; written before the registers are.
    Intent {
        setpoints: Vec<Setpoint>,
    },
    /// What was sent to devices and what became of it.
    Written {
        reports: Vec<WriteReport>,
    },
    Plan {
        schedule: Box<Schedule>,
    },
    /// A plan that was not adopted, and why.
    Rejected {
        why: String,
    },
    People {
        input: PeopleInput,
    },
    Note {
        text: String,
    },
}

/// What one cycle did; side exits (history, telemetry, web) take what they want of it and may be slow or absent.
#[derive(Debug, Clone)]
pub struct CycleReport {
    pub snapshot: Arc<Snapshot>,
    pub setpoints: Arc<Vec<Setpoint>>,
    pub writes: Arc<Vec<WriteReport>>,
    /// State after the cycle without the forecaster's slots; shared, never copied per exit.
    pub state: Arc<ControllerState>,
    /// Milliseconds of CPU-bound work of this cycle.
    pub cycle_ms: f64,
    pub alarms: Vec<Alarm>,
    /// Dynamic prices as published at that moment.
    pub prices: Option<Arc<PriceFiles>>,
    pub counts: Counts,
}

/// Counts since the process started, as every exit shows them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Counts {
    pub cycles: u64,
    pub plans: u64,
    pub rejected: u64,
    pub writes_issued: u64,
    pub writes_verified: u64,
    pub writes_failed: u64,
    /// CPU milliseconds of the last plan, build and solve.
    pub last_solve_ms: Option<f64>,
}

/// All samples of one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    pub at: Timestamp,
    /// Historian's key and value.
    pub values: Vec<(Arc<str>, f64)>,
}

/// The historian as a store-and-forward buffer for sinks that may be away.
pub trait HistoryFeed: Send {
    /// Ticks later than `after`, oldest first, about `limit` of them; fewer where a stored block ends.
    fn after(&self, after: Timestamp, limit: usize) -> Result<Vec<Tick>, String>;
    /// Up to where a sink has everything; `None` for a sink that never sent.
    fn cursor(&self, sink: &str) -> Result<Option<Timestamp>, String>;
    fn set_cursor(&self, sink: &str, at: Timestamp) -> Result<(), String>;
}

/// The historian as the page reads it.
pub trait HistoryRead: Send + Sync {
    /// Keys of all series (see [`super::Sample::key`]).
    fn keys(&self) -> Result<Vec<String>, String>;
    /// Means of one series over steps of `step` in `[from, to)`; steps without a sample are left out.
    fn read(&self, key: &str, from: Timestamp, to: Timestamp, step: TimeDelta)
    -> Result<Vec<(Timestamp, f64)>, String>;
}

/// The journal as the page reads it, on a thread that may wait for the disk.
pub trait JournalRead: Send + Sync {
    /// The targets that stood at an instant, with their reasons; `None` where the controller did not run or nothing is kept
    /// of that time.
    fn decided(&self, at: Timestamp) -> Result<Option<BTreeMap<Id, LastTarget>>, String>;
}

/// Something people should know about now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Stable code, e.g. `device_silent`.
    pub code: String,
    pub component: Option<String>,
    pub text_en: String,
    pub text_ko: String,
    pub since: Timestamp,
}
