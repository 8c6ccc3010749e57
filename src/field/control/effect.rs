//! Does a device do what it was told? A register that reads back shows that it listens; only its power shows that it obeys.
//!
//! In: what was told and when, what the device measures at each poll. Out: a verdict, once it has lasted.
//!
//! **Laws.** A limit is obeyed by anything below it. A power is followed when what is measured lies within tolerance of what
//! was told during the last [`SETTLE`]; so ramps, slow devices and setpoints that change each second are no disobedience.
//! **Physics.** Less than was told is no disobedience where the battery is nearly full (charging) or nearly empty
//! (discharging), where its state of charge is unknown, or where the inverter gives all it can or may.
//! **Tolerance.** 10 % of what was told, 2 % of full power, 0.2 kW, whichever is most; of a generation limit 5 % of full power
//! or 0.1 kW.
//! **Patience.** A power must be wrong for 45 s and 11 polls in a row (a measurement that stands still is found out before),
//! a limit exceeded for 20 s and 3 polls.

use crate::field::map::{Value, Values};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::VecDeque;

/// What was told this long ago need not be followed any more, and what was told since need not be yet.
const SETTLE: TimeDelta = TimeDelta::seconds(15);
/// Looks in a row that show obedience after it was missed.
const MENDED: u32 = 3;
/// Batteries take and give less within this of their ends, per cent.
const TAPER: f64 = 5.0;
/// An inverter gives all it can from this share of its full power on.
const ALL: f64 = 0.95;

/// What must be seen of a command besides its registers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    pub law: Law,
    /// What was told: passive power, or the magnitude of a limit.
    pub kw: f64,
    /// Full power of what is told, where the device says it.
    pub full: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// The battery's own power follows.
    Battery,
    /// The power at the device's AC terminals follows.
    Terminals,
    /// Neither the sun's power nor the output exceeds it: vendors limit the one or the other.
    Generation,
    /// Charging does not exceed it.
    Charging,
    /// Discharging does not exceed it.
    Discharging,
}

impl Law {
    /// Such a command only bounds: giving it back would loosen what must hold.
    pub fn is_bound(self) -> bool {
        !matches!(self, Self::Battery | Self::Terminals)
    }

    /// How long and for how many polls in a row it must be seen broken.
    fn patience(self) -> (TimeDelta, u32) {
        if self.is_bound() {
            (TimeDelta::seconds(20), 3)
        } else {
            (TimeDelta::seconds(45), 11)
        }
    }
}

impl Effect {
    pub(super) fn tolerance(&self) -> f64 {
        let full = self.full.unwrap_or(0.0);
        match self.law {
            Law::Generation => (0.05 * full).max(0.1),
            _ => (0.1 * self.kw.abs()).max(0.02 * full).max(0.2),
        }
    }

    /// The power it is seen by, kW.
    pub(super) fn shown(&self, values: &Values) -> Option<f64> {
        let of = |name: &str| values.get(name).and_then(Value::number);
        let output = || match values.get("ac_power") {
            Some(v) => v.number(),
            None => of("active_power"),
        };
        match self.law {
            Law::Battery | Law::Charging => of("battery_power"),
            Law::Discharging => of("battery_power").map(|kw| -kw),
            Law::Terminals => output(),
            Law::Generation => {
                let powers = [of("pv_power"), output()];
                powers.into_iter().flatten().map(|kw| -kw).reduce(f64::min)
            }
        }
    }
}

/// How far a battery may be charged and emptied, per cent, and what its inverter may give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    pub empty: f64,
    pub full: f64,
    /// Least of the inverter's full power and a limit in force, kW.
    pub output: Option<f64>,
}

impl Default for Reach {
    /// Where nobody says more: most batteries keep a fifth for themselves and charge the last tenth slowly.
    fn default() -> Self {
        Self {
            empty: 20.0,
            full: 95.0,
            output: None,
        }
    }
}

