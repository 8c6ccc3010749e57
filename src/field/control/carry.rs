//! An order on its way in: reasons not to carry it out now, else it is told.

use super::send::Trouble;
use super::{Failure, Order, Proof, Written, deadline};
use crate::field::client::Client;
use crate::field::device::FieldDevice;
use crate::field::program::{Expect, Program, RegisterWrite};
use crate::model::WriteOutcome;
use crate::profile::Wear;
use chrono::TimeDelta;

const DAY_S: f64 = 86_400.0;

impl FieldDevice {
    /// Carries out an order: on change or when its refresh is due, never more than is allowed.
    pub async fn carry(&mut self, client: &mut Client, order: &Order) -> Written {
        let Some(value) = order.value else {
            return self.give_back(client, order).await;
        };
        if self.map().is_none() {
            let why = WriteOutcome::Failed("the device has not answered yet".into());
            return Written::of(order, vec![], why);
        }
        let withheld = |why: String| Written::of(order, vec![], WriteOutcome::Withheld(why));
        if let Some(why) = self.withheld(order.control) {
            return withheld(why.into());
        }
        if let Some(why) = self.kept_local() {
            return withheld(why);
        }
        if let Some(fault) = self.rating_fault(&order.command) {
            return withheld(fault.text_en(fault.component.as_str()));
        }
        let program = self.compile(&order.command, value);
        let (value, program) = match program.and_then(|p| self.tried(&order.command, value, p)) {
            Ok(tried) => tried,
            Err(why) => return Written::of(order, vec![], WriteOutcome::Failed(why)),
        };
        if let Some(why) = self.look_first(client, order, value, &program).await {
            return withheld(why);
        }
        if let Some(why) = self.not_now(order, value, &program) {
            return withheld(why);
        }
        self.tell(client, order, value, program).await
    }

    /// Carries out what a person at the keyboard wants: whatever the device held before is theirs to replace.
    pub async fn carry_for_owner(&mut self, client: &mut Client, order: &Order) -> Written {
        if order.value.is_some() {
            self.control.inspected.insert(order.command.clone());
            self.trust_owner(&order.command);
            return self.carry(client, order).await;
        }
        let writes = match self.undo(&order.command) {
            Ok(writes) if writes.is_empty() => {
                let why = "no write is known that gives it back; it is given back by not refreshing it";
                return Written::of(order, vec![], WriteOutcome::Failed(why.into()));
            }
            Ok(writes) => writes,
            Err(why) => return Written::of(order, vec![], WriteOutcome::Failed(why)),
        };
        let mut sent = Vec::new();
        let done = self
            .send(client, &[], &writes, Wear::Unknown, order.now, &mut sent)
            .await;
        let outcome = match done {
            Ok(()) => WriteOutcome::Verified,
            Err(Trouble::Refused(why) | Trouble::Wire { why, .. }) => WriteOutcome::Failed(why),
        };
        Written::of(order, sent, outcome)
    }

    /// Reasons that lie in others: a foreign controller, or what the device held when we came.
    pub(super) async fn look_first(
        &mut self,
        client: &mut Client,
        order: &Order,
        value: f64,
        program: &Program,
    ) -> Option<String> {
        let (command, now) = (order.command.as_str(), order.now);
        let told = self.control.told.contains_key(command);
        if !told && !self.control.inspected.contains(command) {
            self.inspect(client, order, &[value], program).await;
        }
        self.control.memory.yielded.retain(|_, until| *until > now);
        if let Some(until) = self.control.memory.yielded.get(command) {
            let until = until.format("%Y-%m-%d %H:%M UTC");
            return Some(format!("another controller is active; it is left alone until {until}"));
        }
        let other = self.control.others.get_mut(command)?;
        let why = other.held_back(now);
        if why.is_none() && other.is_gone(now) {
            self.control.others.remove(command);
        }
        why
    }

