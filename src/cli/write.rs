//! `madang write`: one verified command for one device, for commissioning.

use super::profiles::{find, options};
use super::{BAD, DONE, UNREACHABLE, USAGE};
use crate::field::{
    Amount, INVERTER_STATES, Planned, PlannedWrite, ReadError, Told, Wish, WriteOnce, plan_with_device,
    plan_without_device, write_once,
};
use crate::model::WriteOutcome;
use crate::profile::{Command, Profile};
use crate::site::{Device, Kind, Site};
use crate::time::SystemClock;
use crate::units::{Current, Power, parse_duration, parse_share};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// One verified command for one device.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang write tcp://192.168.1.40:502 --profile goodwe-et battery_power \"-3 kW\"\n  \
                  madang write tcp://192.168.1.40:502 --profile goodwe-et battery_power \"-3 kW\" --yes\n  \
                  madang write tcp://192.168.1.40:502 --profile goodwe-et battery_power release --yes\n  \
                  madang write tcp://192.168.1.40:502 --profile solaredge-storedge pv_limit \"60 %\" --yes\n  \
                  madang write tcp://192.168.1.50:502 --profile stiebel-wpm-sg-ready sg_ready boost --yes\n\n\
                  Without --yes it prints the register writes it would make and ends with 2. Signs: charging is positive,\n\
                  discharging negative. A percentage is one of the rating: what the device says, --rating, or the site's.\n\
                  What is not seen to work is taken back; a release that is refused is tried three times. Commands: madang\n\
                  devices NAME\n\n\
                  Exit status: 0 done, 1 the device refuses, is another one, or does not obey, 2 wrong usage or no --yes,\n\
                  3 no answer."
)]
pub struct Args {
    /// tcp://host:port, rtu+tcp://host:port or rtu:///dev/ttyUSB0?baud=9600
    address: String,
    /// Name of a profile, or path of a profile file (.toml)
    #[arg(long)]
    profile: String,
    /// A command of the profile: battery_power, evse_current_limit, …
    command: String,
    /// "3 kW", "-3 kW", "60 %", "16 A", on, off, release, or a word of the command
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Really write
    #[arg(long)]
    yes: bool,
    /// Unit (slave) id; default: the profile's, else 1
    #[arg(long)]
    unit: Option<u8>,
    /// A number of this installation that the profile asks for: --option phases=1
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// The rating that a percentage is one of, e.g. "10 kW" or "32 A"; default: what the site or the device says
    #[arg(long)]
    rating: Option<String>,
    /// Site whose own profiles are looked at first, and whose ratings are taken (its folder)
    #[arg(long)]
    site: Option<PathBuf>,
    #[command(flatten)]
    tls: super::tls::Files,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

type Failure = (u8, String);

pub fn run(args: Args) -> ExitCode {
    let code = write(&args).unwrap_or_else(|(code, why)| {
        eprintln!("{why}");
        code
    });
    ExitCode::from(code)
}

fn write(args: &Args) -> Result<u8, Failure> {
    let wish = wish(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, format!("cannot start the runtime: {e}")))?;
    if !args.yes {
        let plan = match plan_without_device(&wish) {
            Some(plan) => plan.map_err(|why| (BAD, format!("`{}`: {why}", wish.command)))?,
            None => runtime
                .block_on(plan_with_device(&wish, &SystemClock))
                .map_err(code_of)?,
        };
        show_plan(args, &wish, &plan);
        return Ok(USAGE);
    }
    let done = runtime.block_on(write_once(&wish, &SystemClock)).map_err(code_of)?;
    show_done(args, &wish, &done);
    match &done.outcome {
        WriteOutcome::Verified | WriteOutcome::Pending => Ok(DONE),
        WriteOutcome::Failed(why) | WriteOutcome::Withheld(why) => Err((BAD, failed(&wish, &done, why))),
    }
}

