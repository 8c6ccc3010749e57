//! One simulated device behind a unit id: Modbus functions on its registers, and its faults.

use super::fault::FaultKind;
use super::glitch::{Glitch, spoil};
use super::mapped::Mapped;
use super::order::Order;
use super::sunspec::SunSpec;
use super::world::World;
use crate::profile::Table;
use crate::site::Id;
use crate::time::{Clock, Timestamp};
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A late answer comes this long after the request: after any patience.
const LATE: Duration = Duration::from_millis(2_500);
/// Storms of refusals: one such time in so many.
const STORM_EVERY: i32 = 10;

#[derive(Debug)]
pub enum Image {
    SunSpec(Box<SunSpec>),
    Mapped(Box<Mapped>),
}

/// What changes while the device runs.
struct State {
    image: Image,
    dice: fastrand::Rng,
    /// First answers, for a frozen device.
    frozen: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Orders that are obeyed late.
    waiting: Vec<(Timestamp, Order)>,
    /// When another master writes next.
    foreign: Option<Timestamp>,
    /// When it restarts next.
    restart: Option<Timestamp>,
    /// Writes of each register.
    worn: BTreeMap<u16, u64>,
    born: Option<Timestamp>,
}

pub struct Device {
    id: Id,
    state: Mutex<State>,
    faults: Vec<FaultKind>,
}

/// What to do with an answer.
pub enum Fate {
    Nothing,
    /// After a delay, so many times.
    Send {
        after: Duration,
        times: usize,
        pdu: Vec<u8>,
    },
}

impl Device {
    pub fn new(id: &Id, image: Image, faults: Vec<FaultKind>, dice: fastrand::Rng) -> Self {
        let state = State {
            image,
            dice,
            frozen: BTreeMap::new(),
            waiting: Vec::new(),
            foreign: None,
            restart: None,
            worn: BTreeMap::new(),
            born: None,
        };
        Self {
            id: id.clone(),
            state: Mutex::new(state),
            faults,
        }
    }

    pub fn one_client(&self) -> bool {
        self.faults.contains(&FaultKind::OneClient)
    }

    /// A poisoned lock holds a device between two requests; its registers are still its own.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request that came on a connection made at `since`.
    pub fn answer(&self, world: &Mutex<World>, clock: &Arc<dyn Clock>, since: Timestamp, pdu: &[u8]) -> Fate {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        let t = clock.now();
        world.advance_to(t);
        let mut state = self.state();
        state.born.get_or_insert(t);
        self.obey_late(&mut state, &mut world, t);
        self.meddle(&mut state, &mut world, t);
        self.start_anew(&mut state, &mut world, t);
        let (mut after, mut times) = (Duration::ZERO, 1);
        let mut glitches = Vec::new();
        for fault in &self.faults {
            let strikes = |state: &mut State, share: f64| state.dice.f64() < share;
            match *fault {
                FaultKind::Dead => return Fate::Nothing,
                FaultKind::Asleep if world.is_dark(&self.id) => return Fate::Nothing,
                FaultKind::Slow(d) => after += d,
                FaultKind::Drop(p) if strikes(&mut state, p) => return Fate::Nothing,
                FaultKind::Late(p) if strikes(&mut state, p) => after += LATE,
                FaultKind::Duplicate(p) if strikes(&mut state, p) => times = 2,
                FaultKind::Exception(p) if strikes(&mut state, p) => return refusal(&mut state, after, pdu),
                FaultKind::Busy(d) if storms(&state, t, d) => return refusal(&mut state, after, pdu),
                FaultKind::Garbage(p) if strikes(&mut state, p) => {
                    return Fate::Send {
                        after,
                        times,
                        pdu: vec![pdu[0], 0xFF, 0x00, 0xAA],
                    };
                }
                FaultKind::Short(p) if strikes(&mut state, p) => {
                    let pdu = shortened(self.respond(&mut state, &mut world, t, pdu, &[]));
                    return Fate::Send { after, times, pdu };
                }
                FaultKind::Spike(p) if strikes(&mut state, p) => glitches.push(Glitch::Spike),
                FaultKind::Zero(p) if strikes(&mut state, p) => glitches.push(Glitch::Zero),
                FaultKind::ZeroVolt(p) if strikes(&mut state, p) => glitches.push(Glitch::ZeroVolt),
                FaultKind::Scale(k) => glitches.push(Glitch::Scale(k)),
                FaultKind::Offset(kw) => glitches.push(Glitch::Offset(kw)),
                FaultKind::Readback(p) if strikes(&mut state, p) => glitches.push(Glitch::Readback),
                FaultKind::Swap(p) if strikes(&mut state, p) => glitches.push(Glitch::Swap),
                FaultKind::Sentinel(d) if t - since < delta(d) => glitches.push(Glitch::Absent),
                FaultKind::Rescale(d) => rescale(&mut state, t, d),
                _ => {}
            }
        }
        let pdu = self.frozen_or_live(&mut state, &mut world, t, pdu, &glitches);
        Fate::Send { after, times, pdu }
    }

