//! What the device shows of a command: at once, at a later poll, and as long as it is in our hands.

use super::effect::Verdict;
use super::send::Trouble;
use super::{Failure, Order, Proof, Reach, Told, Written};
use crate::field::client::Client;
use crate::field::device::FieldDevice;
use crate::field::foreign::{Answer, GONE, HANDS_OFF, Other};
use crate::field::map::{BlockRead, Map, Value, Values};
use crate::field::owned::{self, Cells, Odd, Seen};
use crate::field::program::Expect;
use crate::model::WriteOutcome;
use crate::profile::Every;
use crate::time::Timestamp;
use chrono::TimeDelta;

/// Registers that no block shows are read back this often.
const READ_BACK: TimeDelta = TimeDelta::seconds(60);
/// Looks at once before a read-back counts against a device: one may be a glitch.
const LOOKS: u32 = 3;
/// The same of an answer full of zeros, which comes more often than any other glitch.
const LOOKS_AT_ZEROS: u32 = 4;
/// Polls in a row before what noise makes of ours counts as somebody's.
const POLLS_OF_NOISE: u32 = 3;

impl FieldDevice {
    /// Many devices show what they were told at once; others get their time.
    pub(super) async fn proof_at_once(&mut self, client: &mut Client, command: &str) -> WriteOutcome {
        let Some(told) = self.control.told.get(command) else {
            return WriteOutcome::Pending;
        };
        let proved = match &told.program.expect {
            Expect::Nothing => Some(true),
            expect => self.prove(client, &expect.clone()).await,
        };
        if proved == Some(true) {
            self.proved(command);
            if !self.control.is_contradicted(command) {
                return WriteOutcome::Verified;
            }
        }
        WriteOutcome::Pending
    }

    pub(super) fn proved(&mut self, command: &str) {
        self.control.failures.remove(command);
        if let Some(told) = self.control.told.get_mut(command) {
            told.proof = Proof::Seen;
        }
    }

    /// Whether the device shows it; `None` where it cannot be read now.
    pub(super) async fn prove(&self, client: &mut Client, expect: &Expect) -> Option<bool> {
        match expect {
            Expect::Nothing => Some(true),
            Expect::Registers(span) => {
                let unit = span.unit.unwrap_or(self.wiring.unit);
                let shown = client.read(unit, span.table, span.addr, span.count).await;
                shown.ok().map(|s| span.judge(&s).is_ok())
            }
            Expect::Point { name, .. } => shows(expect, &self.read_point(client, name).await?),
        }
    }

    /// What the device shows of one point now; `None` where it has no such point or cannot be read.
    async fn read_point(&self, client: &mut Client, name: &str) -> Option<Values> {
        let point = self.map()?.points.iter().find(|p| p.name == name)?.clone();
        let block = BlockRead {
            table: point.table,
            addr: point.addr,
            count: point.count,
            every: Every::Fast,
            unit: None,
        };
        let words = client
            .read(self.wiring.unit, block.table, block.addr, block.count)
            .await
            .ok()?;
        let map = Map {
            blocks: vec![],
            points: vec![point],
        };
        Some(map.values(&block, &words).into_iter().collect())
    }

    /// After a poll: pending commands are judged, what is ours is compared, leases end.
    pub async fn settle(&mut self, client: &mut Client, now: Timestamp, values: &Values, seen: &Seen) {
        self.adopt(client, now).await;
        for command in self.control.in_force() {
            let Some(told) = self.control.told.get(&command).cloned() else {
                continue;
            };
            match told.proof {
                Proof::Pending { until } => self.judge(client, &told, until, now, values).await,
                Proof::Seen => self.compare(client, &told, now, seen).await,
                Proof::Unsure => {}
            }
            if told.proof == Proof::Seen
                && let Some(effect) = &told.program.effect
                && self.try_out(&command, effect, values)
            {
                let done = Written::of(&told.order, vec![], WriteOutcome::Verified);
                self.control.settled.push(done);
            }
            if told.proof != Proof::Unsure {
                self.watch(client, &told, now, values).await;
            }
        }
        self.expire(client, Some(now)).await;
    }

