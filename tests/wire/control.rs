//! Verified control against a device that is not ours and can be made to do anything: slow effect, no effect, other
//! masters, memory that wears, restarts.

use chrono::TimeDelta;
use madang::cycle::FieldPort;
use madang::field::{Dial, Field, LinkThread, Options};
use madang::model::{
    CommandHealth, CommandProof, DecisionId, FieldMemory, Reason, ReasonCode, Setpoint, Target, WriteOutcome,
};
use madang::site::{Address, Id, Mode, Site, builtin};
use madang::time::Timestamp;
use madang::units::Power;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Setpoint (i32, W) at 10, lease at 12, the setpoint applied (i32, W) at 20.
const PROFILE: &str = r#"
schema = "profile/1"
id = "pump"
kind = "heatpump"
models = ["a pump of this test"]
[link]
transport = ["tcp"]
port = 502
unit = 1
timeout_ms = 300
MANNERS
[defaults]
table = "holding"
type = "u16"
words = "hi_first"
[[blocks]]
name = "live"
addr = 0
count = 24
every = "fast"
[[points]]
name = "heatpump_power"
addr = 0
type = "i32"
scale = 0.001
unit = "kW"
[[points]]
name = "applied"
addr = 20
type = "i32"
scale = 0.001
unit = "kW"
[commands.heatpump_power]
unit = "kW"
min = 0
max = 5
set = [{ addr = 10, type = "i32", scale = 1000 }, { addr = 12, value = 60, together = true }]
release = [{ addr = 12, value = 0 }]
verify = { point = "applied", tolerance = 0.01, within_s = 4 }
refresh_s = 20
device_timeout_s = 60
on_loss = "goes its own way"
wear = "WEAR"
"#;

#[derive(Debug, Default)]
struct Pump {
    registers: Vec<u16>,
    /// Second of the site's time, as the test says.
    second: i64,
    /// Every write: when, where, what.
    writes: Vec<(i64, u16, Vec<u16>)>,
    /// The setpoint applies so many seconds after it was written; `None` never.
    delay: Option<i64>,
    written_at: i64,
    /// Answers to writes that get lost, one after another.
    losses: u32,
    /// So many answers show these words in place of the setpoint.
    noise: u32,
    shown: [u16; 2],
}

impl Pump {
    fn setpoint(&self) -> i32 {
        (i32::from(self.registers[10]) << 16) | i32::from(self.registers[11])
    }
    fn put(&mut self, addr: usize, words: &[u16]) {
        self.registers[addr..addr + words.len()].copy_from_slice(words);
    }
    /// Another master writes a setpoint.
    fn overwrite(&mut self, watts: u16) {
        self.put(10, &[0, watts]);
    }
    fn settle(&mut self) {
        if self.delay.is_some_and(|d| self.second - self.written_at >= d) {
            let now = [self.registers[10], self.registers[11]];
            self.put(20, &now);
        }
    }
    fn answer(&mut self, pdu: &[u8]) -> Option<Vec<u8>> {
        let addr = u16::from_be_bytes([pdu[1], pdu[2]]);
        let count = u16::from_be_bytes([pdu[3], pdu[4]]);
        if pdu[0] == 16 {
            let words: Vec<u16> = pdu[6..].chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
            self.put(usize::from(addr), &words);
            self.writes.push((self.second, addr, words));
            if addr == 10 {
                self.written_at = self.second;
            }
            if self.losses > 0 {
                self.losses -= 1;
                return None;
            }
            return Some(pdu[..5].to_vec());
        }
        self.settle();
        let mut registers = self.registers.clone();
        if self.noise > 0 && (addr..addr + count).contains(&10) {
            self.noise -= 1;
            registers[10..12].copy_from_slice(&self.shown);
        }
        let words = &registers[usize::from(addr)..usize::from(addr + count)];
        let mut answer = vec![pdu[0], count as u8 * 2];
        answer.extend(words.iter().flat_map(|w| w.to_be_bytes()));
        Some(answer)
    }
}

async fn serve(pump: Arc<Mutex<Pump>>, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = [0u8; 7];
        stream.read_exact(&mut head).await?;
        let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
        stream.read_exact(&mut pdu).await?;
        let Some(answer) = pump.lock().unwrap().answer(&pdu) else {
            continue;
        };
        let mut frame = vec![head[0], head[1], 0, 0];
        frame.extend((answer.len() as u16 + 1).to_be_bytes());
        frame.push(head[6]);
        frame.extend(answer);
        stream.write_all(&frame).await?;
    }
}

