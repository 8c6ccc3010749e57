//! `madang record`: a device's traffic as a trace file that replays as a test fixture.

use super::{BAD, DONE, UNREACHABLE, USAGE, site_or_exit};
use crate::field::{Recorded, Recording, WireError, find_profile, record};
use crate::profile::Profile;
use crate::site::Address;
use crate::time::{Clock, SystemClock};
use crate::units::parse_duration;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Records what a device answers into a trace file; anyone can contribute one. Read-only.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang record tcp://192.168.1.30:502 --profile sunspec --for 60s --out inverter.jsonl --blank-serial\n  madang record my-site --device inverter --for 10s --out inverter.jsonl\n\n\
                  Beside the trace FILE.jsonl stands FILE.expected.json: what its first round was read as. Look at it, compare it with\n\
                  the device's own display, and both are a fixture for tests/traces. madang twin --trace FILE.jsonl serves it."
)]
pub struct Args {
    /// An address (tcp://host:port, …) with --profile, or a site with --device
    place: String,
    /// Device of the site
    #[arg(long)]
    device: Option<String>,
    /// Name of a built-in profile, or path of a profile file
    #[arg(long)]
    profile: Option<String>,
    /// Unit (slave) id; default: the site's, else the profile's, else 1
    #[arg(long)]
    unit: Option<u8>,
    /// How long
    #[arg(long = "for", default_value = "30 s", value_name = "DURATION")]
    span: String,
    /// Time between two rounds
    #[arg(long, default_value = "1 s")]
    every: String,
    /// The trace file
    #[arg(long)]
    out: PathBuf,
    /// Makes serial numbers unreadable
    #[arg(long)]
    blank_serial: bool,
    /// A line about the device and its circumstances, kept in the trace
    #[arg(long)]
    note: Option<String>,
}

pub fn run(args: Args) -> ExitCode {
    let code = match work(&args) {
        Ok(said) => {
            println!("{said}");
            DONE
        }
        Err((code, why)) => {
            if !why.is_empty() {
                eprintln!("{why}");
            }
            code
        }
    };
    ExitCode::from(code)
}

fn work(args: &Args) -> Result<String, (u8, String)> {
    let (address, profile, unit) = place(args)?;
    let what = Recording {
        address: address.clone(),
        unit,
        profile,
        span: span("for", &args.span, 24 * 3600)?,
        every: span("every", &args.every, 3600)?.max(Duration::from_millis(100)),
        blank_serial: args.blank_serial,
        now: SystemClock.now(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, format!("cannot start the runtime: {e}")))?;
    let recorded = runtime.block_on(record(what));
    let mut recorded = recorded.map_err(|why| match why {
        // What lies behind the recorder did not answer.
        WireError::Exception(10 | 11) => (UNREACHABLE, format!("{address} does not answer")),
        other => (BAD, format!("{address}: {other}")),
    })?;
    recorded.trace.head.note.clone_from(&args.note);
    keep(&args.out, &recorded).map_err(|why| (BAD, why))
}

fn place(args: &Args) -> Result<(Address, Profile, u8), (u8, String)> {
    if let Ok(address) = Address::parse(&args.place) {
        let name = args
            .profile
            .as_ref()
            .ok_or((USAGE, "an address needs --profile".to_owned()))?;
        let profile = super::read::find(name)?;
        let unit = args.unit.or(profile.link.unit).unwrap_or(1);
        return Ok((address, profile, unit));
    }
    let site = site_or_exit(&args.place).map_err(|code| (code, String::new()))?;
    let names = || {
        site.wiring
            .devices
            .keys()
            .map(|d| d.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let wanted = args.device.as_deref().unwrap_or_default();
    let found = site.wiring.devices.iter().find(|(id, _)| id.as_str() == wanted);
    let (_, device) = found.ok_or_else(|| (USAGE, format!("--device must be one of {}", names())))?;
    let profile = find_profile(&site, &device.profile).map_err(|why| (BAD, why))?;
    Ok((device.address.clone(), profile, args.unit.unwrap_or(device.unit)))
}

fn span(name: &str, text: &str, most_s: i64) -> Result<Duration, (u8, String)> {
    let wrong = |why: String| (USAGE, format!("--{name} {text}: {why}"));
    let span = parse_duration(text).map_err(|e| wrong(e.to_string()))?;
    if span.num_seconds() > most_s {
        return Err(wrong(format!("is longer than {most_s} s")));
    }
    span.to_std().map_err(|e| wrong(e.to_string()))
}

/// Writes the trace and what it was read as.
fn keep(out: &Path, recorded: &Recorded) -> Result<String, String> {
    let expected = out.with_extension("expected.json");
    let written = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
    };
    written(out, recorded.trace.text()?)?;
    let first = &recorded.first;
    let points: serde_json::Map<String, serde_json::Value> = first
        .points
        .iter()
        .map(|p| {
            (
                p.name.clone(),
                serde_json::json!({"value": p.value, "unit": p.unit, "quality": p.quality}),
            )
        })
        .collect();
    let read = serde_json::json!({"profile": first.profile, "unit_id": first.unit_id, "identity": first.identity, "points": points});
    written(&expected, format!("{read:#}\n"))?;
    let (n, first) = (recorded.trace.exchanges.len(), &recorded.first);
    Ok(format!(
        "{}: {n} exchanges\n{}: {} points as read in the first round; compare them with the device's own display",
        out.display(),
        expected.display(),
        first.points.len()
    ))
}
