//! One policy, one world, one loop.

use super::market::{Market, NoMarket};
use super::perfect::foresight;
use super::service::Reasons;
use crate::cycle::{Config, Controller, CycleReport, FieldPort, Planner, PricePort, Stop, Tally, run};
use crate::field::{Dial, Field, Options, Wire};
use crate::journal::HashJournal;
use crate::model::Policy;
use crate::site::{Mode, Plant, Site};
use crate::tariff::MonthUse;
use crate::time::{Clock, Pacer, SteppedClock, Timestamp, TokioClock};
use crate::twin::{Books, Direct, Fault, Pipes, World};
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};

/// What to run.
#[derive(Debug, Clone)]
pub struct RunSpec {
    pub site: Arc<Site>,
    pub policy: Policy,
    pub seed: u64,
    pub start: Timestamp,
    pub days: u32,
    pub cycle: TimeDelta,
    /// In-memory Modbus between field and twin; else the twin's points directly.
    pub wire: bool,
    pub faults: Vec<Fault>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub books: Books,
    pub tally: Tally,
    pub journal_hash: String,
    /// Month use when the run began, for the bill.
    pub month: MonthUse,
    /// Day-ahead accuracy by series name.
    pub nmae: BTreeMap<String, f64>,
    /// What decided for each car while it was short.
    pub reasons: Reasons,
}

/// Runs one policy in virtual time. `progress` is told the share done.
pub fn run_policy(spec: &RunSpec, progress: &dyn Fn(f64)) -> Result<Outcome, String> {
    run_watched(spec, &|report| {
        let length = TimeDelta::days(i64::from(spec.days)).as_seconds_f64();
        progress((report.snapshot.at - spec.start).as_seconds_f64() / length);
    })
}

/// The same, and every cycle's report is shown to `watch`.
pub fn run_watched(spec: &RunSpec, watch: &dyn Fn(&CycleReport)) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(spec.wire)
        .build()
        .map_err(|e| format!("cannot start the runtime: {e}"))?;
    runtime.block_on(async {
        if spec.wire {
            with_wire(spec, watch).await
        } else {
            without_wire(spec, watch).await
        }
    })
}

async fn without_wire(spec: &RunSpec, watch: &dyn Fn(&CycleReport)) -> Result<Outcome, String> {
    let world = new_world(spec)?;
    let clock = SteppedClock::new(spec.start);
    let field = Direct::new(world.clone(), spec.site.clone());
    closed_loop(spec, world, field, Pacer::Free(clock), watch).await
}

async fn with_wire(spec: &RunSpec, watch: &dyn Fn(&CycleReport)) -> Result<Outcome, String> {
    let world = new_world(spec)?;
    let clock = TokioClock::new(spec.start);
    let shared: Arc<dyn Clock> = Arc::new(clock);
    let pipes = Pipes::new(&spec.site, &world, &shared, &spec.faults, spec.seed)?;
    let dial = Dial::Pipes(Arc::new(move |device| {
        Ok(Box::new(pipes.dial(device)?) as Box<dyn Wire>)
    }));
    let patience = (spec.cycle * 4 / 5).to_std().map_err(|e| e.to_string())?;
    let options = Options {
        patience,
        silent_after: spec.cycle * 2,
    };
    let site = Site {
        plant: (*plant_of(spec)).clone(),
        ..(*spec.site).clone()
    };
    let field = Field::new(&site, &dial, options)?;
    closed_loop(spec, world, field, Pacer::Tokio(clock), watch).await
}

fn new_world(spec: &RunSpec) -> Result<Arc<Mutex<World>>, String> {
    let world = World::new(&spec.site, spec.seed, spec.start, spec.cycle)?;
    Ok(Arc::new(Mutex::new(world)))
}

/// The demo's site controls its twin; people's `observe` default is for real devices.
fn plant_of(spec: &RunSpec) -> Arc<Plant> {
    let mut plant = spec.site.plant.clone();
    plant.mode = Mode::Control;
    plant.timing.cycle = spec.cycle;
    Arc::new(plant)
}

async fn closed_loop<F: FieldPort>(
    spec: &RunSpec,
    world: Arc<Mutex<World>>,
    field: F,
    mut pacer: Pacer,
    show: &dyn Fn(&CycleReport),
) -> Result<Outcome, String> {
    let end = spec.start + TimeDelta::days(i64::from(spec.days));
    let prices: Box<dyn PricePort> = match Market::of(&spec.site, end + TimeDelta::days(2))? {
        Some(market) => Box::new(market),
        None => Box::new(NoMarket),
    };
    let plant = plant_of(spec);
    let config = Config {
        plant: plant.clone(),
        policy: spec.policy,
        deadline: None,
        explain: false,
        oracle: foresight(spec)?,
    };
    let journal = HashJournal::new();
    let mut controller = Controller::new(config, field, journal, prices, Planner::inline(), None, spec.start);
    let month = controller.state.month.clone();
    let (_keep, told) = watch::channel(false);
    let (_people, mut inbox) = mpsc::channel(1);
    let moved = world.clone();
    let mut reasons = Reasons::default();
    let publish = |report: CycleReport| {
        let at = report.snapshot.at;
        if let Ok(mut w) = moved.lock() {
            w.advance_to(at);
        }
        reasons.see(&report, spec.cycle);
        show(&report);
    };
    run(
        &mut controller,
        &mut pacer,
        &mut inbox,
        Stop {
            at: Some(end),
            told,
            beat: Default::default(),
        },
        publish,
    )
    .await;
    let mut w = world
        .lock()
        .map_err(|_| "the twin stopped in the middle of a step".to_owned())?;
    w.advance_to(end);
    let scores = &controller.state.forecast.scores;
    Ok(Outcome {
        books: w.books(),
        tally: controller.tally.clone(),
        journal_hash: controller.journal().hash(),
        month,
        nmae: scores
            .iter()
            .filter_map(|(name, s)| Some((name.clone(), s.nmae()?)))
            .collect(),
        reasons,
    })
}