struct Bench {
    pump: Arc<Mutex<Pump>>,
    field: Field,
    site: Site,
    second: i64,
    _folder: tempfile::TempDir,
}

fn at(second: i64) -> Timestamp {
    "2026-05-12T00:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::seconds(second)
}

fn options() -> Options {
    Options {
        patience: Duration::from_millis(400),
        silent_after: TimeDelta::hours(30),
    }
}

/// A home whose only device is the pump at this port.
fn pump_site(profile: &str, port: u16) -> (Site, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("profiles")).unwrap();
    std::fs::write(folder.path().join("profiles/pump.toml"), profile).unwrap();
    let mut site = builtin("home-amsterdam").unwrap();
    site.plant.mode = Mode::Control;
    site.wiring.devices.retain(|id, _| id.as_str() == "heat-pump");
    let d = site.wiring.devices.get_mut(&Id::new("heat-pump")).unwrap();
    d.address = Address::parse(&format!("tcp://127.0.0.1:{port}")).unwrap();
    (d.profile, d.identity_confirmed, d.control) = ("pump".into(), true, true);
    site.folder = Some(folder.path().to_owned());
    (site, folder)
}

impl Bench {
    async fn new(wear: &str, manners: &str, delay: Option<i64>) -> Self {
        let mut profile = PROFILE.replace("WEAR", wear).replace("MANNERS", manners);
        if wear != "ram" {
            // what wears is written on change only
            profile = profile.replace("refresh_s = 20\n", "");
        }
        Self::of(&profile, delay).await
    }

    async fn of(profile: &str, delay: Option<i64>) -> Self {
        let pump = Pump {
            registers: vec![0; 64],
            delay,
            ..Pump::default()
        };
        let pump = Arc::new(Mutex::new(pump));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = pump.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(served.clone(), stream));
            }
        });
        let (site, folder) = pump_site(profile, port);
        let mut field = Field::new(&site, &Dial::Sockets, options()).unwrap();
        field.set_mode(Mode::Control);
        Self {
            pump,
            field,
            site,
            second: 0,
            _folder: folder,
        }
    }

    /// A new process at the same device; the old one is gone without a word.
    fn restart(&mut self, memory: &FieldMemory) {
        let mut field = Field::new(&self.site, &Dial::Sockets, options()).unwrap();
        field.set_mode(Mode::Control);
        field.remember(memory);
        // a killed process gives nothing back
        std::mem::forget(std::mem::replace(&mut self.field, field));
    }

    fn go_to(&mut self, second: i64) {
        self.second = second;
        self.pump.lock().unwrap().second = second;
    }

    /// One cycle a second later: a poll, then the order if there is one; what became of the command.
    async fn cycle(&mut self, order: Option<(f64, ReasonCode)>) -> Vec<WriteOutcome> {
        self.go_to(self.second + 1);
        let now = at(self.second);
        self.field.scan(now).await;
        let setpoints: Vec<Setpoint> = order
            .map(|(kw, code)| Setpoint {
                component: Id::new("heat-pump"),
                target: Target::Power(Power::kw(kw)),
                valid_until: now + TimeDelta::seconds(30),
                reason: Reason::new(code),
                decision: DecisionId(self.second as u64),
            })
            .into_iter()
            .collect();
        let reports = self.field.apply(now, &setpoints).await;
        reports.into_iter().map(|r| r.outcome).collect()
    }

    async fn plan(&mut self, kw: f64) -> Vec<WriteOutcome> {
        self.cycle(Some((kw, ReasonCode::FollowPlan))).await
    }

    fn setpoints(&self) -> Vec<(i64, Vec<u16>)> {
        let pump = self.pump.lock().unwrap();
        let of = pump.writes.iter().filter(|(_, addr, _)| *addr == 10);
        of.map(|(t, _, w)| (*t, w.clone())).collect()
    }

    fn releases(&self) -> Vec<i64> {
        let pump = self.pump.lock().unwrap();
        let of = pump.writes.iter().filter(|(_, addr, _)| *addr == 12);
        of.map(|(t, ..)| *t).collect()
    }

    /// Restarts noticed so far.
    async fn restarts(&mut self) -> u64 {
        self.field.scan(at(self.second)).await.devices[0].link.restarts
    }

    async fn health(&mut self) -> Option<CommandHealth> {
        let scan = self.field.scan(at(self.second)).await;
        scan.devices[0].commands.first().cloned()
    }
}

