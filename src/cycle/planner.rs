//! The slow loop: frozen inputs in, a checked schedule out; beside the fast loop (own thread) or inline in virtual time.

use crate::model::{
    Alternative, ControllerState, Forecast, PlacedProblem, Problem, Schedule, Snapshot, Solution, Trigger,
};
use crate::plan::{self, BothSides, Kept, Made, Sensitivity, SolveError, SolveOptions};
use crate::site::{Id, Plant};
use crate::time::{TimeGrid, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;

/// Share of the dull day in the value of stored energy.
const WEIGHT_OF_DULL: f64 = 0.35;

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
    /// Solve again for what the alternatives of this interval would cost; nothing is decided from them.
    pub explain: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum PlanOutcome {
    Adopted(Box<Schedule>),
    /// The plan must not be dispatched; the words say why.
    Rejected(String),
}

/// Forecast → problem → solution → schedule → independent check → what the alternatives of this interval would cost. Pure.
pub fn make_plan(input: &PlanInput) -> PlanOutcome {
    make_plan_with(input, SolveOptions::controller())
}

/// The same with a solver of one's choice and what it keeps.
fn make_plan_with(input: &PlanInput, options: SolveOptions) -> PlanOutcome {
    let mut placed = plan::problem(&input.plant, &input.snapshot, &input.forecast, &input.state);
    let options = SolveOptions {
        deadline: input.deadline,
        ..options
    };
    let old = steady(input);
    let (mut solution, sensitivity) = match found(&input.plant, &mut placed, old, &options) {
        Ok(found) => found,
        Err(error) => return PlanOutcome::Rejected(error.to_string()),
    };
    let worth = hedged(input, &options, &mut solution);
    let report = crate::check::check(&placed.problem, &solution);
    if !report.ok {
        return PlanOutcome::Rejected(format!("the checker refused the plan: {}", report.faults.join("; ")));
    }
    let mut schedule = plan::schedule(Made {
        plant: &input.plant,
        placed: &placed,
        solution,
        sensitivity: sensitivity.as_ref(),
        worth,
        forecast: &input.forecast,
        id: input.id,
        trigger: input.trigger,
        now: input.now,
    });
    schedule.check = report;
    if input.explain {
        explain_now(&placed.problem, sensitivity.as_ref(), &options, &mut schedule);
        schedule.placed = Some(Arc::new(placed));
    }
    PlanOutcome::Adopted(Box::new(schedule))
}

/// The plan in force, where nothing but time has passed: what happened since (a car, a wish, a limit, prices) frees the plan.
fn steady(input: &PlanInput) -> Option<&Schedule> {
    let old = input.state.schedule.as_deref()?;
    (input.trigger == Trigger::Interval).then_some(old)
}

/// Solves close to the plan in force; what a part does in this interval changes only where that pays. A kept mind is taken
/// only if the independent checker passes it.
fn found(
    plant: &Plant,
    placed: &mut PlacedProblem,
    old: Option<&Schedule>,
    options: &SolveOptions,
) -> Result<(Solution, Option<Sensitivity>), SolveError> {
    let stick = old.and_then(|old| plan::stick(plant, placed, old));
    if let Some(taste) = placed.problem.taste.as_mut() {
        taste.stick = stick;
    }
    let new = plan::solve_explained(&placed.problem, options)?;
    let Some(old) = old else { return Ok(new) };
    let changed = plan::changed(plant, placed, &new.0, old);
    if changed.is_empty() {
        return Ok(new);
    }
    let kept = plan::kept_unless_it_pays(&placed.problem, new.clone(), &changed, options);
    let holds = crate::check::check(&placed.problem, &kept.0).ok;
    Ok(if holds { kept } else { new })
}

/// The exact cost of the best other choice of each component in the current interval.
fn explain_now(problem: &Problem, known: Option<&Sensitivity>, options: &SolveOptions, schedule: &mut Schedule) {
    let alternatives = plan::alternatives(problem, &schedule.solution, known, 0, options);
    for (part, alternative) in alternatives {
        let component = part.split_once('#').map_or(part.as_str(), |(c, _)| c);
        if let Some(why) = schedule.why.get_mut(component).and_then(|w| w.first_mut()) {
            why.alternative = Some(alternative);
        }
    }
}

/// The exact cost of the best other choice of a component in any step of a plan in force; `None` where it has no other,
/// or where the plan came from a journal.
pub fn alternative(schedule: &Schedule, component: &Id, step: usize) -> Option<Alternative> {
    let problem = &schedule.placed.as_ref()?.problem;
    let p = problem;
    let cars = p.evs.iter().map(|e| e.id.as_str());
    let parts = cars.filter(|part| part.split_once('#').map_or(*part, |(c, _)| c) == component.as_str());
    let options = SolveOptions::controller();
    let one = |part: &str| plan::exact(p, &schedule.solution, None, part, step, &options);
    one(component.as_str()).or_else(|| parts.filter(|part| *part != component.as_str()).find_map(one))
}

/// What a little less and a little more use of electricity in a step would change, money per kWh.
pub fn price_sides(schedule: &Schedule, step: usize) -> Option<BothSides> {
    let problem = &schedule.placed.as_ref()?.problem;
    plan::bus_price(problem, step, 1e-2, &SolveOptions::controller()).ok()
}

/// What a stored kWh is worth is not what it is worth if the sun shines as expected: it is worth more on a dull day than
/// it is worth less on a bright one. The values handed to dispatch are the mean over the expected day and a dull one (PV
/// at its 10 % quantile, which moves together over a day). An island's values come from its fuel, and its plan is dear.
fn hedged(input: &PlanInput, options: &SolveOptions, solution: &mut Solution) -> BTreeMap<String, Vec<f64>> {
    let Some(mut worth) = solution.duals.as_ref().map(|d| d.storage.clone()) else {
        return BTreeMap::new();
    };
    if input.forecast.pv.is_empty() || worth.is_empty() || input.plant.connection.is_none() {
        return BTreeMap::new();
    }
    let mut dull = input.forecast.clone();
    for q in dull.pv.values_mut() {
        q.mean = q.p10.clone();
    }
    let placed = plan::problem(&input.plant, &input.snapshot, &dull, &input.state);
    let Some(other) = plan::solve(&placed.problem, options).ok() else {
        return BTreeMap::new();
    };
    solution.solve_ms += other.build_ms + other.solve_ms;
    for (id, values) in &mut worth {
        let Some(dull) = other.duals.as_ref().and_then(|d| d.storage.get(id)) else {
            continue;
        };
        values
            .iter_mut()
            .zip(dull)
            .for_each(|(v, d)| *v += WEIGHT_OF_DULL * (d - *v));
    }
    worth
}

/// The solver of a planner that plans again and again, and what it keeps from one plan to the next.
struct Solving {
    options: SolveOptions,
    kept: Kept,
    /// Of the last plan.
    grid: Option<TimeGrid>,
}

impl Solving {
    fn new(solver: String) -> Self {
        let kept = Kept::default();
        let options = SolveOptions {
            solver,
            kept: Some(kept.clone()),
            ..SolveOptions::controller()
        };
        Self {
            options,
            kept,
            grid: None,
        }
    }

    fn make_plan(&mut self, input: &PlanInput) -> PlanOutcome {
        let grid = &input.forecast.grid;
        let over = self.grid.as_ref().and_then(|last| last.index_of(grid.start));
        self.kept.next(over.unwrap_or(0));
        self.grid = Some(grid.clone());
        make_plan_with(input, self.options.clone())
    }
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

    /// Starts the solver thread; it ends when the planner is dropped. The solver is one of [`plan::CONTROLLERS`].
    pub fn threaded(solver: &str) -> std::io::Result<Self> {
        let (ask, questions) = mpsc::sync_channel::<PlanInput>(1);
        let (reply, answers) = mpsc::channel();
        let solver = solver.to_owned();
        std::thread::Builder::new().name("planner".into()).spawn(move || {
            let mut solving = Solving::new(solver);
            while let Ok(input) = questions.recv() {
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| solving.make_plan(&input)))
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
