//! `madang write`: one verified command for one device, for commissioning.

use super::profiles::{find, options};
use super::{BAD, DONE, UNREACHABLE, USAGE};
use crate::field::{
    INVERTER_STATES, PlannedWrite, ReadError, Wish, WriteOnce, plan_with_device, plan_without_device, write_once,
};
use crate::model::WriteOutcome;
use crate::profile::{Command, Profile};
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
                  madang write tcp://192.168.1.50:502 --profile stiebel-wpm-sg-ready sg_ready boost --yes\n\n\
                  Without --yes it prints the register writes it would make and ends with 2. Signs: charging is positive,\n\
                  discharging negative. What is not seen to work is taken back. Commands: madang devices NAME\n\n\
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
    /// Site whose own profiles are looked at first (its folder)
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
        WriteOutcome::Failed(why) | WriteOutcome::Withheld(why) => {
            let taken_back = "what was begun is taken back as far as the device takes it";
            Err((BAD, format!("`{}` failed: {why}; {taken_back}", wish.command)))
        }
    }
}

fn code_of(error: ReadError) -> Failure {
    match error {
        ReadError::Unreachable { .. } => (UNREACHABLE, error.to_string()),
        ReadError::NotThat { .. } | ReadError::Cannot { .. } => (BAD, error.to_string()),
    }
}

fn wish(args: &Args) -> Result<Wish, Failure> {
    let address = args.tls.address(&args.address).map_err(|why| (USAGE, why))?;
    let profile = find(&args.profile, args.site.as_deref())?;
    let options = options(&profile, &args.options)?;
    let value = value(&profile, &args.command, &args.value).map_err(|why| (USAGE, why))?;
    Ok(Wish {
        unit: args.unit.or(profile.link.unit).unwrap_or(1),
        command: args.command.clone(),
        address,
        options,
        value,
        profile,
    })
}

/// The value in the command's unit; `None` gives control back.
fn value(profile: &Profile, command: &str, text: &str) -> Result<Option<f64>, String> {
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
    let read = match unit {
        "kW" => Power::parse(text).map(|p| p.as_kw()).map_err(|e| e.to_string()),
        "A" => Current::parse(text).map(|a| a.as_amps()).map_err(|e| e.to_string()),
        "%" => parse_share(text).map(|s| 100.0 * s).map_err(|e| e.to_string()),
        "s" => parse_duration(text)
            .map(|d| d.as_seconds_f64())
            .map_err(|e| e.to_string()),
        "on" => match text {
            "on" => Ok(1.0),
            "off" => Ok(0.0),
            _ => Err(format!("`{text}` is neither on nor off")),
        },
        "word" => word(known, text),
        _ => text.parse().map_err(|_| format!("`{text}` is not a number")),
    };
    read.map(Some)
        .map_err(|why| format!("`{command}` takes {}, or release: {why}", takes(unit)))
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
        "kW" => "a power such as \"3 kW\"",
        "A" => "a current such as \"16 A\"",
        "%" => "a share such as \"60 %\"",
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

fn show_plan(args: &Args, wish: &Wish, plan: &[PlannedWrite]) {
    if args.json {
        let all = json!({"address": wish.address.to_string(), "unit_id": wish.unit, "profile": wish.profile.id,
            "command": wish.command, "value": wish.value, "writes": plan, "written": false});
        println!("{all:#}");
        return;
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
            "command": wish.command, "value": wish.value, "identity": done.identity, "writes": sent, "written": true,
            "outcome": outcome, "error": why});
        println!("{all:#}");
        return;
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
        value(&crate::profile::builtin(profile).unwrap(), command, text)
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
