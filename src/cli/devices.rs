//! `madang devices`: the device profiles inside the binary.

use super::{BAD, DONE, UNREACHABLE, USAGE};
use crate::profile::import::import;
use crate::profile::{BatteryWay, Command, Profile, REFRESH_S, REVERSION_S, Wear, builtin, builtin_names};
use serde_json::json;
use std::process::ExitCode;

/// Lists the built-in device profiles, or shows one in full.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang devices\n  madang devices eastron-sdm630\n  madang devices import acme-m3.csv > my-site/profiles/acme-m3.toml\n\n\
                  import: a register map as CSV with a header (name, address, table, type, words, scale, unit, nan), or as JSON with the\n\
                  same names, becomes a profile; what was not understood is told on stderr."
)]
pub struct Args {
    /// Profile to show in full; or `import`
    name: Option<String>,
    /// After `import`: the register map
    #[arg(conflicts_with_all = ["json", "markdown"])]
    file: Option<std::path::PathBuf>,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
    /// The page docs/devices.md
    #[arg(long, conflicts_with_all = ["name", "json"])]
    markdown: bool,
}

pub fn run(args: Args) -> ExitCode {
    ExitCode::from(match &args.name {
        None if args.markdown => {
            print!("{}", markdown());
            DONE
        }
        None => list(args.json),
        Some(name) => match &args.file {
            Some(file) if name == "import" => imported(file),
            Some(_) => {
                eprintln!("write `madang devices import FILE`, or one NAME");
                USAGE
            }
            None => one(name, args.json),
        },
    })
}

/// Prints a profile made from a register map.
fn imported(file: &std::path::Path) -> u8 {
    let text = match std::fs::read(file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) => {
            eprintln!("cannot read {}: {e}", file.display());
            return UNREACHABLE;
        }
    };
    let name = file.file_stem().map_or("imported".into(), |n| n.to_string_lossy());
    match import(&name, &text) {
        Ok(found) => {
            found.notes.iter().for_each(|n| eprintln!("{n}"));
            print!("{}", found.toml);
            DONE
        }
        Err(why) => {
            eprintln!("{}: {why}", file.display());
            BAD
        }
    }
}

fn list(json: bool) -> u8 {
    let profiles: Vec<Profile> = builtin_names().iter().filter_map(|n| builtin(n)).collect();
    if json {
        let rows: Vec<_> = profiles.iter().map(summary).collect();
        println!("{}", serde_json::Value::Array(rows));
        return DONE;
    }
    let width = profiles.iter().map(|p| p.id.len()).max().unwrap_or(0) + 2;
    println!(
        "{:<width$}{:<18}{:>6}{:>10}  for example",
        "profile", "kind", "points", "commands"
    );
    for p in &profiles {
        println!(
            "{:<width$}{:<18}{:>6}{:>10}  {}",
            p.id,
            p.kind,
            number_of_points(p),
            p.commands.len(),
            p.models.first().map_or("", String::as_str)
        );
    }
    println!("\nmadang devices NAME shows one in full");
    DONE
}

/// SunSpec devices say their points themselves.
fn number_of_points(p: &Profile) -> String {
    if p.sunspec {
        "found".into()
    } else {
        p.points.len().to_string()
    }
}

/// The page docs/devices.md.
fn markdown() -> String {
    let profiles: Vec<Profile> = builtin_names().iter().filter_map(|n| builtin(n)).collect();
    let mut page = String::from(PREFACE);
    page += "| profile | kind | models | points | commands |\n|---|---|---|---|---|\n";
    for p in &profiles {
        let commands: Vec<String> = p.commands.keys().map(|c| format!("`{c}`")).collect();
        page += &format!(
            "| `{}` | {} | {} | {} | {} |\n",
            p.id,
            p.kind,
            p.models.join(", "),
            number_of_points(p),
            commands.join(", ")
        );
    }
    page += "\n## Commands\n\n";
    page += "| profile | command | value | refreshed | device falls back | register | what no source says |\n";
    page += "|---|---|---|---|---|---|---|\n";
    for p in &profiles {
        for (name, c) in &p.commands {
            page += &command_row(&p.id, name, c);
        }
        if p.sunspec {
            page += &sunspec_commands(p);
        }
    }
    page += LOSS;
    for p in &profiles {
        let moving = p.commands.iter().filter(|(name, c)| moves(name, c));
        for (name, c) in moving {
            let then = c.on_loss.as_deref().unwrap_or("no source says");
            page += &format!(
                "| `{}` | `{name}` | {} | {} | {then} |\n",
                p.id,
                fallback(c),
                left_alone(name, c)
            );
        }
        if p.sunspec {
            page += &sunspec_loss(p);
        }
    }
    page
}

