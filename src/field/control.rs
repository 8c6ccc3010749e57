//! Verified control of one device: what it is told, how that is proved, refreshed, given back, and when it is not told.
//!
//! In: orders (leases). Out: what became of each, at once or as a later poll shows it. A command is pending until the
//! device shows it; nothing here waits for that, so that the link stays free for others.

use super::client::{Client, WireError};
use super::device::FieldDevice;
use super::foreign::{Answer, HANDS_OFF, Other};
use super::map::{BlockRead, Map, Value, Values};
use super::owned::{self, Cells, Seen};
use super::program::{Expect, How, Program, RegisterWrite};
use crate::model::{CommandHealth, CommandProof, DecisionId, DeviceMemory, ForeignWrite, WriteOutcome};
use crate::profile::{Every, Table, Wear};
use crate::site::Id;
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// A command whose profile does not say how long its effect may take must show it within this.
const PROOF: TimeDelta = TimeDelta::seconds(5);
/// Registers that no block shows are read back this often.
const READ_BACK: TimeDelta = TimeDelta::seconds(60);
/// A release that failed is tried again after this long.
const RELEASE_AGAIN: TimeDelta = TimeDelta::seconds(5);
/// What the wire swallowed is sent again by the link itself so often; then the next order decides.
const RETRIES: u32 = 3;
/// Longest pause between attempts that fail; for a limit that must hold.
const RETRY_MOST: TimeDelta = TimeDelta::seconds(30);
const RETRY_MOST_LIMIT: TimeDelta = TimeDelta::seconds(2);

/// One command for one device.
#[derive(Debug, Clone)]
pub struct Order {
    pub device: Id,
    pub component: Id,
    pub decision: DecisionId,
    pub command: String,
    /// `None` gives control back.
    pub value: Option<f64>,
    pub now: Timestamp,
    /// The lease: not in force any longer than this.
    pub valid_until: Timestamp,
    pub control: bool,
    /// A limit that must hold: goes before the wear budget.
    pub must: bool,
}

/// What became of an order, or of a command without one (a lease that ran out).
#[derive(Debug, Clone)]
pub struct Written {
    pub device: Id,
    pub component: Id,
    pub decision: DecisionId,
    pub command: String,
    pub value: Option<f64>,
    pub sent: Vec<(u16, Vec<u16>)>,
    pub outcome: WriteOutcome,
    /// What the device must not forget, where this changed it.
    pub memory: Option<DeviceMemory>,
}

impl Written {
    pub fn of(order: &Order, sent: Vec<(u16, Vec<u16>)>, outcome: WriteOutcome) -> Self {
        Self {
            device: order.device.clone(),
            component: order.component.clone(),
            decision: order.decision,
            command: order.command.clone(),
            value: order.value,
            sent,
            outcome,
            memory: None,
        }
    }
}

/// What is known of the device's obedience.
#[derive(Debug, Clone, PartialEq)]
enum Proof {
    Pending {
        until: Timestamp,
    },
    Seen,
    /// The wire failed in the middle, or the session is new: armed and written again with the next order.
    Unsure,
}

/// A command in our hands.
#[derive(Debug, Clone)]
struct Told {
    order: Order,
    value: f64,
    program: Program,
    own: Cells,
    at: Timestamp,
    /// The lease's end by the link's own timer, for when nobody polls.
    deadline: Instant,
    proof: Proof,
    read_back: Timestamp,
    /// When it was sent, and when the link sends it again by itself because the wire failed.
    begun: Instant,
    retry: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Failure {
    why: String,
    count: u32,
    not_before: Timestamp,
}

/// Everything remembered of a device's commands.
#[derive(Debug, Default)]
pub struct Control {
    told: BTreeMap<String, Told>,
    others: BTreeMap<String, Other>,
    failures: BTreeMap<String, Failure>,
    worn: BTreeMap<String, String>,
    /// What the device held before our first write was looked at.
    inspected: BTreeSet<String>,
    /// Registers that cannot be read back.
    unreadable: BTreeSet<String>,
    last_write: Option<Timestamp>,
    /// Whom each command moves.
    components: BTreeMap<String, Id>,
    memory: DeviceMemory,
    /// Reports for the next poll.
    settled: Vec<Written>,
}

impl Control {
    /// Whom each command of this device moves, for reports.
    pub fn name(&mut self, components: BTreeMap<String, Id>) {
        self.components = components;
    }

