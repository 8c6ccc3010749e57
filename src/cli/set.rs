//! `madang set`: tells a running controller what people know, over its API with the site's token, and what holds then.
//!
//! Times of day go to the controller as they were typed: its clock and its site's zone decide which day they mean.

use super::access::{self, ApiAccess};
use super::{BAD, DONE, UNREACHABLE, USAGE, find_site, state_dir};
use crate::model::Language;
use crate::model::words::{moment, power};
use crate::time::Timestamp;
use crate::units::{Energy, Power, parse_duration};
use chrono_tz::Tz;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Tells a running controller what people know.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang set home-amsterdam ev ev --departure 07:30 --energy \"20 kWh\" --mode cheapest\n  madang set home-amsterdam override battery \"-2 kW\" --for 2h\n  madang set home-amsterdam limit import \"5 kW\" --until 18:00 --source operator\n  madang set home-amsterdam limit import off --source operator\n  madang set home-amsterdam limits\n  madang set home-amsterdam away --until \"2026-05-26 18:00\"\n  madang set home-amsterdam end-away\n  madang set home-amsterdam mode control\n  madang set home-amsterdam release"
)]
pub struct Args {
    /// The site: a folder, a path to a site.toml, or the name of a shipped site
    site: String,
    /// State folder of the controller; default: $STATE_DIRECTORY, else ~/.local/state/madang/<site>
    #[arg(long)]
    state: Option<PathBuf>,
    /// The answer as one JSON document
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// About the car at a charge point
    Ev {
        /// Charge point
        name: String,
        /// RFC 3339, or the next time the site's clock shows this: 07:30
        #[arg(long)]
        departure: Option<String>,
        /// Into the car since it plugged in: "20 kWh"
        #[arg(long)]
        energy: Option<String>,
        /// fast, cheapest or surplus
        #[arg(long)]
        mode: Option<String>,
    },
    /// Overrides a component, inside the safety envelope, until it expires (an hour unless told)
    Override {
        component: String,
        /// "3 kW" (charging), "-3 kW" (discharging), "16 A", on, off, release
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        lasts: Lasts,
    },
    /// Ends an override early
    EndOverride { component: String },
    /// Limit at the connection point; the tightest of all that are in force holds
    Limit {
        /// import or export
        direction: String,
        /// "20 kW", or off: ends what this source told
        power: String,
        #[command(flatten)]
        lasts: Lasts,
        /// Who orders it: person, operator, utility, …
        #[arg(long, default_value = "person")]
        source: String,
    },
    /// Lists the limits in force, and which one holds
    Limits,
    /// Nobody is there: loads are expected to draw what they draw without people, until then
    Away {
        #[command(flatten)]
        lasts: Lasts,
    },
    /// People are back
    EndAway,
    /// observe or control
    Mode { mode: String },
    /// Hands everything back to the devices
    Release,
}

/// How long something holds: a week at most, an absence eight.
#[derive(Debug, clap::Args)]
struct Lasts {
    /// How long: 2h, 30m, 14d
    #[arg(long = "for", conflicts_with = "until")]
    length: Option<String>,
    /// RFC 3339, "2026-05-26 18:00" by the site's clock, or the next time it shows this: 18:00
    #[arg(long)]
    until: Option<String>,
}

impl Lasts {
    /// Adds the end to a body; `unless` counts where nothing was said.
    fn put(&self, body: &mut Value, unless: Option<f64>) -> Result<(), String> {
        match (&self.length, &self.until, unless) {
            (Some(length), _, _) => {
                let length = parse_duration(length).map_err(|e| format!("--for: {e}"))?;
                body["for_minutes"] = json!(length.as_seconds_f64() / 60.0);
            }
            (None, Some(until), _) => body["until"] = json!(until),
            (None, None, Some(minutes)) => body["for_minutes"] = json!(minutes),
            (None, None, None) => return Err("say how long it holds: --for 2h, or --until 18:00".into()),
        }
        Ok(())
    }
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
    let asked = request(&args.what).map_err(|why| (USAGE, why))?;
    let state = state_dir(args.state.as_deref(), site.plant.name.as_str());
    let access = known(&access::path(&state))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, e.to_string()))?;
    let said = runtime.block_on(exchange(&access, asked.as_ref()))?;
    Ok(match (asked, args.json) {
        (Some(_), true) => format!("{said:#}"),
        (Some(_), false) => said["done"].as_str().map_or_else(|| said.to_string(), str::to_owned),
        (None, true) => format!("{:#}", said["limits"]),
        (None, false) => table(&said["limits"], site.plant.location.time_zone),
    })
}

fn known(path: &std::path::Path) -> Result<ApiAccess, (u8, String)> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let hint = "is the controller running, and is this its state folder? (--state; a live demo prints its own)";
        (UNREACHABLE, format!("cannot read {}: {e}; {hint}", path.display()))
    })?;
    serde_json::from_str(&text).map_err(|e| (UNREACHABLE, format!("{}: {e}", path.display())))
}

