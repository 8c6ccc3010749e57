//! Commands as register writes of models 123, 124 and 704. Values and timers that belong together go out in one request; the
//! safe value and a short reversion time go with every setpoint; what was written is read back, and the power that follows
//! is watched (`field::control::effect`).
//!
//! In: kW (passive sign for `battery_power`, magnitudes for limits). Scale factors and ratings are those last read.

use super::bank::{ALARM_RESET, CONNECT, INVERTER_STATE};
use super::tables::layout;
use super::{Discovered, Model};
use crate::field::codec::encode;
use crate::field::control::{Effect, Law, Shown};
use crate::field::program::{Check, Expect, Program, RegisterWrite, Span};
use crate::profile::{BatteryWay, REFRESH_S, REVERSION_S, Table, WordOrder};

/// Bits of StorCtl_Mod (124): charging is limited, discharging is limited.
const LIMIT_CHARGE: u16 = 1;
const LIMIT_DISCHARGE: u16 = 2;

impl Discovered {
    /// The program of a canonical command for `value`.
    pub fn program(&self, command: &str, value: f64) -> Result<Program, String> {
        if !value.is_finite() {
            return Err(format!("{value} is not a power"));
        }
        match (command, self.battery_way()) {
            ("battery_power", Some(BatteryWay::Wset704)) => self.set_power(value),
            ("battery_hold", Some(BatteryWay::Wset704)) => self.set_power(0.0),
            ("battery_power", Some(BatteryWay::NegativeRates124)) => self.set_rates(value),
            ("battery_hold", Some(BatteryWay::NegativeRates124)) => self.set_rates(0.0),
            ("battery_power" | "battery_hold", _) => Err("the device takes no battery power (models 704, 124)".into()),
            ("battery_charge_limit", _) => self.limit_storage(LIMIT_CHARGE, value),
            ("battery_discharge_limit", _) => self.limit_storage(LIMIT_DISCHARGE, value),
            ("pv_limit", _) => self.limit(value),
            (CONNECT, _) => self.connect(value),
            (INVERTER_STATE, _) => self.tell_inverter_state(value),
            (ALARM_RESET, _) => self.reset_alarms(value),
            _ => Err(format!("a SunSpec device has no command `{command}`")),
        }
    }

    /// Writes that give control back.
    pub fn release(&self, command: &str) -> Result<Vec<RegisterWrite>, String> {
        match (command, self.battery_way()) {
            ("battery_power" | "battery_hold", Some(BatteryWay::Wset704)) => {
                Ok(vec![self.need(704)?.write("WSetEna", vec![0])?])
            }
            ("battery_power" | "battery_hold", Some(BatteryWay::NegativeRates124)) => {
                let full = self.number(124, "OutWRte", 100.0)?;
                let m = self.need(124)?;
                Ok(vec![
                    m.write("StorCtl_Mod", vec![0])?,
                    m.write("OutWRte", [full.clone(), full].concat())?,
                ])
            }
            ("battery_charge_limit", _) => self.lift_limit(LIMIT_CHARGE),
            ("battery_discharge_limit", _) => self.lift_limit(LIMIT_DISCHARGE),
            ("pv_limit", _) => match self.model(123) {
                Some(m) => Ok(vec![m.write("WMaxLim_Ena", vec![0])?]),
                None => Ok(vec![self.need(704)?.write("WMaxLimPctEna", vec![0])?]),
            },
            (CONNECT | INVERTER_STATE | ALARM_RESET, _) => Ok(vec![]),
            _ => Err(format!("a SunSpec device has no command `{command}`")),
        }
    }

    /// Why the device would not listen: its operator keeps it to himself (LocRemCtl of 715 or 802).
    pub fn kept_local(&self) -> Option<String> {
        let local = |id: u16| {
            let m = self.model(id)?;
            (self.raw(&m, "LocRemCtl") == Some(1.0)).then_some(id)
        };
        let id = local(715).or_else(|| local(802))?;
        Some(format!(
            "the device is in local control (LocRemCtl of model {id}): set it to remote at the device"
        ))
    }

