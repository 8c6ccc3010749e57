//! A device whose registers follow a profile: points show the plant, writes of its commands move it.

use super::registers::{get, put, text};
use super::world::World;
use crate::model::{Quantity, Target};
use crate::profile::{Command, Expected, Point, Profile, RegisterType, Table, Write, WriteValue};
use crate::site::{Feed, Id, Site, command_of};
use crate::time::Timestamp;
use crate::units::{Current, Power};
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// Reversion time of a device whose map has no register for it.
const LEASE_S: f64 = 60.0;

#[derive(Debug)]
pub struct Mapped {
    profile: Profile,
    /// Feeds of this device, by point.
    feeds: Vec<Feed>,
    /// Component that the device's commands move, and which command.
    moved: Option<(Id, &'static str)>,
    /// What masters wrote.
    written: BTreeMap<u16, u16>,
    lease_until: Option<Timestamp>,
}

impl Mapped {
    pub fn new(site: &Site, device: &Id, profile: Profile) -> Self {
        let feeds: Vec<Feed> = site
            .wiring
            .feeds(&site.plant)
            .into_iter()
            .filter(|f| f.device == *device)
            .collect();
        let components = site
            .wiring
            .devices
            .get(device)
            .map(|d| d.components.clone())
            .unwrap_or_default();
        let moved = components.into_iter().find_map(|c| {
            let command = command_of(&site.plant.components.get(&c)?.kind)?;
            profile.commands.contains_key(command).then_some((c, command))
        });
        Self {
            profile,
            feeds,
            moved,
            written: BTreeMap::new(),
            lease_until: None,
        }
    }

    /// Registers `addr..addr + count`; exception 2 where nothing is mapped.
    pub fn read(&self, world: &mut World, t: Timestamp, table: Table, addr: u16, count: u16) -> Result<Vec<u16>, u8> {
        let known = self
            .profile
            .blocks
            .iter()
            .any(|b| b.table == table && overlap(b.addr, b.count, addr, count));
        let probe = self
            .profile
            .identify
            .iter()
            .find(|i| i.table == table && i.addr == addr && i.count == count);
        if let Some(i) = probe {
            let expected = i.expect.first().map_or("MADANG", |e| match e {
                Expected::Text(t) => t.as_str(),
                Expected::Number(..) => "",
            });
            return Ok(text(expected, usize::from(count)));
        }
        if !known {
            return Err(2);
        }
        let mut words = vec![0u16; usize::from(count)];
        for p in self.profile.points.iter().filter(|p| p.table == table) {
            for (i, w) in self.words_of(world, t, p).into_iter().enumerate() {
                let at = i32::from(p.addr) + i as i32 - i32::from(addr);
                if (0..i32::from(count)).contains(&at) {
                    words[at as usize] = w;
                }
            }
        }
        Ok(words)
    }

    fn words_of(&self, world: &mut World, t: Timestamp, p: &Point) -> Vec<u16> {
        let left = self.lease_until.map_or(0.0, |u| (u - t).as_seconds_f64().max(0.0));
        let value = match p.name.as_str() {
            "lease_left" | "setpoint_valid" => Some(left.round()),
            "failsafe_current" => Some(6.0),
            "available" | "setpoint_accounted" => Some(1.0),
            "phases" => Some(3.0),
            "evse_state" => return text(self.state(world), usize::from(p.count)),
            _ => self.shown(world, p),
        };
        match value {
            Some(v) => put(p.type_, p.words, (v - p.offset) / p.scale),
            None => (0..p.count)
                .map(|i| self.written.get(&(p.addr + i)).copied().unwrap_or(0))
                .collect(),
        }
    }

    /// The plant's value of a point, in the point's unit.
    fn shown(&self, world: &mut World, p: &Point) -> Option<f64> {
        let feed = self.feeds.iter().find(|f| f.point == p.name)?;
        // The limit that was asked for is what the master wrote; what applies is the charger's.
        if p.name == "current_limit" && self.profile.points.iter().any(|o| o.name == "applied_limit") {
            return None;
        }
        world.read(&feed.component, feed.quantity).map(|v| v / feed.factor)
    }

    fn state(&self, world: &mut World) -> &'static str {
        let charger = self.feeds.iter().find(|f| f.quantity == Quantity::ChargePointState);
        match charger.and_then(|f| world.read(&f.component, Quantity::ChargePointState)) {
            Some(1.0) => "B1",
            Some(2.0) => "C2",
            _ => "A",
        }
    }

    /// Takes a write; exception 2 where nothing may be written, 3 where the value cannot be.
    pub fn write(&mut self, world: &mut World, t: Timestamp, addr: u16, words: &[u16]) -> Result<(), u8> {
        let writes: Vec<&Write> = self.profile.commands.values().flat_map(all_writes).collect();
        let span = |w: &Write| w.type_.registers().unwrap_or(1);
        let last = addr.checked_add(words.len() as u16).ok_or(2u8)?;
        if !(addr..last).all(|a| writes.iter().any(|w| (w.addr..w.addr + span(w)).contains(&a))) {
            return Err(2);
        }
        for (a, w) in (addr..).zip(words) {
            self.written.insert(a, *w);
        }
        let Some((component, command)) = self.moved.clone() else {
            return Ok(());
        };
        let Some(program) = self.profile.commands.get(command) else {
            return Ok(());
        };
        let touched = all_writes(program).any(|w| overlap(w.addr, span(w), addr, words.len() as u16));
        if touched {
            self.obey(world, t, &component, command)?;
        }
        Ok(())
    }

    fn obey(&mut self, world: &mut World, t: Timestamp, component: &Id, command: &str) -> Result<(), u8> {
        let Some(program) = self.profile.commands.get(command) else {
            return Ok(());
        };
        let set: Vec<&Write> = program.variants.iter().flat_map(|v| &v.set).collect();
        let value = set.iter().find_map(|w| match w.value {
            WriteValue::Scaled { scale, offset } => Some((self.register(w.addr, w.type_, w)? - offset) / scale),
            _ => None,
        });
        let lease = set.iter().find(|w| matches!(w.value, WriteValue::Constant(_)));
        let lease_s = lease.map_or(Some(LEASE_S), |w| self.register(w.addr, w.type_, w));
        let (Some(value), Some(lease_s)) = (value, lease_s) else {
            return Ok(());
        };
        if lease_s <= 0.0 {
            self.lease_until = None;
            return world.obey(component, Target::Release, t).map_err(|_| 4);
        }
        let until = t + TimeDelta::milliseconds((lease_s * 1e3) as i64);
        self.lease_until = Some(until);
        let target = match command {
            "evse_current_limit" => Target::Current(Current::amps(value)),
            "switch" => Target::On(value > 0.5),
            _ => Target::Power(Power::kw(value)),
        };
        world.obey(component, target, until).map_err(|_| 3)
    }

    fn register(&self, addr: u16, type_: RegisterType, w: &Write) -> Option<f64> {
        let count = type_.registers()?;
        let words: Option<Vec<u16>> = (addr..addr + count).map(|a| self.written.get(&a).copied()).collect();
        Some(get(type_, w.words, &words?)).filter(|v| v.is_finite())
    }
}

fn all_writes(c: &Command) -> impl Iterator<Item = &Write> {
    c.arm
        .iter()
        .chain(c.variants.iter().flat_map(|v| &v.set))
        .chain(&c.release)
}

fn overlap(a: u16, a_len: u16, b: u16, b_len: u16) -> bool {
    u32::from(a) < u32::from(b) + u32::from(b_len) && u32::from(b) < u32::from(a) + u32::from(a_len)
}