    fn frozen_or_live(&self, s: &mut State, world: &mut World, t: Timestamp, pdu: &[u8], g: &[Glitch]) -> Vec<u8> {
        if !self.faults.contains(&FaultKind::Frozen) {
            return self.respond(s, world, t, pdu, g);
        }
        if let Some(first) = s.frozen.get(pdu) {
            return first.clone();
        }
        let answer = self.respond(s, world, t, pdu, g);
        s.frozen.insert(pdu.to_vec(), answer.clone());
        answer
    }

    fn respond(&self, s: &mut State, world: &mut World, t: Timestamp, pdu: &[u8], glitches: &[Glitch]) -> Vec<u8> {
        self.carry_out(s, world, t, pdu, glitches)
            .unwrap_or_else(|code| vec![pdu[0] | 0x80, code])
    }

    fn carry_out(
        &self,
        s: &mut State,
        world: &mut World,
        t: Timestamp,
        pdu: &[u8],
        glitches: &[Glitch],
    ) -> Result<Vec<u8>, u8> {
        let word = |i: usize| pdu.get(i..i + 2).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or(3u8);
        match pdu[0] {
            1 | 2 => {
                let (addr, count) = (word(1)?, word(3)?);
                let table = if pdu[0] == 1 { Table::Coil } else { Table::Discrete };
                if !(1..=2000).contains(&count) {
                    return Err(3);
                }
                let bits = s.read(world, t, table, addr, count)?;
                let bytes: Vec<u8> = bits.chunks(8).map(packed).collect();
                Ok([vec![pdu[0], bytes.len() as u8], bytes].concat())
            }
            3 | 4 => {
                let (addr, count) = (word(1)?, word(3)?);
                if !(1..=125).contains(&count) {
                    return Err(3);
                }
                let table = if pdu[0] == 3 { Table::Holding } else { Table::Input };
                let mut words = s.read(world, t, table, addr, count)?;
                if self.faults.contains(&FaultKind::LostPoints)
                    && s.image
                        .spots()
                        .iter()
                        .any(|spot| spot.is_touched(table, addr, words.len()))
                {
                    return Err(2);
                }
                for g in glitches {
                    match g {
                        Glitch::Readback if table == Table::Holding => s.spoil_written(addr, &mut words),
                        g => spoil(*g, &s.image.spots(), table, addr, &mut words, &mut s.dice),
                    }
                }
                let mut out = vec![pdu[0], (words.len() * 2) as u8];
                out.extend(words.iter().flat_map(|w| w.to_be_bytes()));
                Ok(out)
            }
            5 => {
                let on = match word(3)? {
                    0xFF00 => 1,
                    0 => 0,
                    _ => return Err(3),
                };
                self.write(s, world, t, Table::Coil, word(1)?, &[on])?;
                Ok(pdu[0..5].to_vec())
            }
            6 => {
                self.write(s, world, t, Table::Holding, word(1)?, &[word(3)?])?;
                Ok(pdu[0..5].to_vec())
            }
            16 => {
                let (addr, count) = (word(1)?, word(3)?);
                let bytes = pdu.get(6..).unwrap_or(&[]);
                if count == 0 || count > 123 || bytes.len() != usize::from(count) * 2 {
                    return Err(3);
                }
                let words: Vec<u16> = bytes.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
                self.write(s, world, t, Table::Holding, addr, &words)?;
                Ok(pdu[0..5].to_vec())
            }
            _ => Err(1),
        }
    }

