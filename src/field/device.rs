//! One device on a link: its map, its identity, what it was told, when it must be told again.

use super::client::{Client, WireError};
use super::map::{BlockRead, Map, Value, Values};
use super::program::{Expect, Program, RegisterWrite, program, release};
use super::sunspec::{self, Discovered};
use crate::model::{IdentityStatus, WriteOutcome};
use crate::profile::{Every, Profile};
use crate::site::{Device, Id};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// How often slow blocks are read.
const SLOW: TimeDelta = TimeDelta::seconds(60);
/// A block that was refused is asked for again after this long.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(30);

/// What was last written for one command.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    value: f64,
    at: Timestamp,
    set: Vec<RegisterWrite>,
}

pub struct FieldDevice {
    pub id: Id,
    pub wiring: Device,
    profile: Profile,
    found: Option<Discovered>,
    map: Option<Map>,
    pub identity: IdentityStatus,
    told: BTreeMap<String, Told>,
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
            told: BTreeMap::new(),
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

    /// Reads every block that is due. An error leaves what was read before it.
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
        self.told.clear();
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
                Ok(words) => values.extend(map.values(block, &words)),
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
    fn withheld(&self, control: bool) -> Option<&'static str> {
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

    fn compile(&self, command: &str, value: f64) -> Result<Program, String> {
        if let Some(found) = &self.found {
            return found.program(command, value);
        }
        let known = self.profile.commands.get(command);
        program(
            known.ok_or_else(|| format!("profile {} has no command `{command}`", self.profile.id))?,
            value,
        )
    }

    fn undo(&self, command: &str) -> Result<Vec<RegisterWrite>, String> {
        if let Some(found) = &self.found {
            return found.release(command);
        }
        let known = self.profile.commands.get(command);
        release(known.ok_or_else(|| format!("profile {} has no command `{command}`", self.profile.id))?)
    }

    /// Carries out a command: on change or when its refresh is due; echo checked, read back. `control` is the site's mode.
    pub async fn command(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        command: &str,
        value: f64,
        control: bool,
    ) -> (Vec<(u16, Vec<u16>)>, WriteOutcome) {
        if self.map.is_none() {
            return (vec![], WriteOutcome::Failed("the device has not answered yet".into()));
        }
        if let Some(why) = self.withheld(control) {
            return (vec![], WriteOutcome::Withheld(why.into()));
        }
        let program = match self.compile(command, value) {
            Ok(program) => program,
            Err(why) => return (vec![], WriteOutcome::Failed(why)),
        };
        if let Some(told) = self.told.get(command) {
            let fresh = (now - told.at).as_seconds_f64() < program.refresh_s;
            if told.set == program.set && fresh {
                return (vec![], WriteOutcome::Withheld("unchanged".into()));
            }
        }
        let armed = self.told.contains_key(command);
        let mut sent = Vec::new();
        let done = self.carry_out(client, &program, armed, &mut sent).await;
        let outcome = match done {
            Ok(()) => {
                self.told.insert(
                    command.to_owned(),
                    Told {
                        value,
                        at: now,
                        set: program.set,
                    },
                );
                WriteOutcome::Verified
            }
            Err(why) => {
                self.told.remove(command);
                self.roll_back(client, command, &mut sent).await;
                WriteOutcome::Failed(why)
            }
        };
        (sent, outcome)
    }

    async fn carry_out(
        &self,
        client: &mut Client,
        program: &Program,
        armed: bool,
        sent: &mut Vec<(u16, Vec<u16>)>,
    ) -> Result<(), String> {
        let arm = if armed { &[][..] } else { &program.arm };
        for w in arm.iter().chain(&program.set) {
            sent.push((w.addr, w.words.clone()));
            let unit = w.unit.unwrap_or(self.wiring.unit);
            client
                .write(unit, w.fc, w.addr, &w.words)
                .await
                .map_err(|e| e.to_string())?;
        }
        self.verify(client, &program.expect).await
    }

    async fn verify(&self, client: &mut Client, expect: &Expect) -> Result<(), String> {
        match expect {
            Expect::Nothing => Ok(()),
            Expect::Words { table, addr, words } => {
                let count = words.len() as u16;
                let shown = client
                    .read(self.wiring.unit, *table, *addr, count)
                    .await
                    .map_err(|e| e.to_string())?;
                if shown == *words {
                    Ok(())
                } else {
                    Err(format!("reads back {shown:?} instead of {words:?}"))
                }
            }
            Expect::Point {
                name,
                value,
                tolerance,
                within_s,
            } => self.verify_point(client, name, *value, *tolerance, *within_s).await,
        }
    }

    /// Reads the point until it shows the value or its time is up.
    async fn verify_point(
        &self,
        client: &mut Client,
        name: &str,
        value: f64,
        tolerance: f64,
        within_s: f64,
    ) -> Result<(), String> {
        let point = self.map.as_ref().and_then(|m| m.points.iter().find(|p| p.name == name));
        let point = point
            .ok_or_else(|| format!("there is no point `{name}` to verify by"))?
            .clone();
        let block = BlockRead {
            table: point.table,
            addr: point.addr,
            count: point.count,
            every: Every::Fast,
            unit: None,
        };
        let map = Map {
            blocks: vec![],
            points: vec![point],
        };
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs_f64(within_s.clamp(0.0, 10.0));
        loop {
            let words = client
                .read(self.wiring.unit, block.table, block.addr, block.count)
                .await
                .map_err(|e| e.to_string())?;
            let shown = map.values(&block, &words).into_iter().next().map(|(_, v)| v);
            if let Some(Value::Number(n)) = shown
                && (n - value).abs() <= tolerance
            {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                return Err(format!(
                    "`{name}` shows {shown:?} instead of {value} after {within_s} s"
                ));
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// A command that failed half-way is taken back, as far as the wire allows.
    async fn roll_back(&self, client: &mut Client, command: &str, sent: &mut Vec<(u16, Vec<u16>)>) {
        let Ok(undo) = self.undo(command) else { return };
        for w in undo {
            sent.push((w.addr, w.words.clone()));
            if client
                .write(w.unit.unwrap_or(self.wiring.unit), w.fc, w.addr, &w.words)
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// Gives control back for one command, if it was taken.
    pub async fn release(&mut self, client: &mut Client, command: &str) -> (Vec<(u16, Vec<u16>)>, WriteOutcome) {
        let Some(_told) = self.told.remove(command) else {
            return (vec![], WriteOutcome::Withheld("not in our hands".into()));
        };
        let undo = match self.undo(command) {
            Ok(undo) => undo,
            Err(why) => return (vec![], WriteOutcome::Failed(why)),
        };
        let mut sent = Vec::new();
        for w in undo {
            sent.push((w.addr, w.words.clone()));
            if let Err(error) = client
                .write(w.unit.unwrap_or(self.wiring.unit), w.fc, w.addr, &w.words)
                .await
            {
                return (sent, WriteOutcome::Failed(error.to_string()));
            }
        }
        (sent, WriteOutcome::Verified)
    }

    /// Commands that are in force now.
    pub fn in_force(&self) -> Vec<(String, f64)> {
        self.told.iter().map(|(c, t)| (c.clone(), t.value)).collect()
    }
}
