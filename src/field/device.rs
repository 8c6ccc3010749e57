//! One device on a link: its map, its identity, what it was told, when it must be told again.

use super::client::{Client, WireError};
use super::control::{Control, Order, Shown};
use super::map::{BlockRead, DeviceType, Map, Value, Values, derive};
use super::owned::Seen;
use super::program::{Known, Program, RegisterWrite, keep_alive, program, refresh, release, used};
use super::refusals::Refusals;
use super::restart::Uptime;
use super::silences::Silences;
use super::sunspec::{self, Discovered};
use crate::model::{IdentityStatus, OnLoss, Said};
use crate::profile::{Command, Every, Identify, Link, Profile, REVERSION_S};
use crate::site::{Device, Id};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How often slow blocks are read.
const SLOW: TimeDelta = TimeDelta::seconds(60);

pub struct FieldDevice {
    pub id: Id,
    pub wiring: Device,
    profile: Arc<Profile>,
    /// The map of the profile; what is read of this device is `map`, once it is known.
    plain: Arc<Map>,
    found: Option<Box<Discovered>>,
    map: Option<Arc<Map>>,
    pub identity: IdentityStatus,
    pub(super) control: Control,
    last_slow: Option<Timestamp>,
    once_done: bool,
    pub last_answer: Option<Timestamp>,
    pub trouble: Option<Said>,
    round: Option<Round>,
    pub refusals: Refusals,
    silences: Silences,
    /// What commands are made from, as last shown.
    known: Known,
    needed: Arc<[String]>,
    /// Names under which the site asks for values, whatever discovery calls them.
    asked: Vec<String>,
    /// What the identity probes showed.
    pub probed: Vec<(String, String)>,
    /// Why it is not the device expected.
    mismatch: Option<Said>,
    /// When each keep-alive was last sent.
    alive: BTreeMap<String, Timestamp>,
    uptime: Uptime,
    /// Amperes that a charger goes on with when nobody speaks to it, where it shows them.
    safe_current: Option<f64>,
    /// How often it was found to have restarted without our losing the connection.
    pub restarts: u64,
}

/// A poll under way: what is still to be read, and what was.
struct Round {
    now: Timestamp,
    slow: bool,
    todo: VecDeque<BlockRead>,
    values: Values,
    seen: Seen,
    /// A block was answered; one was not, so that what is missing proves nothing.
    answered: bool,
    partial: bool,
    /// The last refusal of a register.
    refused: Option<WireError>,
    /// Blocks are due, and nothing of them is left that it did not refuse.
    hopeless: bool,
}

impl FieldDevice {
    pub fn new(id: Id, wiring: Device, kind: impl Into<DeviceType>) -> Self {
        let DeviceType { profile, map, needed } = kind.into();
        let known = Known {
            options: Known::options_of(&profile, &wiring.options),
            ..Known::default()
        };
        Self {
            id,
            needed,
            asked: Vec::new(),
            plain: map,
            known,
            probed: Vec::new(),
            mismatch: None,
            alive: BTreeMap::new(),
            uptime: Uptime::default(),
            safe_current: None,
            restarts: 0,
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
            silences: Silences::default(),
        }
    }

    pub fn identity_text(&self) -> Option<sunspec::Identity> {
        self.found.as_ref().map(|f| f.identity.clone())
    }

    /// Names under which the site asks for values; said before the first poll.
    pub fn ask_for(&mut self, names: impl Iterator<Item = String>) {
        self.asked = names.collect();
    }

    /// What SunSpec discovery found.
    pub(super) fn found(&self) -> Option<&Discovered> {
        self.found.as_deref()
    }

    pub fn map(&self) -> Option<&Map> {
        self.map.as_deref()
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
                let missing = || self.refusals.told().or_else(|| self.silences.told());
                self.trouble = self.mismatch.clone().or_else(missing);
            }
            Err(error) => {
                self.trouble = Some(error.said());
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
        (self.refusals, self.silences) = (Refusals::default(), Silences::default());
        if self.profile.sunspec {
            (self.found, self.map) = (None, None);
        }
    }

    /// It holds nothing of ours any more: what is read once is read again, commands are armed and set anew with their next order.
    pub(super) fn has_restarted(&mut self, why: &str) {
        tracing::warn!(
            "device {}: it has restarted ({why}); it is told everything anew",
            self.id
        );
        self.restarts += 1;
        self.control.forgive();
        (self.last_slow, self.once_done) = (None, false);
        self.alive.clear();
    }

