//! `madang commission`: tries a command on a real device, step by small step, and keeps what was seen as marks.

use super::place::span;
use super::service::told_to_stop;
use super::{BAD, DONE, UNREACHABLE, USAGE, say};
use crate::field::{Bench, COMMANDS, CommissionPlan, Finding, Outcome, bench, try_out};
use crate::profile::{Profile, Wear};
use crate::site::marks::{self, Earned, Subject, TESTS};
use crate::site::{Address, Device, Kind, Site, command_of};
use crate::time::{Clock, SystemClock};
use serde_json::json;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Tries a command on a device: sign, scale, limits, hold, clipping, reversion. The command is given back at the end.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang commission my-site --device inverter\n  madang commission tcp://192.168.1.30:502 --profile sunspec --command battery_power --rating \"5 kW\" --max-power \"1 kW\"\n  madang commission my-site --device inverter --meter tcp://192.168.1.31:502 --meter-profile eastron-sdm630 --reversion 90s --yes\n\n\
                  It WRITES to the device: it says what and asks first, unless --yes. Ctrl-C gives the command back and ends.\n\
                  Exit status: 0 nothing failed, 1 a test failed, 3 the device cannot be reached."
)]
pub struct Args {
    #[command(flatten)]
    place: super::place::PlaceArgs,
    /// battery_power, pv_limit, evse_current_limit, heatpump_power or genset_power; default: what the device is for
    #[arg(long)]
    command: Option<String>,
    /// What the device can, e.g. "5 kW" or "16 A"; default: the site's rating
    #[arg(long)]
    rating: Option<String>,
    /// Nothing beyond this is asked, e.g. "1 kW" or "10 A"; default: the rating
    #[arg(long)]
    max_power: Option<String>,
    /// A meter that sees the device: its address
    #[arg(long, requires = "meter_profile")]
    meter: Option<String>,
    /// Profile of the meter
    #[arg(long)]
    meter_profile: Option<String>,
    /// Unit id of the meter
    #[arg(long)]
    meter_unit: Option<u8>,
    /// How long a step may take to show
    #[arg(long, default_value = "15 s")]
    patience: String,
    /// How long zero must hold
    #[arg(long, default_value = "20 s")]
    hold: String,
    /// Waits so long for the device to fall back by itself
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "120 s")]
    reversion: Option<String>,
    /// Waits so long for a change made with the vendor's app
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "120 s")]
    foreign: Option<String>,
    /// Folder of the site whose marks.toml keeps the results; default: the site's
    #[arg(long, value_name = "FOLDER")]
    site: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

/// Longest wait of a test, s.
const LONGEST_S: i64 = 7200;

/// Where a meter is, its map, its unit.
type Metered = (Address, Profile, u8);

/// What is tried, on what.
struct Job {
    wiring: Device,
    profile: Profile,
    plan: CommissionPlan,
    meter: Option<Metered>,
    folder: Option<PathBuf>,
}

pub fn run(args: Args) -> ExitCode {
    let code = match work(&args) {
        Ok(code) => code,
        Err((code, why)) => {
            if !why.is_empty() {
                eprintln!("{why}");
            }
            code
        }
    };
    ExitCode::from(code)
}

fn work(args: &Args) -> Result<u8, (u8, String)> {
    let job = job(args)?;
    consent(args, &job)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, format!("cannot start the runtime: {e}")))?;
    let tried = runtime.block_on(try_it(args, &job))?;
    finish(args, &job, &tried)
}

fn job(args: &Args) -> Result<Job, (u8, String)> {
    let usage = |why: &str| (USAGE, why.to_owned());
    let super::place::Place { wiring, profile, site } = args.place.find()?;
    let of_site = site.as_ref().map(|site| (site, &wiring));
    let command = command(args, &profile, of_site)?;
    let unit_of = if command == "evse_current_limit" { "A" } else { "kW" };
    let rated = args
        .rating
        .as_deref()
        .map(|t| quantity("rating", t, unit_of))
        .transpose()?;
    let known = of_site.and_then(|(site, device)| rating(site, device, &command));
    let rating = rated
        .or(known)
        .ok_or_else(|| usage("say what the device can: --rating \"5 kW\" (from its type plate)"))?;
    let most = args
        .max_power
        .as_deref()
        .map(|t| quantity("max-power", t, unit_of))
        .transpose()?;
    let plan = CommissionPlan {
        command,
        rating,
        most: most.unwrap_or(rating).min(rating),
        patience: span("patience", &args.patience, LONGEST_S)?,
        hold: span("hold", &args.hold, LONGEST_S)?,
        reversion: args
            .reversion
            .as_deref()
            .map(|t| span("reversion", t, LONGEST_S))
            .transpose()?,
        foreign: args
            .foreign
            .as_deref()
            .map(|t| span("foreign", t, LONGEST_S))
            .transpose()?,
        now: SystemClock.now(),
    };
    let folder = args.site.clone().or_else(|| site.and_then(|s| s.folder));
    let meter = meter(args)?;
    Ok(Job {
        wiring,
        profile,
        plan,
        meter,
        folder,
    })
}