    /// Heartbeats that a device expects while it is controlled: one more than the last each time.
    pub fn heartbeats(&self) -> Vec<RegisterWrite> {
        let beat = |id: u16, point: &str| {
            let m = self.model(id)?;
            let d = layout(id)?.point(point).filter(|d| m.holds(d.offset, d.size))?;
            let last = self.raw(&m, point).unwrap_or(0.0);
            let most = if d.size == 1 { 65_534.0 } else { 4_294_967_294.0 };
            let next = if last >= most { 0.0 } else { last + 1.0 };
            m.write(point, encode(d.type_, WordOrder::HiFirst, next).ok()?).ok()
        };
        [beat(715, "ControllerHb"), beat(802, "CtrlHb")]
            .into_iter()
            .flatten()
            .collect()
    }

    /// How the battery is told its power: as the profile says, else by what the device has.
    fn battery_way(&self) -> Option<BatteryWay> {
        let offered = || {
            if self.model(704).is_some() {
                Some(BatteryWay::Wset704)
            } else {
                self.model(124).map(|_| BatteryWay::NegativeRates124)
            }
        };
        self.quirks.battery.or_else(offered)
    }

    pub(super) fn need(&self, id: u16) -> Result<Model, String> {
        self.model(id).ok_or_else(|| format!("the device has no model {id}"))
    }

    /// Registers of a number given in SunSpec's unit.
    fn number(&self, id: u16, point: &str, value: f64) -> Result<Vec<u16>, String> {
        let m = self.need(id)?;
        let d = layout(id)
            .and_then(|l| l.point(point))
            .filter(|d| m.holds(d.offset, d.size));
        let d = d.ok_or_else(|| format!("model {id} of this device has no {point}"))?;
        let factor = self
            .factor(&m, point)
            .ok_or_else(|| format!("model {id} gives no scale for {point}"))?;
        encode(d.type_, WordOrder::HiFirst, value / factor)
    }

    /// Model 704: setpoint in watts, safe value and reversion timer in one request; W counts generation. The safe value of a
    /// battery is zero; it is enabled, so that it holds whether EnaRvrt arms the reversion or is what the function falls to.
    fn set_power(&self, kw: f64) -> Result<Program, String> {
        let m = self.need(704)?;
        let kw = self.bounded(kw);
        let set = self.number(704, "WSet", kw * -1e3)?;
        let safe = self.number(704, "WSetRvrt", 0.0)?;
        let head = [vec![1, 1], set].concat();
        // WSetEna, WSetMod (1 = watts), WSet, WSetRvrt, WSetPct, WSetPctRvrt, WSetEnaRvrt, WSetRvrtTms
        let words = [head.clone(), safe, vec![0, 0, 1, 0, REVERSION_S]].concat();
        let checks = vec![
            Check::Holds { at: 0, words: head },
            Check::Runs {
                at: 9,
                size: 2,
                from: u32::from(REVERSION_S),
            },
            Check::Runs {
                at: 11,
                size: 2,
                from: u32::from(REVERSION_S),
            },
        ];
        let effect = self.effect(Law::Terminals, kw);
        self.simple(&m, "WSetEna", words, 13, checks, effect)
    }

    fn effect(&self, law: Law, kw: f64) -> Option<Effect> {
        let storage = || self.need(124).ok().and_then(|m| self.scaled_of(&m, "WChaMax"));
        let full = match law {
            Law::Generation => self.full_power().ok(),
            Law::Terminals => self
                .need(702)
                .ok()
                .and_then(|m| self.scaled_of(&m, "WMax"))
                .map(|w| w / 1e3),
            _ => storage().filter(|w| *w > 0.0).map(|w| w / 1e3),
        };
        Some(Effect { law, kw, full })
    }