const LOSS: &str = "\n## When nobody speaks any more\n\n\
    What a device does when its controller is dead or cut off. *Closed*: the limit stays, or a safer one takes its place. *Open*: the limit is\n\
    lifted, the device follows its own control, or the last power goes on with nobody looking. Whatever is open needs a limit that the device\n\
    keeps by itself (its own feed-in limit, the charger's safe current, a fuse). Unknown is taken as open.\n\n\
    | profile | command | falls back | then | in its source's words |\n|---|---|---|---|---|\n";

/// Whether a battery may be told its power by model 704, and by 124.
fn battery_ways(p: &Profile) -> (bool, bool) {
    match p.quirks.battery {
        None => (true, true),
        Some(BatteryWay::Wset704) => (true, false),
        Some(BatteryWay::NegativeRates124) => (false, true),
        Some(BatteryWay::Nothing) => (false, false),
    }
}

/// What discovery makes of the models, where the device has them.
fn sunspec_commands(p: &Profile) -> String {
    let (wset, rates) = battery_ways(p);
    let wear = p.quirks.wear();
    let open = if wear == Wear::Unknown { "wear" } else { "" };
    let rows = [
        (wset, "`battery_power`, `battery_hold` (model 704)"),
        (rates, "`battery_power`, `battery_hold` (model 124)"),
        (rates, "`battery_charge_limit`, `battery_discharge_limit` (model 124)"),
        (true, "`pv_limit` (models 123, 704)"),
    ];
    let by_hand = |(command, takes): (&str, &str)| {
        format!(
            "| `{}` | {command} | {takes} | on change | unknown: taken as never | {} | tried on no battery; wear; release |\n",
            p.id,
            worn(Wear::Unknown)
        )
    };
    let row = |(_, command): (bool, &str)| {
        format!(
            "| `{}` | {command} | kW | every {REFRESH_S} s | after {REVERSION_S} s | {} | {open} |\n",
            p.id,
            worn(wear)
        )
    };
    let powers = rows.into_iter().filter(|r| r.0).map(row);
    // For `madang write` only; a vendor's profile says nothing of a bank.
    let bank = BANK.into_iter().filter(|_| p.quirks.battery.is_none()).map(by_hand);
    powers.chain(bank).collect()
}

const BANK: [(&str, &str); 3] = [
    ("`battery_connect` (model 802, by hand)", "on, off"),
    (
        "`battery_inverter_state` (model 802, by hand)",
        "stopped, standby, started",
    ),
    ("`alarm_reset` (models 802, 715, by hand)", "on"),
];

/// What discovery makes of the models, with the reversion time written each time.
fn sunspec_loss(p: &Profile) -> String {
    let (wset, rates) = battery_ways(p);
    let rows = [
        (
            wset,
            "`battery_power` (model 704)",
            "closed: zero, the safe value written with each setpoint",
            "WSetRvrt applies when WSetRvrtTms elapses",
        ),
        (
            rates,
            "`battery_power` (model 124)",
            "open: its own control",
            "the storage mode ends when InOutWRte_RvrtTms elapses",
        ),
        (
            true,
            "`pv_limit` (models 123, 704)",
            "open: the limit is lifted",
            "the limit ends when its RvrtTms elapses",
        ),
    ];
    let row = |(_, command, then, words): (bool, &str, &str, &str)| {
        format!(
            "| `{}` | {command} | after {REVERSION_S} s | {then} | {words} |\n",
            p.id
        )
    };
    rows.into_iter().filter(|r| r.0).map(row).collect()
}

/// Commands that move or limit power.
fn moves(name: &str, c: &Command) -> bool {
    let named = ["genset_start", "sg_ready", "switch", "battery_hold"].contains(&name);
    named || name.ends_with("_power") || is_limit(name, c)
}

fn is_limit(name: &str, c: &Command) -> bool {
    c.unit == "A" && name != "failsafe" || name.ends_with("_limit")
}