fn meter(args: &Args) -> Result<Option<Metered>, (u8, String)> {
    let (Some(address), Some(profile)) = (&args.meter, &args.meter_profile) else {
        return Ok(None);
    };
    let address = Address::parse(address).map_err(|why| (USAGE, why))?;
    let profile = super::read::find(profile)?;
    let unit = args.meter_unit.or(profile.link.unit).unwrap_or(1);
    Ok(Some((address, profile, unit)))
}

/// What was told, else what the device's first component is moved by, else what the profile has.
fn command(args: &Args, profile: &Profile, site: Option<(&Site, &Device)>) -> Result<String, (u8, String)> {
    let known = COMMANDS.join(", ");
    if let Some(command) = &args.command {
        let is_known = COMMANDS.contains(&command.as_str());
        return is_known
            .then(|| command.clone())
            .ok_or_else(|| (USAGE, format!("the assistant knows {known}")));
    }
    let of_site = site.and_then(|(site, device)| {
        let kinds = device.components.iter().filter_map(|c| site.plant.components.get(c));
        let mut commands: Vec<&str> = kinds.filter_map(|c| command_of(&c.kind)).collect();
        commands.sort_by_key(|c| COMMANDS.iter().position(|k| k == c));
        commands.first().map(|c| (*c).to_owned())
    });
    let of_profile = COMMANDS
        .iter()
        .find(|c| profile.commands.contains_key(**c))
        .map(|c| (*c).to_owned());
    of_site
        .or(of_profile)
        .ok_or_else(|| (USAGE, format!("say which --command: {known}")))
}

/// The rating of the component that the command moves, in the command's unit.
fn rating(site: &Site, device: &Device, command: &str) -> Option<f64> {
    let of = |kind: &Kind| match kind {
        Kind::Battery(b) if command == "battery_power" => Some(b.charge_max.as_kw().min(b.discharge_max.as_kw())),
        Kind::Pv(p) if command == "pv_limit" => Some(p.inverter_max.as_kw()),
        Kind::ChargePoint(c) if command == "evse_current_limit" => Some(c.current_max.as_amps()),
        Kind::HeatPump(h) if command == "heatpump_power" => Some(h.electric_max.as_kw()),
        Kind::Generator(g) if command == "genset_power" => Some(g.power_max.as_kw()),
        _ => None,
    };
    let mut kinds = device.components.iter().filter_map(|c| site.plant.components.get(c));
    kinds.find_map(|c| of(&c.kind))
}

fn quantity(name: &str, text: &str, unit: &str) -> Result<f64, (u8, String)> {
    let wrong = |why: String| (USAGE, format!("--{name} {text}: {why}"));
    let value = if unit == "A" {
        crate::units::Current::parse(text).map(|v| v.as_amps())
    } else {
        crate::units::Power::parse(text).map(|v| v.as_kw())
    };
    let value = value.map_err(|e| wrong(e.to_string()))?;
    if value > 0.0 {
        Ok(value)
    } else {
        Err(wrong("must be above zero".into()))
    }
}

/// Registers that may wear are written about twenty times here.
fn wear(job: &Job) -> &'static str {
    let by_model = job.profile.sunspec.then(|| job.profile.quirks.wear());
    match job.profile.commands.get(&job.plan.command).map(|c| c.wear).or(by_model) {
        Some(Wear::Nonvolatile) => "\nIts registers wear: this test writes them about twenty times.",
        Some(Wear::Unknown) => "\nNobody says whether its registers wear: this test writes them about twenty times.",
        Some(Wear::Ram) | None => "",
    }
}

/// Says what will be written and waits for a yes.
fn consent(args: &Args, job: &Job) -> Result<(), (u8, String)> {
    let unit = if job.plan.command == "evse_current_limit" {
        "A"
    } else {
        "kW"
    };
    let (most, rating) = (job.plan.most, job.plan.rating);
    eprintln!(
        "{} unit {} by profile {}: {} will be written, at most {most} {unit} of {rating} {unit}, and given back at the end.\n\
         Nobody else may control this device meanwhile. Its own protection must be in place.{}",
        job.wiring.address,
        job.wiring.unit,
        job.profile.id,
        job.plan.command,
        wear(job)
    );
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err((USAGE, "nothing was written: nobody can be asked here, say --yes".into()));
    }
    eprint!("Go on? Type yes: ");
    // A terminal that cannot be flushed shows the question later; the answer counts.
    let _late = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim() == "yes" {
        Ok(())
    } else {
        Err((USAGE, "nothing was written".into()))
    }
}

