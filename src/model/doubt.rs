//! What plausibility remembers between cycles: runs of polls that speak against a value, and values that stand still.

use crate::time::Timestamp;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubtKind {
    /// Beyond what the component can do.
    Range,
    /// A pattern devices send for "not available", scaled.
    Sentinel,
    /// Words of a wide register in the wrong order, or another table.
    WordOrder,
    /// A thousand times too large or too small.
    Unit,
    /// Into the component where it is out of it.
    Sign,
    /// Stands still while what it should follow moved.
    Frozen,
    /// Moved faster than the rating allows.
    Spike,
    /// A counter fell.
    Reset,
    /// A counter leapt.
    Leap,
    /// The parts do not add up to the meter.
    Balance,
    /// Another value of the same answer is not believed, or the answer contradicts itself.
    Answer,
    /// A factor off, by what it shows of our own setpoint steps.
    Scale,
}

impl DoubtKind {
    pub fn ko(self) -> &'static str {
        match self {
            Self::Range => "정격 범위를 벗어남",
            Self::Sentinel => "'값 없음' 코드로 보임",
            Self::WordOrder => "워드 순서 오류로 보임",
            Self::Unit => "단위 오류(×1000)로 보임",
            Self::Sign => "부호가 반대로 보임",
            Self::Frozen => "값이 멈춤",
            Self::Spike => "값이 너무 빨리 변함",
            Self::Reset => "적산값 초기화",
            Self::Leap => "적산값 급증",
            Self::Balance => "전력 수지가 맞지 않음",
            Self::Answer => "같은 응답의 값들이 서로 맞지 않음",
            Self::Scale => "배율이 맞지 않음(설정값 변화와 비교)",
        }
    }
}

/// Polls in a row, or nearly, that speak against a value. Survives a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspicion {
    pub kind: DoubtKind,
    pub since: Timestamp,
    pub last: Timestamp,
    pub polls: u32,
    /// The value doubted.
    pub value: f64,
    /// Enough polls have spoken.
    pub proven: bool,
}

impl Suspicion {
    pub fn new(kind: DoubtKind, value: f64, at: Timestamp) -> Self {
        Self {
            kind,
            since: at,
            last: at,
            polls: 0,
            value,
            proven: false,
        }
    }

    /// The clock jumped; the polls are as old as before.
    pub fn step(&mut self, step: TimeDelta) {
        (self.since, self.last) = (self.since + step, self.last + step);
    }
}

/// A power that does not change, and how far what it should follow moved meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Still {
    pub value: f64,
    pub since: Timestamp,
    pub last: Timestamp,
    pub polls: u32,
    /// What it should follow, when it first stood there.
    pub first: f64,
    /// Polls in which that had moved away, and since when.
    pub off: u32,
    pub off_since: Timestamp,
}

impl Still {
    pub fn new(value: f64, other: f64, at: Timestamp) -> Self {
        Self {
            value,
            since: at,
            last: at,
            polls: 1,
            first: other,
            off: 0,
            off_since: at,
        }
    }

    /// The same value again; `off`: what it should follow has moved away.
    pub fn again(&mut self, off: bool, at: Timestamp) {
        if at <= self.last {
            return;
        }
        self.last = at;
        self.polls += 1;
        if !off {
            self.off = 0;
        } else {
            self.off_since = if self.off == 0 { at } else { self.off_since };
            self.off += 1;
        }
    }

    /// The clock jumped; the polls are as old as before.
    pub fn step(&mut self, step: TimeDelta) {
        (self.since, self.last) = (self.since + step, self.last + step);
        self.off_since += step;
    }

    pub fn lasted(&self) -> TimeDelta {
        self.last - self.since
    }
}

/// What is known of the grid meter's truth: whether the parts add up to it, and what it showed of our own steps. Survives a
/// restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MeterMemory {
    /// Polls in a row in which it did not add up.
    pub off: Option<Off>,
    /// When limits were last kept under both views because it did not.
    pub wary: Option<Timestamp>,
    /// The load nobody measures when it last added up, kW.
    pub load: Option<(Timestamp, f64)>,
    /// What it showed when it last added up, kW.
    #[serde(skip)]
    pub shown: Option<f64>,
    /// It is not believed.
    pub verdict: Option<Verdict>,
    /// When the last verdict ended, and how long it had to add up for that.
    pub lifted: Option<(Timestamp, i64)>,
    /// Our latest setpoint steps, oldest first.
    pub steps: Vec<Step>,
    /// Its power against its counters, since the last comparison.
    #[serde(skip)]
    pub energy: Option<EnergyWatch>,
    /// A step under way; found again after a restart.
    #[serde(skip)]
    pub watch: StepWatch,
}

