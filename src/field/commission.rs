//! The sign and scale test of one command on a real device: `madang commission`.
//!
//! In: a device, a command, how far it may go. Out: for each conformance mark passed, failed or not tried, with what was
//! seen. Nothing is asked beyond `most`; whatever happens, the command is given back at the end.

use super::client::{Client, WireError};
use super::device::FieldDevice;
use super::dial::Dial;
use super::map::{Value, Values};
use super::plausible::weigh;
use super::program::RegisterWrite;
use super::read::alone;
use super::recognise::identity;
use crate::model::IdentityStatus;
use crate::profile::Profile;
use crate::site::{Address, Device, Id};
use crate::time::Timestamp;
use chrono::TimeDelta;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What the tests may do and how long they may wait.
#[derive(Debug, Clone)]
pub struct Plan {
    pub command: String,
    /// Rating of the device in the command's unit.
    pub rating: f64,
    /// Nothing beyond this is asked.
    pub most: f64,
    /// How long a step may take to show.
    pub patience: Duration,
    /// How long a value must hold.
    pub hold: Duration,
    /// How long to wait for the device to fall back by itself; `None`: not tried.
    pub reversion: Option<Duration>,
    /// How long to wait for somebody else's write; `None`: not tried.
    pub foreign: Option<Duration>,
    pub now: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    Failed,
    NotTried,
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// A mark's name, or `identity`, `readings`, `release`.
    pub test: String,
    pub outcome: Outcome,
    /// In words and numbers.
    pub evidence: String,
}

/// Told while it runs.
pub type Told<'a> = &'a mut (dyn FnMut(&str) + Send);

/// How a command shows: the point it moves, the factor from its value to that point, and what kind of command it is.
struct Sheet {
    points: &'static [&'static str],
    factor: f64,
    /// Takes negative values as well.
    both_ways: bool,
    /// Moves nothing by itself, only bounds it.
    is_limit: bool,
    unit: &'static str,
    /// The smallest value that is not zero, as a share of the rating.
    smallest: f64,
    /// Absolute tolerance, in the command's unit.
    near: f64,
}

/// Commands the assistant knows.
pub const COMMANDS: [&str; 5] = [
    "battery_power",
    "pv_limit",
    "evse_current_limit",
    "heatpump_power",
    "genset_power",
];

fn sheet(command: &str) -> Option<Sheet> {
    let power = Sheet {
        points: &["battery_power", "active_power"],
        factor: 1.0,
        both_ways: true,
        is_limit: false,
        unit: "kW",
        smallest: 0.01,
        near: 0.05,
    };
    Some(match command {
        "battery_power" => power,
        "pv_limit" => Sheet {
            points: &["pv_power", "ac_power", "active_power"],
            factor: -1.0,
            both_ways: false,
            is_limit: true,
            ..power
        },
        "evse_current_limit" => Sheet {
            points: &["applied_limit", "current_limit"],
            both_ways: false,
            unit: "A",
            smallest: 0.0,
            near: 0.6,
            ..power
        },
        "heatpump_power" => Sheet {
            points: &["heatpump_power"],
            both_ways: false,
            smallest: 0.3,
            ..power
        },
        "genset_power" => Sheet {
            points: &["genset_power"],
            factor: -1.0,
            both_ways: false,
            smallest: 0.3,
            ..power
        },
        _ => return None,
    })
}

/// A device under test: its own connection, and the meter that sees what it does.
pub struct Bench {
    pub client: Client,
    pub device: FieldDevice,
    pub meter: Option<(Client, FieldDevice)>,
    /// Who it says it is (INTERFACE `identity`), once it was read.
    pub identity: serde_json::Value,
    /// What this command was last told, and when.
    told: Option<(f64, Instant)>,
    begun: Instant,
    refresh: Duration,
}

