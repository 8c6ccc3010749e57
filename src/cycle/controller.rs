//! One controller of one site: its state, its ports, and what one cycle does.

mod aside;
mod clock;
mod tally;

use super::alarms::{Alarms, alarm};
use super::answers::{Answer, Answers};
use super::even::Even;
use super::people::{self, NotDone};
use super::planner::{PlanInput, PlanOutcome, Planner};
use super::ports::{CycleReport, FieldPort, JournalPort, PricePort, Record};
use super::reply::reply;
use crate::model::{
    ControllerState, DeviceMemory, Forecast, PeopleInput, Policy, Rung, Setpoint, Snapshot, Target, Trigger, Words,
    WriteOutcome, WriteReport,
};
use crate::site::{Id, Mode, Plant};
use crate::tariff::PriceFiles;
use crate::time::{Interval, TimeGrid, Timestamp, floor_to};
use crate::{dispatch, forecast, state};
pub use aside::Aside;
use chrono::TimeDelta;
pub use clock::CLOCK_WRONG;
use std::collections::BTreeMap;
use std::sync::Arc;
pub use tally::Tally;
use tokio::sync::oneshot;

/// A plan is asked for when an interval starts and adopted this much later, so that solver time moves nothing.
const ADOPT_AFTER: TimeDelta = TimeDelta::seconds(2);
/// Triggers other than the interval's are served no more often than this.
const REPLAN_PAUSE: TimeDelta = TimeDelta::minutes(2);
/// State without the forecaster's slots goes to the journal this often.
const LIGHT_EVERY: TimeDelta = TimeDelta::seconds(5);
const KEYFRAME_EVERY: TimeDelta = TimeDelta::hours(1);

/// True values of load and PV for the policy with perfect foresight: mean kW magnitude of a component over an interval.
pub type Oracle = Arc<dyn Fn(&Id, Interval) -> Option<f64> + Send + Sync>;

/// What does not change while a controller runs.
pub struct Config {
    pub plant: Arc<Plant>,
    pub policy: Policy,
    /// Wall-clock bound of the solver; `None` in virtual time.
    pub deadline: Option<std::time::Duration>,
    /// Plans say exactly what the alternatives of the current interval would cost: where people look.
    pub explain: bool,
    pub oracle: Option<Oracle>,
}

pub struct Controller<F, J> {
    config: Config,
    field: Even<F>,
    journal: J,
    prices: Box<dyn PricePort>,
    planner: Planner,
    pub state: ControllerState,
    pub tally: Tally,
    alarms: Alarms,
    answers: Answers,
    clock: clock::Sense,
    aside: Option<Aside>,
    last_cycle: Option<Timestamp>,
    next_plan_id: u64,
    asked_at: Option<Timestamp>,
    /// Triggers since the last question.
    pending: Option<Trigger>,
    planned_interval: Option<Timestamp>,
    price_version: u64,
    /// Devices were written to in the last cycle.
    in_control: bool,
    /// Targets of the last intent record.
    intended: BTreeMap<Id, Target>,
    light_due: Timestamp,
    keyframe_due: Timestamp,
}

impl<F: FieldPort, J: JournalPort> Controller<F, J> {
    /// `restored` is what the journal gave back; without it the controller starts fresh. Either way it starts in Safe.
    pub fn new(
        config: Config,
        field: F,
        journal: J,
        prices: Box<dyn PricePort>,
        planner: Planner,
        restored: Option<ControllerState>,
        now: Timestamp,
    ) -> Self {
        let mut state = match restored {
            Some(state) => state.fitted(&config.plant),
            None => ControllerState::fresh(&config.plant, now),
        };
        if state.rung != Rung::Released {
            state.rung = Rung::Safe;
        }
        state.good_cycles = 0;
        if let Some(newest) = state.newest().filter(|t| *t > now) {
            // The clock was set back between two processes.
            state.step(now - newest);
        }
        let mut field = Even::new(field);
        field.remember(&state.field);
        let next_plan_id = state.schedule.as_ref().map_or(1, |s| s.id + 1);
        Self {
            config,
            field,
            journal,
            prices,
            planner,
            state,
            tally: Tally::default(),
            alarms: Alarms::default(),
            answers: Answers::default(),
            clock: clock::Sense::default(),
            aside: None,
            last_cycle: None,
            next_plan_id,
            asked_at: None,
            pending: Some(Trigger::Start),
            planned_interval: None,
            price_version: 0,
            in_control: false,
            intended: BTreeMap::new(),
            light_due: now,
            keyframe_due: now,
        }
    }

