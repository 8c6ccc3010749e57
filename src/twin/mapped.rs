//! A device whose registers follow a profile: points show the plant, writes of its commands move it.

use super::glitch::{Spot, What, absent};
use super::order::{Order, Wish};
use super::registers::{get, put, text};
use super::shown::{healthy, plausible};
use super::world::World;
use crate::model::{Quantity, Target};
use crate::profile::{
    Command, Derivation, Derived, Expected, Identify, Point, Profile, RegisterType, Role, Table, Wear, Write,
    WriteValue,
};
use crate::site::{Feed, Id, Kind, Site};
use crate::time::Timestamp;
use crate::units::{Current, Power};
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// A command that never reverts stays for as long as a simulation can last.
const FOR_EVER_S: f64 = 10.0 * 365.0 * 86_400.0;

#[derive(Debug)]
pub struct Mapped {
    profile: Profile,
    /// Feeds of this device, by point.
    feeds: Vec<Feed>,
    /// What the device moves.
    components: Vec<(Id, Kind)>,
    /// What masters wrote, by table (coils are their own) and address.
    written: BTreeMap<(bool, u16), u16>,
    lease_until: Option<Timestamp>,
    started: Option<Timestamp>,
}

/// What the registers of a command ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked {
    Value(f64),
    Release,
}

impl Mapped {
    pub fn new(site: &Site, device: &Id, profile: Profile) -> Self {
        let feeds = site.feeds().into_iter().filter(|f| f.device == *device);
        let fed = site
            .wiring
            .devices
            .get(device)
            .map(|d| d.components.clone())
            .unwrap_or_default();
        let component = |id: Id| Some((id.clone(), site.plant.components.get(&id)?.kind.clone()));
        Self {
            feeds: feeds.collect(),
            components: fed.into_iter().filter_map(component).collect(),
            profile,
            written: BTreeMap::new(),
            lease_until: None,
            started: None,
        }
    }

    /// Forgets what was written; the components are nobody's any more.
    pub fn restart(&mut self, t: Timestamp) -> Vec<Order> {
        self.written.clear();
        (self.lease_until, self.started) = (None, Some(t));
        let released = self
            .components
            .iter()
            .filter(|(_, kind)| !matches!(kind, Kind::Meter(_)));
        released.map(|(c, _)| Order::new(c, Target::Release, t)).collect()
    }

    /// Registers (or bits) `addr..addr + count`; exception 2 where nothing is mapped.
    pub fn read(&self, world: &mut World, t: Timestamp, table: Table, addr: u16, count: u16) -> Result<Vec<u16>, u8> {
        let probe = self
            .profile
            .identify
            .iter()
            .find(|i| i.table == table && i.addr == addr && i.count == count);
        if let Some(i) = probe {
            return Ok(Self::identity(i, count));
        }
        let blocks = &self.profile.blocks;
        let known = blocks
            .iter()
            .any(|b| b.table == table && overlap(b.addr, b.count, addr, count));
        let writable = (addr..=u16::MAX)
            .take(usize::from(count))
            .any(|a| self.may_be_written(table, a));
        if !known && !writable {
            return Err(2);
        }
        let own = |a: u16| self.written.get(&(table == Table::Coil, a)).copied().unwrap_or(0);
        let mut words: Vec<u16> = (addr..=u16::MAX).take(usize::from(count)).map(own).collect();
        let shared = |p: &&Point| (p.mask.is_some() || p.bit.is_some()) && self.may_be_written(table, p.addr);
        // What a master wrote stands there bit by bit already.
        let points = self.profile.points.iter().filter(|p| p.table == table && !shared(p));
        for p in points {
            for (i, w) in self.words_of(world, t, p).into_iter().enumerate() {
                let at = i32::from(p.addr) + i as i32 - i32::from(addr);
                if let Some(slot) = usize::try_from(at).ok().and_then(|at| words.get_mut(at)) {
                    *slot = placed(p, *slot, w);
                }
            }
        }
        Ok(words)
    }

    /// What the probe expects, so that the twin is taken for the device.
    fn identity(i: &Identify, count: u16) -> Vec<u16> {
        let words = match i.expect.first() {
            Some(Expected::Text(t)) => text(t, usize::from(count)),
            Some(Expected::Number(low, _)) => put(i.type_, i.words, *low),
            None if i.type_ == RegisterType::Str => text("MADANG", usize::from(count)),
            None => put(i.type_, i.words, 1.0),
        };
        words
            .into_iter()
            .chain(std::iter::repeat(0))
            .take(usize::from(count))
            .collect()
    }

