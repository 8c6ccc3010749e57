//! What a controller does when its clock jumps, and while the clock is not believed.

use super::{Controller, alarm};
use crate::cycle::ports::{Alarm, FieldPort, JournalPort, Record};
use crate::model::Trigger;
use crate::site::Plant;
use crate::state;
use crate::time::{Timestamp, Turn, Word};
use chrono::TimeDelta;
use std::sync::Arc;

/// A jump is shown this long.
const SHOWN: TimeDelta = TimeDelta::minutes(10);
/// A plan stays in force over smaller jumps: its steps are quarters of an hour.
const REPLAN_FROM: TimeDelta = TimeDelta::minutes(1);

/// Code of the alarm under which no time is known: what is stored by time waits.
pub const CLOCK_WRONG: &str = "clock_wrong";

/// What is known of the clock.
#[derive(Debug, Default)]
pub(super) struct Sense {
    word: Word,
    /// The last jump, and when.
    set: Option<(Timestamp, TimeDelta)>,
    /// The plant as it is while no price is known: made when the clock is found wrong.
    priceless: Option<Arc<Plant>>,
    /// Plans asked for before the last jump are for another time.
    pub(super) first_plan: u64,
}

impl Sense {
    pub(super) fn is_wrong(&self) -> bool {
        self.word == Word::Wrong
    }
}

impl<F: FieldPort, J: JournalPort> Controller<F, J> {
    /// Takes what came of a look at the wall clock, before the cycle at `now` (after the jump). Ages, leases and pauses go on as
    /// if nothing had happened; what names a moment of the calendar is seen from the new time.
    pub fn turn(&mut self, turn: Turn, now: Timestamp) {
        let was_wrong = self.clock.is_wrong();
        if turn.word != self.clock.word {
            self.clock.word = turn.word;
            self.trust_changed(now);
        }
        if let Some(step) = turn.step {
            if was_wrong {
                state::books::redate(&self.config.plant, &mut self.state, now - step, now);
            }
            self.step(step, now);
        }
    }

    fn step(&mut self, step: TimeDelta, now: Timestamp) {
        let text = format!("the clock was set {}", told(step));
        tracing::warn!("{text}; site time is {}", now.format("%Y-%m-%d %H:%M:%S UTC"));
        self.field.step(step);
        self.state.step(step);
        state::books::step(&self.config.plant, &mut self.state, step, now);
        state::sessions::step(&self.config.plant, &mut self.state, now);
        self.alarms.step(step);
        self.last_cycle = self.last_cycle.map(|t| t + step);
        self.asked_at = self.asked_at.map(|t| t + step);
        (self.light_due, self.keyframe_due) = (self.light_due + step, self.keyframe_due + step);
        self.clock.set = Some((now, step));
        if step.abs() >= REPLAN_FROM {
            self.plan_anew();
        }
        self.record(now, &Record::Note { text });
    }

    fn plan_anew(&mut self) {
        self.clock.first_plan = self.next_plan_id;
        (self.asked_at, self.planned_interval) = (None, None);
        self.pending = Some(Trigger::ClockSet);
    }

    fn trust_changed(&mut self, now: Timestamp) {
        self.clock.priceless = None;
        match self.clock.word {
            Word::Believed => tracing::warn!("the clock is believed again: {}", now.format("%Y-%m-%d %H:%M UTC")),
            Word::Held(_) => tracing::error!("{}", self.distrust(now).0),
            Word::Wrong => {
                tracing::error!("{}", self.distrust(now).0);
                self.state.schedule = None;
                let mut plant = (*self.config.plant).clone();
                plant.tariff = plant.tariff.without_hours();
                self.clock.priceless = Some(Arc::new(plant));
            }
        }
        if !self.clock.is_wrong() {
            self.plan_anew();
        }
    }

    /// The plant as far as it may be used now: while the clock is wrong no hour has a price.
    pub(super) fn plant_now(&self) -> Arc<Plant> {
        self.clock.priceless.as_ref().unwrap_or(&self.config.plant).clone()
    }

    pub(super) fn clock_alarms(&self, now: Timestamp) -> Vec<Alarm> {
        let mut found = Vec::new();
        if self.clock.word != Word::Believed {
            let code = if self.clock.is_wrong() {
                CLOCK_WRONG
            } else {
                "clock_not_believed"
            };
            let (en, ko) = self.distrust(now);
            found.push(alarm(code, None, en, ko, now));
        }
        if let Some((at, step)) = self.clock.set.filter(|(at, _)| now - *at < SHOWN) {
            let en = format!("the clock was set {}", told(step));
            let side = if step < TimeDelta::zero() {
                "뒤로"
            } else {
                "앞으로"
            };
            let ko = format!("시계가 {} {side} 조정됨", size(step, ["일", "시간", "분", "초"]));
            found.push(alarm("clock_set", None, en, ko, at));
        }
        found
    }

    fn distrust(&self, now: Timestamp) -> (String, String) {
        match self.clock.word {
            Word::Held(away) => (
                format!(
                    "the system clock jumped {} and is not believed; control goes on by its own time",
                    told(away)
                ),
                format!(
                    "시스템 시계가 {} 어긋나 신뢰하지 않음: 자체 시각으로 운전 중",
                    size(away, ["일", "시간", "분", "초"])
                ),
            ),
            Word::Wrong | Word::Believed => (
                format!(
                    "the system clock cannot be right ({}); control goes on by rule, without prices and plan",
                    now.format("%Y-%m-%d %H:%M UTC")
                ),
                "시스템 시계가 맞지 않음: 요금과 계획 없이 규칙으로 운전 중".into(),
            ),
        }
    }
}

fn told(step: TimeDelta) -> String {
    let side = if step < TimeDelta::zero() { "back" } else { "forward" };
    format!("{side} by {}", size(step, [" d", " h", " min", " s"]))
}

/// The two largest units of a span.
fn size(step: TimeDelta, units: [&str; 4]) -> String {
    let s = (step.abs().as_seconds_f64()).round() as i64;
    let parts = [s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60];
    let first = parts.iter().position(|n| *n > 0).unwrap_or(3);
    let shown = parts.iter().zip(units).skip(first).take(2).filter(|(n, _)| **n > 0);
    let words: Vec<String> = shown.map(|(n, unit)| format!("{n}{unit}")).collect();
    if words.is_empty() {
        return format!("{:.1}{}", step.abs().as_seconds_f64(), units[3]);
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        let rows = [
            (-3600, "back by 1 h"),
            (5, "forward by 5 s"),
            (-630, "back by 10 min 30 s"),
            (365 * 86_400 + 30, "forward by 365 d"),
        ];
        for (s, text) in rows {
            assert_eq!(told(TimeDelta::seconds(s)), text);
        }
        assert_eq!(told(TimeDelta::milliseconds(-450)), "back by 0.5 s");
    }
}
