//! `madang set`: tells a running controller what people know, over its API with the site's token.

use super::access::{self, ApiAccess};
use super::{BAD, DONE, UNREACHABLE, USAGE, find_site, state_dir};
use crate::time::{Clock, SystemClock, Timestamp, is_believable, local_instant};
use crate::units::{Energy, Power, parse_duration};
use chrono::{NaiveTime, TimeDelta};
use chrono_tz::Tz;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Tells a running controller what people know.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang set home-amsterdam ev ev --departure 07:30 --energy \"20 kWh\" --mode cheapest\n  madang set home-amsterdam override battery \"-2 kW\" --for 2h\n  madang set home-amsterdam limit import \"5 kW\" --until 2026-11-24T18:00:00Z\n  madang set home-amsterdam mode control\n  madang set home-amsterdam release"
)]
pub struct Args {
    /// The site: a folder, a path to a site.toml, or the name of a shipped site
    site: String,
    /// State folder of the controller; default: $STATE_DIRECTORY, else ~/.local/state/madang/<site>
    #[arg(long)]
    state: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// About the car at a charge point
    Ev {
        /// Charge point
        name: String,
        /// RFC 3339, or local time of day: 07:30
        #[arg(long)]
        departure: Option<String>,
        /// Into the car since it plugged in: "20 kWh"
        #[arg(long)]
        energy: Option<String>,
        /// fast, cheapest or surplus
        #[arg(long)]
        mode: Option<String>,
    },
    /// Overrides a component, inside the safety envelope, until it expires
    Override {
        component: String,
        /// "3 kW" (charging), "-3 kW" (discharging), "16 A", on, off, release
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// How long: 2h, 30m
        #[arg(long = "for", default_value = "1h")]
        length: String,
    },
    /// Ends an override early
    EndOverride { component: String },
    /// External limit at the connection point; it can only tighten
    Limit {
        /// import or export
        direction: String,
        /// "20 kW"
        power: String,
        /// RFC 3339, or local time of day: 18:00
        #[arg(long)]
        until: String,
    },
    /// observe or control
    Mode { mode: String },
    /// Hands everything back to the devices
    Release,
}

pub fn run(args: Args) -> ExitCode {
    match set(&args) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::from(DONE)
        }
        Err((code, why)) => {
            eprintln!("{why}");
            ExitCode::from(code)
        }
    }
}

fn set(args: &Args) -> Result<String, (u8, String)> {
    let (site, _) = find_site(&args.site).map_err(|e| (USAGE, format!("{}: {e}", args.site)))?;
    let zone = site.plant.location.time_zone;
    let (path, body) = request(&args.what, zone).map_err(|why| (USAGE, why))?;
    let state = state_dir(args.state.as_deref(), site.plant.name.as_str());
    let access = known(&access::path(&state))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, e.to_string()))?;
    runtime.block_on(post(&access, path, &body))
}

fn known(path: &std::path::Path) -> Result<ApiAccess, (u8, String)> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let hint = "is the controller running, and is this its state folder? (--state)";
        (UNREACHABLE, format!("cannot read {}: {e}; {hint}", path.display()))
    })?;
    serde_json::from_str(&text).map_err(|e| (UNREACHABLE, format!("{}: {e}", path.display())))
}

/// Path and body of the API call.
fn request(what: &What, zone: Tz) -> Result<(&'static str, Value), String> {
    Ok(match what {
        What::Ev {
            name,
            departure,
            energy,
            mode,
        } => {
            if departure.is_none() && energy.is_none() && mode.is_none() {
                return Err("say --departure, --energy or --mode".into());
            }
            let energy = energy
                .as_deref()
                .map(Energy::parse)
                .transpose()
                .map_err(|e| e.to_string())?;
            let departure = departure.as_deref().map(|t| moment(t, zone)).transpose()?;
            let body = json!({"component": name, "departure": departure, "energy_kwh": energy.map(|e| e.as_kwh()), "mode": mode});
            ("ev", body)
        }
        What::Override {
            component,
            value,
            length,
        } => {
            let length = parse_duration(length).map_err(|e| format!("--for: {e}"))?;
            let minutes = length.as_seconds_f64() / 60.0;
            (
                "override",
                json!({"component": component, "value": value, "for_minutes": minutes}),
            )
        }
        What::EndOverride { component } => ("end-override", json!({ "component": component })),
        What::Limit {
            direction,
            power,
            until,
        } => {
            let power = Power::parse(power).map_err(|e| e.to_string())?;
            let until = moment(until, zone)?;
            (
                "limit",
                json!({"direction": direction, "power_kw": power.as_kw(), "until": until}),
            )
        }
        What::Mode { mode } => ("mode", json!({ "mode": mode })),
        What::Release => ("release", json!({})),
    })
}

/// RFC 3339, or the next time the clock at the site shows this.
fn moment(text: &str, zone: Tz) -> Result<Timestamp, String> {
    if let Ok(time) = NaiveTime::parse_from_str(text, "%H:%M") {
        let now = SystemClock.now();
        let today = now.with_timezone(&zone).date_naive();
        let next = local_instant(zone, today.and_time(time));
        let tomorrow = local_instant(zone, (today + TimeDelta::days(1)).and_time(time));
        return Ok(if next > now { next } else { tomorrow });
    }
    let parsed = chrono::DateTime::parse_from_rfc3339(text);
    parsed
        .map(|t| t.to_utc())
        .ok()
        .filter(|t| is_believable(*t))
        .ok_or_else(|| format!("`{text}` is not a time; write 07:30 or 2026-05-12T07:30:00+02:00"))
}

async fn post(access: &ApiAccess, path: &str, body: &Value) -> Result<String, (u8, String)> {
    let unreachable = |e: reqwest::Error| (UNREACHABLE, format!("no controller answers at {}: {e}", access.url));
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .build()
        .map_err(unreachable)?;
    let request = client
        .post(format!("{}/api/v1/{path}", access.url))
        .header("Authorization", format!("Bearer {}", access.token))
        .header("Content-Type", "application/json")
        .body(body.to_string());
    let answer = request.send().await.map_err(unreachable)?;
    let ok = answer.status().is_success();
    let text = answer.text().await.map_err(unreachable)?;
    let said: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    let sentence = |key: &str| said[key].as_str().map_or_else(|| said.to_string(), str::to_owned);
    if ok {
        Ok(sentence("done"))
    } else {
        Err((BAD, sentence("error")))
    }
}