fn left_alone(name: &str, c: &Command) -> &'static str {
    let reverts = c.device_timeout_s.is_some_and(|s| s > 0.0);
    let known = reverts || c.device_timeout_s.is_none() && c.on_loss.is_some();
    match (is_limit(name, c), known) {
        (true, true) if c.unit == "A" => "closed, as far as the safe current set in the device is safe",
        (true, true) => "open: the limit is lifted",
        (true, false) => "closed: the last limit stays",
        (false, true) => "open: its own control",
        (false, false) if c.device_timeout_s.is_some() => "open: it goes on as told last",
        (false, false) => "unknown: taken as open",
    }
}

const PREFACE: &str = "# Devices\n\n\
    Made by `madang devices --markdown`; a test holds it equal. Names and signs: a value flowing into the component is positive\n\
    (charging, importing, consuming). Every command is shipped unverified: `madang commission` earns its marks on your model,\n\
    and `control = true` in the site file is yours to write. A device that is not here: [write a profile](write-a-profile.md).\n\
    SunSpec devices say their points and commands themselves: [sunspec.md](sunspec.md).\n\n";

fn command_row(profile: &str, name: &str, c: &Command) -> String {
    format!(
        "| `{profile}` | `{name}` | {} | {} | {} | {} | {} |\n",
        value_of(c),
        refreshed(c),
        fallback(c),
        worn(c.wear),
        c.unknown.join("; ")
    )
}

fn refreshed(c: &Command) -> String {
    c.refresh_s.map_or("on change".into(), |s| format!("every {s} s"))
}

/// When the device goes back to itself after the last refresh.
fn fallback(c: &Command) -> String {
    match c.device_timeout_s {
        Some(s) if s > 0.0 => format!("after {s} s"),
        Some(_) => "never".into(),
        None => "unknown: taken as never".into(),
    }
}

fn worn(wear: Wear) -> &'static str {
    match wear {
        Wear::Ram => "RAM",
        Wear::Nonvolatile => "wears: daily budget",
        Wear::Unknown => "unknown: taken as one that wears",
    }
}

/// What the command takes.
fn value_of(c: &Command) -> String {
    let mut words = c.words().join(", ");
    if !words.is_empty() && c.unit != "word" {
        words = format!(" or {words}");
    }
    match (c.min, c.max) {
        _ if c.unit == "word" => words,
        _ if c.unit == "on" => format!("on, off{words}"),
        (Some(min), Some(max)) => format!("{min} to {max} {}{words}", c.unit).trim_end().to_owned(),
        _ => format!("{}{words}", c.unit),
    }
}

fn summary(p: &Profile) -> serde_json::Value {
    json!({"profile": p.id, "kind": p.kind, "models": p.models, "sunspec": p.sunspec, "points": p.points.len(),
           "commands": p.commands.keys().collect::<Vec<_>>(), "notes": p.notes})
}

fn one(name: &str, json: bool) -> u8 {
    let Some(p) = builtin(name) else {
        eprintln!(
            "there is no profile `{name}`; built in are {}",
            builtin_names().join(", ")
        );
        return USAGE;
    };
    if json {
        println!("{}", full(&p));
        return DONE;
    }
    println!("{}  ({})\nmodels  {}\n", p.id, p.kind, p.models.join(", "));
    for point in &p.points {
        println!(
            "  {:<28}{:>6} {:<9}{}",
            point.name,
            point.addr,
            format!("{:?}", point.table).to_lowercase(),
            point.unit
        );
    }
    for (name, c) in &p.commands {
        show_command(name, c);
    }
    for note in &p.notes {
        println!("\n{note}");
    }
    DONE
}

fn show_command(name: &str, c: &Command) {
    println!("\ncommand {name}: {}", value_of(c));
    println!(
        "  written {}; falls back {}; register {}",
        refreshed(c),
        fallback(c),
        worn(c.wear)
    );
    if let Some(loss) = &c.on_loss {
        println!("  when nobody speaks: {loss}");
    }
    for open in &c.unknown {
        println!("  unknown: {open}");
    }
    println!(
        "  unverified: {} of {} marks",
        c.unverified().len(),
        crate::profile::Mark::ALL.len()
    );
}

fn full(p: &Profile) -> serde_json::Value {
    let points: Vec<_> = p
        .points
        .iter()
        .map(|x| json!({"name": x.name, "address": x.addr, "unit": x.unit, "scale": x.scale, "note": x.note}))
        .collect();
    let mut all = summary(p);
    all["points"] = points.into();
    all
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_of_devices_says_what_the_profiles_say() {
        let page = include_str!("../../docs/devices.md");
        assert!(
            page == super::markdown(),
            "write it anew: madang devices --markdown > docs/devices.md"
        );
    }
}