    /// Where it shows for how long it has been running.
    fn look_at_uptime(&mut self, now: Timestamp, values: &Values) {
        let Some(name) = self.profile.uptime().map(|p| p.name.as_str()) else {
            return;
        };
        let shown = values.get(name).and_then(Value::number);
        if shown.is_some_and(|seconds| self.uptime.look(now, seconds)) {
            let why = format!("`{name}` began anew");
            self.has_restarted(&why);
        }
    }

    /// Starts a round where none is under way: the blocks that are due now.
    fn begin(&mut self, now: Timestamp) {
        let Some(map) = &self.map else { return };
        if self.round.is_some() {
            return;
        }
        if let Some(found) = &mut self.found {
            found.begin();
        }
        let slow = self.last_slow.is_none_or(|t| now - t >= SLOW);
        let due = |block: &&BlockRead| match block.every {
            Every::Fast => true,
            Every::Slow => slow,
            Every::Once => !self.once_done,
        };
        let blocks: Vec<&BlockRead> = map.blocks.iter().filter(due).collect();
        let reads = blocks.iter().flat_map(|b| self.refusals.reads_of(b, now));
        let todo = self.silences.order(reads.collect(), now);
        self.round = Some(Round {
            now,
            slow,
            hopeless: todo.is_empty() && !blocks.is_empty(),
            todo,
            values: Values::new(),
            seen: Seen::new(),
            answered: false,
            partial: false,
            refused: None,
        });
    }

    async fn try_step(&mut self, client: &mut Client, now: Timestamp) -> Result<Option<Values>, WireError> {
        if self.map.is_none() {
            Box::pin(self.get_to_know(client)).await?;
        }
        self.begin(now);
        if let Some(block) = self.round.as_mut().and_then(|r| r.todo.pop_front()) {
            self.read_block(client, block, now).await?;
        }
        match self.round.take() {
            Some(round) if round.todo.is_empty() => self.finish(client, round).await.map(Some),
            unfinished => {
                self.round = unfinished;
                Ok(None)
            }
        }
    }

    async fn finish(&mut self, client: &mut Client, mut round: Round) -> Result<Values, WireError> {
        // A device that refuses all it is asked is not this one, or not well: nothing was read, whatever it answers.
        let refused = round.refused.take().filter(|_| round.values.is_empty());
        let known = self.refusals.last.clone().filter(|_| round.hopeless);
        if let Some(refused) = refused.or(known) {
            return Err(refused);
        }
        if !round.partial {
            self.last_slow = if round.slow { Some(round.now) } else { self.last_slow };
            self.once_done = true;
        }
        if let Some(found) = &self.found {
            found.finish(&mut round.values);
        }
        derive(&self.profile.derived, &mut round.values);
        self.remember(&round.values);
        self.look_at_uptime(round.now, &round.values);
        if !self.control.is_idle() {
            if !round.partial {
                Box::pin(self.settle(client, round.now, &round.values, &round.seen)).await;
            }
            Box::pin(self.beat(client)).await;
        }
        self.stay_alive(client, round.now).await?;
        Ok(round.values)
    }

    /// What its components do when nobody speaks to it.
    pub(super) fn on_loss(&self) -> Vec<OnLoss> {
        let timeout = |command: &str| match self.profile.commands.get(command) {
            Some(c) => c.device_timeout_s,
            None => self.found.as_ref().map(|_| f64::from(REVERSION_S)),
        };
        let all = self.control.commands();
        let of = |(command, component): (&String, &Id)| OnLoss {
            component: component.clone(),
            reverts_s: timeout(command),
            falls_to: self.safe_current.filter(|_| command == "evse_current_limit"),
        };
        all.map(of).collect()
    }

    /// Point that counts down how long a written value of this command holds.
    pub(super) fn countdown_point(&self, command: &str) -> Option<&str> {
        self.profile.commands.get(command)?.countdown_point.as_deref()
    }

    /// Ratings that a command counts in shares of, as the device shows them.
    pub(super) fn ratings(&self, command: &str) -> Vec<Shown> {
        match &self.found {
            Some(found) if !self.profile.commands.contains_key(command) => found.ratings(command),
            _ => {
                let in_share = self.profile.commands.get(command).is_some_and(|c| c.unit == "%");
                let option = self.known.options.get("rated_power").filter(|_| in_share);
                let shown = |kw: &f64| Shown {
                    point: "options.rated_power".into(),
                    kw: *kw,
                };
                option.map(shown).into_iter().collect()
            }
        }
    }

    /// Keeps what commands are made from; a value that the device does not show any more is forgotten.
    fn remember(&mut self, values: &Values) {
        if let Some(amps) = values.get("failsafe_current").and_then(Value::number) {
            self.safe_current = Some(amps);
        }
        for name in self.needed.iter() {
            match values.get(name).map(Value::number) {
                Some(Some(n)) => {
                    self.known.points.insert(name.clone(), n);
                }
                Some(None) => {
                    self.known.points.remove(name);
                }
                None => {}
            }
        }
    }