    fn words_of(&self, world: &mut World, t: Timestamp, p: &Point) -> Vec<u16> {
        let left = self.lease_until.map_or(0.0, |u| (u - t).as_seconds_f64().max(0.0));
        if p.role == Some(Role::Uptime) {
            let since = self.started.map_or(t.timestamp(), |s| (t - s).num_seconds());
            return self.raw(p, since as f64);
        }
        let mut commands = self.profile.commands.values();
        if commands.any(|c| c.countdown_point.as_ref() == Some(&p.name)) {
            return self.raw(p, left.round());
        }
        match p.name.as_str() {
            "available" | "setpoint_accounted" => return self.raw(p, 1.0),
            "evse_state" => return self.state_words(world, p),
            "failsafe_current" => {
                let own = self.components.iter().find_map(|(_, k)| match k {
                    Kind::ChargePoint(c) => Some(c.current_min.as_amps()),
                    _ => None,
                });
                return self.raw(p, own.unwrap_or_default());
            }
            _ => {}
        }
        if let Some(value) = self.shown(world, p) {
            return self.raw(p, value);
        }
        let coil = p.table == Table::Coil;
        let registers = || (p.addr..=u16::MAX).take(usize::from(p.count));
        if registers().any(|a| self.may_be_written(p.table, a) || self.written.contains_key(&(coil, a))) {
            return registers()
                .map(|a| self.written.get(&(coil, a)).copied().unwrap_or(0))
                .collect();
        }
        if p.type_ == RegisterType::Str {
            return text("MADANG", usize::from(p.count));
        }
        match healthy(p) {
            Some(code) => put(p.type_, p.words, code as f64),
            None => self.raw(p, plausible(p)),
        }
    }

    /// Registers of a value in the point's unit.
    fn raw(&self, p: &Point, value: f64) -> Vec<u16> {
        put(p.type_, p.words, (value - p.offset) / p.scale)
    }

    /// The plant's value of a point, in the point's unit.
    fn shown(&self, world: &mut World, p: &Point) -> Option<f64> {
        if let Some(feed) = self.feeds.iter().find(|f| f.point == p.name) {
            // The limit that was asked for is what the master wrote; what applies is the charger's.
            if p.name == "current_limit" && self.profile.points.iter().any(|o| o.name == "applied_limit") {
                return None;
            }
            let read = world.read(&feed.component, feed.quantity);
            let read = read.or_else(|| a_phase(world, &feed.component, feed.quantity));
            return read.map(|v| v / feed.factor);
        }
        if let Some(value) = self.part(world, p) {
            return Some(value);
        }
        if p.unit != "kW" || p.name.contains("max") || p.name.contains("limit") {
            return None;
        }
        let mut power = |wanted: fn(&Kind) -> bool| {
            let (id, _) = self.components.iter().find(|(_, k)| wanted(k))?;
            world.read(id, Quantity::ActivePower)
        };
        match p.name.as_str() {
            // Maps that count each direction by itself.
            n if n.contains("battery_discharge") => power(|k| matches!(k, Kind::Battery(_))).map(|v| (-v).max(0.0)),
            n if n.contains("battery_charge") => power(|k| matches!(k, Kind::Battery(_))).map(|v| v.max(0.0)),
            "grid_import" => power(|k| matches!(k, Kind::Meter(_))).map(|v| v.max(0.0)),
            "grid_export" => power(|k| matches!(k, Kind::Meter(_))).map(|v| (-v).max(0.0)),
            _ => None,
        }
    }