fn code_of(error: ReadError) -> Failure {
    match error {
        ReadError::Unreachable { .. } => (UNREACHABLE, error.to_string()),
        ReadError::NotThat { .. } | ReadError::Cannot { .. } => (BAD, error.to_string()),
    }
}

/// What failed, what that leaves in force, and what to do.
fn failed(wish: &Wish, done: &WriteOnce, why: &str) -> String {
    let command = &wish.command;
    let shown = done
        .in_force
        .as_ref()
        .map(|(point, value)| format!("its `{point}` shows {value}"));
    if wish.value.is_some() {
        let shown = shown.map(|s| format!("; {s} now")).unwrap_or_default();
        return format!("`{command}` failed: {why}; what was begun is taken back as far as the device takes it{shown}");
    }
    if done.sent.is_empty() {
        return format!("`{command}` is not given back: {why}");
    }
    let times = if done.tries == 1 {
        "once".to_owned()
    } else {
        format!("{} times", done.tries)
    };
    let shown = shown.unwrap_or_else(|| "no point of its profile shows what".to_owned());
    format!(
        "`{command}` is not given back: {why} (tried {times}). What the device was told last stays in force: {shown}. Try \
         again, set another value, or change it at the device itself"
    )
}

fn wish(args: &Args) -> Result<Wish, Failure> {
    let address = args.tls.address(&args.address).map_err(|why| (USAGE, why))?;
    let profile = find(&args.profile, args.site.as_deref())?;
    let mut options = options(&profile, &args.options)?;
    let value = value(&profile, &args.command, &args.value).map_err(|why| (USAGE, why))?;
    let unit = args.unit.or(profile.link.unit).unwrap_or(1);
    let told = args.rating.as_deref().map(rating).transpose()?;
    let of_site = args.site.as_deref().and_then(|site| {
        let (site, _) = crate::site::load(site).ok()?;
        let mut devices = site.wiring.devices.values();
        let device = devices.find(|d| d.address == address && d.unit == unit)?;
        for (name, number) in device.options.iter().filter(|(n, _)| profile.options.contains_key(*n)) {
            options.entry(name.clone()).or_insert(*number);
        }
        let discharges = matches!(value, Some(Amount::Share(s)) if s < 0.0);
        site_rating(&site, device, &args.command, discharges)
    });
    Ok(Wish {
        unit,
        command: args.command.clone(),
        address,
        options,
        value,
        profile,
        rating: told.or(of_site),
    })
}

/// `10 kW` or `32 A`
fn rating(text: &str) -> Result<f64, Failure> {
    let read = Power::parse(text)
        .map(|p| p.as_kw())
        .or_else(|_| Current::parse(text).map(|a| a.as_amps()));
    let good = read.ok().filter(|r| *r > 0.0);
    good.ok_or_else(|| {
        (
            USAGE,
            format!("--rating {text}: write for example \"10 kW\" or \"32 A\""),
        )
    })
}

/// The rating of the component that a command of this device moves, in kW or A.
fn site_rating(site: &Site, device: &Device, command: &str, discharges: bool) -> Option<f64> {
    let of = |kind: &Kind| match (command, kind) {
        ("pv_limit", Kind::Pv(p)) => Some(p.inverter_max.as_kw()),
        ("battery_discharge_limit", Kind::Battery(b)) => Some(b.discharge_max.as_kw()),
        ("battery_power", Kind::Battery(b)) if discharges => Some(b.discharge_max.as_kw()),
        ("battery_power" | "battery_charge_limit", Kind::Battery(b)) => Some(b.charge_max.as_kw()),
        ("evse_current_limit", Kind::ChargePoint(c)) => Some(c.current_max.as_amps()),
        ("heatpump_power", Kind::HeatPump(h)) => Some(h.electric_max.as_kw()),
        ("genset_power", Kind::Generator(g)) => Some(g.power_max.as_kw()),
        _ => None,
    };
    let mut kinds = device.components.iter().filter_map(|c| site.plant.components.get(c));
    kinds.find_map(|c| of(&c.kind))
}

