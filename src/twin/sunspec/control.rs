//! Commands that the models hold: what a write makes the plant do, and what it falls back to.

use super::SunSpec;
use crate::model::Target;
use crate::time::Timestamp;
use crate::twin::blank::blank;
use crate::twin::order::{Order, Wish};
use crate::units::Power;
use chrono::TimeDelta;

/// A command without a reversion time stays for as long as a simulation can last.
const FOR_EVER_S: i64 = 10 * 365 * 86_400;

/// The commands that the models hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Control {
    Limit123,
    Rates124,
    Limit704,
    Set704,
}

impl SunSpec {
    /// Only the control models take writes; exception 2 elsewhere.
    pub fn write(&mut self, t: Timestamp, addr: u16, words: &[u16]) -> Result<Vec<Order>, u8> {
        let model = self
            .models
            .iter()
            .filter(|(_, a)| **a <= addr)
            .max_by_key(|(_, a)| **a)
            .map(|(m, _)| *m);
        let model = model.filter(|m| matches!(m, 123 | 124 | 704 | 715)).ok_or(2u8)?;
        let start = self.models[&model];
        if addr < start + 2 || u32::from(addr) + words.len() as u32 > u32::from(start) + 2 + blank(model).len() as u32 {
            return Err(2);
        }
        self.fall_back(t);
        self.set(model, addr - start, words);
        let offset = addr - start;
        let touches = |from: u16, to: u16| offset <= to && offset + words.len() as u16 > from;
        let mut orders = Vec::new();
        match model {
            123 if touches(5, 9) => orders.push(self.obey_limit(t)?),
            124 if touches(5, 17) => orders.push(self.obey_rates(t)?),
            704 => {
                if touches(14, 19) {
                    orders.push(self.obey_discharge_limit(t)?);
                }
                if touches(22, 32) {
                    orders.push(self.obey_setpoint(t)?);
                }
            }
            _ => {}
        }
        Ok(orders)
    }

    /// Starts or stops the timer of a command; when it ends.
    fn arm(&mut self, control: Control, on: bool, t: Timestamp, seconds: Option<i64>) -> Timestamp {
        let until = t + lease(seconds);
        match seconds.filter(|s| on && *s > 0) {
            Some(_) => self.reversion.insert(control, until),
            None => self.reversion.remove(&control),
        };
        until
    }

    fn obey_limit(&mut self, t: Timestamp) -> Result<Order, u8> {
        let (Some(pv), Some(pct)) = (self.pv.clone(), self.get(123, 5)) else {
            return Err(4);
        };
        if pct > 10_000 {
            return Err(3);
        }
        let on = self.get(123, 9) == Some(1);
        let until = self.arm(Control::Limit123, on, t, self.get(123, 7).map(i64::from));
        let target = if on {
            Target::PowerLimit(Power::kw(self.pv_max_w / 1e3 * f64::from(pct) / 10_000.0))
        } else {
            Target::Release
        };
        Ok(Order::new(&pv, target, until))
    }

    /// GEN24: rates limit, a negative discharge rate charges, a negative charge rate discharges.
    fn obey_rates(&mut self, t: Timestamp) -> Result<Order, u8> {
        let Some(battery) = self.battery.clone() else {
            return Err(4);
        };
        let rate = |off| self.get(124, off).map_or(0.0, |w| f64::from(w as i16) / 10_000.0);
        let mode = self.get(124, 5).unwrap_or(0);
        let out = if mode & 2 == 0 { 1.0 } else { rate(12) };
        let into = if mode & 1 == 0 { 1.0 } else { rate(13) };
        let full = self.charge_max_w / 1e3;
        let until = self.arm(Control::Rates124, mode & 3 != 0, t, self.get(124, 15).map(i64::from));
        let wish = if mode & 3 == 0 {
            Wish::Target(Target::Release)
        } else if out < 0.0 {
            Wish::Target(Target::Power(Power::kw(-out * full)))
        } else if into < 0.0 {
            Wish::Target(Target::Power(Power::kw(into * full)))
        } else if out == 0.0 && into == 0.0 {
            Wish::Target(Target::Power(Power::ZERO))
        } else {
            Wish::Bounds(-out * full, into * full)
        };
        Ok(Order {
            component: battery,
            wish,
            until,
        })
    }

    fn wide(&self, model: u16, off: u16) -> Option<i32> {
        Some((i32::from(self.get(model, off)?) << 16) | i32::from(self.get(model, off + 1)?))
    }