    /// Reasons that lie in time: unchanged, too soon, worn.
    pub(super) fn not_now(&mut self, order: &Order, value: f64, program: &Program) -> Option<String> {
        let (command, now) = (order.command.as_str(), order.now);
        let saves = self.must_save(program);
        if let Some(told) = self.control.told.get_mut(command) {
            told.deadline = deadline(order);
            told.order.valid_until = order.valid_until;
            let fresh = told.proof != Proof::Unsure && (now - told.at).as_seconds_f64() < program.refresh_s;
            if fresh && told.program.set == program.set {
                return Some("unchanged".into());
            }
            if fresh && saves && !order.must && is_near(program, told.value, value) {
                return Some("within the deadband of a register that wears".into());
            }
        }
        let failed = [&self.control.failures, &self.control.disobeyed];
        let waiting = |f: &&Failure| now < f.not_before;
        if let Some(f) = failed.iter().find_map(|all| all.get(command).filter(waiting)) {
            return Some(format!("it failed ({}); tried again soon", f.why));
        }
        let pause = TimeDelta::milliseconds(i64::from(self.link().min_write_ms.unwrap_or(0)));
        if self.control.last_write.is_some_and(|t| now - t < pause) {
            let s = pause.as_seconds_f64();
            return Some(format!("the device takes a write each {s} s at most"));
        }
        self.over_budget(order, program)
    }

    /// Registers wear, and their budget of writes does not cover the refreshes of a day: small changes are not worth one.
    fn must_save(&self, program: &Program) -> bool {
        let refreshes = DAY_S / program.refresh_s;
        let covered = refreshes > 0.0 && f64::from(self.wiring.writes_per_day) >= refreshes;
        program.wear != Wear::Ram && !covered
    }

    /// The budget of a register that wears is used. A limit that must hold is written all the same, and that is named.
    pub(super) fn over_budget(&mut self, order: &Order, program: &Program) -> Option<String> {
        let command = order.command.as_str();
        if program.wear == Wear::Ram {
            return None;
        }
        let budget = self.wiring.writes_per_day;
        let today = order.now.date_naive();
        let all = program.arm.iter().filter(|_| !self.is_armed(command));
        let all: Vec<RegisterWrite> = all.chain(&program.set).cloned().collect();
        let used = registers(&all).find(|r| self.control.memory.written_today(r, today) >= budget);
        let Some(register) = used else {
            self.control.worn.remove(command);
            return None;
        };
        let kind = match program.wear {
            Wear::Nonvolatile => "keeps its value in memory that wears",
            _ => "may wear (unknown)",
        };
        let why = format!("{register} {kind}: its {budget} writes of today are used");
        let note = if order.must {
            format!("{why}; a limit that must hold is written all the same")
        } else {
            format!("{why}; changes wait for the next day")
        };
        self.control.worn.insert(command.to_owned(), note);
        (!order.must).then_some(why)
    }
}

/// Close enough not to wear a register for.
fn is_near(program: &Program, before: f64, after: f64) -> bool {
    let tolerance = match &program.expect {
        Expect::Point { tolerance, .. } => *tolerance,
        _ => 0.0,
    };
    (after - before).abs() <= tolerance.max(0.02 * before.abs().max(after.abs()))
}

/// Name of a register in the wear book: function and address, and the unit where it is another one.
fn register(write: &RegisterWrite, addr: u16) -> String {
    let kind = if write.fc == 5 { "coil" } else { "register" };
    match write.unit {
        Some(unit) => format!("{unit}/{kind} {addr}"),
        None => format!("{kind} {addr}"),
    }
}

pub(super) fn registers(writes: &[RegisterWrite]) -> impl Iterator<Item = String> + use<'_> {
    let each = |w: &RegisterWrite| (w.addr..=u16::MAX).take(w.words.len()).collect::<Vec<_>>();
    writes
        .iter()
        .flat_map(move |w| each(w).into_iter().map(|a| register(w, a)))
}