/// What came of it.
struct Tried {
    findings: Vec<Finding>,
    subject: Subject,
    interrupted: bool,
    trouble: Option<String>,
    /// How it was given back, or why not.
    released: Result<&'static str, String>,
}

async fn try_it(args: &Args, job: &Job) -> Result<Tried, (u8, String)> {
    let mut stop = told_to_stop().map_err(|why| (UNREACHABLE, why))?;
    let meter = job.meter.clone();
    let mut under_test: Bench = bench(job.wiring.clone(), job.profile.clone(), meter);
    let mut findings = Vec::new();
    let quiet = args.json;
    let mut told = |line: &str| {
        if quiet {
            eprintln!("{line}");
        } else {
            say(line);
        }
    };
    let (mut interrupted, mut trouble) = (false, None);
    tokio::select! {
        biased;
        _ = stop.changed() => interrupted = true,
        done = try_out(&mut under_test, &job.plan, &mut findings, &mut told) => {
            trouble = done.err().map(|e| e.to_string());
        }
    }
    // Whatever happened: the device gets its own mind back.
    let released = under_test.give_back(&job.plan.command).await;
    let subject = subject(job, &under_test);
    if findings.is_empty() && !interrupted {
        let why = trouble.unwrap_or_else(|| "nothing was read".into());
        return Err((UNREACHABLE, format!("{}: {why}", job.wiring.address)));
    }
    Ok(Tried {
        findings,
        subject,
        interrupted,
        trouble,
        released,
    })
}

fn subject(job: &Job, bench: &Bench) -> Subject {
    let said = |key: &str| bench.identity[key].as_str().unwrap_or_default().to_owned();
    Subject {
        address: job.wiring.address.to_string(),
        unit: job.wiring.unit,
        profile: job.profile.id.clone(),
        manufacturer: said("manufacturer"),
        model: said("model"),
        firmware: said("version"),
        serial: said("serial"),
    }
}

fn finish(args: &Args, job: &Job, tried: &Tried) -> Result<u8, (u8, String)> {
    let file = keep(job, tried).map_err(|why| (BAD, why))?;
    let failed = tried.findings.iter().any(|f| f.outcome == Outcome::Failed);
    if args.json {
        let doc = json!({"address": job.wiring.address.to_string(), "unit_id": job.wiring.unit, "profile": job.profile.id,
            "command": job.plan.command, "identity": tried.subject, "tests": tried.findings,
            "interrupted": tried.interrupted, "trouble": tried.trouble, "released": tried.released.is_ok(),
            "marks": file});
        say(&format!("{doc:#}"));
    } else {
        summary(tried, file.as_deref());
    }
    if let Err(why) = &tried.released {
        eprintln!(
            "NOT GIVEN BACK: {why}. Switch the device to its own control by hand now (restart it, or use the vendor's app)."
        );
    }
    let good = !failed && !tried.interrupted && tried.trouble.is_none() && tried.released.is_ok();
    Ok(if good { DONE } else { BAD })
}

fn summary(tried: &Tried, file: Option<&std::path::Path>) {
    if tried.interrupted {
        say("interrupted");
    }
    if let Some(why) = &tried.trouble {
        say(&format!("ended early: {why}"));
    }
    if let Ok(how) = &tried.released {
        say(how);
    }
    match file {
        Some(path) => say(&format!("kept in {}", path.display())),
        None => say("kept nowhere: --site FOLDER keeps the marks beside the site file"),
    }
}

/// Marks of what was really tried.
fn keep(job: &Job, tried: &Tried) -> Result<Option<PathBuf>, String> {
    let Some(folder) = &job.folder else { return Ok(None) };
    let is_mark = |f: &&Finding| f.outcome != Outcome::NotTried && TESTS.contains(&f.test.as_str());
    let earned: Vec<Earned> = tried
        .findings
        .iter()
        .filter(is_mark)
        .map(|f| Earned {
            command: job.plan.command.clone(),
            test: f.test.clone(),
            passed: f.outcome == Outcome::Passed,
            date: job.plan.now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            evidence: f.evidence.clone(),
            on: tried.subject.clone(),
        })
        .collect();
    if earned.is_empty() {
        return Ok(None);
    }
    marks::record(folder, &earned).map(Some)
}