/// The value as it was meant; `None` gives control back.
fn value(profile: &Profile, command: &str, text: &str) -> Result<Option<Amount>, String> {
    let known = profile.commands.get(command);
    let unit = match known {
        Some(c) => c.unit.as_str(),
        None => sunspec_unit(profile, command).ok_or_else(|| {
            let list: Vec<&str> = profile.commands.keys().map(String::as_str).collect();
            let list = if list.is_empty() {
                "none".to_owned()
            } else {
                list.join(", ")
            };
            format!("profile {} has no command `{command}`; it has {list}", profile.id)
        })?,
    };
    if text == "release" {
        return Ok(None);
    }
    let share = || parse_share(text).map(Amount::Share);
    let read = match unit {
        "kW" if is_share(text) => share().map_err(|e| e.to_string()),
        "A" if is_share(text) => share().map_err(|e| e.to_string()),
        "kW" => Power::parse(text)
            .map(|p| Amount::Own(p.as_kw()))
            .map_err(|e| e.to_string()),
        "A" => Current::parse(text)
            .map(|a| Amount::Own(a.as_amps()))
            .map_err(|e| e.to_string()),
        // It counts in per cent of the rating: a power is turned into them.
        "%" => Power::parse(text)
            .map(|p| Amount::Power(p.as_kw()))
            .or_else(|_| parse_share(text).map(|s| Amount::Own(100.0 * s)))
            .map_err(|e| e.to_string()),
        "s" => parse_duration(text)
            .map(|d| Amount::Own(d.as_seconds_f64()))
            .map_err(|e| e.to_string()),
        "on" => match text {
            "on" => Ok(Amount::Own(1.0)),
            "off" => Ok(Amount::Own(0.0)),
            _ => Err(format!("`{text}` is neither on nor off")),
        },
        "word" => word(known, text).map(Amount::Own),
        _ => text
            .parse()
            .map(Amount::Own)
            .map_err(|_| format!("`{text}` is not a number")),
    };
    read.map(Some)
        .map_err(|why| format!("`{command}` takes {}, or release: {why}", takes(unit)))
}

fn is_share(text: &str) -> bool {
    text.trim_end().ends_with('%')
}

fn word(command: Option<&Command>, text: &str) -> Result<f64, String> {
    let words = command.map_or(INVERTER_STATES.to_vec(), Command::words);
    let place = words.iter().position(|w| *w == text);
    place
        .map(|i| i as f64)
        .ok_or_else(|| format!("`{text}` is not one of {}", words.join(", ")))
}

fn takes(unit: &str) -> &'static str {
    match unit {
        "kW" => "a power such as \"3 kW\" or \"60 %\" of the rating",
        "A" => "a current such as \"16 A\" or \"60 %\" of the rating",
        "%" => "a share such as \"60 %\", or a power such as \"3 kW\"",
        "s" => "a time such as \"30 s\"",
        "on" => "on or off",
        "word" => "a word",
        _ => "a number",
    }
}

/// Commands that SunSpec discovery may give.
fn sunspec_unit(profile: &Profile, command: &str) -> Option<&'static str> {
    if !profile.sunspec {
        return None;
    }
    match command {
        "battery_power" | "battery_charge_limit" | "battery_discharge_limit" | "pv_limit" => Some("kW"),
        "battery_hold" | "battery_connect" | "alarm_reset" => Some("on"),
        "battery_inverter_state" => Some("word"),
        _ => None,
    }
}

/// The most that is taken, where that is not what was meant.
fn cut(wish: &Wish, told: &Told) -> Option<String> {
    let (meant, used) = (told.meant?, told.used?);
    let unit = unit_of(wish);
    let differs = (meant - used).abs() > 1e-6 * meant.abs().max(1.0);
    differs.then(|| {
        format!(
            "{} {unit} is not what the device is told: `{}` takes {} {unit} here",
            rounded(meant),
            wish.command,
            rounded(used)
        )
    })
}

