//! Commands to components: leases that expire.

use super::reason::Reason;
use crate::site::Id;
use crate::time::Timestamp;
use crate::units::{Current, Power};
use serde::{Deserialize, Serialize};

/// What a component is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Battery (charging +, discharging −), heat pump (+), generator (what it is to make, ≥ 0; zero = stop).
    Power(Power),
    /// PV: generation not above this magnitude (≥ 0).
    PowerLimit(Power),
    /// Charge point: current per phase; zero = pause.
    Current(Current),
    /// Shiftable and sheddable loads.
    On(bool),
    /// Give control back to the device.
    Release,
}

/// Number of a decision, rising by one; the journal can be searched for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecisionId(pub u64);

/// A lease: after `valid_until` it must not be in force any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setpoint {
    pub component: Id,
    pub target: Target,
    pub valid_until: Timestamp,
    pub reason: Reason,
    pub decision: DecisionId,
}

/// What became of a setpoint at the device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteReport {
    pub component: Id,
    pub device: Id,
    pub decision: DecisionId,
    pub command: String,
    /// In the command's unit; `None` for a release.
    pub value: Option<f64>,
    /// Register writes sent (address, words).
    pub writes: Vec<(u16, Vec<u16>)>,
    pub outcome: WriteOutcome,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteOutcome {
    /// Echo and read-back (or effect) agree.
    Verified,
    /// Sent and echoed; the effect is still to be seen.
    Pending,
    Failed(String),
    /// Not sent: observe mode, no consent, or nothing changed and no refresh due.
    Withheld(String),
}
