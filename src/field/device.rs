//! One device on a link: its map, its identity, what it was told, when it must be told again.

use super::client::{Client, WireError};
use super::control::Control;
use super::map::{BlockRead, Map, Values};
use super::owned::Seen;
use super::program::{Program, RegisterWrite, program, release};
use super::refusals::Refusals;
use super::sunspec::{self, Discovered};
use crate::model::IdentityStatus;
use crate::profile::{Every, Link, Profile};
use crate::site::{Device, Id};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::VecDeque;

/// How often slow blocks are read.
const SLOW: TimeDelta = TimeDelta::seconds(60);

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
    round: Option<Round>,
    pub refusals: Refusals,
}

/// A poll under way: what is still to be read, and what was.
struct Round {
    now: Timestamp,
    slow: bool,
    todo: VecDeque<BlockRead>,
    values: Values,
    seen: Seen,
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
            round: None,
            refusals: Refusals::default(),
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
        loop {
            if let Some(done) = self.step(client, now).await {
                return done;
            }
        }
    }

    /// Whether the next [`Self::step`] of a poll sends a request.
    pub fn needs_wire(&mut self, now: Timestamp) -> bool {
        self.begin(now);
        self.map.is_none() || self.round.as_ref().is_some_and(|r| !r.todo.is_empty())
    }

    /// One request of a poll (getting to know a device takes several); its result when nothing is left to read.
    pub async fn step(&mut self, client: &mut Client, now: Timestamp) -> Option<Result<Values, WireError>> {
        let result = self.try_step(client, now).await.transpose()?;
        self.round = None;
        match &result {
            Ok(_) => {
                self.last_answer = Some(now);
                self.trouble = self.refusals.told();
            }
            Err(error) => {
                self.trouble = Some(error.to_string());
                if matches!(error, WireError::Unreachable(_) | WireError::Lost(_)) {
                    self.forget_session();
                }
            }
        }
        Some(result)
    }

    /// After a reconnect commands are armed and set anew, and a SunSpec map may have changed.
    fn forget_session(&mut self) {
        self.control.doubt();
        self.once_done = false;
        self.round = None;
        self.refusals = Refusals::default();
        if self.profile.sunspec {
            (self.found, self.map) = (None, None);
        }
    }

    /// Starts a round where none is under way: the blocks that are due now.
    fn begin(&mut self, now: Timestamp) {
        let Some(map) = &self.map else { return };
        if self.round.is_some() {
            return;
        }
        let slow = self.last_slow.is_none_or(|t| now - t >= SLOW);
        let due = |block: &&BlockRead| match block.every {
            Every::Fast => true,
            Every::Slow => slow,
            Every::Once => !self.once_done,
        };
        let blocks = map.blocks.iter().filter(due);
        self.round = Some(Round {
            now,
            slow,
            todo: blocks.flat_map(|b| self.refusals.reads_of(b, now)).collect(),
            values: Values::new(),
            seen: Seen::new(),
        });
    }

    async fn try_step(&mut self, client: &mut Client, now: Timestamp) -> Result<Option<Values>, WireError> {
        if self.map.is_none() {
            self.get_to_know(client).await?;
        }
        self.begin(now);
        if let Some(block) = self.round.as_mut().and_then(|r| r.todo.pop_front()) {
            self.read_block(client, block, now).await?;
        }
        match self.round.take() {
            Some(round) if round.todo.is_empty() => Ok(Some(self.finish(client, round).await)),
            unfinished => {
                self.round = unfinished;
                Ok(None)
            }
        }
    }

    async fn finish(&mut self, client: &mut Client, mut round: Round) -> Values {
        if round.slow {
            self.last_slow = Some(round.now);
        }
        self.once_done = true;
        if let Some(found) = &self.found {
            sunspec::derive(&found.models, &mut round.values);
        }
        if !self.control.is_idle() {
            self.settle(client, round.now, &round.values, &round.seen).await;
        }
        round.values
    }

    async fn read_block(&mut self, client: &mut Client, block: BlockRead, now: Timestamp) -> Result<(), WireError> {
        let unit = block.unit.unwrap_or(self.wiring.unit);
        let read = client.read(unit, block.table, block.addr, block.count).await;
        let (Some(map), Some(round)) = (&self.map, &mut self.round) else {
            return Err(WireError::Wrong("no map".into()));
        };
        match read {
            Ok(words) => {
                self.refusals.read(&block);
                round.values.extend(map.values(&block, &words));
                if !self.control.is_idle() {
                    round.seen.push((block, words));
                }
            }
            // It is there and has no time: these points are asked for in the next round.
            Err(error) if error.is_busy() => {}
            Err(error) if error.is_refusal() => {
                for half in self.refusals.refused(map, &block, now).into_iter().rev() {
                    round.todo.push_front(half);
                }
            }
            // The station behind the charger, say: its silence does not take the device's own values away.
            Err(error) if error.is_silence() && unit != self.wiring.unit => {}
            Err(error) => return Err(error),
        }
        Ok(())
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