fn unit_of(wish: &Wish) -> &str {
    let known = wish.profile.commands.get(&wish.command).map(|c| c.unit.as_str());
    known
        .or_else(|| sunspec_unit(&wish.profile, &wish.command))
        .unwrap_or_default()
}

fn rounded(n: f64) -> f64 {
    (n * 1e3).round() / 1e3
}

fn show_plan(args: &Args, wish: &Wish, planned: &Planned) {
    let plan = &planned.writes;
    let cut = cut(wish, &planned.told);
    if args.json {
        let all = json!({"address": wish.address.to_string(), "unit_id": wish.unit, "profile": wish.profile.id,
            "command": wish.command, "value": planned.told.meant, "value_told": planned.told.used, "note": cut,
            "writes": plan, "written": false});
        println!("{all:#}");
        return;
    }
    if let Some(cut) = cut {
        println!("{cut}");
    }
    println!("{} of {} would write, in this order:", wish.command, wish.profile.id);
    for w in plan {
        println!("  {}", line(w));
    }
    if plan.is_empty() {
        println!("  nothing: no write is known that does this");
    }
    eprintln!("nothing was written; add --yes to write");
}

fn line(w: &PlannedWrite) -> String {
    let words: Vec<String> = w.words.iter().map(u16::to_string).collect();
    let condition = w.condition.map(|c| format!(" ({c})")).unwrap_or_default();
    format!(
        "{:<8}unit {:>3}  function {:>2}  address {:>5}  {}{condition}",
        w.step,
        w.unit_id,
        w.function,
        w.address,
        words.join(" ")
    )
}

fn show_done(args: &Args, wish: &Wish, done: &WriteOnce) {
    let verify = wish.profile.commands.get(&wish.command);
    let shows = verify.is_none_or(|c| c.verify.is_some() || c.variants.iter().any(|v| v.verify.is_some()));
    let outcome = match &done.outcome {
        WriteOutcome::Verified if shows || wish.value.is_none() => "verified",
        WriteOutcome::Verified => "accepted",
        WriteOutcome::Pending => "pending",
        WriteOutcome::Failed(_) | WriteOutcome::Withheld(_) => "failed",
    };
    if args.json {
        let sent: Vec<_> = done
            .sent
            .iter()
            .map(|(a, w)| json!({"address": a, "words": w}))
            .collect();
        let why = match &done.outcome {
            WriteOutcome::Failed(why) | WriteOutcome::Withheld(why) => Some(why),
            _ => None,
        };
        let all = json!({"address": wish.address.to_string(), "unit_id": wish.unit, "profile": wish.profile.id,
            "command": wish.command, "value": done.told.meant, "value_told": done.told.used, "note": cut(wish, &done.told),
            "identity": done.identity, "writes": sent, "written": true, "outcome": outcome, "error": why, "tries": done.tries,
            "in_force": done.in_force.as_ref().map(|(point, value)| json!({"point": point, "value": value}))});
        println!("{all:#}");
        return;
    }
    if let Some(cut) = cut(wish, &done.told) {
        println!("{cut}");
    }
    for (address, words) in &done.sent {
        let words: Vec<String> = words.iter().map(u16::to_string).collect();
        println!("  wrote address {address:>5}  {}", words.join(" "));
    }
    println!(
        "{} {} {}: {}",
        wish.profile.id,
        wish.command,
        args.value,
        sentence(outcome)
    );
    if let Some(after) = afterwards(wish) {
        println!("{after}");
    }
}

fn sentence(outcome: &str) -> &'static str {
    match outcome {
        "verified" => "the device shows it",
        "accepted" => "the device took it; no register shows the effect",
        "pending" => "sent; the effect is still to be seen",
        _ => "failed",
    }
}

