//! The slow loop: frozen inputs in, a checked schedule out; beside the fast loop (own thread) or inline in virtual time.

use crate::model::{ControllerState, Forecast, Schedule, Snapshot, Trigger};
use crate::plan::{self, SolveOptions};
use crate::site::Plant;
use crate::time::Timestamp;
use std::sync::Arc;
use std::sync::mpsc;

/// Everything a plan is made from, frozen at one cycle.
#[derive(Debug, Clone)]
pub struct PlanInput {
    pub plant: Arc<Plant>,
    pub snapshot: Arc<Snapshot>,
    pub state: ControllerState,
    pub forecast: Forecast,
    pub id: u64,
    pub trigger: Trigger,
    pub now: Timestamp,
    /// `None` in virtual time: there the solver is bounded by nodes and iterations.
    pub deadline: Option<std::time::Duration>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum PlanOutcome {
    Adopted(Box<Schedule>),
    /// The plan must not be dispatched; the words say why.
    Rejected(String),
}

/// Forecast → problem → solution → schedule → independent check. Pure.
pub fn make_plan(input: &PlanInput) -> PlanOutcome {
    let placed = plan::problem(&input.plant, &input.snapshot, &input.forecast, &input.state);
    let options = SolveOptions {
        deadline: input.deadline,
        ..SolveOptions::controller()
    };
    let solution = match plan::solve(&placed.problem, &options) {
        Ok(solution) => solution,
        Err(error) => return PlanOutcome::Rejected(error.to_string()),
    };
    let report = crate::check::check(&placed.problem, &solution);
    if !report.ok {
        return PlanOutcome::Rejected(format!("the checker refused the plan: {}", report.faults.join("; ")));
    }
    let mut schedule = plan::schedule(
        &input.plant,
        &placed,
        solution,
        &input.forecast,
        input.id,
        input.trigger,
        input.now,
    );
    schedule.check = report;
    PlanOutcome::Adopted(Box::new(schedule))
}

/// Where plans are made.
#[derive(Debug)]
pub enum Planner {
    /// At once, inside the cycle that asks: virtual time.
    Inline(Option<PlanOutcome>),
    /// On a thread of its own: the fast loop never waits for the solver.
    Thread {
        ask: mpsc::SyncSender<PlanInput>,
        answers: mpsc::Receiver<PlanOutcome>,
        busy: bool,
    },
}

impl Planner {
    pub fn inline() -> Self {
        Self::Inline(None)
    }

    /// Starts the solver thread; it ends when the planner is dropped.
    pub fn threaded() -> std::io::Result<Self> {
        let (ask, questions) = mpsc::sync_channel::<PlanInput>(1);
        let (reply, answers) = mpsc::channel();
        std::thread::Builder::new().name("planner".into()).spawn(move || {
            while let Ok(input) = questions.recv() {
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| make_plan(&input)))
                    .unwrap_or_else(|_| PlanOutcome::Rejected("the planner stopped in the middle of a plan".into()));
                if reply.send(outcome).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self::Thread {
            ask,
            answers,
            busy: false,
        })
    }

    /// Hands over a question; false if one is still being worked on.
    pub fn ask(&mut self, input: PlanInput) -> bool {
        match self {
            Self::Inline(slot) => {
                *slot = Some(make_plan(&input));
                true
            }
            Self::Thread { ask, busy, .. } => {
                if *busy {
                    return false;
                }
                *busy = ask.try_send(input).is_ok();
                *busy
            }
        }
    }

    /// The answer, once there is one.
    pub fn answer(&mut self) -> Option<PlanOutcome> {
        match self {
            Self::Inline(slot) => slot.take(),
            Self::Thread { answers, busy, .. } => match answers.try_recv() {
                Ok(outcome) => {
                    *busy = false;
                    Some(outcome)
                }
                Err(mpsc::TryRecvError::Empty) => None,
                Err(mpsc::TryRecvError::Disconnected) if *busy => {
                    *busy = false;
                    Some(PlanOutcome::Rejected("the planner thread has ended".into()))
                }
                Err(mpsc::TryRecvError::Disconnected) => None,
            },
        }
    }
}