    /// Sends the keep-alives that are due while a command is in force. A refusal is no reason to take a command back.
    async fn stay_alive(&mut self, client: &mut Client, now: Timestamp) -> Result<(), WireError> {
        if self.control.in_force().is_empty() {
            self.alive.clear();
            return Ok(());
        }
        let due = |name: &String, c: &Command| {
            let every = refresh(c, &self.known);
            let sent = self.alive.get(name);
            sent.is_none_or(|t| (now - *t).as_seconds_f64() >= every)
        };
        let commands = self.profile.commands.iter().filter(|(n, c)| due(n, c));
        let lists: Vec<(String, Vec<RegisterWrite>)> = commands
            .filter_map(|(n, c)| Some((n.clone(), keep_alive(c, &self.known)?)))
            .collect();
        for (name, list) in lists {
            for w in list {
                let unit = w.unit.unwrap_or(self.wiring.unit);
                match client.write(unit, w.fc, w.addr, &w.words).await {
                    Ok(()) => {}
                    Err(error) if error.is_refusal() => tracing::warn!("device {}: {name}: {error}", self.id),
                    Err(error) => return Err(error),
                }
            }
            self.alive.insert(name, now);
        }
        Ok(())
    }

    /// A device that expects a heartbeat from its controller hears one each cycle, as long as it is controlled.
    async fn beat(&mut self, client: &mut Client) {
        let Some(found) = self.found.as_ref().filter(|_| !self.control.in_force().is_empty()) else {
            return;
        };
        for w in found.heartbeats() {
            let unit = w.unit.unwrap_or(self.wiring.unit);
            if let Err(error) = client.write(unit, w.fc, w.addr, &w.words).await {
                // What was read is good all the same, and the next cycle beats again.
                let why = error.said();
                self.trouble = Some(Said::new(
                    format!("it takes no heartbeat: {}", why.en),
                    format!("하트비트를 받지 않음: {}", why.ko),
                ));
                return;
            }
        }
    }

    /// Why a SunSpec device would not listen now.
    pub(super) fn kept_local(&self) -> Option<String> {
        self.found.as_ref().and_then(|f| f.kept_local())
    }

    /// Full power of a SunSpec device, kW, where it says it.
    pub(super) fn full_power(&self) -> Option<f64> {
        self.found.as_ref().and_then(|f| f.full_power().ok())
    }