    pub fn plant(&self) -> &Arc<Plant> {
        &self.config.plant
    }

    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// One turn of the fast loop.
    pub async fn cycle(&mut self, now: Timestamp) -> CycleReport {
        self.answers.look();
        let scan = self.field.scan(now).await;
        let work = std::time::Instant::now();
        let snapshot = Arc::new(state::snapshot(&self.config.plant, &scan, &mut self.state, now));
        let prices = self.prices.current(now).filter(|_| !self.clock.is_wrong());
        self.learn(&snapshot, prices.as_deref(), now);
        self.slow_loop(&snapshot, prices.as_deref(), now);
        let plant = self.plant_now();
        let decision = dispatch::decide(
            &plant,
            self.config.policy,
            &snapshot,
            &mut self.state,
            prices.as_deref(),
            now,
        );
        self.tally.cycles += 1;
        self.tally.binding_cycles += u64::from(decision.binding);
        let cycle_ms = work.elapsed().as_secs_f64() * 1e3;
        self.hand_back_if_told(now).await;
        self.record_intent(&decision.setpoints, now);
        let writes = self.field.apply(now, &decision.setpoints).await;
        self.count(&writes);
        self.record_written(&writes, now);
        self.keep_field_memory(now);
        self.keep_state(now);
        let notices = self.journal.notices().into_iter();
        let mut trouble: Vec<_> = notices.map(|n| alarm(n.code, None, n.en, n.ko, now)).collect();
        trouble.extend(self.clock_alarms(now));
        trouble.extend(self.aside_alarms(now));
        let plant = &self.config.plant;
        let alarms = self.alarms.update(plant, &snapshot, &self.state, &writes, &trouble);
        CycleReport {
            snapshot,
            setpoints: Arc::new(decision.setpoints),
            writes: Arc::new(writes),
            state: Arc::new(self.state.without_slots()),
            cycle_ms,
            alarms,
            prices,
            counts: self.tally.counts(),
        }
    }

    /// Leaving control gives the devices back at once; observing writes nothing.
    async fn hand_back_if_told(&mut self, now: Timestamp) {
        let control = self.state.mode == Mode::Control && self.state.rung != Rung::Released;
        if self.in_control && !control {
            let writes = self.field.release().await;
            self.count(&writes);
            self.record_written(&writes, now);
            self.intended.clear();
            self.state.field.intended.clear();
        }
        self.in_control = control;
        self.field.set_mode(if control { Mode::Control } else { Mode::Observe });
    }

    /// Takes what a person said. It is in force with the next cycle; the answer, which tells what is in force, comes when it
    /// is on the disk, without the loop waiting for that.
    pub fn hear(&mut self, input: &PeopleInput, now: Timestamp, answer: oneshot::Sender<Answer>) {
        let taken = people::taken(&self.config.plant, input, now);
        let trigger = match people::apply(&self.config.plant, &mut self.state, &taken, now) {
            Ok(trigger) => trigger,
            // The asker may have gone; that changes nothing.
            Err(why) => return drop(answer.send(Err(NotDone::Refused(why)))),
        };
        let reply = reply(&self.config.plant, &self.state, input, now);
        let told = self.answers.promise(answer, reply);
        let record = Record::People { input: taken };
        self.journal.keep(now, &record, &Words::of(&self.state, now), told);
        if matches!(input, PeopleInput::Mode { mode: Mode::Control }) {
            self.field.take_back();
        }
        self.pending = Some(trigger);
        // A person waits for this one.
        self.asked_at = None;
    }

    /// Gives every device back and writes the last state.
    pub async fn shut_down(&mut self, now: Timestamp) -> Vec<WriteReport> {
        let writes = self.field.release().await;
        self.count(&writes);
        self.record_written(&writes, now);
        self.state.field.intended.clear();
        self.keep_field_memory(now);
        self.record(
            now,
            &Record::Light {
                state: Box::new(self.state.light()),
            },
        );
        if let Err(why) = self.journal.commit() {
            tracing::error!("the journal could not be made durable: {why}");
        }
        writes
    }

