//! `madang scan`: what answers at an address, and what to write into the site file for it.

use super::{BAD, DONE, UNREACHABLE, USAGE};
use crate::field::{FoundDevice, ScanOptions, ScanReport, ScanStep, fragment, scan};
use crate::profile::{Profile, builtin, builtin_names};
use crate::site::Address;
use crate::time::{Clock, SystemClock};
use crate::units::parse_duration;
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::time::Duration;

/// Recognises the devices at an address, read-only, and proposes the part of a site file that uses them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang scan tcp://192.168.1.30:502\n  madang scan rtu:///dev/ttyUSB0?baud=9600 --units 1-20 --profiles eastron-sdm630,eastron-sdm120\n\n\
                  Nothing is written. One connection, a gap between requests; a unit that is silent is asked once.\n\
                  Exit status: 0 something was recognised, 1 nothing, 3 the address cannot be reached."
)]
pub struct Args {
    /// tcp://host:port, tls://host:port, rtu+tcp://host:port or rtu:///dev/ttyUSB0?baud=9600
    address: String,
    /// Units to ask, e.g. 1-247 or 0,2,100-126 (0 not on a serial line); default: the usual ones, and all where those are silent
    /// or on a serial line
    #[arg(long)]
    units: Option<String>,
    /// Gap between two requests
    #[arg(long, default_value = "50 ms")]
    pace: String,
    /// How long a unit may take for its first answer
    #[arg(long, default_value = "600 ms")]
    patience: String,
    /// Only these profiles (names, or paths of profile files), separated by commas
    #[arg(long, value_delimiter = ',')]
    profiles: Vec<String>,
    /// Currency of the site, for prices in the fragment
    #[arg(long, default_value = "EUR")]
    currency: String,
    #[command(flatten)]
    tls: super::tls::Files,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> ExitCode {
    let code = match look(&args) {
        Ok(report) => {
            show(&args, &report);
            if report.found.is_empty() { BAD } else { DONE }
        }
        Err((code, why)) => {
            eprintln!("{why}");
            code
        }
    };
    ExitCode::from(code)
}

fn look(args: &Args) -> Result<ScanReport, (u8, String)> {
    let address = args.tls.address(&args.address).map_err(|why| (USAGE, why))?;
    let options = ScanOptions {
        units: args
            .units
            .as_deref()
            .map(|text| units(text, &address))
            .transpose()
            .map_err(|why| (USAGE, why))?,
        pace: span("pace", &args.pace, 5_000)?,
        patience: span("patience", &args.patience, 30_000)?,
        profiles: profiles(&args.profiles)?,
        now: SystemClock.now(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, format!("cannot start the runtime: {e}")))?;
    let bar = bar();
    let mut told = |step: ScanStep<'_>| tell(&bar, &step);
    let report = runtime.block_on(scan(&address, &options, &mut told));
    bar.finish_and_clear();
    report.map_err(|why| (UNREACHABLE, format!("{address}: {why}")))
}

/// `1-247`, `0,2,100-126`; on a serial line 0 is for all at once, and nobody answers.
fn units(text: &str, address: &Address) -> Result<Vec<u8>, String> {
    let least = u8::from(address.is_rtu());
    let wrong = || {
        let serial = if least > 0 {
            " (0 is for all at once on a serial line and never answers)"
        } else {
            ""
        };
        format!("`{text}` are not units such as 1-247 or 1,2,100-126{serial}")
    };
    let mut all = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let number = |t: &str| t.trim().parse::<u8>().ok().filter(|n| *n >= least).ok_or_else(wrong);
        let (low, high) = (number(low)?, number(high)?);
        if low > high {
            return Err(wrong());
        }
        all.extend((low..=high).filter(|u| !all.contains(u)).collect::<Vec<_>>());
    }
    Ok(all)
}

/// A duration of the command line, at most `most` milliseconds.
fn span(name: &str, text: &str, most: i64) -> Result<Duration, (u8, String)> {
    let wrong = |why: String| (USAGE, format!("--{name} {text}: {why}"));
    let span = parse_duration(text).map_err(|e| wrong(e.to_string()))?;
    if !(0..=most).contains(&span.num_milliseconds()) {
        return Err(wrong(format!("must lie between 0 and {most} ms")));
    }
    span.to_std().map_err(|e| wrong(e.to_string()))
}

fn profiles(names: &[String]) -> Result<Vec<Profile>, (u8, String)> {
    if names.is_empty() {
        return Ok(builtin_names().iter().filter_map(|n| builtin(n)).collect());
    }
    names.iter().map(|n| super::read::find(n)).collect()
}

/// A bar on stderr; invisible where that is no terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} units  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn tell(bar: &ProgressBar, step: &ScanStep<'_>) {
    match step {
        ScanStep::Asking { unit, done, of } => {
            bar.set_length(*of as u64);
            bar.set_position(*done as u64);
            bar.set_message(format!("unit {unit}"));
        }
        ScanStep::Recognising { unit } => bar.set_message(format!("unit {unit} answers: what is it?")),
        ScanStep::Found(device) => bar.println(line(device)),
    }
}

fn line(d: &FoundDevice) -> String {
    let said = |key: &str| d.identity[key].as_str().filter(|t| !t.is_empty());
    let who: Vec<&str> = ["manufacturer", "model", "version", "serial"]
        .into_iter()
        .filter_map(said)
        .collect();
    let sure = format!("{:?}", d.confidence).to_lowercase();
    format!("unit {:>3}  {:<28}{:<11}{}", d.unit_id, d.profile, sure, who.join(" "))
}

fn show(args: &Args, report: &ScanReport) {
    let site_toml = fragment(report, &args.currency);
    if args.json {
        let mut all = serde_json::json!(report);
        all["site_toml"] = site_toml.into();
        println!("{all:#}");
        return;
    }
    println!("{}  {} requests, nothing written\n", report.address, report.requests);
    for d in &report.found {
        println!("{}", line(d));
        if !d.evidence.is_empty() {
            println!("          {}", d.evidence.join(", "));
        }
        if !d.also.is_empty() {
            println!("          could also be: {}", d.also.join(", "));
        }
    }
    if !report.unknown.is_empty() {
        let units: Vec<String> = report.unknown.iter().map(u8::to_string).collect();
        let units = units.join(", ");
        println!("unit {units}: something answers, but no profile fits (docs/commissioning.md says what to do)");
    }
    for note in &report.notes {
        println!("note: {note}");
    }
    if report.found.is_empty() {
        println!("nothing was recognised");
    } else {
        println!("\nFor the site file:\n\n{}", site_toml.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_in_lists_and_ranges_and_zero_only_where_somebody_may_answer() {
        let (tcp, line) = ("tcp://10.0.0.7:502", "rtu:///dev/ttyUSB0?baud=9600");
        let units = |text: &str, address: &str| units(text, &Address::parse(address).unwrap());
        assert_eq!(units("3,1-2,2", line).unwrap(), [3, 1, 2]);
        assert_eq!(units("247", tcp).unwrap(), [247]);
        assert_eq!(units("0-2", tcp).unwrap(), [0, 1, 2]);
        assert!(units("0-2", line).unwrap_err().contains("all at once"));
        assert!(units("0", "rtu+tcp://10.0.0.7:4001").is_err());
        for wrong in ["5-2", "", "1-256", "a"] {
            assert!(units(wrong, tcp).is_err(), "{wrong}");
        }
    }
}