    fn write(
        &self,
        s: &mut State,
        world: &mut World,
        t: Timestamp,
        table: Table,
        addr: u16,
        words: &[u16],
    ) -> Result<(), u8> {
        let registers = || (addr..=u16::MAX).take(words.len());
        let most = self.faults.iter().find_map(|f| match f {
            FaultKind::Worn(n) => Some(*n),
            _ => None,
        });
        if let Some(most) = most
            && registers().any(|r| s.worn.get(&r).is_some_and(|n| *n >= most))
        {
            return Err(4);
        }
        let orders = s.image.write(world, t, table, addr, words)?;
        for r in registers() {
            *s.worn.entry(r).or_insert(0) += 1;
            if s.image.wears(r) {
                world.note_wear(&self.id, r);
            }
        }
        orders.into_iter().try_for_each(|o| self.order(s, world, t, o))
    }

    /// Carries an order out as the device's faults let it.
    fn order(&self, s: &mut State, world: &mut World, t: Timestamp, mut order: Order) -> Result<(), u8> {
        for fault in &self.faults {
            match *fault {
                FaultKind::Unobeyed => return Ok(()),
                FaultKind::Clipped(share) => order = order.clipped(world, share),
                FaultKind::Delayed(d) => {
                    s.waiting.push((t + delta(d), order));
                    return Ok(());
                }
                _ => {}
            }
        }
        order.carry_out(world).map_err(|_| 4)
    }

    fn obey_late(&self, s: &mut State, world: &mut World, t: Timestamp) {
        while let Some(i) = s.waiting.iter().position(|(due, _)| *due <= t) {
            let (_, order) = s.waiting.remove(i);
            // It was accepted when it was written; nobody is left to be told.
            let _unfit = order.carry_out(world);
        }
    }

    /// The device restarts: its registers are as they were when it was born, and its components go their own way.
    fn start_anew(&self, s: &mut State, world: &mut World, t: Timestamp) {
        let every = self.faults.iter().find_map(|f| match f {
            FaultKind::Restart(d) => Some(delta(*d)),
            _ => None,
        });
        let Some(every) = every else { return };
        if t < *s.restart.get_or_insert(t + every) {
            return;
        }
        s.restart = Some(t + every);
        for order in s.image.restart(t) {
            // A component that cannot be released has nothing to take back.
            let _unfit = order.carry_out(world);
        }
    }

    /// Another master takes the device back into its own hands.
    fn meddle(&self, s: &mut State, world: &mut World, t: Timestamp) {
        let every = self.faults.iter().find_map(|f| match f {
            FaultKind::Foreign(d) => Some(delta(*d)),
            _ => None,
        });
        let Some(every) = every else { return };
        let due = *s.foreign.get_or_insert(t + every);
        if t < due {
            return;
        }
        s.foreign = Some(t + every);
        for (addr, words) in s.image.taken_back() {
            let written = s.image.write(world, t, Table::Holding, addr, &words);
            for order in written.unwrap_or_default() {
                // A component that cannot be released has nothing to take back.
                let _unfit = order.carry_out(world);
            }
        }
    }
}

fn packed(bits: &[u16]) -> u8 {
    bits.iter()
        .enumerate()
        .fold(0, |byte, (i, bit)| byte | (u8::from(*bit != 0) << i))
}

fn delta(d: Duration) -> TimeDelta {
    TimeDelta::from_std(d).unwrap_or(TimeDelta::MAX)
}

fn refusal(s: &mut State, after: Duration, pdu: &[u8]) -> Fate {
    let code = if s.dice.bool() { 5 } else { 6 };
    Fate::Send {
        after,
        times: 1,
        pdu: vec![pdu[0] | 0x80, code],
    }
}

/// Whether a storm is on: the last tenth of each round since the device was first spoken to.
fn storms(s: &State, t: Timestamp, d: Duration) -> bool {
    let (since, length) = (t - s.born.unwrap_or(t), delta(d).num_milliseconds());
    let round = length.saturating_mul(i64::from(STORM_EVERY));
    since.num_milliseconds().rem_euclid(round.max(1)) >= round - length
}

fn rescale(s: &mut State, t: Timestamp, d: Duration) {
    let since = t - s.born.unwrap_or(t);
    let odd = (since.num_milliseconds() / delta(d).num_milliseconds().max(1)) % 2 == 1;
    if let Image::SunSpec(image) = &mut s.image {
        image.coarse = odd;
    }
}

impl State {
    fn read(&mut self, world: &mut World, t: Timestamp, table: Table, addr: u16, count: u16) -> Result<Vec<u16>, u8> {
        match &mut self.image {
            Image::SunSpec(_) if table != Table::Holding => Err(2),
            Image::SunSpec(s) => s.read(world, t, addr, count),
            Image::Mapped(m) => m.read(world, t, table, addr, count),
        }
    }
}