    /// The plant's value of a point that the profile reckons with: the parts of a computed value make it up together. Parts
    /// that count one direction each share by sign, others equally; what a part shows by itself is taken off first.
    fn part(&self, world: &mut World, p: &Point) -> Option<f64> {
        let has_it =
            |d: &&Derived| matches!(&d.how, Derivation::Sum { parts, .. } if parts.iter().any(|(_, n)| *n == p.name));
        let feeds_it = |d: &&Derived| self.feeds.iter().any(|f| f.point == d.name);
        let derived = self.profile.derived.iter().filter(has_it).find(feeds_it)?;
        let Derivation::Sum { parts, .. } = &derived.how else {
            return None;
        };
        let feed = self.feeds.iter().find(|f| f.point == derived.name)?;
        let whole = world.read(&feed.component, feed.quantity);
        let whole = whole.or_else(|| a_phase(world, &feed.component, feed.quantity));
        let mut rest = whole? / feed.factor;
        let mut open: Vec<f64> = Vec::new();
        for (factor, name) in parts {
            match self.feeds.iter().find(|f| f.point == *name) {
                Some(own) => rest -= factor * world.read(&own.component, own.quantity)? / own.factor,
                None => open.push(*factor),
            }
        }
        let own = parts.iter().find(|(_, n)| *n == p.name)?.0;
        let directed = open.iter().any(|f| *f > 0.0) && open.iter().any(|f| *f < 0.0);
        // Of parts that count one direction each, those of the other direction show nothing.
        let sharing = open.iter().filter(|f| !directed || **f * rest > 0.0).count().max(1);
        if directed && own * rest <= 0.0 {
            return Some(0.0);
        }
        Some(rest / own / sharing as f64)
    }

    /// IEC 61851 state, as text or as the code that the map has for it.
    fn state_words(&self, world: &mut World, p: &Point) -> Vec<u16> {
        let charger = self.feeds.iter().find(|f| f.quantity == Quantity::ChargePointState);
        let state = match charger.and_then(|f| world.read(&f.component, Quantity::ChargePointState)) {
            Some(1.0) => "B1",
            Some(2.0) => "C2",
            _ => "A",
        };
        if p.type_ == RegisterType::Str {
            return text(state, usize::from(p.count));
        }
        let code = p
            .map
            .iter()
            .find(|(_, word)| word.starts_with(&state[..1]))
            .map(|(code, _)| *code);
        put(p.type_, p.words, code.unwrap_or(0) as f64)
    }

    fn may_be_written(&self, table: Table, addr: u16) -> bool {
        let mut all = self.profile.commands.values().flat_map(all_writes);
        all.any(|w| table_of(w) == table && (w.addr..w.addr.saturating_add(span(w))).contains(&addr))
    }

    /// Takes a write and says what it asks of the plant; exception 2 where nothing may be written.
    pub fn write(
        &mut self,
        world: &World,
        t: Timestamp,
        table: Table,
        addr: u16,
        words: &[u16],
    ) -> Result<Vec<Order>, u8> {
        let registers = || (addr..=u16::MAX).take(words.len());
        if registers().count() != words.len() || !registers().all(|a| self.may_be_written(table, a)) {
            return Err(2);
        }
        for (a, w) in registers().zip(words) {
            self.written.insert((table == Table::Coil, a), *w);
        }
        let touched = |c: &Command| {
            all_writes(c).any(|w| table_of(w) == table && overlap(w.addr, span(w), addr, words.len() as u16))
        };
        let names: Vec<String> = self
            .profile
            .commands
            .iter()
            .filter(|(_, c)| touched(c))
            .map(|(n, _)| n.clone())
            .collect();
        Ok(names.iter().filter_map(|n| self.order(world, t, n)).collect())
    }

    /// What a command's registers ask for now, as the plant understands it.
    fn order(&mut self, world: &World, t: Timestamp, name: &str) -> Option<Order> {
        let command = self.profile.commands.get(name)?;
        let mut asked = self.asked(command)?;
        let lease_s = match self.timer(command) {
            Some(s) if s <= 0.0 => {
                asked = Asked::Release;
                0.0
            }
            Some(s) => s,
            None => command.device_timeout_s.filter(|s| *s > 0.0).unwrap_or(FOR_EVER_S),
        };
        let until = t + TimeDelta::milliseconds((lease_s * 1e3) as i64);
        let value = match asked {
            Asked::Value(v) => Some(v),
            Asked::Release => None,
        };
        let percent = command.unit == "%";
        self.lease_until = value.is_some().then_some(until);
        let (component, kind) = self.components.iter().find(|(_, k)| moved_by(name, k))?;
        let wish = value.map_or(Some(Wish::Target(Target::Release)), |v| wish(name, v, percent, kind))?;
        let _known = world.models.get(component)?;
        Some(Order {
            component: component.clone(),
            wish,
            until,
        })
    }

