//! The field on an even axis: the wire never hears of a step of the clock.
//!
//! Leases, pauses, retries and ages of values are kept in many places of the wire, each beside a request that may be
//! under way while the clock steps. None of them needs the calendar. So the wire is handed an axis without steps, and what it says
//! is laid on the site's axis here. Wear is counted by days of that axis too: no step makes a register young again.

use super::ports::FieldPort;
use crate::model::{CommandHealth, DeviceHealth, DeviceMemory, FieldMemory, Scan, Setpoint, WriteReport};
use crate::site::{Id, Mode};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A field port, and how far the site's time has stepped from the axis that it lives on.
pub struct Even<F> {
    inner: F,
    shift: TimeDelta,
}

impl<F: FieldPort> Even<F> {
    pub fn new(inner: F) -> Self {
        Self {
            inner,
            shift: TimeDelta::zero(),
        }
    }

    /// Site time jumped by this much.
    pub fn step(&mut self, step: TimeDelta) {
        self.shift += step;
    }

    pub async fn scan(&mut self, now: Timestamp) -> Scan {
        let mut scan = self.inner.scan(now - self.shift).await;
        if !self.shift.is_zero() {
            for m in &mut scan.measurements {
                m.reading = m.reading.moved(self.shift);
            }
            scan.devices.iter_mut().for_each(|d| move_health(d, self.shift));
        }
        scan
    }

    pub async fn apply(&mut self, now: Timestamp, setpoints: &[Setpoint]) -> Vec<WriteReport> {
        if self.shift.is_zero() {
            return self.inner.apply(now, setpoints).await;
        }
        let moved = |s: &Setpoint| Setpoint {
            valid_until: s.valid_until - self.shift,
            ..s.clone()
        };
        let moved: Vec<Setpoint> = setpoints.iter().map(moved).collect();
        self.inner.apply(now - self.shift, &moved).await
    }

    pub fn set_mode(&mut self, mode: Mode) {
        self.inner.set_mode(mode);
    }

    /// What must survive a restart, on the site's axis.
    pub fn devices(&self) -> Option<Cow<'_, BTreeMap<Id, DeviceMemory>>> {
        let devices = &self.inner.memory()?.devices;
        if self.shift.is_zero() {
            return Some(Cow::Borrowed(devices));
        }
        let mut devices = devices.clone();
        devices.values_mut().for_each(|d| d.step(self.shift));
        Some(Cow::Owned(devices))
    }

    /// Before the first step.
    pub fn remember(&mut self, memory: &FieldMemory) {
        self.inner.remember(memory);
    }

    pub fn take_back(&mut self) {
        self.inner.take_back();
    }

    pub async fn release(&mut self) -> Vec<WriteReport> {
        self.inner.release().await
    }
}

fn move_health(device: &mut DeviceHealth, by: TimeDelta) {
    device.last_answer = device.last_answer.map(|t| t + by);
    device.commands.iter_mut().for_each(|c| move_command(c, by));
}

fn move_command(command: &mut CommandHealth, by: TimeDelta) {
    if let Some(f) = &mut command.foreign {
        f.since += by;
        f.yielded_until = f.yielded_until.map(|t| t + by);
    }
}