    /// What a former process left: to be adopted or given back.
    pub fn remember(&mut self, memory: DeviceMemory) {
        self.memory = memory;
    }

    pub fn memory(&self) -> &DeviceMemory {
        &self.memory
    }

    /// A new session: the device may have been restarted and hold nothing of ours.
    pub fn doubt(&mut self) {
        for told in self.told.values_mut() {
            told.proof = Proof::Unsure;
        }
    }

    /// The owner wants control again, whoever else may write.
    pub fn take_back(&mut self) {
        self.memory.yielded.clear();
        self.others.clear();
    }

    pub fn take_settled(&mut self) -> Vec<Written> {
        std::mem::take(&mut self.settled)
    }

    pub fn is_idle(&self) -> bool {
        self.told.is_empty() && self.memory.held.is_empty()
    }

    /// When something is due by the link's own timer: a lease runs out, or what the wire swallowed is sent again.
    pub fn next_deadline(&self) -> Option<Instant> {
        let next = |t: &Told| t.retry.map_or(t.deadline, |r| r.min(t.deadline));
        self.told.values().map(next).min()
    }

    /// Commands in our hands.
    pub fn in_force(&self) -> Vec<String> {
        self.told.keys().cloned().collect()
    }

    pub fn health(&self, now: Timestamp) -> Vec<CommandHealth> {
        let mut names: BTreeSet<&String> = self.told.keys().chain(self.failures.keys()).collect();
        names.extend(self.others.keys().chain(self.worn.keys()));
        names.extend(self.memory.yielded.keys());
        names.into_iter().map(|c| self.health_of(c, now)).collect()
    }

    fn health_of(&self, command: &str, now: Timestamp) -> CommandHealth {
        let told = self.told.get(command);
        let failed = self.failures.get(command).map(|f| CommandProof::Failed(f.why.clone()));
        let proof = told.map_or(CommandProof::Released, |t| match t.proof {
            Proof::Pending { .. } => CommandProof::Pending,
            Proof::Seen => CommandProof::Verified,
            Proof::Unsure => CommandProof::Unsure,
        });
        let until = self.memory.yielded.get(command).copied().filter(|t| *t > now);
        let foreign = self.others.get(command).map(Other::shown);
        let left = until.map(|until| ForeignWrite {
            found: "a value that is not ours".into(),
            since: until - HANDS_OFF,
            reasserted: 0,
            yielded_until: None,
        });
        let foreign = foreign.or(left).map(|f| ForeignWrite {
            yielded_until: until,
            ..f
        });
        CommandHealth {
            command: command.to_owned(),
            component: self.component(command),
            value: told.map(|t| t.value),
            proof: failed.unwrap_or(proof),
            foreign,
            worn: self.worn.get(command).cloned(),
        }
    }

    fn component(&self, command: &str) -> Id {
        let known = self.components.get(command).cloned();
        known.unwrap_or_else(|| Id::new(command))
    }

    fn fail(&mut self, command: &str, why: &str, now: Timestamp, must: bool) {
        let count = self.failures.get(command).map_or(1, |f| f.count + 1);
        let most = if must { RETRY_MOST_LIMIT } else { RETRY_MOST };
        let pause = TimeDelta::seconds(1 << (count - 1).min(5)).min(most);
        let failure = Failure {
            why: why.to_owned(),
            count,
            not_before: now + pause,
        };
        self.failures.insert(command.to_owned(), failure);
    }
}

/// Name of a register in the wear book: function and address, and the unit where it is another one.
fn register(write: &RegisterWrite, addr: u16) -> String {
    let kind = if write.fc == 5 { "coil" } else { "register" };
    match write.unit {
        Some(unit) => format!("{unit}/{kind} {addr}"),
        None => format!("{kind} {addr}"),
    }
}

fn registers(writes: &[RegisterWrite]) -> impl Iterator<Item = String> + use<'_> {
    let each = |w: &RegisterWrite| (w.addr..=u16::MAX).take(w.words.len()).collect::<Vec<_>>();
    writes
        .iter()
        .flat_map(move |w| each(w).into_iter().map(|a| register(w, a)))
}

