//! Commands of a battery bank without a power setpoint (model 802): connecting, the state of its inverter, alarms.
//!
//! For a person at the keyboard (`madang write`): nothing here is planned, refreshed or dispatched, and contactors wear. In: on
//! or off, or the place of a word. Out: one request. None of it was tried on a battery.

use super::Discovered;
use crate::field::program::{Expect, Program, RegisterWrite};
use crate::profile::Wear;

pub const CONNECT: &str = "battery_connect";
pub const INVERTER_STATE: &str = "battery_inverter_state";
pub const ALARM_RESET: &str = "alarm_reset";
/// Words of [`INVERTER_STATE`], in the order of SetInvState from 1 on.
pub const INVERTER_STATES: [&str; 3] = ["stopped", "standby", "started"];

/// SetOp.
const CONNECT_OP: u16 = 1;
const DISCONNECT_OP: u16 = 2;
/// SetInvState.
const STOPPED: u16 = 1;
/// State: disconnected; connected (3) or on standby (4).
const DISCONNECTED: f64 = 1.0;
const CONNECTED: (f64, f64) = (3.5, 0.5);
/// A contactor takes this long, precharging included.
const WITHIN_S: f64 = 60.0;
/// Below this share of its full power a battery counts as idle.
const IDLE: f64 = 0.02;

impl Discovered {
    /// SetOp. To disconnect, SetInvState goes along in the same request: a bank that thinks its inverter is running must not open.
    pub(super) fn connect(&self, value: f64) -> Result<Program, String> {
        let bank = self.need(802)?;
        let (words, state, tolerance) = if value > 0.0 {
            (vec![CONNECT_OP], CONNECTED.0, CONNECTED.1)
        } else {
            self.is_idle()?;
            (vec![DISCONNECT_OP, STOPPED], DISCONNECTED, 0.0)
        };
        let shows = Expect::Point {
            name: "battery_state".into(),
            value: state,
            tolerance,
            within_s: WITHIN_S,
        };
        Ok(once(bank.write("SetOp", words)?, shows))
    }

    /// Contactors are not opened under load.
    fn is_idle(&self) -> Result<(), String> {
        let bank = self.need(802)?;
        let watts = self.scaled_of(&bank, "W");
        let watts = watts.ok_or("model 802 does not show its power: whether the battery is idle is unknown")?;
        let full = ["WChaRteMax", "WDisChaRteMax"];
        let full = full.iter().filter_map(|p| self.scaled_of(&bank, p)).fold(0.0, f64::max);
        if watts.abs() > IDLE * full {
            let kw = watts.abs() / 1e3;
            return Err(format!(
                "the battery is at {kw:.2} kW: bring it to zero before it is disconnected"
            ));
        }
        Ok(())
    }

    /// What the bank is told of its inverter.
    pub(super) fn tell_inverter_state(&self, place: f64) -> Result<Program, String> {
        let known = (0..INVERTER_STATES.len()).find(|i| *i as f64 == place);
        let place = known.ok_or_else(|| format!("it takes a word: {}", INVERTER_STATES.join(", ")))?;
        let write = self.need(802)?.write("SetInvState", vec![place as u16 + 1])?;
        let shows = Expect::Point {
            name: "inverter_state_setpoint".into(),
            value: place as f64 + 1.0,
            tolerance: 0.0,
            within_s: 0.0,
        };
        Ok(once(write, shows))
    }

    /// Latched alarms of a bank (802), else of a DER (715).
    pub(super) fn reset_alarms(&self, value: f64) -> Result<Program, String> {
        if value <= 0.0 {
            return Err("alarms are reset, never set: it takes `on`".into());
        }
        let write = match self.model(802) {
            Some(bank) => bank.write("AlmRst", vec![1])?,
            None => self.need(715)?.write("AlarmReset", vec![1])?,
        };
        Ok(once(write, Expect::Nothing))
    }
}

/// Written once, never refreshed.
fn once(write: RegisterWrite, expect: Expect) -> Program {
    Program {
        arm: vec![],
        set: vec![write],
        expect,
        effect: None,
        refresh_s: f64::INFINITY,
        wear: Wear::Unknown,
    }
}