/// A bench for the device at an address, and for its meter.
pub fn bench(wiring: Device, profile: Profile, meter: Option<(Address, Profile, u8)>) -> Bench {
    let open = |name: &str, wiring: Device, profile: Profile| {
        let id = Id::new(name);
        let address = wiring.address.clone();
        let client = Client::new(Dial::Sockets, id.clone(), address, profile.link.clone());
        (client, FieldDevice::new(id, wiring, profile))
    };
    let (client, device) = open("device", wiring, profile);
    let meter = meter.map(|(address, profile, unit)| open("meter", alone(&address, unit, &profile), profile));
    Bench::new(client, device, meter)
}

/// Time between two looks at the device.
const LOOK: Duration = Duration::from_millis(500);
/// Attempts to give the command back.
const ATTEMPTS: u32 = 5;

impl Bench {
    pub fn new(client: Client, device: FieldDevice, meter: Option<(Client, FieldDevice)>) -> Self {
        Self {
            client,
            device,
            meter,
            identity: serde_json::Value::Null,
            told: None,
            begun: Instant::now(),
            refresh: Duration::from_secs(10),
        }
    }

    fn now(&self, plan: &Plan) -> Timestamp {
        plan.now + TimeDelta::from_std(self.begun.elapsed()).unwrap_or_default()
    }

    async fn values(&mut self, plan: &Plan) -> Result<Values, WireError> {
        let now = self.now(plan);
        self.device.poll(&mut self.client, now).await
    }

    /// Whether anything was written that has not been given back.
    pub fn is_in_our_hands(&self) -> bool {
        self.told.is_some()
    }

    async fn send(&mut self, list: &[RegisterWrite]) -> Result<(), String> {
        self.device.write_bare(&mut self.client, list).await
    }

    /// Writes the command's program; armed with the first.
    async fn tell(&mut self, plan: &Plan, value: f64) -> Result<(), String> {
        let bounded = value.clamp(-plan.most, plan.most);
        let program = self.device.compile(&plan.command, bounded)?;
        let first = self.told.is_none();
        // From here on something may stand in the device, whatever comes of the writes.
        self.told = Some((bounded, Instant::now()));
        self.refresh = Duration::from_secs_f64((program.refresh_s / 2.0).clamp(2.0, 30.0));
        if first {
            self.send(&program.arm).await?;
        }
        self.send(&program.set).await
    }

    /// Writes again what stands, when it is due.
    async fn refresh(&mut self, plan: &Plan) -> Result<(), String> {
        match self.told {
            Some((value, at)) if at.elapsed() >= self.refresh => self.tell(plan, value).await,
            _ => Ok(()),
        }
    }

    /// Gives the command back, again and again until it is done or hopeless. Says how.
    pub async fn give_back(&mut self, command: &str) -> Result<&'static str, String> {
        if self.told.is_none() {
            return Ok("nothing was in our hands");
        }
        let list = self.device.undo(command)?;
        if list.is_empty() {
            self.told = None;
            return Ok("no longer refreshed: there is nothing to write, the device falls back as its profile says");
        }
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            match self.send(&list).await {
                Ok(()) => {
                    self.told = None;
                    return Ok("given back");
                }
                Err(why) => last = why,
            }
            sleep(Duration::from_millis(500) * (attempt + 1)).await;
        }
        Err(last)
    }

    async fn grid(&mut self, plan: &Plan) -> Option<f64> {
        let now = self.now(plan);
        let (client, meter) = self.meter.as_mut()?;
        let values = meter.poll(client, now).await.ok()?;
        values.get("active_power").and_then(Value::number)
    }
}

/// A run of tests.
struct Run<'a> {
    bench: &'a mut Bench,
    plan: &'a Plan,
    sheet: Sheet,
    told: Told<'a>,
    findings: &'a mut Vec<Finding>,
}

/// Runs all tests that may be run. An error ends them early; what was found until then stands in `findings`.
pub async fn try_out(
    bench: &mut Bench,
    plan: &Plan,
    findings: &mut Vec<Finding>,
    told: Told<'_>,
) -> Result<(), WireError> {
    let Some(sheet) = sheet(&plan.command) else {
        let known = COMMANDS.join(", ");
        return Err(WireError::Wrong(format!(
            "the assistant knows {known}; not `{}`",
            plan.command
        )));
    };
    let mut run = Run {
        bench,
        plan,
        sheet,
        told,
        findings,
    };
    if run.look().await? {
        run.steps().await?;
    }
    Ok(())
}