    /// Unit of a value that SunSpec discovery gives.
    pub fn unit_of(&self, name: &str) -> Option<&str> {
        let discovered = self.found.as_ref().and_then(|f| f.unit_of(name));
        discovered.or_else(|| self.profile.unit_of(name))
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
                self.silences.answered(&block);
                round.answered = true;
                match &mut self.found {
                    Some(found) if found.owns(&block) => found.take(&block, &words, &mut round.values),
                    _ => round.values.extend(map.values(&block, &words)),
                }
                if !self.control.is_idle() {
                    round.seen.push((block, words));
                }
            }
            // It is there and has no time: these points are asked for in the next round.
            Err(error) if error.is_busy() => {}
            Err(error) if error.is_refusal() => {
                round.refused = Some(error.clone());
                self.refusals.last = Some(error);
                for half in self.refusals.refused(map, &block, now).into_iter().rev() {
                    round.todo.push_front(half);
                }
            }
            // The station behind the charger, say: its silence does not take the device's own values away.
            Err(error) if error.is_silence() && unit != self.wiring.unit => {}
            // It answers for others: what they showed counts.
            Err(error @ WireError::Timeout(_)) => {
                self.silences.silent(&block, round.answered, now);
                round.partial = true;
                if !round.answered {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn get_to_know(&mut self, client: &mut Client) -> Result<(), WireError> {
        if self.profile.sunspec {
            let most = self.profile.link.max_regs_read.unwrap_or(125);
            let mut found = sunspec::discover(client, self.wiring.unit, &self.profile.quirks, most).await?;
            found.answer_to(&self.asked);
            // A vendor's own registers stand in its profile, beside the models.
            let mut map = Map::clone(&self.plain);
            map.blocks.splice(0..0, found.blocks.iter().cloned());
            map.points.extend(found.map_points());
            self.map = Some(Arc::new(map));
            self.found = Some(Box::new(found));
            // Commands need ratings and scale factors, which stand in slow blocks: they are read with the first poll.
            (self.last_slow, self.once_done) = (None, false);
            self.identity = IdentityStatus::Confirmed;
            return Ok(());
        }
        self.identity = self.identify(client).await?;
        self.map = Some(self.plain.clone());
        Ok(())
    }

    /// Compares what the profile expects; nothing to compare leaves the identity unchecked.
    async fn identify(&mut self, client: &mut Client) -> Result<IdentityStatus, WireError> {
        let mut status = IdentityStatus::Unchecked;
        self.probed.clear();
        self.mismatch = None;
        for probe in self.profile.identify.clone() {
            let unit = self.wiring.unit;
            let (text, number) = match client.read(unit, probe.table, probe.addr, probe.count).await {
                Ok(words) => shown(&probe, &words),
                Err(error) if error.is_refusal() => (format!("nothing ({error})"), None),
                Err(error) => return Err(error),
            };
            let fits = probe.fits(&text, number);
            self.probed.push((probe.name.clone(), text.clone()));
            match fits {
                Some(true) => status = IdentityStatus::Confirmed,
                Some(false) => {
                    let (name, at, expected) = (&probe.name, probe.addr, probe.expected());
                    let why = format!("its {name} (register {at}) is `{text}` where `{expected}` was expected");
                    let why_ko = format!("{name}(레지스터 {at})이(가) `{text}`임, `{expected}`이어야 함");
                    self.mismatch = Some(Said::new(why, why_ko));
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

    /// Points the profile itself names.
    pub(super) fn point_names(&self) -> impl Iterator<Item = &str> {
        self.profile.points.iter().map(|p| p.name.as_str())
    }

    /// The device's own command for what the controller means: a start where a generator takes no power, a share where a
    /// limit counts in per cent.
    pub(super) fn resolved(&self, order: &Order) -> Result<Order, String> {
        let commands = &self.profile.commands;
        let starts = !commands.contains_key("genset_power") && commands.contains_key("genset_start");
        if order.command == "genset_power" && starts {
            return Ok(Order {
                command: "genset_start".into(),
                value: order.value.map(|kw| f64::from(u8::from(kw > 0.0))),
                ..order.clone()
            });
        }
        let in_share = commands.get(&order.command).is_some_and(|c| c.unit == "%");
        let Some(kw) = order.value.filter(|_| in_share) else {
            return Ok(order.clone());
        };
        let rated = self.known.options.get("rated_power").filter(|kw| **kw > 0.0);
        let rated = rated.ok_or_else(|| {
            let command = &order.command;
            format!("`{command}` counts in % of the rated power: give it in the site file (options.rated_power, kW)")
        })?;
        Ok(Order {
            value: Some(100.0 * kw / rated),
            ..order.clone()
        })
    }

    fn known_command(&self, command: &str) -> Result<&Command, String> {
        let known = self.profile.commands.get(command);
        known.ok_or_else(|| format!("profile {} has no command `{command}`", self.profile.id))
    }

    /// The program of a command, from the profile where it has one, else from SunSpec discovery.
    pub(super) fn compile(&self, command: &str, value: f64) -> Result<Program, String> {
        match &self.found {
            Some(found) if !self.profile.commands.contains_key(command) => found.program(command, value),
            _ => program(self.known_command(command)?, value, &self.known),
        }
    }

    /// What a command would really be told for `value`: cut to its limits and to what the device can; `None` where it is a word.
    pub(super) fn used(&self, command: &str, value: f64) -> Option<f64> {
        match self.profile.commands.get(command) {
            Some(c) => used(c, value, &self.known).ok().filter(|_| c.unit != "word"),
            None => self.found.as_ref()?.program(command, value).ok()?.effect.map(|e| e.kw),
        }
    }

    /// The point that shows what a command of the profile was told.
    pub(super) fn shown_by(&self, command: &str) -> Option<&str> {
        let command = self.profile.commands.get(command)?;
        let of_variant = command.variants.iter().filter_map(|v| v.verify.as_ref());
        command.verify.iter().chain(of_variant).find_map(|v| v.point.as_deref())
    }

    /// The writes that give a command back.
    pub(super) fn undo(&self, command: &str) -> Result<Vec<RegisterWrite>, String> {
        match &self.found {
            Some(found) if !self.profile.commands.contains_key(command) => found.release(command),
            _ => release(self.known_command(command)?, &self.known),
        }
    }
}

/// What a probe's registers say, as text and as a number.
pub(super) fn shown(probe: &Identify, words: &[u16]) -> (String, Option<f64>) {
    use super::codec::{Raw, decode};
    match decode(probe.type_, probe.words, words, &[]) {
        Raw::Text(t) => (t, None),
        Raw::Number(n) => (n.to_string(), Some(n)),
        // More registers than the type has: shown one by one.
        Raw::Missing => (words.iter().map(u16::to_string).collect::<Vec<_>>().join(" "), None),
    }
}