/// How a request that should leave a value failed.
enum Trouble {
    /// The device said no, or shows something else: what was begun is taken back.
    Refused(String),
    /// The wire failed; the device may or may not have taken the last request, and took those before it.
    Wire { why: String, part: bool },
}

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
        let program = match self.compile(&order.command, value) {
            Ok(program) => program,
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
    async fn look_first(
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
    fn not_now(&mut self, order: &Order, value: f64, program: &Program) -> Option<String> {
        let (command, now) = (order.command.as_str(), order.now);
        let wears = program.wear != Wear::Ram;
        if let Some(told) = self.control.told.get_mut(command) {
            told.deadline = deadline(order);
            told.order.valid_until = order.valid_until;
            let fresh = told.proof != Proof::Unsure && (now - told.at).as_seconds_f64() < program.refresh_s;
            if fresh && told.program.set == program.set {
                return Some("unchanged".into());
            }
            if fresh && wears && !order.must && is_near(program, told.value, value) {
                return Some("within the deadband of a register that wears".into());
            }
        }
        if let Some(f) = self.control.failures.get(command)
            && now < f.not_before
        {
            return Some(format!("it failed ({}); tried again soon", f.why));
        }
        let pause = TimeDelta::milliseconds(i64::from(self.link().min_write_ms.unwrap_or(0)));
        if self.control.last_write.is_some_and(|t| now - t < pause) {
            let s = pause.as_seconds_f64();
            return Some(format!("the device takes a write each {s} s at most"));
        }
        self.over_budget(order, program)
    }

    /// The budget of a register that wears is used. A limit that must hold is written all the same, and that is named.
    fn over_budget(&mut self, order: &Order, program: &Program) -> Option<String> {
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

    fn is_armed(&self, command: &str) -> bool {
        self.control.told.get(command).is_some_and(|t| t.proof != Proof::Unsure)
    }

    async fn tell(&mut self, client: &mut Client, order: &Order, value: f64, program: Program) -> Written {
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
        self.control.told.insert(command.to_owned(), told);
        self.control.last_write = Some(at);
        let mut sent = Vec::new();
        let arm = if armed { &[][..] } else { &program.arm };
        let done = self.send(client, arm, &program.set, program.wear, at, &mut sent).await;
        let outcome = match done {
            Ok(()) => self.proof_at_once(client, command).await,
            Err(trouble) => self.failed(client, order, trouble, program.wear, &mut sent).await,
        };
        Written::of(order, sent, outcome)
    }

    /// Writes requests in order, one more time where an answer got lost; `sent` is what was tried.
    async fn send(
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
    async fn to_write(&self, client: &mut Client, w: &RegisterWrite, part: bool) -> Result<Option<Vec<u16>>, Trouble> {
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
    pub(super) async fn write_bare(&mut self, client: &mut Client, list: &[RegisterWrite]) -> Result<(), String> {
        let (now, mut sent) = (Timestamp::UNIX_EPOCH, Vec::new());
        let done = self.send(client, &[], list, Wear::Ram, now, &mut sent).await;
        done.map_err(|trouble| match trouble {
            Trouble::Refused(why) | Trouble::Wire { why, .. } => why,
        })
    }

    /// Many devices show what they were told at once; others get their time.
    async fn proof_at_once(&mut self, client: &mut Client, command: &str) -> WriteOutcome {
        let Some(told) = self.control.told.get(command) else {
            return WriteOutcome::Pending;
        };
        let proved = match &told.program.expect {
            Expect::Nothing => Some(true),
            expect => self.prove(client, &expect.clone()).await,
        };
        if proved == Some(true) {
            self.proved(command);
            return WriteOutcome::Verified;
        }
        WriteOutcome::Pending
    }

    fn proved(&mut self, command: &str) {
        self.control.failures.remove(command);
        if let Some(told) = self.control.told.get_mut(command) {
            told.proof = Proof::Seen;
        }
    }

    /// Whether the device shows it; `None` where it cannot be read now.
    async fn prove(&self, client: &mut Client, expect: &Expect) -> Option<bool> {
        match expect {
            Expect::Nothing => Some(true),
            Expect::Registers(span) => {
                let unit = span.unit.unwrap_or(self.wiring.unit);
                let shown = client.read(unit, span.table, span.addr, span.count).await;
                shown.ok().map(|s| span.judge(&s).is_ok())
            }
            Expect::Point { name, .. } => {
                let point = self.map()?.points.iter().find(|p| p.name == *name)?.clone();
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
                let values: Values = map.values(&block, &words).into_iter().collect();
                shows(expect, &values)
            }
        }
    }

    /// What is left after a failure: nothing of a refused program, an open question after a failure of the wire.
    async fn failed(
        &mut self,
        client: &mut Client,
        order: &Order,
        trouble: Trouble,
        wear: Wear,
        sent: &mut Vec<(u16, Vec<u16>)>,
    ) -> WriteOutcome {
        let command = order.command.as_str();
        let (why, undo) = match trouble {
            Trouble::Refused(why) => (why, true),
            Trouble::Wire { why, part } => (why, part),
        };
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

    fn forget(&mut self, command: &str) {
        self.control.told.remove(command);
        self.control.memory.held.remove(command);
    }

    /// Gives control back for one command, if it was taken and nobody else has it.
    async fn give_back(&mut self, client: &mut Client, order: &Order) -> Written {
        let command = order.command.as_str();
        let withheld = |why: &str| Written::of(order, vec![], WriteOutcome::Withheld(why.into()));
        let Some(told) = self.control.told.get(command) else {
            self.control.failures.remove(command);
            return withheld("not in our hands");
        };
        let wear = told.program.wear;
        if self.control.others.get(command).is_some_and(Other::is_waiting) {
            self.forget(command);
            return withheld("another controller holds it");
        }
        let writes = match self.undo(command) {
            Ok(writes) => writes,
            Err(why) => return Written::of(order, vec![], WriteOutcome::Failed(why)),
        };
        let mut sent = Vec::new();
        let outcome = match self.send(client, &[], &writes, wear, order.now, &mut sent).await {
            Ok(()) => {
                self.forget(command);
                self.control.failures.remove(command);
                WriteOutcome::Verified
            }
            Err(Trouble::Refused(why) | Trouble::Wire { why, .. }) => {
                self.control.fail(command, &why, order.now, true);
                if let Some(told) = self.control.told.get_mut(command) {
                    told.deadline = Instant::now() + RELEASE_AGAIN.to_std().unwrap_or_default();
                    told.proof = Proof::Unsure;
                }
                WriteOutcome::Failed(why)
            }
        };
        Written::of(order, sent, outcome)
    }

    /// Gives back everything that is in our hands.
    pub async fn give_all_back(&mut self, client: &mut Client) -> Vec<Written> {
        let mut all = Vec::new();
        for command in self.control.in_force() {
            let Some(order) = self.release_order(&command, None) else {
                continue;
            };
            all.push(self.give_back(client, &order).await);
        }
        all
    }

    fn release_order(&self, command: &str, now: Option<Timestamp>) -> Option<Order> {
        let told = self.control.told.get(command)?;
        Some(Order {
            value: None,
            now: now.unwrap_or(told.order.valid_until),
            ..told.order.clone()
        })
    }

    /// The supervisor of leases: what nobody has refreshed is given back, by site time where there is one, else by the
    /// link's own timer.
    pub async fn expire(&mut self, client: &mut Client, now: Option<Timestamp>) {
        if now.is_none() {
            self.retry(client).await;
        }
        let over = |t: &Told| match now {
            Some(now) => t.order.valid_until <= now,
            None => t.deadline <= Instant::now(),
        };
        let due: Vec<String> = self
            .control
            .told
            .iter()
            .filter(|(_, t)| over(t))
            .map(|(c, _)| c.clone())
            .collect();
        for command in due {
            let too_soon = self.control.failures.get(&command).zip(now);
            if too_soon.is_some_and(|(f, now)| now < f.not_before) {
                continue;
            }
            if let Some(order) = self.release_order(&command, now) {
                let written = self.give_back(client, &order).await;
                self.control.settled.push(written);
            }
        }
    }

    /// Sends again what the wire swallowed, as long as its lease lasts.
    async fn retry(&mut self, client: &mut Client) {
        let due = |t: &Told| t.retry.is_some_and(|r| r <= Instant::now());
        let told = self.control.told.values_mut().filter(|t| due(t));
        let mut orders = Vec::new();
        for t in told {
            t.retry = None;
            let since = TimeDelta::from_std(t.begun.elapsed()).unwrap_or(RELEASE_AGAIN);
            let now = (t.at + since).min(t.order.valid_until - TimeDelta::milliseconds(1));
            orders.push(Order { now, ..t.order.clone() });
        }
        for order in orders {
            let written = self.carry(client, &order).await;
            if !matches!(written.outcome, WriteOutcome::Withheld(_)) {
                self.control.settled.push(written);
            }
        }
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
        }
        self.expire(client, Some(now)).await;
    }

    async fn judge(&mut self, client: &mut Client, told: &Told, until: Timestamp, now: Timestamp, values: &Values) {
        let command = told.order.command.as_str();
        let expect = &told.program.expect;
        let mut proved = shows(expect, values);
        if proved.is_none() {
            proved = self.prove(client, expect).await;
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
            let outcome = self.failed(client, &order, why, wear, &mut sent).await;
            self.control.settled.push(Written::of(&order, sent, outcome));
        }
    }

    /// Reads back what is ours, by the blocks of this poll or, once a minute, by itself.
    async fn compare(&mut self, client: &mut Client, told: &Told, now: Timestamp, seen: &Seen) {
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
        if in_blocks.as_ref() == Some(&told.own) || (in_blocks.is_none() && !due) {
            return;
        }
        // One look may be a glitch: the registers are read once more.
        let found = owned::read(client, self.wiring.unit, &told.own).await;
        if let Some(t) = self.control.told.get_mut(command) {
            t.read_back = now;
        }
        match found {
            Ok(found) if found == told.own => {}
            Ok(found) => self.foreign(&told.order, owned::text(&found), now),
            Err(e) if e.is_refusal() => {
                self.control.unreadable.insert(command.to_owned());
            }
            // The wire's trouble is seen elsewhere; the next minute brings another look.
            Err(_) => {}
        }
    }

    fn foreign(&mut self, order: &Order, found: String, now: Timestamp) {
        let command = order.command.as_str();
        tracing::warn!("device {}: another controller is active: {found}", self.id);
        let answer = match self.control.others.get_mut(command) {
            Some(other) => other.again(found, now),
            None => {
                let other = Other::new(found, now);
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

    /// What a former process of ours left in force is ours again until its lease ends; else it is somebody's.
    async fn adopt(&mut self, client: &mut Client, now: Timestamp) {
        let left: Vec<(String, Vec<f64>)> = self
            .control
            .memory
            .held
            .iter()
            .filter(|(c, _)| !self.control.inspected.contains(*c) && !self.control.told.contains_key(*c))
            .map(|(c, v)| (c.clone(), v.clone()))
            .collect();
        for (command, values) in left {
            let Some(value) = values.last() else { continue };
            let Ok(program) = self.compile(&command, *value) else {
                self.control.memory.held.remove(&command);
                continue;
            };
            let order = Order {
                device: self.id.clone(),
                component: self.control.component(&command),
                decision: DecisionId(0),
                command,
                value: Some(*value),
                now,
                valid_until: now + TimeDelta::seconds(30),
                control: true,
                must: false,
            };
            self.inspect(client, &order, &values, &program).await;
        }
    }

    /// Before the first write: what is in force at the device? One of `values` is ours; what its release leaves, zeros and
    /// a limit at its most are nobody's; anything else is somebody else's.
    async fn inspect(&mut self, client: &mut Client, order: &Order, values: &[f64], program: &Program) {
        let command = order.command.as_str();
        let mut found = None;
        for value in values.iter().rev() {
            let Ok(p) = self.compile(command, *value) else { continue };
            let own = self.own(command, *value, &p);
            match owned::read(client, self.wiring.unit, &own).await {
                Ok(shown) if shown == own => {
                    self.control.inspected.insert(command.to_owned());
                    if self.control.memory.held.contains_key(command) {
                        self.take_over(order, *value, p, own);
                    }
                    return;
                }
                Ok(shown) => found = Some(shown),
                Err(e) if e.is_refusal() => {
                    self.control.unreadable.insert(command.to_owned());
                    break;
                }
                // Not now; it is asked again before the first write.
                Err(_) => return,
            }
        }
        self.control.inspected.insert(command.to_owned());
        let was_ours = self.control.memory.held.remove(command).is_some();
        if let Some(shown) = found {
            if self.is_nobodys(client, command, &shown).await {
                return;
            }
            let text = owned::text(&shown);
            tracing::warn!("device {}: found {text} in force, which is not ours", self.id);
            self.control
                .others
                .insert(command.to_owned(), Other::new(text, order.now));
        } else if let Some(value) = values.last().filter(|_| was_ours) {
            // It was ours and cannot be read: it is given back unless it is told again.
            let own = self.own(command, *value, program);
            self.take_over(order, *value, program.clone(), own);
        }
    }

    fn take_over(&mut self, order: &Order, value: f64, program: Program, own: Cells) {
        self.control.memory.hold(&order.command, value);
        let told = Told {
            order: order.clone(),
            value,
            program,
            own,
            at: order.now,
            deadline: deadline(order),
            // Armed and refreshed with the first order.
            proof: Proof::Unsure,
            read_back: order.now,
            begun: Instant::now(),
            retry: None,
        };
        self.control.told.insert(order.command.clone(), told);
    }

    async fn is_nobodys(&self, client: &mut Client, command: &str, shown: &Cells) -> bool {
        if shown.values().all(|w| *w == 0) {
            return true;
        }
        let most = self.compile(command, self.most(command));
        let is_limit = matches!(command, "evse_current_limit" | "pv_limit");
        let open = most.is_ok_and(|p| {
            let own = owned::cells(&p.set);
            shown.iter().all(|(c, w)| own.get(c) == Some(w))
        });
        if is_limit && open {
            return true;
        }
        let Some(first) = self.undo(command).ok().and_then(|u| u.into_iter().next()) else {
            return false;
        };
        let idle = owned::cells(std::slice::from_ref(&first));
        match owned::read(client, self.wiring.unit, &idle).await {
            Ok(words) => words == idle,
            // Unknown is not foreign: no alarm is raised on a guess.
            Err(_) => true,
        }
    }

    /// Registers whose content depends on the command's value.
    fn own(&self, command: &str, value: f64, program: &Program) -> Cells {
        let samples = [0.0, 1.0, -1.0, value * 0.5 + 0.1, self.most(command)];
        let others: Vec<Program> = samples.iter().filter_map(|v| self.compile(command, *v).ok()).collect();
        owned::owned(program, &others)
    }
}

fn deadline(order: &Order) -> Instant {
    Instant::now() + (order.valid_until - order.now).to_std().unwrap_or_default()
}

/// Within which time the effect must be seen.
fn patience(program: &Program) -> TimeDelta {
    match &program.expect {
        Expect::Point { within_s, .. } if *within_s > 0.0 => TimeDelta::milliseconds((within_s * 1e3) as i64),
        _ => PROOF,
    }
}

fn trouble(error: &WireError, part: bool) -> Trouble {
    if error.is_refusal() || matches!(error, WireError::Wrong(_)) {
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
    matches!(error, WireError::Timeout(_) | WireError::Exception(5 | 6))
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

/// Close enough not to wear a register for.
fn is_near(program: &Program, before: f64, after: f64) -> bool {
    let tolerance = match &program.expect {
        Expect::Point { tolerance, .. } => *tolerance,
        _ => 0.0,
    };
    (after - before).abs() <= tolerance.max(0.02 * before.abs().max(after.abs()))
}
