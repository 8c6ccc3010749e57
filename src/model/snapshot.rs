//! Readings of one cycle, frozen.

use super::doubt::DoubtKind;
use super::field::{CommandHealth, ForeignWrite, OnLoss, RatingFault};
pub use crate::reading::Quantity;
use crate::reading::Reading;
use crate::site::{Id, Kind};
use crate::time::Timestamp;
use crate::units::{Energy, Power, Soc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One value of one component as it came from the edge: engineering units, passive sign, device quirks already removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub component: Id,
    pub quantity: Quantity,
    pub reading: Reading<f64>,
}

/// How a device is doing, for people and for the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceHealth {
    pub device: Id,
    pub components: Vec<Id>,
    pub online: bool,
    /// Whether identity was confirmed; control needs it (or the owner's word).
    pub identity: IdentityStatus,
    /// Last complete answer.
    pub last_answer: Option<Timestamp>,
    pub answer_ms: Option<f64>,
    pub requests: u64,
    pub failures: u64,
    /// Last trouble, in English, for the page and the log.
    pub trouble: Option<String>,
    /// The same in Korean.
    #[serde(default)]
    pub trouble_ko: Option<String>,
    /// Its commands that are, or were, in our hands.
    pub commands: Vec<CommandHealth>,
    #[serde(default)]
    pub link: LinkHealth,
    /// Silent because the sun is down, and expected to come back with it.
    #[serde(default)]
    pub asleep: bool,
    /// What its components do when nobody speaks to them.
    #[serde(default)]
    pub on_loss: Vec<OnLoss>,
    /// Ratings it shows that contradict the site file, or what it showed before.
    #[serde(default)]
    pub ratings: Vec<RatingFault>,
}

/// What a device's link went through since the start; frames dropped and reconnects are those of the whole line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkHealth {
    /// Of the latest answers; `None` before the first.
    pub answer_p50_ms: Option<f64>,
    pub answer_p99_ms: Option<f64>,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// Requests refused or put off by the device.
    pub exceptions: u64,
    /// Late, foreign or broken frames that were thrown away.
    pub dropped_frames: u64,
    pub reconnects: u64,
    /// Points of the profile that this device refuses to show.
    pub unreadable: u64,
    /// Share of the latest requests that brought nothing, 0 to 1; `None` before there are some.
    #[serde(default)]
    pub lost_lately: Option<f64>,
    /// Restarts of the device that the connection outlived: it was told everything anew.
    #[serde(default)]
    pub restarts: u64,
}

impl DeviceHealth {
    /// A device that has not answered yet.
    pub fn unheard(device: Id, components: Vec<Id>) -> Self {
        Self {
            device,
            components,
            online: false,
            identity: IdentityStatus::Unchecked,
            last_answer: None,
            answer_ms: None,
            requests: 0,
            failures: 0,
            trouble: None,
            trouble_ko: None,
            commands: Vec::new(),
            link: LinkHealth::default(),
            asleep: false,
            on_loss: Vec::new(),
            ratings: Vec::new(),
        }
    }
    /// A rating that cannot be true stands between us and the component.
    pub fn is_misrated(&self, component: &Id) -> bool {
        self.ratings.iter().any(|r| r.component == *component)
    }
    /// The component is left to another controller.
    pub fn is_left(&self, component: &Id) -> bool {
        let left = |f: &ForeignWrite| f.yielded_until.is_some();
        let mut own = self.commands.iter().filter(|c| c.component == *component);
        own.any(|c| c.foreign.as_ref().is_some_and(left))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityStatus {
    Confirmed,
    Unchecked,
    Mismatch,
}

/// Everything the field reported in one cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    pub measurements: Vec<Measurement>,
    pub devices: Vec<DeviceHealth>,
}

/// The process image of one cycle: immutable, what all decisions of this cycle are made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub at: Timestamp,
    pub components: BTreeMap<Id, BTreeMap<Quantity, Reading<f64>>>,
    /// Grid meter power, import +; on an island the grid-forming battery's view (zero exchange) is not shown here.
    pub grid: Option<Reading<Power>>,
    /// Grid − everything metered: the load that no device measures, as it comes out, negative too (then something is
    /// wired, read or described wrongly); `None` where no load is without a device.
    pub residual: Option<Reading<Power>>,
    /// Grid − every power that is known: what the meter leaves for the load nobody measures *and* for everything that
    /// keeps silent. Usable whenever the meter is; equal to `residual` where nothing is silent.
    pub rest: Option<Reading<Power>>,
    /// The meter contradicts the parts, and is not yet found wrong: how much more may flow than it shows.
    pub astray: Option<Astray>,
    pub devices: Vec<DeviceHealth>,
    /// What plausibility found wrong in this cycle, for the log and the page.
    pub doubts: Vec<Doubt>,
}

/// Flow beyond what the meter shows, kW ≥ 0, if the parts are right and the meter is not. Until it is known which of the
/// two is wrong, limits are kept under both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Astray {
    pub import: f64,
    pub export: f64,
}

/// A value that was refused, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    pub component: Id,
    pub quantity: Quantity,
    pub kind: DoubtKind,
    pub why: String,
    /// The same in Korean where the numbers matter; else the kind's own words do.
    #[serde(default)]
    pub why_ko: Option<String>,
}

impl Snapshot {
    pub fn reading(&self, component: &Id, quantity: Quantity) -> Option<&Reading<f64>> {
        self.components.get(component)?.get(&quantity)
    }
    /// A value that may be acted on.
    pub fn usable(&self, component: &Id, quantity: Quantity) -> Option<f64> {
        self.reading(component, quantity)?.usable()
    }
    /// A value that may be learned from: measured in this cycle, not held over from the last.
    pub fn measured(&self, component: &Id, quantity: Quantity) -> Option<f64> {
        let reading = self.reading(component, quantity)?;
        reading
            .usable()
            .filter(|_| reading.quality() != crate::reading::Quality::Held)
    }
    pub fn power(&self, component: &Id) -> Option<Power> {
        self.usable(component, Quantity::ActivePower).map(Power::kw)
    }
    pub fn soc(&self, component: &Id) -> Option<Soc> {
        self.usable(component, Quantity::StateOfCharge).map(Soc::ratio)
    }
    pub fn session_energy(&self, component: &Id) -> Option<Energy> {
        self.usable(component, Quantity::SessionEnergy).map(Energy::kwh)
    }
    /// kW of the load that no device measures: what the others leave in the balance.
    pub fn residual_of(&self, component: &Id, kind: &Kind) -> Option<f64> {
        let measured = self.devices.iter().any(|d| d.components.contains(component));
        if measured || !matches!(kind, Kind::Load(_)) {
            return None;
        }
        self.residual?.usable().map(|p| p.as_kw())
    }
    /// A car is plugged in (IEC 61851 states B, C, D).
    pub fn plugged(&self, component: &Id) -> Option<bool> {
        self.usable(component, Quantity::ChargePointState)
            .map(|s| (1.0..=3.0).contains(&s))
    }
}
