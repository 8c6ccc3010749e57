//! Verified control of one device: what it is told, how that is proved, refreshed, given back, and when it is not told.
//!
//! In: orders (leases). Out: what became of each, at once or as a later poll shows it. A command is pending until the
//! device shows it; nothing here waits for that, so that the link stays free for others.

mod adopt;
mod carry;
mod effect;
mod proof;
mod rating;
mod release;
mod send;

pub use effect::{Effect, Law, Reach};
pub use rating::{Rated, Rating, Shown};

use super::foreign::{HANDS_OFF, Other};
use super::owned::{Cells, Odd};
use super::program::Program;
use crate::model::{CommandHealth, CommandProof, DecisionId, DeviceMemory, ForeignWrite, WriteOutcome};
use crate::site::Id;
use crate::time::Timestamp;
use chrono::TimeDelta;
use effect::Watch;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Longest pause between attempts that fail; for a limit that must hold.
const RETRY_MOST: TimeDelta = TimeDelta::seconds(30);
const RETRY_MOST_LIMIT: TimeDelta = TimeDelta::seconds(2);

/// One command for one device.
#[derive(Debug, Clone)]
pub struct Order {
    pub device: Id,
    pub component: Id,
    pub decision: DecisionId,
    pub command: String,
    /// `None` gives control back.
    pub value: Option<f64>,
    pub now: Timestamp,
    /// The lease: not in force any longer than this.
    pub valid_until: Timestamp,
    pub control: bool,
    /// A limit that must hold: goes before the wear budget.
    pub must: bool,
}

/// What became of an order, or of a command without one (a lease that ran out).
#[derive(Debug, Clone)]
pub struct Written {
    pub device: Id,
    pub component: Id,
    pub decision: DecisionId,
    pub command: String,
    pub value: Option<f64>,
    pub sent: Vec<(u16, Vec<u16>)>,
    pub outcome: WriteOutcome,
    /// What the device must not forget, where this changed it.
    pub memory: Option<DeviceMemory>,
}

impl Written {
    pub fn of(order: &Order, sent: Vec<(u16, Vec<u16>)>, outcome: WriteOutcome) -> Self {
        Self {
            device: order.device.clone(),
            component: order.component.clone(),
            decision: order.decision,
            command: order.command.clone(),
            value: order.value,
            sent,
            outcome,
            memory: None,
        }
    }
}

/// What is known of the device's obedience.
#[derive(Debug, Clone, PartialEq)]
enum Proof {
    Pending {
        until: Timestamp,
    },
    Seen,
    /// The wire failed in the middle, or the session is new: armed and written again with the next order.
    Unsure,
}

/// A command in our hands.
#[derive(Debug, Clone)]
struct Told {
    order: Order,
    value: f64,
    program: Program,
    own: Cells,
    at: Timestamp,
    /// The lease's end by the link's own timer, for when nobody polls.
    deadline: Instant,
    proof: Proof,
    read_back: Timestamp,
    /// When it was sent, and when the link sends it again by itself because the wire failed.
    begun: Instant,
    retry: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Failure {
    why: String,
    count: u32,
    not_before: Timestamp,
}

impl Failure {
    /// One more, with a longer pause than the last.
    fn after(last: Option<&Self>, why: &str, now: Timestamp, must: bool) -> Self {
        let count = last.map_or(1, |f| f.count + 1);
        let most = if must { RETRY_MOST_LIMIT } else { RETRY_MOST };
        let pause = TimeDelta::seconds(1 << (count - 1).min(5)).min(most);
        Self {
            why: why.to_owned(),
            count,
            not_before: now + pause,
        }
    }
}

/// Everything remembered of a device's commands.
#[derive(Debug, Default)]
pub struct Control {
    told: BTreeMap<String, Told>,
    others: BTreeMap<String, Other>,
    failures: BTreeMap<String, Failure>,
    /// Commands that are held and not obeyed, until the device is seen to obey.
    disobeyed: BTreeMap<String, Failure>,
    effects: BTreeMap<String, Watch>,
    /// Ends of the battery behind this device.
    pub(in crate::field) reach: Reach,
    /// What the site file says of what is behind this device.
    pub(in crate::field) rated: Rated,
    trust: rating::Trust,
    /// Looks in a row that showed something else than ours.
    odd: BTreeMap<String, Odd>,
    worn: BTreeMap<String, String>,
    /// What the device held before our first write was looked at.
    inspected: BTreeSet<String>,
    /// When a restart of the device was found by what it had forgotten of a command.
    forgotten: BTreeMap<String, Timestamp>,
    /// Registers that cannot be read back.
    unreadable: BTreeSet<String>,
    last_write: Option<Timestamp>,
    /// Whom each command moves.
    components: BTreeMap<String, Id>,
    memory: DeviceMemory,
    /// Reports for the next poll.
    settled: Vec<Written>,
}

impl Control {
    /// Whom each command of this device moves, for reports.
    pub fn name(&mut self, components: BTreeMap<String, Id>) {
        self.components = components;
    }