    pub(super) async fn judge(
        &mut self,
        client: &mut Client,
        told: &Told,
        until: Timestamp,
        now: Timestamp,
        values: &Values,
    ) {
        let command = told.order.command.as_str();
        let expect = &told.program.expect;
        let mut proved = shows(expect, values);
        if proved.is_none() {
            proved = self.prove(client, expect).await;
        }
        // Time is up: what one look says may be a glitch.
        let mut looks = 1;
        while now >= until && proved != Some(true) && looks < LOOKS {
            proved = self.prove(client, expect).await;
            looks += 1;
        }
        if proved == Some(true) {
            self.proved(command);
            let done = Written::of(&told.order, vec![], WriteOutcome::Verified);
            self.control.settled.push(done);
        } else if now >= until {
            let why = match proved {
                Some(_) => Trouble::Refused(format!(
                    "it does not show what it was told ({})",
                    expected(expect, values)
                )),
                // Not seen is not disobeyed: it is written anew.
                None => Trouble::Wire {
                    why: "what it was told could not be read back".into(),
                    part: false,
                },
            };
            let wear = told.program.wear;
            let mut sent = Vec::new();
            let order = Order {
                now,
                ..told.order.clone()
            };
            let outcome = self.failed(client, &order, why, wear, true, &mut sent).await;
            self.control.settled.push(Written::of(&order, sent, outcome));
        }
    }

    /// What the device does, whatever its registers show. A power that is not followed is given back, as one that does not
    /// show; a limit is kept and written anew, for giving it back would only loosen it.
    async fn watch(&mut self, client: &mut Client, told: &Told, now: Timestamp, values: &Values) {
        let command = told.order.command.as_str();
        let reach = self.reach(values);
        let watch = self.control.effects.get_mut(command);
        let (Some(effect), Some(watch)) = (&told.program.effect, watch) else {
            return;
        };
        match watch.look(now, effect, values, &reach) {
            Verdict::Open => {}
            Verdict::Obeys => {
                self.control.disobeyed.remove(command);
            }
            Verdict::Disobeys(why) => {
                watch.begin_again();
                self.disobeyed(client, told, effect.law.is_bound(), &why, now).await;
            }
        }
    }

    async fn disobeyed(&mut self, client: &mut Client, told: &Told, keep: bool, why: &str, now: Timestamp) {
        let order = Order {
            now,
            ..told.order.clone()
        };
        let command = order.command.as_str();
        tracing::warn!("device {}: {command}: {why}", self.id);
        let failure = Failure::after(self.control.disobeyed.get(command), why, now, order.must);
        self.control.disobeyed.insert(command.to_owned(), failure);
        let mut sent = Vec::new();
        let outcome = if keep {
            if let Some(told) = self.control.told.get_mut(command) {
                told.proof = Proof::Unsure;
            }
            WriteOutcome::Failed(why.to_owned())
        } else {
            let trouble = Trouble::Refused(why.to_owned());
            self.failed(client, &order, trouble, told.program.wear, true, &mut sent)
                .await
        };
        self.control.settled.push(Written::of(&order, sent, outcome));
    }

    /// How far the battery reaches, and what its inverter may give now.
    fn reach(&self, values: &Values) -> Reach {
        let limit = self.control.told.get("pv_limit").and_then(|t| t.program.effect);
        let output = [self.full_power(), limit.map(|e| e.kw)].into_iter().flatten();
        let site = self.control.reach;
        // What the device itself keeps back.
        let kept = values.get("min_soc").and_then(Value::number);
        Reach {
            empty: kept.map_or(site.empty, |k| k.max(site.empty)),
            output: output.reduce(f64::min),
            ..site
        }
    }

    /// Reads back what is ours, by the blocks of this poll or, once a minute, by itself.
    pub(super) async fn compare(&mut self, client: &mut Client, told: &Told, now: Timestamp, seen: &Seen) {
        let command = told.order.command.as_str();
        if told.own.is_empty() || self.control.unreadable.contains(command) {
            return;
        }
        // Overdue refreshes let a device revert by itself: that is nobody else's doing.
        if (now - told.at).as_seconds_f64() > 2.0 * told.program.refresh_s + 5.0 {
            if let Some(t) = self.control.told.get_mut(command) {
                t.proof = Proof::Unsure;
            }
            return;
        }
        let in_blocks = owned::shown(&told.own, seen);
        let due = now - told.read_back >= READ_BACK;
        if in_blocks.as_ref() == Some(&told.own) {
            self.control.odd.remove(command);
            return;
        }
        if in_blocks.is_none() && !due {
            return;
        }
        // One look may be a glitch: the registers are read once more.
        let found = owned::read(client, self.wiring.unit, &told.own).await;
        if let Some(t) = self.control.told.get_mut(command) {
            t.read_back = now;
        }
        match found {
            Ok(found) if found == told.own => {
                self.control.odd.remove(command);
            }
            Ok(found) if !self.stands(client, told, &found, in_blocks.as_ref()).await => {}
            Ok(found) if self.forgot(client, told, &found, now).await => {
                self.control.forgotten.insert(command.to_owned(), now);
                self.has_restarted(&format!("it holds nothing of {command}"));
            }
            Ok(found) => self.foreign(&told.order, owned::text(&found), now),
            Err(e) if e.is_refusal() => {
                self.control.unreadable.insert(command.to_owned());
            }
            // The wire's trouble is seen elsewhere; the next minute brings another look.
            Err(_) => {}
        }
    }