    /// Within what model 702 says the storage can, where it says so.
    fn bounded(&self, kw: f64) -> f64 {
        let Some(m) = self.model(702) else { return kw };
        let rating = |points: [&str; 2]| {
            let known = points.iter().filter_map(|p| self.scaled_of(&m, p));
            known.filter(|w| *w > 0.0).fold(f64::INFINITY, f64::min) / 1e3
        };
        let charge = rating(["WChaRteMax", "WChaRteMaxRtg"]);
        kw.clamp(-rating(["WDisChaRteMax", "WDisChaRteMaxRtg"]), charge)
    }

    /// One request from `first` on, read back in `count` registers.
    fn simple(
        &self,
        m: &Model,
        first: &str,
        words: Vec<u16>,
        count: u16,
        checks: Vec<Check>,
        effect: Option<Effect>,
    ) -> Result<Program, String> {
        let write = m.write(first, words)?;
        Ok(Program {
            arm: vec![],
            expect: expect(&write, count, checks),
            effect,
            set: vec![write],
            refresh_s: REFRESH_S,
            wear: self.quirks.wear(),
        })
    }

    /// Ratings that a command counts in shares of or is clamped to, kW.
    pub(in crate::field) fn ratings(&self, command: &str) -> Vec<Shown> {
        let places: &[(u16, &str)] = match (command, self.battery_way()) {
            ("pv_limit", _) => return self.full_power_shown().into_iter().collect(),
            ("battery_power" | "battery_hold", Some(BatteryWay::Wset704)) => {
                &[(702, "WChaRteMaxRtg"), (702, "WDisChaRteMaxRtg")]
            }
            (c, _) if c.starts_with("battery_") => &[(124, "WChaMax")],
            _ => &[],
        };
        let shown = |(id, point): &(u16, &str)| {
            let watts = self.scaled_of(&self.model(*id)?, point)?;
            let (point, kw) = (format!("{point} of model {id}"), watts / 1e3);
            (kw > 0.0).then_some(Shown { point, kw })
        };
        places.iter().filter_map(shown).collect()
    }

    /// Share of WChaMax, in percent, and the power that this is.
    fn share(&self, kw: f64) -> Result<(f64, f64), String> {
        let m = self.need(124)?;
        let full = self.scaled_of(&m, "WChaMax").filter(|w| *w > 0.0);
        let full = full.ok_or("model 124 gives no WChaMax, of which its rates are percentages")?;
        let share = (1e5 * kw / full).clamp(-100.0, 100.0);
        Ok((share, share * full / 1e5))
    }

    /// Model 124 as Fronius GEN24 understands it: both rates are limits, a negative discharge rate forces charging and a
    /// negative charge rate forces discharging. Rates and timer first, the mode last.
    fn set_rates(&self, kw: f64) -> Result<Program, String> {
        let (share, kw) = self.share(kw)?;
        let (out, into, mode) = if kw > 0.0 {
            (-share, 100.0, LIMIT_DISCHARGE)
        } else if kw < 0.0 {
            (100.0, share, LIMIT_CHARGE)
        } else {
            (0.0, 0.0, LIMIT_CHARGE | LIMIT_DISCHARGE)
        };
        let effect = self.effect(Law::Battery, kw);
        let mut program = self.rates(out, into, mode, effect)?;
        // Charging from the grid must be allowed, or a forced charge takes only the sun's.
        program.arm = vec![self.need(124)?.write("ChaGriSet", vec![1])?];
        Ok(program)
    }