impl Reach {
    /// Less power than was told, where physics explains it.
    fn excuses(&self, charging: bool, values: &Values) -> bool {
        let of = |name: &str| values.get(name).and_then(Value::number);
        let Some(soc) = of("soc") else { return true };
        if charging {
            return soc >= self.full - TAPER;
        }
        let output = of("ac_power").or(of("active_power")).map(|kw| -kw);
        let gives_all = output.zip(self.output).is_some_and(|(kw, most)| kw >= ALL * most);
        soc <= self.empty + TAPER || gives_all
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing to be said yet.
    Open,
    Obeys,
    Disobeys(String),
}

/// What one command was told lately, and how long it has not been followed.
#[derive(Debug, Default)]
pub struct Watch {
    /// Oldest first; the first was in force when the last [`SETTLE`] began.
    told: VecDeque<(Timestamp, f64)>,
    off: Option<(Timestamp, u32)>,
    good: u32,
}

impl Watch {
    /// A value went out.
    pub fn tell(&mut self, at: Timestamp, kw: f64) {
        if self.told.back().is_none_or(|(_, last)| *last != kw) {
            self.told.push_back((at, kw));
        }
        self.prune(at);
    }

    fn prune(&mut self, now: Timestamp) {
        while self.told.get(1).is_some_and(|(since, _)| *since <= now - SETTLE) {
            self.told.pop_front();
        }
    }

    /// Least and most that was told of late; `None` until a value has stood long enough.
    fn range(&mut self, now: Timestamp) -> Option<(f64, f64)> {
        self.prune(now);
        let (since, first) = *self.told.front()?;
        let of_late = self.told.iter().map(|(_, kw)| *kw);
        let range = of_late.fold((first, first), |(low, high), kw| (low.min(kw), high.max(kw)));
        (since <= now - SETTLE).then_some(range)
    }

    /// What is measured has contradicted what was told, at the last look.
    pub fn is_off(&self) -> bool {
        self.off.is_some()
    }

    /// The disobedience was dealt with; it is judged anew.
    pub fn begin_again(&mut self) {
        self.off = None;
    }