fn why(outcomes: &[WriteOutcome]) -> String {
    match outcomes.last() {
        Some(WriteOutcome::Withheld(why) | WriteOutcome::Failed(why)) => why.clone(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_slow_effect_is_pending_and_then_verified_without_holding_the_link() {
    let mut b = Bench::new("ram", "", Some(3)).await;
    b.cycle(None).await;
    let begun = std::time::Instant::now();
    assert_eq!(b.plan(2.0).await, [WriteOutcome::Pending]);
    assert!(begun.elapsed() < Duration::from_millis(350), "the order held the link");
    let mut verified = None;
    for _ in 0..5 {
        if b.plan(2.0).await.contains(&WriteOutcome::Verified) {
            verified = Some(b.second);
        }
    }
    assert_eq!(verified, Some(5), "written in second 2, applied in second 5");
    assert_eq!(b.setpoints(), [(2, vec![0, 2000, 60])], "one request, once");
    for _ in 0..20 {
        b.plan(2.0).await;
    }
    let times: Vec<i64> = b.setpoints().iter().map(|(t, _)| *t).collect();
    assert_eq!(times, [2, 22], "refreshed well before the device's 60 s");
}

#[tokio::test]
async fn what_is_not_obeyed_fails_within_its_time_and_is_taken_back() {
    let mut b = Bench::new("ram", "", None).await;
    b.cycle(None).await;
    b.plan(2.0).await;
    let mut failed = None;
    for _ in 0..6 {
        let outcomes = b.plan(2.0).await;
        if let Some(WriteOutcome::Failed(why)) = outcomes.first()
            && failed.is_none()
        {
            assert!(why.contains("applied"), "{why}");
            failed = Some(b.second);
        }
    }
    assert_eq!(failed, Some(6), "written in second 2, 4 s to show it");
    assert_eq!(b.releases(), [6]);
    let tries = b.setpoints().len();
    for _ in 0..60 {
        b.plan(2.0).await;
    }
    let more = b.setpoints().len() - tries;
    assert!(
        (2..=12).contains(&more),
        "{more} attempts in a minute: neither given up nor a flood"
    );
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_an_open_question_is_written_anew() {
    let mut b = Bench::new("ram", "", Some(0)).await;
    b.cycle(None).await;
    b.pump.lock().unwrap().losses = 1;
    let mut outcomes = b.plan(2.0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    outcomes.extend(b.plan(2.0).await);
    assert!(outcomes.contains(&WriteOutcome::Verified), "{outcomes:?}");
    assert_eq!(b.setpoints().len(), 2);
    b.pump.lock().unwrap().losses = 2;
    b.plan(3.0).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.extend(b.plan(3.0).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(outcomes.contains(&WriteOutcome::Verified), "{outcomes:?}");
    assert_eq!(b.releases(), [0i64; 0], "nothing was taken back for a lost answer");
    assert_eq!(b.pump.lock().unwrap().setpoint(), 3000);
}

#[tokio::test]
async fn a_lease_that_nobody_refreshes_is_given_back() {
    let mut b = Bench::new("ram", "", Some(0)).await;
    b.cycle(None).await;
    assert_eq!(b.plan(2.0).await, [WriteOutcome::Verified]);
    for _ in 0..40 {
        b.cycle(None).await;
    }
    assert_eq!(b.releases(), [32], "set in second 2 for 30 s");
    // and by the link's own timer when even the polls stop
    let now = at(b.second);
    let lease = Setpoint {
        component: Id::new("heat-pump"),
        target: Target::Power(Power::kw(1.0)),
        valid_until: now + TimeDelta::milliseconds(700),
        reason: Reason::new(ReasonCode::FollowPlan),
        decision: DecisionId(9),
    };
    b.field.apply(now, &[lease]).await;
    assert_eq!(b.releases().len(), 1);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(b.releases().len(), 2);
}

#[tokio::test]
async fn a_register_that_wears_has_a_daily_budget_that_survives_restarts() {
    for wear in ["nonvolatile", "unknown"] {
        let mut b = Bench::new(wear, "", Some(0)).await;
        b.cycle(None).await;
        for i in 0..40 {
            b.plan(1.0 + f64::from(i % 2)).await;
        }
        assert_eq!(b.setpoints().len(), 24);
        let said = why(&b.plan(1.5).await);
        assert!(said.contains("24 writes of today are used"), "{said}");
        let memory = b.field.memory().unwrap().clone();
        let wear_of = |m: &FieldMemory| m.devices[&Id::new("heat-pump")].wear["register 10"].clone();
        assert_eq!((wear_of(&memory).total, wear_of(&memory).today), (24, 24));
        // a limit that must hold is written all the same, and named
        let limit = b.cycle(Some((0.5, ReasonCode::LimitImport))).await;
        assert_eq!(limit, [WriteOutcome::Verified]);
        let health = b.health().await.unwrap();
        assert!(health.worn.as_deref().unwrap_or("").contains("limit"), "{health:?}");
        // a new process knows
        let memory = b.field.memory().unwrap().clone();
        b.restart(&memory);
        b.cycle(None).await;
        let said = why(&b.plan(2.0).await);
        assert!(said.contains("writes of today are used"), "{said}");
        assert_eq!(b.setpoints().len(), 25);
        // and the next day has its own budget
        b.go_to(86_400);
        b.cycle(None).await;
        assert_eq!(b.plan(2.0).await.last(), Some(&WriteOutcome::Verified));
        assert_eq!(wear_of(b.field.memory().unwrap()).total, 26);
        // small changes are not worth a write
        b.plan(2.02).await;
        assert_eq!(b.setpoints().len(), 26);
    }
}

#[tokio::test]
async fn another_master_is_noticed_answered_three_times_and_left_alone() {
    let mut b = Bench::new("ram", "", Some(0)).await;
    b.cycle(None).await;
    b.plan(2.0).await;
    // a countdown of the lease is no foreign value
    b.pump.lock().unwrap().put(12, &[41]);
    b.plan(2.0).await;
    assert_eq!(b.health().await.unwrap().foreign, None);
    let before = b.setpoints().len();
    let mut noticed = None;
    for _ in 0..600 {
        b.pump.lock().unwrap().overwrite(4321);
        b.plan(2.0 + 0.1 * (b.second % 3) as f64).await;
        if noticed.is_none() && b.health().await.is_some_and(|h| h.foreign.is_some()) {
            noticed = Some(b.second);
        }
    }
    assert!(noticed.is_some_and(|t| t <= 6), "{noticed:?}");
    let attempts: Vec<i64> = b.setpoints()[before..].iter().map(|(t, _)| *t).collect();
    assert_eq!(attempts.len(), 3, "{attempts:?}");
    assert!(
        attempts[1] - attempts[0] >= 30 && attempts[2] - attempts[1] >= 120,
        "{attempts:?}"
    );
    let said = why(&b.plan(1.0).await);
    assert!(said.contains("another controller is active"), "{said}");
    assert_eq!(b.releases(), [0i64; 0], "its value is not released either");
    let memory = b.field.memory().unwrap().clone();
    assert!(!memory.devices[&Id::new("heat-pump")].yielded.is_empty());
    // the owner wants it back
    b.field.take_back();
    assert_eq!(b.plan(1.0).await.last(), Some(&WriteOutcome::Verified));
}

#[tokio::test]
async fn what_noise_makes_of_our_own_value_is_nobody_s() {
    for (what, shown, looks) in [
        ("its words in the other order", [2000, 0], 8),
        ("no value", [0x8000, 0], 8),
        ("zeros in three answers", [0, 0], 3),
        ("another number in two answers", [0, 4321], 2),
    ] {
        let mut b = Bench::new("ram", "", Some(0)).await;
        b.cycle(None).await;
        b.plan(2.0).await;
        (b.pump.lock().unwrap().noise, b.pump.lock().unwrap().shown) = (looks, shown);
        for _ in 0..4 {
            b.plan(2.0).await;
            assert_eq!(b.health().await.unwrap().foreign, None, "{what}");
        }
        assert_eq!(
            (b.setpoints().len(), b.releases(), b.restarts().await),
            (1, vec![], 0),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_restart_adopts_its_own_gives_back_what_is_not_wanted_and_asks_before_taking_anothers() {
    let mut b = Bench::new("ram", "", Some(0)).await;
    b.cycle(None).await;
    b.plan(2.0).await;
    let memory = b.field.memory().unwrap().clone();
    // still wanted: armed and refreshed at once, no alarm
    b.restart(&memory);
    b.cycle(None).await;
    let adopted = b.health().await.unwrap();
    assert_eq!((adopted.value, adopted.foreign), (Some(2.0), None));
    assert_eq!(b.plan(2.0).await, [WriteOutcome::Verified]);
    // wanted no more: given back when its lease ends
    b.restart(&memory);
    let from = b.second;
    for _ in 0..40 {
        b.cycle(None).await;
    }
    assert_eq!(b.releases(), [from + 31]);
    // meant, and perhaps written, when the process died
    let mut meant = memory.clone();
    meant
        .intended
        .insert(Id::new("heat-pump"), Target::Power(Power::kw(3.0)));
    b.pump.lock().unwrap().put(10, &[0, 3000, 60]);
    b.restart(&meant);
    b.cycle(None).await;
    assert_eq!(b.health().await.unwrap().value, Some(3.0));
    // somebody else's
    b.pump.lock().unwrap().overwrite(4444);
    b.restart(&memory);
    b.cycle(None).await;
    let said = why(&b.plan(2.0).await);
    assert!(said.contains("another controller wrote 11 = 4444"), "{said}");
    assert_eq!(b.pump.lock().unwrap().setpoint(), 4444);
    let mut taken = None;
    for _ in 0..15 {
        if b.plan(2.0).await.contains(&WriteOutcome::Verified) && taken.is_none() {
            taken = Some(b.second);
        }
    }
    assert!(taken.is_some(), "it is taken over by the rules");
    // idle as the device was found by a first process: nobody's
    b.field.release().await;
    b.restart(&FieldMemory::default());
    b.pump.lock().unwrap().overwrite(777);
    b.cycle(None).await;
    assert_eq!(
        b.plan(2.0).await,
        [WriteOutcome::Verified],
        "its lease is over: nobody holds it"
    );
}

#[tokio::test]
async fn a_device_that_takes_few_writes_gets_few_and_the_newest() {
    let mut b = Bench::new("ram", "min_write_ms = 5000", Some(0)).await;
    b.cycle(None).await;
    for i in 0..16 {
        b.plan(1.0 + 0.1 * f64::from(i)).await;
    }
    let times: Vec<i64> = b.setpoints().iter().map(|(t, _)| *t).collect();
    assert_eq!(times, [2, 7, 12, 17]);
    assert_eq!(b.pump.lock().unwrap().setpoint(), 2500);
}

#[tokio::test]
async fn a_stop_gives_everything_back() {
    let mut b = Bench::new("ram", "", Some(0)).await;
    b.cycle(None).await;
    b.plan(2.0).await;
    let reports = b.field.release().await;
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].outcome, WriteOutcome::Verified);
    assert_eq!(b.releases(), [2]);
    assert_eq!(b.health().await.map(|h| h.proof), None::<CommandProof>);
    assert!(b.field.memory().unwrap().devices[&Id::new("heat-pump")].held.is_empty());
}

/// The pump is switched on by register 30 before its first setpoint.
fn armed() -> String {
    let plain = PROFILE.replace("WEAR", "ram").replace("MANNERS", "");
    plain.replace(
        "unit = \"kW\"\nmin = 0",
        "unit = \"kW\"\nmin = 0\narm = [{ addr = 30, value = 1 }]",
    )
}

#[tokio::test]
async fn a_device_that_forgot_all_it_was_told_is_told_anew_at_once_without_an_alarm() {
    let mut b = Bench::of(&armed(), Some(0)).await;
    b.cycle(None).await;
    b.plan(2.0).await;
    b.plan(2.0).await;
    let forget = |b: &Bench| b.pump.lock().unwrap().registers.fill(0);
    let armed = |b: &Bench| b.pump.lock().unwrap().registers[30];
    forget(&b);
    let at = b.second;
    for _ in 0..3 {
        b.plan(2.0).await;
    }
    let anew: Vec<i64> = b.setpoints().iter().map(|(t, _)| *t).filter(|t| *t > at).collect();
    assert_eq!((anew, armed(&b), b.restarts().await), (vec![at + 1], 1, 1));
    assert_eq!(b.health().await.unwrap().foreign, None);
    // Again so soon: somebody takes it back, and that counts as answered once.
    forget(&b);
    for _ in 0..3 {
        b.plan(2.0).await;
    }
    let foreign = b.health().await.unwrap().foreign.unwrap();
    assert_eq!((foreign.reasserted, b.restarts().await), (1, 1));
    // A value of zero alone, with everything else as we left it, is no restart.
    let mut b = Bench::of(&self::armed(), Some(0)).await;
    b.cycle(None).await;
    b.plan(2.0).await;
    b.pump.lock().unwrap().overwrite(0);
    b.plan(2.0).await;
    assert!(b.health().await.unwrap().foreign.is_some() && b.restarts().await == 0);
}

#[tokio::test]
async fn a_device_whose_countdown_stands_at_zero_has_restarted_however_often() {
    let countdown = "[[points]]\nname = \"left\"\naddr = 13\nunit = \"s\"\n[commands.";
    let profile = PROFILE
        .replacen("[commands.", countdown, 1)
        .replace("refresh_s = 20", "refresh_s = 20\ncountdown_point = \"left\"")
        .replace("MANNERS", "")
        .replace("WEAR", "ram");
    for (what, left, restarts) in [("it counts: another wrote", 55, 0), ("it stands at 0", 0, 3)] {
        let mut b = Bench::of(&profile, Some(0)).await;
        b.cycle(None).await;
        for _ in 0..3 {
            b.pump.lock().unwrap().put(13, &[58]);
            b.plan(2.0).await;
            b.plan(2.0).await;
            b.pump.lock().unwrap().overwrite(4_321);
            b.pump.lock().unwrap().put(13, &[left]);
            b.plan(2.0).await;
        }
        let foreign = b.health().await.unwrap().foreign.is_some();
        assert_eq!((foreign, b.restarts().await), (restarts == 0, restarts), "{what}");
    }
}

#[tokio::test]
async fn an_uptime_that_begins_anew_has_everything_told_anew_whatever_the_registers_show() {
    let uptime =
        "[[points]]\nname = \"uptime\"\naddr = 22\ntype = \"u32\"\nunit = \"s\"\nrole = \"uptime\"\n[commands.";
    let profile = armed().replacen("[commands.", uptime, 1);
    let mut b = Bench::of(&profile, Some(0)).await;
    let up = |b: &Bench, since: i64| b.pump.lock().unwrap().put(22, &[0, (b.second + 1 - since) as u16]);
    up(&b, -5_000);
    b.cycle(None).await;
    for _ in 0..3 {
        up(&b, -5_000);
        b.plan(2.0).await;
    }
    // It comes back with a limit of its own (ABB's charger does).
    b.pump.lock().unwrap().overwrite(4_321);
    let at = b.second;
    for _ in 0..4 {
        up(&b, at);
        b.plan(2.0).await;
    }
    let anew: Vec<i64> = b.setpoints().iter().map(|(t, _)| *t).filter(|t| *t > at).collect();
    assert_eq!((anew, b.restarts().await), (vec![at + 2], 1));
    assert_eq!(b.health().await.unwrap().foreign, None);
}

/// A pump behind a runtime of its own, a field whose links have their own thread, and a thread that holds its loop up.
fn held_up(end: impl FnOnce(Field, &dyn Fn() -> bool)) -> Duration {
    let devices = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let profile = PROFILE.replace("WEAR", "ram").replace("MANNERS", "");
    let pump = Arc::new(Mutex::new(Pump {
        registers: vec![0; 64],
        delay: Some(0),
        ..Pump::default()
    }));
    let listener = devices.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = pump.clone();
    devices.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(served.clone(), stream));
        }
    });
    let (site, folder) = pump_site(&profile, port);
    let links = LinkThread::start().unwrap();
    let field = Field::on_thread(&site, options(), &links).unwrap();
    let looping = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut bench = Bench {
        pump: pump.clone(),
        field,
        site,
        second: 0,
        _folder: folder,
    };
    looping.block_on(async {
        bench.field.set_mode(Mode::Control);
        while pump.lock().unwrap().setpoint() != 2000 {
            assert!(bench.second < 30, "the pump is told");
            bench.plan(2.0).await;
        }
    });
    assert_ne!(pump.lock().unwrap().registers[12], 0, "in our hands");
    // From here on nobody runs the loop.
    let begun = std::time::Instant::now();
    let given_back = || pump.lock().unwrap().registers[12] == 0;
    end(bench.field, &given_back);
    assert!(links.finish(Duration::from_secs(3)), "the links end with their field");
    assert!(given_back());
    begun.elapsed()
}

#[test]
fn devices_are_given_back_while_nobody_runs_the_loop() {
    let took = held_up(|field, given_back| {
        assert!(field.hand().give_back().is_empty());
        let end = std::time::Instant::now() + Duration::from_secs(3);
        while !given_back() {
            assert!(
                std::time::Instant::now() < end,
                "by a watchdog, while the field is still there"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(took < Duration::from_secs(3), "{took:?}");
    // a loop that fell takes its field with it
    let took = held_up(|field, _| drop(field));
    assert!(took < Duration::from_secs(3), "by the links: {took:?}");
}