/// What happens when nobody speaks any more.
fn afterwards(wish: &Wish) -> Option<String> {
    wish.value?;
    let command = wish.profile.commands.get(&wish.command)?;
    let loss = command.on_loss.clone().unwrap_or_else(|| "unknown".into());
    Some(match command.device_timeout_s {
        Some(t) if t > 0.0 => format!("nobody refreshes it now; after {t} s: {loss}"),
        Some(_) => format!("it stays until it is released: {loss}"),
        None => format!("what the device does when nobody refreshes it: {loss}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(profile: &str, command: &str, text: &str) -> Result<Option<f64>, String> {
        let read = value(&crate::profile::builtin(profile).unwrap(), command, text)?;
        Ok(read.map(|amount| match amount {
            Amount::Own(n) => n,
            other => panic!("{other:?}"),
        }))
    }

    #[test]
    fn a_percentage_is_one_of_the_rating_and_a_power_a_percentage_where_the_command_counts_in_them() {
        let read = |profile: &str, command: &str, text: &str| {
            value(&crate::profile::builtin(profile).unwrap(), command, text)
                .unwrap()
                .unwrap()
        };
        for (profile, command, text, expected) in [
            ("sunspec", "pv_limit", "60 %", Amount::Share(0.6)),
            ("goodwe-et", "battery_power", "-50 %", Amount::Share(-0.5)),
            ("alfen-eve", "evse_current_limit", "50 %", Amount::Share(0.5)),
            ("solaredge-storedge", "pv_limit", "60 %", Amount::Own(60.0)),
            ("solaredge-storedge", "pv_limit", "3 kW", Amount::Power(3.0)),
        ] {
            assert_eq!(read(profile, command, text), expected, "{profile} {command} {text}");
        }
    }

    #[test]
    fn values_carry_the_unit_of_the_command_or_are_its_words() {
        for (profile, command, text, expected) in [
            ("goodwe-et", "battery_power", "3 kW", Some(3.0)),
            ("goodwe-et", "battery_power", "-1500 W", Some(-1.5)),
            ("goodwe-et", "battery_power", "release", None),
            ("alfen-eve", "evse_current_limit", "16 A", Some(16.0)),
            ("alfen-eve", "evse_phases", "3", Some(3.0)),
            ("huawei-sun2000-luna2000", "export_limit", "60 %", Some(60.0)),
            ("keba-p30-p40", "heartbeat", "30 s", Some(30.0)),
            ("dse-genset", "genset_start", "on", Some(1.0)),
            ("stiebel-wpm-sg-ready", "sg_ready", "boost", Some(2.0)),
            ("fronius-gen24", "battery_hold", "off", Some(0.0)),
            ("sunspec", "battery_connect", "on", Some(1.0)),
            ("sunspec", "battery_inverter_state", "started", Some(2.0)),
        ] {
            let found = read(profile, command, text).unwrap();
            let same = match (found, expected) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-9,
                (a, b) => a == b,
            };
            assert!(same, "{profile} {command} {text}: {found:?}");
        }
    }

    #[test]
    fn a_value_without_or_with_another_unit_is_refused_with_what_is_taken() {
        for (profile, command, text, part) in [
            ("goodwe-et", "battery_power", "3", "3 kW"),
            ("goodwe-et", "battery_power", "16 A", "3 kW"),
            ("alfen-eve", "evse_current_limit", "on", "16 A"),
            ("dse-genset", "genset_start", "5 kW", "on or off"),
            ("stiebel-wpm-sg-ready", "sg_ready", "hot", "lock, normal, boost, forced"),
            ("sunspec", "battery_inverter_state", "on", "stopped, standby, started"),
            ("goodwe-et", "battery_dance", "3 kW", "battery_power, export_limit"),
        ] {
            let why = read(profile, command, text).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