    fn rates(&self, out: f64, into: f64, mode: u16, effect: Option<Effect>) -> Result<Program, String> {
        let m = self.need(124)?;
        let rates = [self.number(124, "OutWRte", out)?, self.number(124, "InWRte", into)?].concat();
        // OutWRte, InWRte, WinTms, RvrtTms
        let rest = [rates.clone(), vec![0, REVERSION_S]].concat();
        let (first, last) = (m.write("OutWRte", rest)?, m.write("StorCtl_Mod", vec![mode])?);
        // From the mode (5) to the timer (15).
        let checks = vec![
            Check::Holds {
                at: 0,
                words: vec![mode],
            },
            Check::Holds { at: 7, words: rates },
            Check::Runs {
                at: 10,
                size: 1,
                from: u32::from(REVERSION_S),
            },
        ];
        Ok(Program {
            arm: vec![],
            expect: expect(&last, 11, checks),
            effect,
            set: vec![first, last],
            refresh_s: REFRESH_S,
            wear: self.quirks.wear(),
        })
    }

    /// Model 124: one direction is limited, the other stays as it is.
    fn limit_storage(&self, which: u16, kw: f64) -> Result<Program, String> {
        let (share, kw) = self.share(kw.max(0.0))?;
        let (mode, out, into) = self.storage_now()?;
        match which {
            LIMIT_CHARGE => self.rates(out, share, mode | which, self.effect(Law::Charging, kw)),
            _ => self.rates(share, into, mode | which, self.effect(Law::Discharging, kw)),
        }
    }

    fn lift_limit(&self, which: u16) -> Result<Vec<RegisterWrite>, String> {
        let (mode, ..) = self.storage_now()?;
        let point = if which == LIMIT_CHARGE { "InWRte" } else { "OutWRte" };
        let (m, full) = (self.need(124)?, self.number(124, point, 100.0)?);
        Ok(vec![
            m.write("StorCtl_Mod", vec![mode & !which])?,
            m.write(point, full)?,
        ])
    }

    /// Mode and rates in force, in percent; a forced power counts as no limit.
    fn storage_now(&self) -> Result<(u16, f64, f64), String> {
        let m = self.need(124)?;
        let mode = self
            .raw(&m, "StorCtl_Mod")
            .ok_or("model 124 does not show its StorCtl_Mod")? as u16;
        let rate = |bit: u16, point: &str| {
            let set = self.scaled_of(&m, point).filter(|r| mode & bit != 0 && *r >= 0.0);
            set.map_or((0, 100.0), |r| (bit, r.min(100.0)))
        };
        let (charge, discharge) = (rate(LIMIT_CHARGE, "InWRte"), rate(LIMIT_DISCHARGE, "OutWRte"));
        Ok((charge.0 | discharge.0, discharge.1, charge.1))
    }

    /// Limit in percent of WMax with a reversion time: model 123, else 704. After the time the limit is lifted.
    fn limit(&self, kw: f64) -> Result<Program, String> {
        let full = self.full_power()?;
        let percent = (100.0 * kw.max(0.0) / full).clamp(0.0, 100.0);
        let effect = self.effect(Law::Generation, percent / 100.0 * full);
        if let Some(m) = self.model(123) {
            let pct = self.number(123, "WMaxLimPct", percent)?;
            let checks = vec![
                Check::Holds {
                    at: 0,
                    words: pct.clone(),
                },
                Check::Holds { at: 4, words: vec![1] },
            ];
            // WMaxLimPct, WinTms, RvrtTms, RmpTms, Ena
            let words = [pct, vec![0, REVERSION_S, 0, 1]].concat();
            return self.simple(&m, "WMaxLimPct", words, 5, checks, effect);
        }
        let m = self.need(704).map_err(|_| "the device has neither model 123 nor 704")?;
        let (pct, all) = (
            self.number(704, "WMaxLimPct", percent)?,
            self.number(704, "WMaxLimPctRvrt", 100.0)?,
        );
        let head = [vec![1], pct].concat();
        let checks = vec![
            Check::Holds {
                at: 0,
                words: head.clone(),
            },
            Check::Runs {
                at: 4,
                size: 2,
                from: u32::from(REVERSION_S),
            },
            Check::Runs {
                at: 6,
                size: 2,
                from: u32::from(REVERSION_S),
            },
        ];
        // WMaxLimPctEna, WMaxLimPct, WMaxLimPctRvrt, WMaxLimPctEnaRvrt, WMaxLimPctRvrtTms
        let words = [head, all, vec![1, 0, REVERSION_S]].concat();
        self.simple(&m, "WMaxLimPctEna", words, 8, checks, effect)
    }