    /// The variant whose registers fit what was written, else the release.
    fn asked(&self, c: &Command) -> Option<Asked> {
        for v in &c.variants {
            let fits = |value: f64| v.from.is_none_or(|f| value >= f - 1e-6) && v.to.is_none_or(|t| value <= t + 1e-6);
            let constants = v
                .set
                .iter()
                .all(|w| self.is_timer(c, w) || self.holds(w).unwrap_or(true));
            let scaled = v.set.iter().find_map(|w| self.scaled(w));
            let needs_value = v.set.iter().any(|w| matches!(w.value, WriteValue::Scaled { .. }));
            let value = if needs_value {
                scaled
            } else {
                v.from.or(v.to).or(Some(1.0))
            };
            if let Some(value) = value.filter(|x| constants && fits(*x)) {
                return Some(Asked::Value(value));
            }
        }
        let mut constants = c.release.iter().filter_map(|w| self.holds(w)).peekable();
        (constants.peek().is_some() && constants.all(|held| held)).then_some(Asked::Release)
    }

    /// Whether a constant stands in its registers; `None` for what is no constant.
    fn holds(&self, w: &Write) -> Option<bool> {
        let WriteValue::Constant(v) = w.value else { return None };
        Some(self.register(w).is_some_and(|r| (r - v).abs() < 0.5))
    }

    fn scaled(&self, w: &Write) -> Option<f64> {
        match w.value {
            WriteValue::Scaled { scale, offset } if scale != 0.0 => Some((self.register(w)? - offset) / scale),
            _ => None,
        }
    }

    /// A constant that is the command's own timeout is the register of its timer.
    fn is_timer(&self, c: &Command, w: &Write) -> bool {
        let timeout = c.device_timeout_s.filter(|t| *t > 0.0);
        matches!(w.value, WriteValue::Constant(v) if timeout == Some(v))
    }

    fn timer(&self, c: &Command) -> Option<f64> {
        let set = c.variants.iter().flat_map(|v| &v.set).chain(&c.arm);
        set.filter(|w| self.is_timer(c, w)).find_map(|w| self.register(w))
    }

    fn register(&self, w: &Write) -> Option<f64> {
        let coil = table_of(w) == Table::Coil;
        let registers = (w.addr..=u16::MAX).take(usize::from(span(w)));
        let words: Option<Vec<u16>> = registers.map(|a| self.written.get(&(coil, a)).copied()).collect();
        Some(get(w.type_, w.words, &words?)).filter(|v| v.is_finite())
    }

    /// What another master would write to take its device back: the release, as far as it is constant.
    pub fn taken_back(&self) -> Vec<(u16, Vec<u16>)> {
        let writes = self.profile.commands.values().flat_map(|c| &c.release);
        let constant = |w: &Write| match w.value {
            WriteValue::Constant(v) if w.fc != 5 => Some((w.addr, put(w.type_, w.words, v))),
            _ => None,
        };
        writes.filter_map(constant).collect()
    }

    /// Whether a command that wears, or may wear, writes this register.
    pub fn wears(&self, register: u16) -> bool {
        let worn = self.profile.commands.values().filter(|c| c.wear != Wear::Ram);
        worn.flat_map(all_writes)
            .any(|w| (w.addr..w.addr.saturating_add(span(w))).contains(&register))
    }

    /// Where measured values lie.
    pub fn spots(&self) -> Vec<Spot> {
        let numbers = self.profile.points.iter().filter(|p| {
            p.map.is_empty() && !p.unit.is_empty() && !matches!(p.type_, RegisterType::Str | RegisterType::Bits)
        });
        let spot = |p: &Point| Spot {
            table: p.table,
            addr: p.addr,
            type_: p.type_,
            words: p.words,
            absent: p
                .nan
                .first()
                .map_or_else(|| absent(p.type_), |n| put(p.type_, p.words, *n as f64)),
            what: match p.unit.as_str() {
                "kW" | "A" => What::Power,
                "kWh" => What::Counter,
                "V" => What::Voltage,
                _ => What::Other,
            },
            per_kw: counts_per_kw(p),
        };
        numbers.map(spot).collect()
    }
}

/// Counts of a point's register for one kW of its component.
fn counts_per_kw(p: &Point) -> f64 {
    let limits = p.name.contains("max") || p.name.contains("limit") || p.name.contains("rated");
    if p.unit != "kW" || limits {
        return 0.0;
    }
    let phase = ["_l1", "_l2", "_l3"].iter().any(|l| p.name.ends_with(l));
    1.0 / p.scale / if phase { 3.0 } else { 1.0 }
}