    /// Books, sessions, forecaster memory; collects triggers.
    fn learn(&mut self, snapshot: &Snapshot, prices: Option<&PriceFiles>, now: Timestamp) {
        let plant = self.plant_now();
        let dt = self
            .last_cycle
            .map_or(TimeDelta::zero(), |t| now - t)
            .min(TimeDelta::minutes(5));
        self.last_cycle = Some(now);
        state::books::update(&plant, snapshot, &mut self.state, prices, dt, now);
        if !self.clock.is_wrong() {
            let before = self.slot_ends();
            forecast::observe(&plant, snapshot, &mut self.state, dt);
            self.journal_slots(&before, now);
        }
        if let Some(t) = state::sessions::update(&plant, snapshot, &mut self.state, now)
            .into_iter()
            .next()
        {
            self.pending = Some(t);
        }
        if people::expire(&mut self.state, now) {
            self.pending = Some(Trigger::LimitChanged);
        }
        let version = self.prices.version();
        if version != self.price_version {
            self.price_version = version;
            self.pending.get_or_insert(Trigger::PricesArrived);
        }
    }

    fn slot_ends(&self) -> Vec<(String, usize)> {
        self.state
            .forecast
            .series
            .iter()
            .map(|(n, m)| (n.clone(), m.slots.len()))
            .collect()
    }

    /// Journals the slots that were closed in this cycle, so that a restart loses none.
    fn journal_slots(&mut self, before: &[(String, usize)], now: Timestamp) {
        let mut slots = Vec::new();
        for (name, memory) in &self.state.forecast.series {
            let known = before.iter().find(|(n, _)| n == name).map_or(0, |(_, len)| *len);
            if memory.slots.len() == known {
                continue;
            }
            if let Some(mean) = memory.slots.last() {
                let last = TimeDelta::seconds(crate::model::SLOT_S * (memory.slots.len() as i64 - 1));
                slots.push((name.clone(), memory.start + last, *mean));
            }
        }
        if !slots.is_empty() {
            self.record(now, &Record::Slots { slots });
        }
    }

    /// Asks for a plan when one is due, adopts one that is ready.
    fn slow_loop(&mut self, snapshot: &Arc<Snapshot>, prices: Option<&PriceFiles>, now: Timestamp) {
        if !matches!(self.config.policy, Policy::Plan | Policy::Perfect) || self.clock.is_wrong() {
            return;
        }
        self.adopt(now);
        let interval = floor_to(now, self.config.plant.timing.interval);
        if self.planned_interval != Some(interval) {
            self.pending = self.pending.or(Some(Trigger::Interval));
        } else if self.pending.is_none() && self.deviates(snapshot, now) {
            self.pending = Some(Trigger::Deviation);
        }
        let Some(trigger) = self.pending else { return };
        let new_interval = self.planned_interval != Some(interval);
        let soon = self.asked_at.is_some_and(|t| now - t < REPLAN_PAUSE);
        if soon && !new_interval {
            return;
        }
        let forecast = self.forecast(snapshot, prices, now);
        forecast::issued(&mut self.state, &forecast);
        let input = PlanInput {
            plant: self.config.plant.clone(),
            snapshot: snapshot.clone(),
            state: self.state.without_slots(),
            forecast,
            id: self.next_plan_id,
            trigger,
            now,
            deadline: self.config.deadline,
            explain: self.config.explain,
        };
        if self.planner.ask(input) {
            self.next_plan_id += 1;
            self.pending = None;
            self.asked_at = Some(now);
            self.planned_interval = Some(interval);
        }
    }

    fn forecast(&self, snapshot: &Snapshot, prices: Option<&PriceFiles>, now: Timestamp) -> Forecast {
        let timing = self.config.plant.timing;
        let grid = TimeGrid::aligned(now, timing.interval, timing.horizon);
        let plant = &self.config.plant;
        let forecast = forecast::forecast(plant, &self.state, Some(snapshot), prices, grid, now);
        match &self.config.oracle {
            Some(oracle) => forecast::perfect(forecast, &**oracle),
            None => forecast,
        }
    }

