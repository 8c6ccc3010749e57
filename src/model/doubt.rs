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
