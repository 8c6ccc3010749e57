//! Requests to the device, in order, and what is left when one of them fails.

use super::carry::registers;
use super::{Order, Proof, Told, Written, deadline};
use crate::field::client::{Client, WireError};
use crate::field::device::FieldDevice;
use crate::field::program::{Expect, How, Program, RegisterWrite};
use crate::model::WriteOutcome;
use crate::profile::{Table, Wear};
use crate::time::Timestamp;
use chrono::TimeDelta;
use tokio::time::Instant;

/// A command whose profile does not say how long its effect may take must show it within this.
const PROOF: TimeDelta = TimeDelta::seconds(5);
/// What the wire lost is sent again by the link itself so often; then the next order decides.
const RETRIES: u32 = 3;

/// How a request that should leave a value failed.
pub(super) enum Trouble {
    /// The device said no, or shows something else: what was begun is taken back.
    Refused(String),
    /// The wire failed; the device may or may not have taken the last request, and took those before it.
    Wire { why: String, part: bool },
}

impl FieldDevice {
    pub(super) fn is_armed(&self, command: &str) -> bool {
        self.control.told.get(command).is_some_and(|t| t.proof != Proof::Unsure)
    }

    pub(super) async fn tell(&mut self, client: &mut Client, order: &Order, value: f64, program: Program) -> Written {
        let command = order.command.as_str();
        let armed = self.is_armed(command);
        let own = self.own(command, value, &program);
        let (at, until) = (order.now, order.now + patience(&program));
        let told = Told {
            order: order.clone(),
            value,
            own,
            at,
            deadline: deadline(order),
            proof: Proof::Pending { until },
            read_back: at,
            begun: Instant::now(),
            retry: None,
            program: program.clone(),
        };
        self.control.memory.hold(command, value);
        let renewed = self.control.told.insert(command.to_owned(), told).is_some();
        self.control.last_write = Some(at);
        let mut sent = Vec::new();
        let arm = if armed { &[][..] } else { &program.arm };
        let done = self.send(client, arm, &program.set, program.wear, at, &mut sent).await;
        if let Some(effect) = program.effect.filter(|_| done.is_ok()) {
            let watch = self.control.effects.entry(command.to_owned()).or_default();
            watch.tell(at, effect.kw);
        }
        let outcome = match done {
            Ok(()) => self.proof_at_once(client, command).await,
            Err(trouble) => {
                self.failed(client, order, trouble, program.wear, renewed, &mut sent)
                    .await
            }
        };
        Written::of(order, sent, outcome)
    }

    /// Writes requests in order, one more time where an answer got lost; `sent` is what was tried.
    pub(super) async fn send(
        &mut self,
        client: &mut Client,
        arm: &[RegisterWrite],
        set: &[RegisterWrite],
        wear: Wear,
        now: Timestamp,
        sent: &mut Vec<(u16, Vec<u16>)>,
    ) -> Result<(), Trouble> {
        for (done, w) in arm.iter().chain(set).enumerate() {
            let unit = w.unit.unwrap_or(self.wiring.unit);
            let Some(words) = self.to_write(client, w, done > 0).await? else {
                continue;
            };
            let mut again = true;
            loop {
                if wear != Wear::Ram {
                    for register in registers(std::slice::from_ref(w)) {
                        self.control.memory.count(register, now.date_naive());
                    }
                }
                sent.push((w.addr, words.clone()));
                match client.write(unit, w.fc, w.addr, &words).await {
                    Ok(()) => break,
                    Err(e) if again && may_repeat(&e) => again = false,
                    Err(e) => return Err(trouble(&e, done > 0)),
                }
            }
        }
        Ok(())
    }

    /// The words of a request, after a look at the register where it asks for one; `None` where it holds them already.
    pub(super) async fn to_write(
        &self,
        client: &mut Client,
        w: &RegisterWrite,
        part: bool,
    ) -> Result<Option<Vec<u16>>, Trouble> {
        if w.how == How::Always {
            return Ok(Some(w.words.clone()));
        }
        let unit = w.unit.unwrap_or(self.wiring.unit);
        let count = w.words.len() as u16;
        let there = client.read(unit, Table::Holding, w.addr, count).await;
        let there = there.map_err(|e| trouble(&e, part))?;
        let words = match w.how {
            How::Bits { set, clear } => there.iter().map(|t| (t & !clear) | set).collect(),
            How::Always | How::IfDifferent => w.words.clone(),
        };
        Ok((there != words).then_some(words))
    }

    /// Writes requests for somebody who looks for the effect himself (commissioning): no lease, no proof.
    pub(in crate::field) async fn write_bare(
        &mut self,
        client: &mut Client,
        list: &[RegisterWrite],
    ) -> Result<(), String> {
        let (now, mut sent) = (Timestamp::UNIX_EPOCH, Vec::new());
        let done = self.send(client, &[], list, Wear::Ram, now, &mut sent).await;
        done.map_err(|trouble| match trouble {
            Trouble::Refused(why) | Trouble::Wire { why, .. } => why,
        })
    }

    /// What is left after a failure: nothing of a refused program, an open question after a failure of the wire.
    /// `renewed`: the command was in force before this order.
    pub(super) async fn failed(
        &mut self,
        client: &mut Client,
        order: &Order,
        trouble: Trouble,
        wear: Wear,
        renewed: bool,
        sent: &mut Vec<(u16, Vec<u16>)>,
    ) -> WriteOutcome {
        let command = order.command.as_str();
        let (why, undo) = match trouble {
            Trouble::Refused(why) => (why, true),
            Trouble::Wire { why, part } => (why, part),
        };
        // A refused change does not stop a set that runs: it keeps its former setpoint until the next order or the end of
        // its lease. A start that was refused half way is taken back.
        let undo = undo && !(renewed && command.starts_with("genset_"));
        self.control.fail(command, &why, order.now, order.must);
        let failure = self.control.failures.get(command);
        let again = failure.filter(|f| !undo && f.count <= RETRIES);
        let pause = again.map(|f| (f.not_before - order.now).to_std().unwrap_or_default());
        if let Some(told) = self.control.told.get_mut(command) {
            told.proof = Proof::Unsure;
            told.retry = pause.map(|p| Instant::now() + p);
        }
        if undo && let Ok(writes) = self.undo(command) {
            let back = self.send(client, &[], &writes, wear, order.now, sent).await;
            if back.is_ok() {
                self.forget(command);
            }
        }
        WriteOutcome::Failed(why)
    }

    pub(super) fn forget(&mut self, command: &str) {
        self.control.told.remove(command);
        self.control.effects.remove(command);
        self.control.memory.held.remove(command);
    }
}

/// Within which time the effect must be seen.
fn patience(program: &Program) -> TimeDelta {
    match &program.expect {
        Expect::Point { within_s, .. } if *within_s > 0.0 => TimeDelta::milliseconds((within_s * 1e3) as i64),
        _ => PROOF,
    }
}

fn trouble(error: &WireError, part: bool) -> Trouble {
    // An answer that makes no sense is the wire's: the device may have taken what it was told.
    if error.is_refusal() {
        Trouble::Refused(error.to_string())
    } else {
        Trouble::Wire {
            why: error.to_string(),
            part,
        }
    }
}

/// A lost answer or a busy device is worth a second attempt; a setpoint written twice is the same setpoint.
fn may_repeat(error: &WireError) -> bool {
    matches!(
        error,
        WireError::Timeout(_) | WireError::Wrong(_) | WireError::Exception(5 | 6)
    )
}