/// Path and body of what is told; `None` where only the limits are asked for.
fn request(what: &What) -> Result<Option<(&'static str, Value)>, String> {
    Ok(Some(match what {
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
                .map_err(|e| format!("--energy: {e}"))?;
            let body = json!({"component": name, "departure": departure, "energy_kwh": energy.map(|e| e.as_kwh()), "mode": mode});
            ("ev", body)
        }
        What::Override {
            component,
            value,
            lasts,
        } => {
            let mut body = json!({"component": component, "value": value});
            lasts.put(&mut body, Some(60.0))?;
            ("override", body)
        }
        What::EndOverride { component } => ("end-override", json!({ "component": component })),
        What::Limit {
            direction,
            power,
            source,
            ..
        } if power == "off" => ("end-limit", json!({"direction": direction, "source": source})),
        What::Limit {
            direction,
            power,
            lasts,
            source,
        } => {
            let power = Power::parse(power).map_err(|e| format!("{e}; or off, to end it"))?;
            let mut body = json!({"direction": direction, "power_kw": power.as_kw(), "source": source});
            lasts.put(&mut body, None)?;
            ("limit", body)
        }
        What::Limits => return Ok(None),
        What::Away { lasts } => {
            let mut body = json!({});
            lasts.put(&mut body, None)?;
            ("away", body)
        }
        What::EndAway => ("end-away", json!({})),
        What::Mode { mode } => ("mode", json!({ "mode": mode })),
        What::Release => ("release", json!({})),
    }))
}

/// Tells what is to be told, or reads the state now.
async fn exchange(access: &ApiAccess, asked: Option<&(&'static str, Value)>) -> Result<Value, (u8, String)> {
    let unreachable = |e: reqwest::Error| (UNREACHABLE, format!("no controller answers at {}: {e}", access.url));
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .build()
        .map_err(unreachable)?;
    let path = |what: &str| format!("{}/api/v1/{what}", access.url);
    let request = match asked {
        None => client.get(path("now")),
        Some((what, body)) => client
            .post(path(what))
            .header("Authorization", format!("Bearer {}", access.token))
            .header("Content-Type", "application/json")
            .body(body.to_string()),
    };
    let answer = request.send().await.map_err(unreachable)?;
    let ok = answer.status().is_success();
    let text = answer.text().await.map_err(unreachable)?;
    let said: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    match ok {
        true => Ok(said),
        false => Err((
            BAD,
            said["error"].as_str().map_or_else(|| said.to_string(), str::to_owned),
        )),
    }
}

/// Limits in force, the one that holds marked.
fn table(limits: &Value, zone: Tz) -> String {
    let rows = limits.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return "no limits: the site is an island".to_owned();
    }
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or("").to_owned();
    let line = |row: &Value| {
        let until: Option<Timestamp> = text(row, "until").parse().ok();
        let until = until.map_or_else(|| "always".to_owned(), |t| moment(t, zone, Language::En));
        let holds = if row["binding"] == true { "holds" } else { "" };
        let kw = row["power_kw"].as_f64().map_or_else(String::new, power);
        let line = format!(
            "{:<8}{kw:>10}  {:<12}{until:<24}{holds}",
            text(row, "direction"),
            text(row, "source")
        );
        line.trim_end().to_owned()
    };
    let head = format!("{:<8}{:>10}  {:<12}{:<24}", "", "at most", "told by", "until");
    let lines = std::iter::once(head.trim_end().to_owned()).chain(rows.iter().map(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn asked(words: &str) -> Result<Option<(&'static str, Value)>, String> {
        let line = Line::try_parse_from(std::iter::once("set").chain(words.split(' ')));
        request(&line.map_err(|e| e.to_string())?.args.what)
    }

    #[test]
    fn limits_and_overrides_say_alike_how_long_they_hold() {
        let check = |words: &str, path: &str, body: Value| assert_eq!(asked(words).unwrap().unwrap(), (path, body));
        check(
            "home limit import 5kW --for 2h",
            "limit",
            json!({"direction": "import", "power_kw": 5.0, "source": "person", "for_minutes": 120.0}),
        );
        check(
            "home limit import 5kW --until 18:00 --source utility",
            "limit",
            json!({"direction": "import", "power_kw": 5.0, "source": "utility", "until": "18:00"}),
        );
        check(
            "home override battery -2kW --until 18:00",
            "override",
            json!({"component": "battery", "value": "-2kW", "until": "18:00"}),
        );
        check(
            "home override battery -2kW",
            "override",
            json!({"component": "battery", "value": "-2kW", "for_minutes": 60.0}),
        );
        check(
            "home limit export off",
            "end-limit",
            json!({"direction": "export", "source": "person"}),
        );
        check("home away --for 14d", "away", json!({"for_minutes": 20160.0}));
        check("home away --until 18:00", "away", json!({"until": "18:00"}));
        check("home end-away", "end-away", json!({}));
        assert!(asked("home away").unwrap_err().contains("--until 18:00"));
        assert!(asked("home limit import 5kW").unwrap_err().contains("--until 18:00"));
        assert!(asked("home limit import 5kW --for 2h --until 18:00").is_err());
        assert!(asked("home limit import NaNkW --for 2h").is_err());
        assert_eq!(asked("home limits").unwrap(), None);
    }

    #[test]
    fn a_time_of_day_reaches_the_controller_as_it_was_typed() {
        let (_, body) = asked("home ev ev --departure 07:30").unwrap().unwrap();
        assert_eq!(body["departure"], "07:30");
    }

    #[test]
    fn the_list_says_which_limit_holds() {
        let rows = json!([
            {"direction": "import", "power_kw": 8.0, "source": "site", "until": null, "binding": false},
            {"direction": "import", "power_kw": 5.0, "source": "operator", "until": "2026-11-30T17:00:00Z", "binding": true},
        ]);
        let text = table(&rows, chrono_tz::Europe::Amsterdam);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("always"), "{text}");
        assert!(
            lines[2].contains("operator") && lines[2].ends_with("Mon 30 Nov 2026 18:00   holds"),
            "{text}"
        );
    }
}