    /// kW that 100 % of WMax mean: the setting, else the nameplate, else what the profile says.
    pub(in crate::field) fn full_power(&self) -> Result<f64, String> {
        let shown = self.full_power_shown().map(|s| s.kw);
        shown.or(self.quirks.wmax_kw).ok_or_else(|| {
            "the device does not say its WMax (models 121, 120, 702): name it in the profile, [quirks] wmax_kw"
                .to_owned()
        })
    }

    fn full_power_shown(&self) -> Option<Shown> {
        let places = [(121, "WMax"), (702, "WMax"), (120, "WRtg"), (702, "WMaxRtg")];
        places.iter().find_map(|(id, point)| {
            let m = self.model(*id)?;
            let watts = self.scaled_of(&m, point).filter(|w| *w > 0.0)?;
            let (point, kw) = (format!("{point} of model {id}"), watts / 1e3);
            Some(Shown { point, kw })
        })
    }
}

impl Model {
    /// One request with function 16 from a point on.
    pub(super) fn write(&self, point: &str, words: Vec<u16>) -> Result<RegisterWrite, String> {
        let size = words.len() as u16;
        let l = layout(self.id);
        let d = l.and_then(|l| l.point(point)).filter(|d| self.holds(d.offset, size));
        if l.zip(d).is_some_and(|(l, d)| !l.takes(d.offset, size)) {
            return Err(format!("model {} takes no writes from {point} on", self.id));
        }
        let addr = d.and_then(|d| self.addr.checked_add(d.offset));
        let addr = addr.ok_or_else(|| format!("model {} of this device has no {point}", self.id))?;
        Ok(RegisterWrite {
            unit: self.via,
            ..RegisterWrite::new(16, addr, words)
        })
    }
}