impl MeterMemory {
    /// Site time jumped by `step`: every age stays. Comparisons under way begin again.
    pub fn step(&mut self, step: TimeDelta) {
        if let Some(off) = &mut self.off {
            (off.since, off.last) = (off.since + step, off.last + step);
        }
        if let Some(verdict) = &mut self.verdict {
            verdict.since += step;
            verdict.fits_since = verdict.fits_since.map(|t| t + step);
        }
        self.wary = self.wary.map(|t| t + step);
        self.load = self.load.map(|(t, kw)| (t + step, kw));
        self.lifted = self.lifted.map(|(t, held)| (t + step, held));
        self.steps.iter_mut().for_each(|s| s.at += step);
        self.energy = None;
        self.watch = StepWatch::default();
    }
}

/// Since when the parts do not add up to the meter. Sums that fit again only because the parts went down end nothing: the
/// next spell goes on with the same count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Off {
    /// Begin of the present spell, and its latest poll.
    pub since: Timestamp,
    pub last: Timestamp,
    /// Polls of all spells.
    pub polls: u32,
    /// Length of the spells before this one, s; `None` where this one is the first.
    #[serde(default)]
    pub before_s: Option<f64>,
    /// The sums fit at present.
    #[serde(default)]
    pub paused: bool,
    /// What the parts drew together in the latest poll that was off, kW.
    #[serde(default)]
    pub parts: f64,
    /// What the meter showed before this spell, kW, and whether it has shown another value in a spell.
    pub first: f64,
    pub changed: bool,
}

impl Off {
    /// Length of all spells so far, s.
    pub fn lasted_s(&self) -> f64 {
        let present = (self.last - self.since).num_milliseconds() as f64 / 1e3;
        self.before_s.unwrap_or(0.0) + present
    }
}

/// The meter is not believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub kind: DoubtKind,
    pub since: Timestamp,
    pub why: String,
    pub why_ko: String,
    /// It has added up since then, without a break.
    pub fits_since: Option<Timestamp>,
    /// It must add up for so long before it is believed again, s.
    pub hold_s: i64,
}

/// A battery was told another power and obeyed, and then everything stood still: by how much the meter moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub at: Timestamp,
    /// All parts together, kW.
    pub parts: f64,
    /// The meter, kW.
    pub grid: f64,
}

impl Step {
    /// What the meter shows of one kW.
    pub fn ratio(&self) -> f64 {
        self.grid / self.parts
    }
    /// How far the ratio may lie off by chance: loads go on and off beside it.
    pub fn tolerance(&self) -> f64 {
        0.05 + 0.15 / self.parts.abs().max(0.1)
    }
    pub fn agrees_with(&self, ratio: f64) -> bool {
        (self.ratio() - ratio).abs() <= self.tolerance()
    }
}

/// Parts and meter at one poll.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calm {
    pub at: Timestamp,
    pub parts: f64,
    pub grid: f64,
    /// What the batteries were told in all, kW.
    pub told: f64,
}

/// The last calm poll; while the parts move, the one before they began, and where they have come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepWatch {
    pub calm: Option<Calm>,
    /// What the batteries were told before the last change of it, kW, and when that came.
    pub order: Option<(Timestamp, f64)>,
    pub moving: Option<Moving>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moving {
    pub before: Calm,
    pub steady: Calm,
    /// Sum and count of the meter's values since the parts came to rest, the lag of slow meters left out.
    pub sum: f64,
    pub polls: u32,
    /// Polls in which the meter repeated its value.
    pub repeated: u32,
}

/// What the meter showed since its counters were last compared with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergyWatch {
    /// Of the last poll, kW.
    pub at: Timestamp,
    pub power: f64,
    /// Import − export at the last comparison, kWh, and whether the counters show parts of a kWh.
    pub counter: f64,
    pub fine: bool,
    /// Its power over time since then, kWh, and regardless of direction.
    pub net: f64,
    pub flow: f64,
    /// Comparisons in a row that differed, and what the last one compared: power and counters, kWh.
    pub off: u32,
    pub last: Option<(f64, f64)>,
}