impl State {
    /// Registers that a master wrote show something else: their bytes swapped, nothing, or "not available".
    fn spoil_written(&mut self, addr: u16, words: &mut [u16]) {
        let way = self.dice.u8(..3);
        for (word, register) in words.iter_mut().zip(addr..=u16::MAX) {
            if self.worn.contains_key(&register) {
                *word = [word.swap_bytes(), 0, 0xFFFF][usize::from(way)];
            }
        }
    }
}

impl Image {
    /// Forgets what was written; what this makes its components do.
    fn restart(&mut self, t: Timestamp) -> Vec<Order> {
        match self {
            Self::SunSpec(s) => s.restart(t),
            Self::Mapped(m) => m.restart(t),
        }
    }

    fn write(&mut self, w: &mut World, t: Timestamp, table: Table, addr: u16, words: &[u16]) -> Result<Vec<Order>, u8> {
        match self {
            Self::SunSpec(s) if table == Table::Holding && !s.beside(addr) => s.write(t, addr, words),
            Self::SunSpec(s) => s.write_beside(w, t, table, addr, words),
            Self::Mapped(m) => m.write(w, t, table, addr, words),
        }
    }
    fn spots(&self) -> Vec<super::glitch::Spot> {
        match self {
            Self::SunSpec(s) => s.spots(),
            Self::Mapped(m) => m.spots(),
        }
    }
    fn taken_back(&self) -> Vec<(u16, Vec<u16>)> {
        match self {
            Self::SunSpec(s) => s.taken_back(),
            Self::Mapped(m) => m.taken_back(),
        }
    }
    fn wears(&self, register: u16) -> bool {
        match self {
            Self::SunSpec(_) => false,
            Self::Mapped(m) => m.wears(register),
        }
    }
}