fn expect(write: &RegisterWrite, count: u16, checks: Vec<Check>) -> Expect {
    Expect::Registers(Span {
        unit: write.unit,
        table: Table::Holding,
        addr: write.addr,
        count,
        checks,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Identity;
    use super::*;
    use crate::field::map::Values;
    use crate::profile::Wear;

    /// A device with these models from 40000 on, every register zero but those named: (model, point, raw).
    fn device(ids: &[(u16, u16)], shown: &[(u16, &str, i32)], quirks: &str) -> Discovered {
        let mut addr = 40_000;
        let mut models = vec![];
        for (id, len) in ids {
            models.push(Model {
                unit: 1,
                via: None,
                id: *id,
                addr,
                len: *len,
                repeats: 0,
            });
            addr += len + 2;
        }
        let text = String::new;
        let identity = Identity {
            manufacturer: text(),
            model: text(),
            version: text(),
            serial: text(),
        };
        let mut image = vec![0u16; usize::from(addr - 40_000)];
        for (id, point, raw) in shown {
            let m = models.iter().find(|m| m.id == *id).unwrap();
            let d = layout(*id).unwrap().point(point).unwrap();
            let at = usize::from(m.addr + d.offset - 40_000);
            match d.size {
                1 => image[at] = *raw as u16,
                _ => (image[at], image[at + 1]) = ((*raw >> 16) as u16, *raw as u16),
            }
        }
        let mut found = Discovered::new(1, models, identity, toml::from_str(quirks).unwrap(), 125);
        for b in found.blocks.clone() {
            let from = usize::from(b.addr - 40_000);
            found.take(&b, &image[from..from + usize::from(b.count)], &mut Values::new());
        }
        found
    }

    fn gen24(shown: &[(u16, &str, i32)]) -> Discovered {
        let base = [
            (124, "WChaMax", 5_000),
            (124, "InOutWRte_SF", -2),
            (124, "OutWRte", 10_000),
            (124, "InWRte", 10_000),
            (121, "WMax", 1_000),
            (121, "WMax_SF", 1),
            (123, "WMaxLimPct_SF", -2),
        ];
        device(
            &[(120, 26), (121, 30), (123, 24), (124, 24)],
            &[&base, shown].concat(),
            "",
        )
    }

    fn writes(p: Result<Program, String>) -> Vec<(u16, Vec<u16>)> {
        p.unwrap().set.into_iter().map(|w| (w.addr, w.words)).collect()
    }

    #[test]
    fn gen24_rates_one_row_a_command_and_value() {
        let d = gen24(&[]);
        let m = d.model(124).unwrap().addr;
        let minus = |n: i16| (-n) as u16;
        for (command, value, rates, mode) in [
            ("battery_power", 1.0, [minus(2_000), 10_000], 2),
            ("battery_power", -2.5, [10_000, minus(5_000)], 1),
            ("battery_power", 50.0, [minus(10_000), 10_000], 2),
            ("battery_power", 0.0, [0, 0], 3),
            ("battery_hold", 1.0, [0, 0], 3),
            ("battery_charge_limit", 1.25, [10_000, 2_500], 1),
            ("battery_discharge_limit", 0.0, [0, 10_000], 2),
        ] {
            let expected = vec![(m + 12, vec![rates[0], rates[1], 0, 60]), (m + 5, vec![mode])];
            assert_eq!(writes(d.program(command, value)), expected, "{command} {value}");
        }
        assert_eq!(d.program("battery_power", 1.0).unwrap().arm[0].addr, m + 17);
        // A limit of the other direction stays.
        let d = gen24(&[(124, "StorCtl_Mod", 2), (124, "OutWRte", 3_000)]);
        assert_eq!(
            writes(d.program("battery_charge_limit", 5.0)),
            [(m + 12, vec![3_000, 10_000, 0, 60]), (m + 5, vec![3])]
        );
        let undo: Vec<_> = d
            .release("battery_charge_limit")
            .unwrap()
            .into_iter()
            .map(|w| (w.addr, w.words))
            .collect();
        assert_eq!(undo, [(m + 5, vec![2]), (m + 13, vec![10_000])]);
        // Unless it was a forced power.
        let d = gen24(&[(124, "StorCtl_Mod", 2), (124, "OutWRte", -3_000)]);
        assert_eq!(writes(d.program("battery_charge_limit", 5.0))[1].1, [1]);
    }

    #[test]
    fn a_limit_is_one_request_with_timer_and_enable_and_needs_a_full_power() {
        let d = gen24(&[]);
        let m = d.model(123).unwrap().addr;
        for (kw, pct) in [(0.0, 0), (2.5, 2_500), (10.0, 10_000), (99.0, 10_000)] {
            assert_eq!(
                writes(d.program("pv_limit", kw)),
                [(m + 5, vec![pct, 0, 60, 0, 1])],
                "{kw}"
            );
        }
        assert_eq!(d.release("pv_limit").unwrap()[0].words, [0]);
        let mute = device(&[(123, 24)], &[], "");
        assert!(mute.program("pv_limit", 1.0).unwrap_err().contains("wmax_kw"));
        let named = device(&[(123, 24)], &[(123, "WMaxLimPct_SF", -2)], "wmax_kw = 4.0");
        assert_eq!(writes(named.program("pv_limit", 1.0))[0].1[0], 2_500);
    }

    #[test]
    fn der_setpoints_carry_their_safe_value_and_timer_in_one_request() {
        let ids = [(701, 153), (702, 50), (704, 65), (715, 7)];
        let ratings = [
            (702, "WChaRteMaxRtg", 500),
            (702, "WDisChaRteMaxRtg", 400),
            (702, "WMaxRtg", 1_000),
            (702, "W_SF", 1),
        ];
        let d = device(&ids, &ratings, "");
        let m = d.model(704).unwrap().addr;
        for (kw, watts) in [(3.0, -3_000), (-2.0, 2_000), (0.0, 0), (9.0, -5_000), (-9.0, 4_000i32)] {
            let (hi, lo) = ((watts >> 16) as u16, watts as u16);
            let expected = [(m + 22, vec![1, 1, hi, lo, 0, 0, 0, 0, 1, 0, 60])];
            assert_eq!(writes(d.program("battery_power", kw)), expected, "{kw}");
        }
        assert_eq!(
            writes(d.program("pv_limit", 2.5)),
            [(m + 14, vec![1, 25, 100, 1, 0, 60])]
        );
        assert_eq!(d.release("battery_power").unwrap()[0].words, [0]);
        assert_eq!(d.heartbeats()[0].words, [0, 1]);
        let local = device(&ids, &[(715, "LocRemCtl", 1)], "");
        assert!(d.kept_local().is_none() && local.kept_local().unwrap().contains("remote"));
        let none = device(&ids, &[], "battery = \"none\"");
        assert!(none.program("battery_power", 1.0).is_err());
    }

    #[test]
    fn what_no_source_says_of_a_register_counts_as_one_that_wears() {
        let wear = |d: &Discovered| ["battery_power", "pv_limit"].map(|c| d.program(c, 1.0).unwrap().wear);
        assert_eq!(wear(&gen24(&[])), [Wear::Unknown; 2]);
        let mut known = gen24(&[]);
        known.quirks = toml::from_str("wear = \"ram\"").unwrap();
        assert_eq!(wear(&known), [Wear::Ram; 2]);
    }

    #[test]
    fn only_points_that_the_standard_lets_masters_write_are_written() {
        let d = gen24(&[]);
        let m = d.model(124).unwrap();
        assert!(m.write("OutWRte", vec![0, 0, 0, 60]).is_ok());
        // ChaState, and a span that runs from what takes writes into what does not.
        for (point, words) in [("ChaState", vec![0]), ("MinRsvPct", vec![0, 0])] {
            let why = m.write(point, words).unwrap_err();
            assert!(why.contains("takes no writes"), "{why}");
        }
    }

    #[test]
    fn a_bank_is_disconnected_idle_and_with_its_inverter_stopped_in_one_request() {
        let bank = |watts: i32| {
            let shown = [
                (802, "WChaRteMax", 5_000),
                (802, "WDisChaRteMax", 5_000),
                (802, "W", watts),
            ];
            device(&[(802, 62)], &shown, "")
        };
        let d = bank(50);
        let m = d.model(802).unwrap().addr;
        assert_eq!(writes(d.program("battery_connect", 1.0)), [(m + 50, vec![1])]);
        assert_eq!(writes(d.program("battery_connect", 0.0)), [(m + 50, vec![2, 1])]);
        assert_eq!(writes(d.program("battery_inverter_state", 2.0)), [(m + 51, vec![3])]);
        assert_eq!(writes(d.program("alarm_reset", 1.0)), [(m + 20, vec![1])]);
        assert!(d.program("alarm_reset", 0.0).is_err() && d.program("battery_inverter_state", 3.0).is_err());
        let why = bank(-2_000).program("battery_connect", 0.0).unwrap_err();
        assert!(why.contains("2.00 kW"), "{why}");
        assert!(bank(-2_000).program("battery_connect", 1.0).is_ok());
        // A device with nothing but a bank takes no power, and one without a bank is not connected.
        assert!(d.program("battery_power", 1.0).is_err() && gen24(&[]).program("battery_connect", 1.0).is_err());
    }
}