    /// Commands that move a component, and which.
    pub fn commands(&self) -> impl Iterator<Item = (&String, &Id)> {
        self.components.iter()
    }

    /// What a former process left: to be adopted or given back.
    pub fn remember(&mut self, memory: DeviceMemory) {
        self.memory = memory;
    }

    pub fn memory(&self) -> &DeviceMemory {
        &self.memory
    }

    /// A new session: the device may have been restarted and hold nothing of ours.
    pub fn doubt(&mut self) {
        for told in self.told.values_mut() {
            told.proof = Proof::Unsure;
        }
        self.effects.clear();
    }

    /// The device has restarted: what it holds now is its own doing, not another controller's.
    pub fn forgive(&mut self) {
        self.others.retain(|_, other| other.reasserted > 0);
        self.doubt();
    }

    /// The owner wants control again, whoever else may write.
    pub fn take_back(&mut self) {
        self.memory.yielded.clear();
        self.others.clear();
    }

    pub fn take_settled(&mut self) -> Vec<Written> {
        std::mem::take(&mut self.settled)
    }

    pub fn is_idle(&self) -> bool {
        self.told.is_empty() && self.memory.held.is_empty()
    }

    /// When something is due by the link's own timer: a lease runs out, or what the wire swallowed is sent again.
    pub fn next_deadline(&self) -> Option<Instant> {
        let next = |t: &Told| t.retry.map_or(t.deadline, |r| r.min(t.deadline));
        self.told.values().map(next).min()
    }

    /// Commands in our hands.
    pub fn in_force(&self) -> Vec<String> {
        self.told.keys().cloned().collect()
    }

    pub fn health(&self, now: Timestamp) -> Vec<CommandHealth> {
        let mut names: BTreeSet<&String> = self.told.keys().chain(self.failures.keys()).collect();
        names.extend(self.disobeyed.keys());
        names.extend(self.others.keys().chain(self.worn.keys()));
        names.extend(self.memory.yielded.keys());
        names.into_iter().map(|c| self.health_of(c, now)).collect()
    }

    fn health_of(&self, command: &str, now: Timestamp) -> CommandHealth {
        let told = self.told.get(command);
        let failed = self.failures.get(command).or(self.disobeyed.get(command));
        let failed = failed.map(|f| CommandProof::Failed(f.why.clone()));
        let proof = told.map_or(CommandProof::Released, |t| match t.proof {
            Proof::Pending { .. } => CommandProof::Pending,
            // A register that reads back proves nothing against a power that says otherwise.
            Proof::Seen if self.is_contradicted(command) => CommandProof::Pending,
            Proof::Seen => CommandProof::Verified,
            Proof::Unsure => CommandProof::Unsure,
        });
        let until = self.memory.yielded.get(command).copied().filter(|t| *t > now);
        let foreign = self.others.get(command).map(Other::shown);
        let left = until.map(|until| ForeignWrite {
            found: "a value that is not ours".into(),
            since: until - HANDS_OFF,
            reasserted: 0,
            yielded_until: None,
        });
        let foreign = foreign.or(left).map(|f| ForeignWrite {
            yielded_until: until,
            ..f
        });
        CommandHealth {
            command: command.to_owned(),
            component: self.component(command),
            value: told.map(|t| t.value),
            proof: failed.unwrap_or(proof),
            foreign,
            worn: self.worn.get(command).cloned(),
        }
    }

    fn component(&self, command: &str) -> Id {
        let known = self.components.get(command).cloned();
        known.unwrap_or_else(|| Id::new(command))
    }

    fn fail(&mut self, command: &str, why: &str, now: Timestamp, must: bool) {
        let failure = Failure::after(self.failures.get(command), why, now, must);
        self.failures.insert(command.to_owned(), failure);
    }
}

fn deadline(order: &Order) -> Instant {
    Instant::now() + (order.valid_until - order.now).to_std().unwrap_or_default()
}
