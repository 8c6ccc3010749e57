//! A command as a device keeps it: until its reversion timer runs out, and what it falls to then.

use crate::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lease<T> {
    value: Option<(T, Timestamp)>,
    /// In force after the time; `None`: the device goes by itself.
    after: Option<T>,
}

impl<T: Copy> Lease<T> {
    pub fn none() -> Self {
        Self {
            value: None,
            after: None,
        }
    }
    pub fn set(&mut self, value: T, until: Timestamp) {
        (self.value, self.after) = (Some((value, until)), None);
    }
    /// As [`Self::set`], with the reversion value that the master gave.
    pub fn set_then(&mut self, value: T, until: Timestamp, after: T) {
        (self.value, self.after) = (Some((value, until)), Some(after));
    }
    pub fn release(&mut self) {
        (self.value, self.after) = (None, None);
    }
    /// The value in force at `t`.
    pub fn at(&self, t: Timestamp) -> Option<T> {
        let told = self.value.filter(|(_, until)| t < *until).map(|(v, _)| v);
        told.or(self.after)
    }
    /// Time left at `t`, in seconds.
    pub fn left_s(&self, t: Timestamp) -> f64 {
        self.value
            .map_or(0.0, |(_, until)| (until - t).as_seconds_f64().max(0.0))
    }
}