/// One register fewer than asked.
fn shortened(mut answer: Vec<u8>) -> Vec<u8> {
    if answer.len() > 4 && matches!(answer[0], 3 | 4) {
        answer.truncate(answer.len() - 2);
        answer[1] -= 2;
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;
    use crate::time::SteppedClock;
    use crate::twin::Fault;

    struct Bench {
        world: Mutex<World>,
        clock: Arc<SteppedClock>,
        device: Device,
        start: Timestamp,
    }

    /// The hybrid of the Amsterdam home at noon, or its charger, with a fault.
    fn bench(device: &str, fault: &str) -> Bench {
        let site: Arc<Site> = Arc::new(crate::site::builtin("home-amsterdam").unwrap());
        let start = chrono::DateTime::from_timestamp(1_778_580_000, 0).unwrap();
        let world = Mutex::new(World::new(&site, 1, start, TimeDelta::seconds(10)).unwrap());
        let id = Id::new(device);
        let profile = crate::profile::builtin(&site.wiring.devices[&id].profile).unwrap();
        let image = if profile.sunspec {
            Image::SunSpec(Box::new(SunSpec::new(&site, &id, profile)))
        } else {
            Image::Mapped(Box::new(Mapped::new(&site, &id, profile)))
        };
        let faults = (!fault.is_empty()).then(|| Fault::parse(&format!("{device}:{fault}"), &site).unwrap().kind);
        let device = Device::new(&id, image, faults.into_iter().collect(), fastrand::Rng::with_seed(1));
        Bench {
            world,
            clock: SteppedClock::new(start),
            device,
            start,
        }
    }

    impl Bench {
        fn at(&self, seconds: i64) -> &Self {
            self.clock.advance_to(self.start + TimeDelta::seconds(seconds));
            self
        }
        fn ask(&self, pdu: &[u8]) -> Fate {
            let clock: Arc<dyn Clock> = self.clock.clone();
            self.device.answer(&self.world, &clock, self.start, pdu)
        }
        fn words(&self, addr: u16, count: u8) -> Vec<u16> {
            let [a, b] = addr.to_be_bytes();
            let Fate::Send { pdu, .. } = self.ask(&[3, a, b, 0, count]) else {
                panic!("no answer")
            };
            assert_eq!(pdu[0], 3, "refused: {pdu:?}");
            pdu[2..].chunks(2).map(|w| u16::from_be_bytes([w[0], w[1]])).collect()
        }
        fn write(&self, addr: u16, words: &[u16]) -> u8 {
            let [a, b] = addr.to_be_bytes();
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
            let head = [16, a, b, 0, words.len() as u8, bytes.len() as u8];
            let Fate::Send { pdu, .. } = self.ask(&[&head[..], &bytes].concat()) else {
                panic!("no answer")
            };
            if pdu[0] == 16 { 0 } else { pdu[1] }
        }
        /// Forces charging at 40 % of 5 kW for ten minutes.
        fn charge(&self) -> u8 {
            self.write(RATES, &[(-4_000i16) as u16, 10_000, 0, 600]) + self.write(MODE, &[2])
        }
        fn battery_kw(&self) -> f64 {
            let mut world = self.world.lock().unwrap();
            world
                .read(&Id::new("battery"), crate::model::Quantity::ActivePower)
                .unwrap()
        }
    }

    // The hybrid's map: 1 at 40002, 103 at 40070, 120, 121, 122, 123 at 40228, 124 at 40254, 160 at 40280.
    const AC_POWER: u16 = 40_070 + 14;
    const MODE: u16 = 40_254 + 5;
    const RATES: u16 = 40_254 + 12;

    #[test]
    fn a_command_is_obeyed_late_clipped_or_not_at_all_as_the_fault_says() {
        for (fault, soon, later) in [
            ("", 2.0, 2.0),
            ("clipped=20%", 1.0, 1.0),
            ("delayed=30s", f64::NAN, 2.0),
            ("unobeyed", f64::NAN, f64::NAN),
        ] {
            let b = bench("inverter", fault);
            let own = bench("inverter", "");
            assert_eq!(b.charge(), 0, "{fault}: accepted");
            for (t, expected) in [(10, soon), (60, later)] {
                // The plant moves with the step after the order.
                for t in [t, t + 10] {
                    b.at(t).words(AC_POWER, 1);
                    own.at(t).words(AC_POWER, 1);
                }
                let expected = if expected.is_nan() { own.battery_kw() } else { expected };
                assert!(
                    (b.battery_kw() - expected).abs() < 1e-6,
                    "{fault} at {t} s: {} kW",
                    b.battery_kw()
                );
            }
            assert_eq!(b.words(MODE, 1), [2], "{fault}: what was written stands");
        }
    }

    #[test]
    fn reversion_shows_in_the_registers_and_in_the_plant() {
        let b = bench("inverter", "");
        b.charge();
        assert_eq!(b.at(599).words(MODE, 1), [2]);
        assert!((b.battery_kw() - 2.0).abs() < 1e-6);
        assert_eq!(b.at(601).words(MODE, 1), [0]);
        b.at(620).words(MODE, 1);
        assert!((b.battery_kw() - 2.0).abs() > 0.1, "it goes by itself");
    }

    #[test]
    fn another_master_takes_the_device_back() {
        let b = bench("inverter", "foreign=2min");
        b.words(MODE, 1);
        b.charge();
        assert_eq!(b.at(119).words(MODE, 1), [2]);
        assert_eq!(b.at(121).words(MODE, 1), [0]);
    }

    #[test]
    fn refusals_come_in_storms_or_by_chance_and_only_with_codes_5_and_6() {
        let refused = |b: &Bench, t: i64| match b.at(t).ask(&[3, 156, 64, 0, 2]) {
            Fate::Send { pdu, .. } if pdu[0] == 0x83 => Some(pdu[1]),
            _ => None,
        };
        let b = bench("inverter", "busy=30s");
        let storm: Vec<i64> = (0..600).filter(|t| refused(&b, *t).is_some()).collect();
        assert_eq!(storm, (270..300).chain(570..600).collect::<Vec<_>>());
        let b = bench("inverter", "exception=10%");
        let codes: Vec<u8> = (0..1_000).filter_map(|t| refused(&b, t)).collect();
        assert!(
            (60..150).contains(&codes.len()) && codes.contains(&5) && codes.contains(&6),
            "{codes:?}"
        );
        assert!(codes.iter().all(|c| matches!(c, 5 | 6)));
    }

    #[test]
    fn glitches_and_changing_scales_strike_as_often_as_asked_and_leave_the_map_alone() {
        let truth = bench("inverter", "").at(5).words(AC_POWER, 2);
        assert_eq!(
            bench("inverter", "spike=100%").at(5).words(AC_POWER, 2),
            [31_000, truth[1]]
        );
        assert_eq!(bench("inverter", "zero=100%").at(5).words(AC_POWER, 2), [0, truth[1]]);
        let b = bench("inverter", "sentinel=40s");
        assert_eq!(b.at(39).words(AC_POWER, 2), [0x8000, truth[1]]);
        assert_ne!(b.at(41).words(AC_POWER, 1), [0x8000]);
        assert_eq!(b.at(5).words(40_000, 3), [0x5375, 0x6E53, 1]);
        let b = bench("inverter", "rescale=60s");
        let watts = |w: Vec<u16>| f64::from(w[0] as i16) * 10f64.powi(i32::from(w[1]));
        b.words(AC_POWER, 2);
        let (before, after) = (b.at(59).words(AC_POWER, 2), b.at(61).words(AC_POWER, 2));
        assert_eq!((before[1], after[1]), (1, 2));
        assert!((watts(before) - watts(after)).abs() <= 100.0);
        let b = bench("inverter", "word-swap=100%");
        let (plain, swapped) = (bench("inverter", "").at(5).words(40_094, 2), b.at(5).words(40_094, 2));
        assert_eq!(plain, [swapped[1], swapped[0]]);
    }

    #[test]
    fn powers_are_twisted_voltages_vanish_and_points_are_lost() {
        // The meter's model 203 at 40070: W and its phases in tens of watts, volts in tenths.
        let (watts, volts) = (40_070 + 18, 40_070 + 8);
        let signed = |w: Vec<u16>| w.into_iter().map(|w| f64::from(w as i16)).collect::<Vec<_>>();
        let shown = |fault: &str, addr| signed(bench("meter", fault).at(5).words(addr, 3));
        let truth = shown("", watts);
        let near = |found: Vec<f64>, expected: [f64; 2]| {
            let off = found.iter().zip(expected).any(|(a, b)| (a - b).abs() > 1.0);
            assert!(!off, "{found:?} instead of {expected:?}");
        };
        near(shown("offset=2kW", watts), [truth[0] + 200.0, truth[1] + 200.0 / 3.0]);
        let sun = |fault: &str| signed(bench("inverter", fault).at(5).words(AC_POWER, 1));
        assert!(sun("")[0].abs() > 5.0, "{:?}", sun(""));
        near(sun("scale=-0.2"), [-0.2 * sun("")[0], 0.0]);
        assert_eq!(shown("zero-volt=100%", volts), [0.0; 3]);
        assert_eq!(shown("zero-volt=100%", watts), truth);
        let lost = bench("meter", "lost-points");
        let ask = |addr: u16| match lost.at(5).ask(&[&[3u8][..], &addr.to_be_bytes(), &[0, 2]].concat()) {
            Fate::Send { pdu, .. } => pdu[0],
            Fate::Nothing => 0,
        };
        assert_eq!((ask(watts), ask(40_000)), (0x83, 3));
    }

    #[test]
    fn a_read_back_shows_something_else_and_what_nobody_wrote_is_right() {
        let b = bench("inverter", "readback-glitch=100%");
        let (before, power) = (b.words(MODE, 1), b.words(AC_POWER, 1));
        assert_eq!(before, bench("inverter", "").words(MODE, 1));
        b.charge();
        let seen: Vec<u16> = (0..20).map(|_| b.words(MODE, 1)[0]).collect();
        assert!(seen.iter().all(|w| [0x0200, 0, 0xFFFF].contains(w)), "{seen:?}");
        assert_eq!(b.words(AC_POWER, 1), power);
    }

    #[test]
    fn answers_are_doubled_and_registers_wear_out() {
        let doubled = bench("inverter", "duplicate=100%").ask(&[3, 156, 64, 0, 1]);
        assert!(matches!(doubled, Fate::Send { times: 2, .. }));
        let b = bench("inverter", "worn=3");
        let codes: Vec<u8> = (0..5).map(|_| b.write(MODE, &[0])).collect();
        assert_eq!(codes, [0, 0, 0, 4, 4]);
        // Registers in RAM are not counted; the phase switch of the charger may wear.
        assert!(b.world.lock().unwrap().wear().is_empty());
        let b = bench("charger", "");
        assert_eq!(b.write(1_215, &[1]), 0);
        assert_eq!(b.write(1_215, &[3]), 0);
        let wear = b.world.lock().unwrap().wear().clone();
        assert_eq!(wear.get(&(Id::new("charger"), 1_215)), Some(&2), "{wear:?}");
    }
}