    /// One look at what the device measures.
    pub fn look(&mut self, now: Timestamp, effect: &Effect, values: &Values, reach: &Reach) -> Verdict {
        let (Some((low, high)), Some(shown)) = (self.range(now), effect.shown(values)) else {
            return Verdict::Open;
        };
        let near = effect.tolerance();
        let too_much = shown > high + near;
        let too_little = shown < low - near && !effect.law.is_bound();
        if !too_much && !too_little {
            self.off = None;
            // Nothing asked and nothing done proves little.
            let speaks = effect.law.is_bound() || low.abs().min(high.abs()) > near;
            self.good = if speaks { self.good + 1 } else { self.good };
            return if self.good >= MENDED {
                Verdict::Obeys
            } else {
                Verdict::Open
            };
        }
        let less = (low.min(0.0) - near..=high.max(0.0) + near).contains(&shown);
        if less && !effect.law.is_bound() && reach.excuses(too_little, values) {
            self.off = None;
            return Verdict::Open;
        }
        self.good = 0;
        let (since, polls) = self.off.map_or((now, 1), |(since, polls)| (since, polls + 1));
        self.off = Some((since, polls));
        let (lasting, enough) = effect.law.patience();
        if now - since < lasting || polls < enough {
            return Verdict::Open;
        }
        let seconds = (now - since).num_seconds();
        let told = if too_much { high } else { low };
        Verdict::Disobeys(format!(
            "it holds the command and does not obey: {shown:.2} kW for {seconds} s, told {}{told:.2} kW",
            if effect.law.is_bound() { "at most " } else { "" }
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Reach = Reach {
        empty: 10.0,
        full: 100.0,
        output: Some(10.0),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn values(list: &[(&str, f64)]) -> Values {
        let number = |(name, v): &(&str, f64)| ((*name).to_owned(), Value::Number(*v));
        list.iter().map(number).collect()
    }

    /// A battery told `told(t)` each `every` seconds, showing `shown(t)`: the second of the first verdict against it.
    fn battery(every: i64, told: impl Fn(i64) -> f64, shown: impl Fn(i64) -> f64, soc: Option<f64>) -> Option<i64> {
        let mut watch = Watch::default();
        (0..600).step_by(every as usize).find(|t| {
            let effect = Effect {
                law: Law::Battery,
                kw: told(*t),
                full: Some(5.0),
            };
            let mut list = vec![("battery_power", shown(*t)), ("ac_power", 0.0)];
            list.extend(soc.map(|s| ("soc", s)));
            let verdict = watch.look(at(*t), &effect, &values(&list), &SITE);
            watch.tell(at(*t), told(*t));
            matches!(verdict, Verdict::Disobeys(_))
        })
    }

    #[test]
    fn a_battery_that_does_not_follow_is_found_out_within_two_minutes() {
        let three = |_: i64| 3.0;
        for (what, shown) in [
            ("nothing", 0.0),
            ("half", 1.5),
            ("the other way", -3.0),
            ("too much", 5.0),
        ] {
            for every in [1, 10] {
                let found = battery(every, three, |_| shown, Some(50.0));
                assert!(
                    found.is_some_and(|t| (45..=130).contains(&t)),
                    "{what}, each {every} s: {found:?}"
                );
            }
        }
        // Setpoints that change each second, clipped at half of five.
        let saw = |t: i64| 3.5 + (t % 7) as f64 * 0.2;
        assert!(battery(1, saw, |t| saw(t).min(2.5), Some(50.0)).is_some());
        // Beyond what was told is wrong however full it is; so is the other way.
        assert!(battery(1, three, |_| 4.0, Some(99.0)).is_some());
        assert!(battery(1, three, |_| -1.0, Some(99.0)).is_some());
    }

    #[test]
    fn lag_ramps_tolerance_and_the_ends_of_a_battery_are_no_disobedience() {
        let told = |t: i64| [0.0, 3.0, -2.5, 5.0][(t / 40 % 4) as usize];
        assert_eq!(
            battery(1, told, |t| told(t - t % 40 + (t % 40 - 12).max(-1)), Some(50.0)),
            None,
            "12 s late"
        );
        assert_eq!(
            battery(10, told, |t| told((t - 10).max(0)), Some(50.0)),
            None,
            "a cycle late"
        );
        assert_eq!(battery(1, told, |t| 0.93 * told(t), Some(50.0)), None, "its losses");
        assert_eq!(battery(1, |_| 5.0, |_| 0.0, Some(96.0)), None, "full");
        assert_eq!(battery(1, |_| -5.0, |_| -1.0, Some(12.0)), None, "empty");
        assert_eq!(
            battery(1, |_| 5.0, |_| 1.0, None),
            None,
            "its state of charge is unknown"
        );
        // One wrong look in ten is a glitch.
        assert_eq!(
            battery(1, |_| 5.0, |t| if t % 10 == 0 { 0.0 } else { 5.0 }, Some(50.0)),
            None
        );
    }

    #[test]
    fn an_inverter_that_gives_all_it_can_owes_no_more() {
        let mut watch = Watch::default();
        let effect = Effect {
            law: Law::Battery,
            kw: -5.0,
            full: Some(5.0),
        };
        watch.tell(at(0), -5.0);
        let mut last = Verdict::Open;
        for (t, output, expected) in [(100, -9.9, false), (200, -6.0, true)] {
            for s in 0..99 {
                let v = values(&[("battery_power", -2.0), ("ac_power", output), ("soc", 50.0)]);
                last = watch.look(at(t + s), &effect, &v, &SITE);
                if matches!(last, Verdict::Disobeys(_)) {
                    break;
                }
            }
            assert_eq!(matches!(last, Verdict::Disobeys(_)), expected, "{output} kW: {last:?}");
        }
    }

    #[test]
    fn a_limit_is_broken_only_by_more_and_mended_by_three_good_looks() {
        let mut watch = Watch::default();
        let effect = Effect {
            law: Law::Generation,
            kw: 2.0,
            full: Some(8.0),
        };
        watch.tell(at(0), 2.0);
        let mut look = |t: i64, pv: f64, ac: f64| {
            let v = values(&[("pv_power", -pv), ("active_power", -ac)]);
            watch.look(at(t), &effect, &v, &SITE)
        };
        assert_eq!(look(10, 8.0, 8.0), Verdict::Open, "it has not settled");
        assert_eq!(look(20, 8.0, 8.0), Verdict::Open);
        assert_eq!(look(30, 8.0, 8.0), Verdict::Open);
        let Verdict::Disobeys(why) = look(40, 8.0, 8.0) else {
            panic!()
        };
        assert!(why.contains("8.00 kW for 20 s, told at most 2.00 kW"), "{why}");
        // The sun charges the battery, or the battery adds to the sun: only one of the two is limited.
        let seen: Vec<Verdict> = [(50, 6.0, 2.0), (60, 2.3, 7.0), (70, 0.0, 0.0)]
            .into_iter()
            .map(|(t, pv, ac)| look(t, pv, ac))
            .collect();
        assert_eq!(seen, [Verdict::Open, Verdict::Open, Verdict::Obeys]);
    }
}
