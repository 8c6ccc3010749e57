//! What people tell a running controller.

use super::limits::Source;
use super::setpoint::Target;
use crate::site::{EvMode, Id, Mode};
use crate::time::Timestamp;
use crate::units::{Energy, Power};
use serde::{Deserialize, Serialize};

/// One wish or order; from the page, the API or `madang set`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum PeopleInput {
    /// About the car at a charge point; absent parts stay as they are.
    Ev {
        component: Id,
        departure: Option<Timestamp>,
        energy: Option<Energy>,
        mode: Option<EvMode>,
    },
    /// Overrides one component inside the envelope, until it expires.
    Override {
        component: Id,
        target: Target,
        until: Timestamp,
    },
    /// Ends an override early.
    EndOverride {
        component: Id,
    },
    /// Limit at the connection point. It lifts no other: neither the site's own nor one that was told before.
    Limit {
        #[serde(default = "Source::person")]
        source: Source,
        direction: Direction,
        power: Power,
        until: Timestamp,
        /// Filled in when it is taken.
        #[serde(default)]
        said_at: Option<Timestamp>,
    },
    /// Ends all limits of one source in one direction.
    EndLimit {
        source: Source,
        direction: Direction,
    },
    /// Nobody is there until then: loads are expected to draw what they draw without people.
    Away {
        until: Timestamp,
        /// Filled in when it is taken.
        #[serde(default)]
        said_at: Option<Timestamp>,
    },
    /// People are back.
    EndAway {
        #[serde(default)]
        said_at: Option<Timestamp>,
    },
    Mode {
        mode: Mode,
    },
    /// Hand everything back to the devices (and to observe mode).
    Release,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Import,
    Export,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Export => "export",
        }
    }
}