    /// Looks one after another agree on something else than ours, and nobody could take it for what noise makes of ours.
    async fn stands(&mut self, client: &mut Client, told: &Told, found: &Cells, shown: Option<&Cells>) -> bool {
        let looks = if owned::is_blank(&told.own, found) {
            LOOKS_AT_ZEROS
        } else {
            LOOKS
        };
        let mut agree = 1 + u32::from(shown == Some(found));
        while agree < looks {
            match owned::read(client, self.wiring.unit, &told.own).await {
                Ok(again) if again == *found => agree += 1,
                _ => return false,
            }
        }
        let odd = self
            .control
            .odd
            .entry(told.order.command.clone())
            .or_insert_with(|| Odd {
                found: found.clone(),
                polls: 0,
            });
        if odd.found != *found {
            (odd.found, odd.polls) = (found.clone(), 0);
        }
        odd.polls += 1;
        odd.polls >= POLLS_OF_NOISE || !owned::is_noise(&told.own, found)
    }

    /// The device lost the command in a restart: its countdown stands at 0, or with the value went what nobody else writes
    /// who takes it back, timers and enables. The second is no proof, and counts once in a while only: what is gone again
    /// soon after was taken by somebody.
    async fn forgot(&self, client: &mut Client, told: &Told, found: &Cells, now: Timestamp) -> bool {
        let command = told.order.command.as_str();
        if self.has_run_out(client, command).await {
            return true;
        }
        let lately = self.control.forgotten.get(command);
        if lately.is_some_and(|t| now - *t < GONE) || self.control.others.contains_key(command) {
            return false;
        }
        let released = owned::cells(&self.undo(command).unwrap_or_default());
        let mut beside = owned::cells(&[&told.program.arm[..], &told.program.set].concat());
        beside.retain(|c, word| *word != 0 && !told.own.contains_key(c) && !released.contains_key(c));
        if beside.is_empty() || !self.is_nobodys(client, command, found).await {
            return false;
        }
        let shown = owned::read(client, self.wiring.unit, &beside).await;
        // A timer counts down; above what was written stands the device's own.
        shown.is_ok_and(|shown| {
            shown
                .iter()
                .all(|(c, word)| *word == 0 || beside.get(c).is_some_and(|w| word > w))
        })
    }

    /// The device counts down how long a written value holds, and no value is in force: nobody has written.
    async fn has_run_out(&self, client: &mut Client, command: &str) -> bool {
        let Some(name) = self.countdown_point(command) else {
            return false;
        };
        for _ in 0..LOOKS_AT_ZEROS {
            let shown = self.read_point(client, name).await;
            if shown.and_then(|v| v.get(name)?.number()) != Some(0.0) {
                return false;
            }
        }
        true
    }

    pub(super) fn foreign(&mut self, order: &Order, found: String, now: Timestamp) {
        let command = order.command.as_str();
        tracing::warn!("device {}: another controller is active: {found}", self.id);
        let answer = match self.control.others.get_mut(command) {
            Some(other) => other.again(found, now),
            None => {
                // Told anew once already, for it looked like a restart.
                let told_anew = self.control.forgotten.get(command).is_some_and(|t| now - *t < GONE);
                let other = Other::new(found, now).answered(u32::from(told_anew));
                self.control.others.insert(command.to_owned(), other);
                Answer::Wait
            }
        };
        if answer == Answer::Yield {
            self.control.memory.yielded.insert(command.to_owned(), now + HANDS_OFF);
            self.forget(command);
        } else if let Some(told) = self.control.told.get_mut(command) {
            told.proof = Proof::Unsure;
        }
    }
}

/// Whether these values prove it; `None` where they do not hold the point.
fn shows(expect: &Expect, values: &Values) -> Option<bool> {
    let Expect::Point {
        name, value, tolerance, ..
    } = expect
    else {
        return None;
    };
    let shown = values.get(name)?.number();
    Some(shown.is_some_and(|n| (n - value).abs() <= *tolerance))
}

fn expected(expect: &Expect, values: &Values) -> String {
    match expect {
        Expect::Point { name, value, .. } => match values.get(name).and_then(Value::number) {
            Some(shown) => format!("`{name}` is {shown} instead of {value}"),
            None => format!("`{name}` shows no number instead of {value}"),
        },
        Expect::Registers(span) => format!("registers from {} are not what was written", span.addr),
        Expect::Nothing => "nothing is to be seen".into(),
    }
}