/// A register with the value of a point in it: several points may share one, each with bits of its own.
fn placed(p: &Point, register: u16, value: u16) -> u16 {
    let wide = match (p.mask, p.bit) {
        (Some(mask), _) if p.count == 1 => mask << p.shift,
        (None, Some(bit)) => 1 << bit,
        _ => return value,
    };
    let (mask, shift) = (wide as u16, p.bit.unwrap_or(p.shift));
    (register & !mask) | (value.checked_shl(u32::from(shift)).unwrap_or(0) & mask)
}

/// Whether a command of this name moves a component of this kind.
fn moved_by(command: &str, kind: &Kind) -> bool {
    match command {
        "battery_power" | "battery_hold" | "battery_charge_limit" | "battery_discharge_limit" => {
            matches!(kind, Kind::Battery(_))
        }
        "pv_limit" => matches!(kind, Kind::Pv(_)),
        "evse_current_limit" | "evse_enable" => matches!(kind, Kind::ChargePoint(_)),
        "heatpump_power" | "sg_ready" => matches!(kind, Kind::HeatPump(_)),
        "genset_power" | "genset_start" => matches!(kind, Kind::Generator(_)),
        "switch" => matches!(kind, Kind::Load(_) | Kind::ShiftableLoad(_) | Kind::SheddableLoad(_)),
        _ => false,
    }
}

fn wish(command: &str, value: f64, percent: bool, kind: &Kind) -> Option<Wish> {
    let share = |full: f64| if percent { full * value / 100.0 } else { value };
    Some(match (command, kind) {
        ("battery_power", Kind::Battery(b)) => Wish::Target(Target::Power(Power::kw(share(b.charge_max.as_kw())))),
        ("battery_hold", _) => Wish::Target(Target::Power(Power::ZERO)),
        ("battery_charge_limit", Kind::Battery(b)) => Wish::Bounds(f64::NEG_INFINITY, share(b.charge_max.as_kw())),
        ("battery_discharge_limit", Kind::Battery(b)) => Wish::Bounds(-share(b.discharge_max.as_kw()), f64::INFINITY),
        ("pv_limit", Kind::Pv(p)) => Wish::Target(Target::PowerLimit(Power::kw(share(p.inverter_max.as_kw())))),
        ("evse_current_limit", _) => Wish::Target(Target::Current(Current::amps(value))),
        ("evse_enable", Kind::ChargePoint(c)) if value > 0.5 => Wish::Target(Target::Current(c.current_max)),
        ("evse_enable", _) => Wish::Target(Target::Current(Current::amps(0.0))),
        // SG-Ready: 1 blocks, 2 is normal, 3 and 4 ask for more.
        ("sg_ready", _) if (value - 1.0).abs() < 0.1 => Wish::Target(Target::Power(Power::ZERO)),
        ("sg_ready", _) => Wish::Target(Target::Release),
        ("genset_start", Kind::Generator(g)) if value > 0.5 => Wish::Target(Target::Power(g.power_max)),
        ("genset_start", _) => Wish::Target(Target::Power(Power::ZERO)),
        ("switch", _) => Wish::Target(Target::On(value > 0.5)),
        ("heatpump_power" | "genset_power", _) => Wish::Target(Target::Power(Power::kw(value))),
        _ => return None,
    })
}

fn table_of(w: &Write) -> Table {
    if w.fc == 5 { Table::Coil } else { Table::Holding }
}

fn span(w: &Write) -> u16 {
    if w.fc == 5 { 1 } else { w.type_.registers().unwrap_or(1) }
}

fn all_writes(c: &Command) -> impl Iterator<Item = &Write> {
    c.writes()
}

fn overlap(a: u16, a_len: u16, b: u16, b_len: u16) -> bool {
    u32::from(a) < u32::from(b) + u32::from(b_len) && u32::from(b) < u32::from(a) + u32::from(a_len)
}
/// A phase of what the plant knows only as a whole: its third, at 230 V.
fn a_phase(world: &mut World, component: &Id, quantity: Quantity) -> Option<f64> {
    use Quantity::{ActivePowerL1, ActivePowerL2, ActivePowerL3, CurrentL1, CurrentL2, CurrentL3};
    let kw = world.read(component, Quantity::ActivePower)? / 3.0;
    match quantity {
        ActivePowerL1 | ActivePowerL2 | ActivePowerL3 => Some(kw),
        CurrentL1 | CurrentL2 | CurrentL3 => Some(kw.abs() * 1e3 / 230.0),
        _ => None,
    }
}