    fn obey_setpoint(&mut self, t: Timestamp) -> Result<Order, u8> {
        let (Some(battery), Some(watts)) = (self.battery.clone(), self.wide(704, 24)) else {
            return Err(4);
        };
        let on = self.get(704, 22) == Some(1);
        let seconds = self.wide(704, 31).map(i64::from);
        let until = self.arm(Control::Set704, on, t, seconds);
        let safe = self.wide(704, 26).filter(|_| self.get(704, 30) == Some(1));
        let kw = |w: i32| -f64::from(w) / 1e3;
        let wish = match (on, safe) {
            (false, _) => Wish::Target(Target::Release),
            (true, Some(safe)) => Wish::PowerThen(kw(watts), kw(safe)),
            (true, None) => Wish::Target(Target::Power(Power::kw(kw(watts)))),
        };
        Ok(Order {
            component: battery,
            wish,
            until,
        })
    }

    /// WMaxLimPct of a storage: no more than this share is generated.
    fn obey_discharge_limit(&mut self, t: Timestamp) -> Result<Order, u8> {
        let (Some(battery), Some(pct)) = (self.battery.clone(), self.get(704, 15)) else {
            return Err(4);
        };
        if pct > 100 {
            return Err(3);
        }
        let on = self.get(704, 14) == Some(1);
        let until = self.arm(Control::Limit704, on, t, self.wide(704, 18).map(i64::from));
        let wish = if on {
            Wish::Bounds(-self.charge_max_w / 1e3 * f64::from(pct) / 100.0, f64::INFINITY)
        } else {
            Wish::Target(Target::Release)
        };
        Ok(Order {
            component: battery,
            wish,
            until,
        })
    }

    /// Timers that have run out: the registers show what the device fell back to, the others how long they still have.
    pub(super) fn fall_back(&mut self, t: Timestamp) {
        let over: Vec<Control> = self
            .reversion
            .iter()
            .filter(|(_, u)| **u <= t)
            .map(|(c, _)| *c)
            .collect();
        for control in over {
            self.reversion.remove(&control);
            match control {
                Control::Limit123 => self.set(123, 9, &[0]),
                Control::Rates124 => self.set(124, 5, &[0]),
                Control::Limit704 => self.revert_704(14, 15, 16, 1, 17),
                Control::Set704 => self.revert_704(22, 24, 26, 2, 30),
            }
        }
        for (control, offset) in [(Control::Limit704, 20), (Control::Set704, 33)] {
            let left = self
                .reversion
                .get(&control)
                .map_or(0, |u| (*u - t).num_seconds().max(0) as u32);
            self.set(704, offset, &[(left >> 16) as u16, left as u16]);
        }
    }

    /// The enable and the value of a function of 704 become what the master named for this case.
    fn revert_704(&mut self, enable: u16, value: u16, safe: u16, size: u16, safe_enable: u16) {
        let on = self.get(704, safe_enable).unwrap_or(0);
        self.set(704, enable, &[on]);
        let words: Vec<u16> = (safe..safe + size).filter_map(|o| self.get(704, o)).collect();
        self.set(704, value, &words);
    }

    /// The registers are as they were at the start; the components are nobody's any more.
    pub fn restart(&mut self, t: Timestamp) -> Vec<Order> {
        self.registers.clone_from(&self.initial);
        self.reversion.clear();
        let own = [&self.pv, &self.battery].into_iter().flatten();
        let own = own.map(|c| Order::new(c, Target::Release, t)).collect::<Vec<_>>();
        let beside = self.beside.as_mut().map(|b| b.restart(t)).unwrap_or_default();
        own.into_iter().chain(beside).collect()
    }

    /// What another master would write to take its device back.
    pub fn taken_back(&self) -> Vec<(u16, Vec<u16>)> {
        let at = |model: u16, offset: u16, words: &[u16]| self.models.get(&model).map(|a| (a + offset, words.to_vec()));
        let own = [
            at(123, 9, &[0]),
            at(124, 12, &[10_000, 10_000]),
            at(124, 5, &[0]),
            at(704, 22, &[0]),
            at(704, 24, &[0, 0]),
        ];
        let beside = self.beside.as_ref().map(|b| b.taken_back()).unwrap_or_default();
        own.into_iter().flatten().chain(beside).collect()
    }
}

fn lease(seconds: Option<i64>) -> TimeDelta {
    TimeDelta::seconds(seconds.filter(|s| *s > 0).unwrap_or(FOR_EVER_S))
}
