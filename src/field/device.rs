//! One device on a link: its map, its identity, what it was told, when it must be told again.

use super::client::{Client, WireError};
use super::control::Control;
use super::map::{BlockRead, Map, Values};
use super::owned::Seen;
use super::program::{Program, RegisterWrite, program, release};
use super::sunspec::{self, Discovered};
use crate::model::IdentityStatus;
use crate::profile::{Every, Link, Profile};
use crate::site::{Device, Id};
use crate::time::Timestamp;
use chrono::TimeDelta;

/// How often slow blocks are read.
const SLOW: TimeDelta = TimeDelta::seconds(60);
/// A block that was refused is asked for again after this long.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(30);

pub struct FieldDevice {
    pub id: Id,
    pub wiring: Device,
    profile: Profile,
    found: Option<Discovered>,
    map: Option<Map>,
    pub identity: IdentityStatus,
    pub(super) control: Control,
    last_slow: Option<Timestamp>,
    once_done: bool,
    pub last_answer: Option<Timestamp>,
    pub trouble: Option<String>,
    /// Blocks the device refused, and when.
    refused: Vec<(BlockRead, Timestamp)>,
}

impl FieldDevice {
    pub fn new(id: Id, wiring: Device, profile: Profile) -> Self {
        Self {
            id,
            wiring,
            profile,
            found: None,
            map: None,
            identity: IdentityStatus::Unchecked,
            control: Control::default(),
            last_slow: None,
            once_done: false,
            last_answer: None,
            trouble: None,
            refused: Vec::new(),
        }
    }

    pub fn identity_text(&self) -> Option<sunspec::Identity> {
        self.found.as_ref().map(|f| f.identity.clone())
    }

    pub fn map(&self) -> Option<&Map> {
        self.map.as_ref()
    }

    pub(super) fn link(&self) -> &Link {
        &self.profile.link
    }

    /// The most a command takes, in its unit; what a SunSpec device takes is a matter of its ratings.
    pub(super) fn most(&self, command: &str) -> f64 {
        let known = self.profile.commands.get(command);
        known.and_then(|c| c.max).unwrap_or(1e4)
    }

    /// Reads every block that is due, then settles what was told before. An error leaves what was read before it.
    pub async fn poll(&mut self, client: &mut Client, now: Timestamp) -> Result<Values, WireError> {
        let result = self.try_poll(client, now).await;
        match &result {
            Ok(_) => {
                self.last_answer = Some(now);
                self.trouble = None;
            }
            Err(error) => {
                self.trouble = Some(error.to_string());
                if matches!(error, WireError::Unreachable(_) | WireError::Lost(_)) {
                    self.forget_session();
                }
            }
        }
        result
    }

    /// After a reconnect commands are armed and set anew, and a SunSpec map may have changed.
    fn forget_session(&mut self) {
        self.control.doubt();
        self.once_done = false;
        self.refused.clear();
        if self.profile.sunspec {
            (self.found, self.map) = (None, None);
        }
    }

    async fn try_poll(&mut self, client: &mut Client, now: Timestamp) -> Result<Values, WireError> {
        if self.map.is_none() {
            self.get_to_know(client).await?;
        }
        let Some(map) = self.map.clone() else {
            return Err(WireError::Wrong("no map".into()));
        };
        let slow = self.last_slow.is_none_or(|t| now - t >= SLOW);
        let mut values = Values::new();
        let mut seen = Seen::new();
        for block in &map.blocks {
            let due = match block.every {
                Every::Fast => true,
                Every::Slow => slow,
                Every::Once => !self.once_done,
            };
            if !due || self.is_refused(block, now) {
                continue;
            }
            let unit = block.unit.unwrap_or(self.wiring.unit);
            match client.read(unit, block.table, block.addr, block.count).await {
                Ok(words) => {
                    values.extend(map.values(block, &words));
                    if !self.control.is_idle() {
                        seen.push((block.clone(), words));
                    }
                }
                Err(error) if error.is_refusal() => self.refused.push((block.clone(), now)),
                Err(error) => return Err(error),
            }
        }
        if slow {
            self.last_slow = Some(now);
        }
        self.once_done = true;
        if let Some(found) = &self.found {
            sunspec::derive(&found.models, &mut values);
        }
        if !self.control.is_idle() {
            self.settle(client, now, &values, &seen).await;
        }
        Ok(values)
    }

    /// A refused block costs a request only now and then: some devices refuse for a while, some have no such registers.
    fn is_refused(&mut self, block: &BlockRead, now: Timestamp) -> bool {
        self.refused.retain(|(_, since)| now - *since < ASK_AGAIN);
        self.refused.iter().any(|(b, _)| b == block)
    }

    async fn get_to_know(&mut self, client: &mut Client) -> Result<(), WireError> {
        if self.profile.sunspec {
            let found = sunspec::discover(client, self.wiring.unit).await?;
            self.map = Some(found.map.clone());
            self.found = Some(found);
            self.identity = IdentityStatus::Confirmed;
            return Ok(());
        }
        let map = Map::of(&self.profile);
        self.identity = self.identify(client).await?;
        self.map = Some(map);
        Ok(())
    }

    /// Compares what the profile expects; nothing to compare leaves the identity unchecked.
    async fn identify(&mut self, client: &mut Client) -> Result<IdentityStatus, WireError> {
        let mut status = IdentityStatus::Unchecked;
        for probe in &self.profile.identify {
            let words = client
                .read(self.wiring.unit, probe.table, probe.addr, probe.count)
                .await?;
            let shown = match super::codec::decode(probe.type_, crate::profile::WordOrder::HiFirst, &words, &[]) {
                super::codec::Raw::Text(t) => t,
                super::codec::Raw::Number(n) => n.to_string(),
                super::codec::Raw::Missing => String::new(),
            };
            match &probe.expect {
                Some(expected) if *expected == shown => status = IdentityStatus::Confirmed,
                Some(expected) => {
                    self.trouble = Some(format!("it says `{shown}` where `{expected}` was expected"));
                    return Ok(IdentityStatus::Mismatch);
                }
                None => {}
            }
        }
        Ok(status)
    }

    /// The owner's word and the device's identity together decide whether it may be written.
    pub(super) fn withheld(&self, control: bool) -> Option<&'static str> {
        if !control {
            Some("observe mode")
        } else if !self.wiring.control {
            Some("the site file does not say control = true for this device")
        } else if self.identity == IdentityStatus::Mismatch {
            Some("the device is not the one expected")
        } else if self.identity == IdentityStatus::Unchecked && !self.wiring.identity_confirmed {
            Some("its identity is unchecked and not confirmed by the owner")
        } else {
            None
        }
    }

    pub(super) fn compile(&self, command: &str, value: f64) -> Result<Program, String> {
        if let Some(found) = &self.found {
            return found.program(command, value);
        }
        let known = self.profile.commands.get(command);
        program(
            known.ok_or_else(|| format!("profile {} has no command `{command}`", self.profile.id))?,
            value,
        )
    }

    pub(super) fn undo(&self, command: &str) -> Result<Vec<RegisterWrite>, String> {
        if let Some(found) = &self.found {
            return found.release(command);
        }
        let known = self.profile.commands.get(command);
        release(known.ok_or_else(|| format!("profile {} has no command `{command}`", self.profile.id))?)
    }
}
