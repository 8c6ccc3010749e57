//! The sign and scale test of one command on a real device: `madang commission`.
//!
//! In: a device, a command, how far it may go. Out: for each conformance mark passed, failed or not tried, with what was
//! seen. Nothing is asked beyond `most`; whatever happens, the command is given back at the end.

mod bench;
mod marks;
mod run;
mod sheet;

pub use bench::{Bench, bench};
pub use sheet::COMMANDS;

use super::client::WireError;
use crate::time::Timestamp;
use run::Run;
use serde::Serialize;
use sheet::sheet;
use std::time::Duration;

/// What the tests may do and how long they may wait.
#[derive(Debug, Clone)]
pub struct Plan {
    pub command: String,
    /// Rating of the device in the command's unit.
    pub rating: f64,
    /// Nothing beyond this is asked.
    pub most: f64,
    /// How long a step may take to show.
    pub patience: Duration,
    /// How long a value must hold.
    pub hold: Duration,
    /// How long to wait for the device to fall back by itself; `None`: not tried.
    pub reversion: Option<Duration>,
    /// How long to wait for somebody else's write; `None`: not tried.
    pub foreign: Option<Duration>,
    pub now: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    Failed,
    NotTried,
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// A mark's name, or `identity`, `readings`, `release`.
    pub test: String,
    pub outcome: Outcome,
    /// In words and numbers.
    pub evidence: String,
}

/// Told while it runs.
pub type Told<'a> = &'a mut (dyn FnMut(&str) + Send);

/// Runs all tests that may be run. An error ends them early; what was found until then stands in `findings`.
pub async fn try_out(
    bench: &mut Bench,
    plan: &Plan,
    findings: &mut Vec<Finding>,
    told: Told<'_>,
) -> Result<(), WireError> {
    let Some(sheet) = sheet(&plan.command) else {
        let known = COMMANDS.join(", ");
        return Err(WireError::Wrong(format!(
            "the assistant knows {known}; not `{}`",
            plan.command
        )));
    };
    let mut run = Run {
        bench,
        plan,
        sheet,
        told,
        findings,
    };
    if run.look().await? {
        run.steps().await?;
    }
    Ok(())
}
