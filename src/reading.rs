//! A measured value is reachable only through its quality and its age.

use crate::time::Timestamp;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// What a value is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Read from the device and believable.
    Good,
    /// Computed from others (residual load, integrated energy).
    Derived,
    /// Was good, but too old to act on.
    Stale,
    /// The device says "not implemented", or does not answer.
    Missing,
    /// Read, but not believable (range, spike, frozen, sign).
    Invalid,
}

/// A value, when it was measured, and its quality.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading<T> {
    value: Option<T>,
    quality: Quality,
    at: Timestamp,
}

impl<T: Copy> Reading<T> {
    pub fn good(value: T, at: Timestamp) -> Self {
        Self {
            value: Some(value),
            quality: Quality::Good,
            at,
        }
    }
    pub fn derived(value: T, at: Timestamp) -> Self {
        Self {
            value: Some(value),
            quality: Quality::Derived,
            at,
        }
    }
    /// The device gave no value at `at`.
    pub fn missing(at: Timestamp) -> Self {
        Self {
            value: None,
            quality: Quality::Missing,
            at,
        }
    }
    /// A value that must not be acted on; it is dropped here so that nobody can.
    pub fn invalid(at: Timestamp) -> Self {
        Self {
            value: None,
            quality: Quality::Invalid,
            at,
        }
    }
    /// The value, if it is good enough to act on.
    pub fn usable(&self) -> Option<T> {
        match self.quality {
            Quality::Good | Quality::Derived => self.value,
            Quality::Stale | Quality::Missing | Quality::Invalid => None,
        }
    }
    /// The last value known, however old: for display only.
    pub fn last_known(&self) -> Option<T> {
        self.value
    }
    pub fn quality(&self) -> Quality {
        self.quality
    }
    pub fn at(&self) -> Timestamp {
        self.at
    }
    pub fn age(&self, now: Timestamp) -> TimeDelta {
        now - self.at
    }
    /// The same reading as seen at `now`: stale when older than `max_age`.
    pub fn aged(self, now: Timestamp, max_age: TimeDelta) -> Self {
        match self.quality {
            Quality::Good | Quality::Derived if self.age(now) > max_age => Self {
                quality: Quality::Stale,
                ..self
            },
            _ => self,
        }
    }
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        Reading {
            value: self.value.map(f),
            quality: self.quality,
            at: self.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_value_is_shown_but_never_used() {
        let t0 = chrono::DateTime::UNIX_EPOCH;
        let r = Reading::good(3.2, t0).aged(t0 + TimeDelta::seconds(4), TimeDelta::seconds(3));
        assert_eq!(
            (r.usable(), r.last_known(), r.quality()),
            (None, Some(3.2), Quality::Stale)
        );
    }
}