impl Run<'_> {
    fn find(&mut self, test: &str, outcome: Outcome, evidence: impl Into<String>) {
        let evidence = evidence.into();
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::NotTried => "not tried",
        };
        (self.told)(&format!("{word:<10}{test:<14}{evidence}"));
        self.findings.push(Finding {
            test: test.to_owned(),
            outcome,
            evidence,
        });
    }

    fn judge(&mut self, test: &str, good: bool, evidence: String) -> bool {
        self.find(test, if good { Outcome::Passed } else { Outcome::Failed }, evidence);
        good
    }

    /// Who it is and whether what it shows can be; nothing is written before both are good.
    async fn look(&mut self) -> Result<bool, WireError> {
        let values = self.bench.values(self.plan).await?;
        let device = &self.bench.device;
        let status = device.identity;
        if status == IdentityStatus::Mismatch {
            let why = device.trouble.clone().unwrap_or_else(|| "it is another device".into());
            return Ok(self.judge("identity", false, why));
        }
        let word = if status == IdentityStatus::Confirmed {
            "confirmed"
        } else {
            "unchecked"
        };
        self.bench.identity = match device.identity_text() {
            Some(i) => serde_json::json!({"status": word, "manufacturer": i.manufacturer, "model": i.model,
                "version": i.version, "serial": i.serial}),
            None => identity(word, &values, &[]),
        };
        let said = |key: &str| self.bench.identity[key].as_str().map(str::to_owned);
        let parts = ["status", "manufacturer", "model", "version", "serial"]
            .into_iter()
            .filter_map(said);
        let who = parts.filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ");
        self.find("identity", Outcome::Passed, who);
        match weigh(&values) {
            Ok(e) if e.fits.is_empty() => self.find("readings", Outcome::Passed, "nothing contradicts"),
            Ok(e) => self.find("readings", Outcome::Passed, e.fits.join(", ")),
            Err(why) => return Ok(self.judge("readings", false, why)),
        }
        if self.shown(&values).is_none() {
            let points = self.sheet.points.join(" or ");
            return Ok(self.judge(
                "readings",
                false,
                format!("it shows no {points}: nothing to judge the command by"),
            ));
        }
        Ok(true)
    }

    /// The point the command moves, in the command's unit and sense.
    fn shown(&self, values: &Values) -> Option<f64> {
        let first = self
            .sheet
            .points
            .iter()
            .find_map(|p| values.get(*p).and_then(Value::number));
        first.map(|n| n * self.sheet.factor)
    }

    fn tolerance(&self, value: f64) -> f64 {
        self.sheet.near.max(0.05 * value.abs())
    }

    async fn see(&mut self) -> Result<Option<f64>, WireError> {
        let values = self.bench.values(self.plan).await?;
        Ok(self.shown(&values))
    }

    /// Tells a value and looks until it shows or patience ends: what was seen last, and after how long.
    async fn step(&mut self, value: f64) -> Result<Result<(f64, f64), String>, WireError> {
        self.step_within(value, self.tolerance(value)).await
    }

    async fn step_within(&mut self, value: f64, near: f64) -> Result<Result<(f64, f64), String>, WireError> {
        (self.told)(&format!("          asking {value:.3} {}", self.sheet.unit));
        if let Err(why) = self.bench.tell(self.plan, value).await {
            return Ok(Err(why));
        }
        let begun = Instant::now();
        loop {
            sleep(LOOK).await;
            let seen = self.see().await?;
            let took = begun.elapsed();
            match seen {
                Some(n) if self.is_within(n, value, near) => return Ok(Ok((n, took.as_secs_f64()))),
                Some(n) if took >= self.plan.patience => return Ok(Ok((n, took.as_secs_f64()))),
                None if took >= self.plan.patience => return Ok(Err("the point it moves shows nothing".into())),
                _ => {}
            }
            if let Err(why) = self.bench.refresh(self.plan).await {
                return Ok(Err(why));
            }
        }
    }

    fn obeys(&self, seen: f64, value: f64) -> bool {
        self.is_within(seen, value, self.tolerance(value))
    }

    /// A limit is obeyed by anything below it.
    fn is_within(&self, seen: f64, value: f64, near: f64) -> bool {
        if self.sheet.is_limit {
            seen <= value + near
        } else {
            (seen - value).abs() <= near
        }
    }

    fn said(&self, value: f64, seen: f64, took: f64) -> String {
        let unit = self.sheet.unit;
        format!("asked {value:.3} {unit}, seen {seen:.3} {unit} after {took:.1} s")
    }

    /// All marks, in an order in which each step is small and follows from the last.
    async fn steps(&mut self) -> Result<(), WireError> {
        let before = self.see().await?.unwrap_or(f64::NAN);
        let grid = self.bench.grid(self.plan).await;
        if self.sheet.is_limit && before.abs() < 0.05 * self.plan.rating {
            self.find(
                "sign",
                Outcome::NotTried,
                format!("it generates only {before:.3} kW: come back in sunshine"),
            );
            return Ok(());
        }
        let size = self.size(before);
        if !self.sign_and_scale(size, before, grid).await? {
            // Who turns the wrong way, or a thousandfold, is not asked for more.
            return Ok(());
        }
        self.limits(before).await?;
        self.hold().await?;
        self.clipping().await?;
        self.wear();
        self.reversion(size, before).await?;
        self.foreign(size).await
    }

    /// The known step: a tenth of the rating, at least what can be seen; for a limit half of what is generated.
    fn size(&self, before: f64) -> f64 {
        let size = match (self.sheet.is_limit, self.sheet.unit) {
            (true, _) => before / 2.0,
            (false, "A") => (0.5 * self.plan.rating).max(6.0),
            (false, _) => (0.1 * self.plan.rating)
                .max(4.0 * self.sheet.near)
                .max(self.sheet.smallest * self.plan.rating),
        };
        size.min(self.plan.most)
    }

    async fn sign_and_scale(&mut self, size: f64, before: f64, grid: Option<f64>) -> Result<bool, WireError> {
        let up = match self.step(size).await? {
            Ok(seen) => seen,
            Err(why) => return Ok(self.judge("sign", false, why)),
        };
        let mut said = self.said(size, up.0, up.1);
        let mut turns = up.0 > 0.3 * size;
        if let (Some(was), Some(is)) = (grid, self.bench.grid(self.plan).await) {
            let moved = (is - was) * self.sheet.factor;
            let expected = up.0 - before;
            said += &format!("; the meter moved by {:+.3} kW", is - was);
            // Small moves drown in the household's own.
            turns &= self.sheet.unit != "kW" || expected.abs() < 0.2 || moved * expected > 0.0;
        }
        let mut fits = self.obeys(up.0, size) && up.0 > 0.5 * size;
        if self.sheet.both_ways {
            match self.step(-size).await? {
                Ok(down) => {
                    said += &format!("; {}", self.said(-size, down.0, down.1));
                    turns &= down.0 < -0.3 * size;
                    fits &= self.obeys(down.0, -size);
                }
                Err(why) => return Ok(self.judge("sign", false, why)),
            }
        }
        let sign = self.sign(turns, said.clone()).await?;
        Ok(self.judge("scale", fits, said) && sign)
    }

    /// A charger's limit has no sign of its own: a car must be charging to show one.
    async fn sign(&mut self, turns: bool, said: String) -> Result<bool, WireError> {
        if self.sheet.unit != "A" {
            return Ok(self.judge("sign", turns, said));
        }
        let values = self.bench.values(self.plan).await?;
        let power = values.get("evse_power").and_then(Value::number);
        match power.filter(|kw| kw.abs() > 0.1) {
            Some(kw) => Ok(self.judge("sign", kw > 0.0, format!("a charging car shows as {kw:.3} kW"))),
            None => {
                self.find("sign", Outcome::NotTried, "no car is charging");
                Ok(true)
            }
        }
    }

    /// Zero, the smallest step, the largest value.
    async fn limits(&mut self, before: f64) -> Result<(), WireError> {
        self.limit("limit_zero", 0.0, self.sheet.near).await?;
        let smallest = if self.sheet.unit == "A" {
            6.0
        } else {
            self.sheet.smallest * self.plan.rating
        };
        // Zero must not pass for the smallest step.
        let near = self.tolerance(smallest).min(0.5 * smallest).max(0.4 * self.sheet.near);
        if near < smallest && smallest <= self.plan.most {
            self.limit("limit_one", smallest, near).await?;
        } else {
            self.find(
                "limit_one",
                Outcome::NotTried,
                "the smallest step is too small to see, or beyond what may be asked",
            );
        }
        if self.plan.most < self.plan.rating {
            let (most, rating, unit) = (self.plan.most, self.plan.rating, self.sheet.unit);
            let why = format!("the rating is {rating} {unit}, but only {most} {unit} may be asked (--max-power)");
            self.find("limit_full", Outcome::NotTried, why);
            return Ok(());
        }
        let full = self.plan.rating;
        match self.step(full).await? {
            Ok((seen, took)) => {
                let reached = if self.sheet.is_limit {
                    seen >= 0.7 * before
                } else {
                    self.obeys(seen, full)
                };
                let said = self.said(full, seen, took);
                self.judge("limit_full", reached, said);
            }
            Err(why) => {
                self.judge("limit_full", false, why);
            }
        }
        Ok(())
    }

    async fn limit(&mut self, test: &str, value: f64, near: f64) -> Result<(), WireError> {
        match self.step_within(value, near).await? {
            Ok((seen, took)) => {
                let good = self.is_within(seen, value, near);
                let said = self.said(value, seen, took);
                self.judge(test, good, said);
            }
            Err(why) => {
                self.judge(test, false, why);
            }
        }
        Ok(())
    }

    /// Zero is kept while it is refreshed: neither charges nor discharges.
    async fn hold(&mut self) -> Result<(), WireError> {
        if let Err(why) = self.step(0.0).await? {
            self.judge("hold", false, why);
            return Ok(());
        }
        let (begun, mut worst, mut looks) = (Instant::now(), 0.0f64, 0);
        while begun.elapsed() < self.plan.hold {
            sleep(LOOK).await;
            if let Some(n) = self.see().await? {
                let over = if self.sheet.is_limit { n.max(0.0) } else { n.abs() };
                worst = worst.max(over);
                looks += 1;
            }
            if let Err(why) = self.bench.refresh(self.plan).await {
                self.judge("hold", false, why);
                return Ok(());
            }
        }
        let (seconds, unit) = (self.plan.hold.as_secs(), self.sheet.unit);
        let said = format!("zero for {seconds} s: at most {worst:.3} {unit} in {looks} looks");
        self.judge("hold", looks > 0 && worst <= 2.0 * self.sheet.near, said);
        Ok(())
    }

    /// More than the rating is clipped, by us or by the device, and never wraps.
    async fn clipping(&mut self) -> Result<(), WireError> {
        let (rating, unit) = (self.plan.rating, self.sheet.unit);
        let asked = 1.2 * rating;
        if self.plan.most < rating {
            self.find(
                "clipping",
                Outcome::NotTried,
                "only as much as --max-power allows may be asked",
            );
            return Ok(());
        }
        let wide = Plan {
            most: asked,
            ..self.plan.clone()
        };
        (self.told)(&format!("          asking {asked:.3} {unit}, more than it can"));
        match self.bench.tell(&wide, asked).await {
            Err(why) => {
                self.judge("clipping", true, format!("{asked:.3} {unit} was refused: {why}"));
            }
            Ok(()) => {
                let begun = Instant::now();
                let mut seen = f64::NAN;
                while begun.elapsed() < self.plan.patience {
                    sleep(LOOK).await;
                    seen = self.see().await?.unwrap_or(seen);
                }
                let good = seen >= -self.sheet.near && seen <= rating + self.tolerance(rating);
                self.judge(
                    "clipping",
                    good,
                    format!("asked {asked:.3} {unit} of {rating} {unit}, seen {seen:.3} {unit}"),
                );
            }
        }
        Ok(())
    }

    /// Wear cannot be measured; only what the profile states with its source counts.
    fn wear(&mut self) {
        use crate::profile::Wear;
        let program = self.bench.device.compile(&self.plan.command, 0.0);
        match program.map(|p| p.wear) {
            Ok(Wear::Ram) => self.find("wear", Outcome::Passed, "the profile says that these registers are RAM"),
            Ok(Wear::Nonvolatile) => {
                let said = "the profile says that they wear: written on change only, within a daily budget";
                self.find("wear", Outcome::Passed, said);
            }
            _ => self.find(
                "wear",
                Outcome::NotTried,
                "nobody says whether these registers wear: ask the manufacturer",
            ),
        }
    }

    /// Falls back by itself when nobody speaks.
    async fn reversion(&mut self, size: f64, before: f64) -> Result<(), WireError> {
        let Some(patience) = self.plan.reversion else {
            self.find("reversion", Outcome::NotTried, "--reversion waits for it");
            return Ok(());
        };
        let step = self.far(size, before);
        if let Err(why) = self.step(step).await? {
            self.judge("reversion", false, why);
            return Ok(());
        }
        (self.told)(&format!("          saying nothing for up to {} s", patience.as_secs()));
        let begun = Instant::now();
        while begun.elapsed() < patience {
            sleep(LOOK).await;
            let seen = self.see().await?;
            if seen.is_some_and(|n| !self.obeys(n, step) && (n - step).abs() > 0.3 * step.abs()) {
                let after = begun.elapsed().as_secs_f64();
                let said = format!(
                    "left {step:.3} {} by itself after {after:.0} s of silence",
                    self.sheet.unit
                );
                self.judge("reversion", true, said);
                return Ok(());
            }
        }
        let said = format!(
            "still at {step:.3} {} after {} s of silence",
            self.sheet.unit,
            patience.as_secs()
        );
        self.judge("reversion", false, said);
        Ok(())
    }

    /// A value that the device does not choose by itself.
    fn far(&self, size: f64, before: f64) -> f64 {
        let step = size.max(0.3 * self.plan.most);
        match (self.sheet.is_limit, self.sheet.both_ways) {
            (true, _) => 0.3 * size,
            (false, true) if before > 0.0 => -step,
            _ => step,
        }
    }

    /// Somebody else's write is seen in what the point shows.
    async fn foreign(&mut self, size: f64) -> Result<(), WireError> {
        let Some(patience) = self.plan.foreign else {
            self.find(
                "foreign_mode",
                Outcome::NotTried,
                "--foreign waits for a change made with the vendor's app",
            );
            return Ok(());
        };
        if let Err(why) = self.step(size).await? {
            self.judge("foreign_mode", false, why);
            return Ok(());
        }
        (self.told)("          change its mode or power with the vendor's app now");
        let begun = Instant::now();
        while begun.elapsed() < patience {
            sleep(LOOK).await;
            let seen = self.see().await?;
            if let Some(n) = seen.filter(|n| (n - size).abs() > 0.3 * size.abs() + self.sheet.near) {
                let said = format!("asked {size:.3} {}, somebody else made it {n:.3}", self.sheet.unit);
                self.judge("foreign_mode", true, said);
                return Ok(());
            }
            if let Err(why) = self.bench.refresh(self.plan).await {
                self.judge("foreign_mode", false, why);
                return Ok(());
            }
        }
        self.find("foreign_mode", Outcome::NotTried, "nobody changed anything");
        Ok(())
    }
}
