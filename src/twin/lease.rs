//! A command as a device keeps it: until its reversion timer runs out.

use crate::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lease<T> {
    value: Option<(T, Timestamp)>,
}

impl<T: Copy> Lease<T> {
    pub fn none() -> Self {
        Self { value: None }
    }
    pub fn set(&mut self, value: T, until: Timestamp) {
        self.value = Some((value, until));
    }
    pub fn release(&mut self) {
        self.value = None;
    }
    /// The value in force at `t`.
    pub fn at(&self, t: Timestamp) -> Option<T> {
        self.value.filter(|(_, until)| t < *until).map(|(v, _)| v)
    }
    /// Time left at `t`, in seconds.
    pub fn left_s(&self, t: Timestamp) -> f64 {
        self.value
            .map_or(0.0, |(_, until)| (until - t).as_seconds_f64().max(0.0))
    }
}