    fn adopt(&mut self, now: Timestamp) {
        let due = self.asked_at.is_none_or(|t| now >= t + ADOPT_AFTER);
        if !due {
            return;
        }
        match self.planner.answer() {
            None => {}
            Some(PlanOutcome::Rejected(why)) => {
                tracing::warn!("plan not adopted: {why}");
                self.tally.rejected += 1;
                self.record(now, &Record::Rejected { why });
            }
            Some(PlanOutcome::Adopted(schedule)) if schedule.id < self.clock.first_plan => {
                tracing::info!("plan {} was made for another time", schedule.id);
            }
            Some(PlanOutcome::Adopted(schedule)) => {
                self.tally.plans += 1;
                self.tally
                    .solved(schedule.solution.build_ms + schedule.solution.solve_ms);
                self.record(
                    now,
                    &Record::Plan {
                        schedule: schedule.clone(),
                    },
                );
                self.state.adopt(schedule.into());
            }
        }
    }

    /// Reality is far from what the plan expected: measured net load against planned, beyond a quarter of the limit.
    fn deviates(&self, snapshot: &Snapshot, now: Timestamp) -> bool {
        let Some(schedule) = &self.state.schedule else {
            return false;
        };
        let Some(step) = schedule.grid.index_of(now) else {
            return true;
        };
        let limit = self.config.plant.connection.as_ref().map(|c| c.import_max.as_kw());
        let (Some(limit), Some(grid)) = (limit, snapshot.grid.and_then(|g| g.usable())) else {
            return false;
        };
        let plan = &schedule.solution.plan;
        let (Some(import), Some(export)) = (plan.import_kw.get(step), plan.export_kw.get(step)) else {
            return false;
        };
        (grid.as_kw() - (import - export)).abs() > 0.5 * limit
    }

    /// What the wire must not forget. A count of wear is journaled at once: a crash must not make a register young again.
    fn keep_field_memory(&mut self, now: Timestamp) {
        let Some(memory) = self.field.devices() else { return };
        let known = &self.state.field.devices;
        if *memory == *known {
            return;
        }
        let wear = |m: &BTreeMap<Id, DeviceMemory>| -> u64 {
            let devices = m.values().flat_map(|d| d.wear.values());
            devices.map(|w| w.total).sum()
        };
        if wear(&memory) != wear(known) {
            self.light_due = now;
        }
        self.state.field.devices = memory.into_owned();
    }

    fn count(&mut self, writes: &[WriteReport]) {
        for w in writes {
            match &w.outcome {
                WriteOutcome::Withheld(_) => continue,
                WriteOutcome::Verified => self.tally.writes_verified += 1,
                WriteOutcome::Failed(_) => self.tally.writes_failed += 1,
                // counted with what becomes of it
                WriteOutcome::Pending => continue,
            }
            self.tally.writes_issued += 1;
        }
    }

    fn keep_state(&mut self, now: Timestamp) {
        if now >= self.keyframe_due || self.journal.wants_keyframe() {
            self.keyframe_due = now + KEYFRAME_EVERY;
            self.light_due = now + LIGHT_EVERY;
            self.record(
                now,
                &Record::Keyframe {
                    state: Box::new(self.state.clone()),
                },
            );
        } else if now >= self.light_due {
            self.light_due = now + LIGHT_EVERY;
            self.record(
                now,
                &Record::Light {
                    state: Box::new(self.state.light()),
                },
            );
        }
    }

    /// What will be asked of devices goes to the journal before it is: targets that changed since the last record.
    fn record_intent(&mut self, setpoints: &[Setpoint], now: Timestamp) {
        let is_new = |s: &&Setpoint| self.intended.get(&s.component) != Some(&s.target);
        let changed: Vec<Setpoint> = setpoints.iter().filter(is_new).cloned().collect();
        if changed.is_empty() || !self.in_control {
            return;
        }
        let meant = || changed.iter().map(|s| (s.component.clone(), s.target));
        self.intended.extend(meant());
        self.state.field.intended.extend(meant());
        self.record(now, &Record::Intent { setpoints: changed });
        self.journal.sent();
    }

    fn record_written(&mut self, writes: &[WriteReport], now: Timestamp) {
        let sent = |w: &&WriteReport| !matches!(w.outcome, WriteOutcome::Withheld(_));
        let reports: Vec<WriteReport> = writes.iter().filter(sent).cloned().collect();
        if !reports.is_empty() {
            self.record(now, &Record::Written { reports });
        }
    }

    /// A journal that cannot write never stops control; it says so itself, in its notices.
    fn record(&mut self, now: Timestamp, record: &Record) {
        let _told = self.journal.append(now, record);
    }
}
