//! `madang read`: one device, once, by its profile.

use super::{BAD, DONE, UNREACHABLE, USAGE};
use crate::field::{ReadError, ReadPoint, ReadReport, ReadValue, read_once};
use crate::profile::Profile;
use crate::time::{Clock, SystemClock};
use std::path::PathBuf;
use std::process::ExitCode;

/// Reads a device once by its profile.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang read tcp://192.168.1.30:502 --profile sunspec\n  madang read tcp://127.0.0.1:15220 --profile sunspec --json\n  madang read \"rtu:///dev/ttyUSB0?baud=9600&parity=even\" --profile eastron-sdm630\n  madang read tls://gateway:802 --profile sunspec --ca ca.pem --cert me.pem --key me.key\n\nProfiles: madang devices"
)]
pub struct Args {
    /// tcp://host:port, tls://host:port, rtu+tcp://host:port or rtu:///dev/ttyUSB0?baud=9600&parity=even&stop=1
    address: String,
    /// Name of a built-in profile, or path of a profile file (.toml)
    #[arg(long)]
    profile: String,
    /// Unit (slave) id; default: the profile's, else 1
    #[arg(long)]
    unit: Option<u8>,
    /// Site whose own profiles are looked at first (its folder)
    #[arg(long)]
    site: Option<PathBuf>,
    #[command(flatten)]
    tls: super::tls::Files,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> ExitCode {
    match read(&args) {
        Ok(report) => {
            show(&report, args.json);
            ExitCode::from(DONE)
        }
        Err((code, why)) => {
            eprintln!("{why}");
            ExitCode::from(code)
        }
    }
}

fn read(args: &Args) -> Result<ReadReport, (u8, String)> {
    let address = args.tls.address(&args.address).map_err(|why| (USAGE, why))?;
    let profile = super::profiles::find(&args.profile, args.site.as_deref())?;
    let unit = args.unit.or(profile.link.unit).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, format!("cannot start the runtime: {e}")))?;
    let report = runtime.block_on(read_once(address, unit, profile, SystemClock.now()));
    report.map_err(|error| match error {
        ReadError::Unreachable { .. } => (UNREACHABLE, error.to_string()),
        ReadError::NotThat { .. } | ReadError::Cannot { .. } => (BAD, error.to_string()),
    })
}

/// A built-in profile, or a file.
pub fn find(name: &str) -> Result<Profile, (u8, String)> {
    super::profiles::find(name, None)
}

fn show(report: &ReadReport, json: bool) {
    if json {
        match serde_json::to_string_pretty(report) {
            Ok(text) => println!("{text}"),
            Err(why) => eprintln!("the reading cannot be written as JSON: {why}"),
        }
        return;
    }
    println!(
        "{}  unit {}  profile {}",
        report.address, report.unit_id, report.profile
    );
    println!("identity {}", identity(&report.identity));
    for p in &report.points {
        println!("  {:<32}{}", p.name, value(p));
    }
    println!("{} requests", report.requests);
}

fn identity(found: &serde_json::Value) -> String {
    let part = |key: &str| found[key].as_str().filter(|t| !t.is_empty()).map(str::to_owned);
    let parts = ["status", "manufacturer", "model", "version", "serial"]
        .into_iter()
        .filter_map(part);
    parts.collect::<Vec<_>>().join("  ")
}

fn value(p: &ReadPoint) -> String {
    match &p.value {
        Some(ReadValue::Number(n)) => format!("{n:>14.3} {}", p.unit),
        Some(ReadValue::Text(t)) => format!("{t:>14}"),
        None => format!("{:>14}", format!("{:?}", p.quality).to_lowercase()),
    }
}
