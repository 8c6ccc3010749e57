//! `madang plan`: one forecast and plan of a site, with reasons, in the terminal.
//!
//! Without a running controller there are no measurements: storages are taken at their middle, cars as not there.

use super::{BAD, DONE, USAGE, site_or_exit};
use crate::backtest::Market;
use crate::cycle::{self, PlanInput, PlanOutcome, PricePort, make_plan};
use crate::model::{Basis, ControllerState, Explanation, Language, Measurement, Quantity, Scan, Schedule, Trigger};
use crate::plan::BothSides;
use crate::reading::Reading;
use crate::site::{Id, Kind, Plant, Site};
use crate::time::{Clock, SystemClock, TimeGrid, Timestamp, is_believable};
use crate::{forecast, state};
use chrono::TimeDelta;
use std::process::ExitCode;
use std::sync::Arc;

/// Makes one forecast and plan and shows it with its reasons.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang plan home-amsterdam\n  madang plan home-amsterdam --why battery --at 2026-05-12T01:00:00Z\n  madang plan sites/island-microgrid --at 2026-07-01T03:00:00Z --json"
)]
pub struct Args {
    /// A folder with site.toml, a path to one, or the name of a shipped site
    site: String,
    /// Moment of planning, RFC 3339; default now
    #[arg(long)]
    at: Option<String>,
    /// Only why this component does what it does, with what the best other choice would cost (solved exactly)
    #[arg(long, value_name = "COMPONENT")]
    why: Option<String>,
    /// With --why: another interval of the plan than the first, RFC 3339
    #[arg(long, value_name = "TIME", requires = "why")]
    when: Option<String>,
    /// Sentences in Korean
    #[arg(long)]
    ko: bool,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> ExitCode {
    ExitCode::from(plan(&args).unwrap_or_else(|code| code))
}

fn plan(args: &Args) -> Result<u8, u8> {
    let site = site_or_exit(&args.site)?;
    let now = moment(args.at.as_deref())?;
    match one_plan(&site, now) {
        Ok(PlanOutcome::Adopted(schedule)) => {
            match &args.why {
                Some(component) => why(&site.plant, &schedule, component, args),
                None => show(&site.plant, &schedule, args),
            }?;
            Ok(DONE)
        }
        Ok(PlanOutcome::Rejected(why)) | Err(why) => {
            eprintln!("no plan: {why}");
            Err(BAD)
        }
    }
}

fn moment(text: Option<&str>) -> Result<Timestamp, u8> {
    let Some(text) = text else { return Ok(SystemClock.now()) };
    let parsed = chrono::DateTime::parse_from_rfc3339(text).map(|t| t.to_utc());
    let why = match parsed {
        Ok(t) if is_believable(t) => return Ok(t),
        Ok(_) => "the year is not between 1970 and 2199".to_owned(),
        Err(why) => why.to_string(),
    };
    eprintln!("--at {text}: {why}; write for example 2026-05-12T06:00:00Z");
    Err(USAGE)
}

/// One component in one interval: the sentences, then the numbers behind them.
fn why(plant: &Plant, schedule: &Schedule, component: &str, args: &Args) -> Result<(), u8> {
    let id = Id::new(component);
    let at = args.when.as_deref().map_or(Ok(schedule.made_at), |t| moment(Some(t)))?;
    let step = schedule.grid.index_of(at).ok_or_else(|| {
        eprintln!(
            "--when: the plan goes from {} to {}",
            schedule.grid.start,
            schedule.grid.end()
        );
        USAGE
    })?;
    let mut e = schedule.explanation(plant, &id, step).ok_or_else(|| {
        let known: Vec<_> = plant.components.keys().map(Id::as_str).collect();
        eprintln!(
            "--why {component}: there is no such component; there are {}",
            known.join(", ")
        );
        USAGE
    })?;
    if e.alternative.is_none_or(|a| a.basis != Basis::Exact) {
        e.alternative = cycle::alternative(schedule, &id, step).or(e.alternative);
    }
    let sides = cycle::price_sides(schedule, step);
    if args.json {
        let mut json = serde_json::json!(e);
        json["en"] = e.sentence(Language::En).into();
        json["ko"] = e.sentence(Language::Ko).into();
        json["price_both_sides"] = serde_json::json!(sides);
        println!("{json:#}");
        return Ok(());
    }
    let language = if args.ko { Language::Ko } else { Language::En };
    let zone = plant.location.time_zone;
    let clock = |t: Timestamp| t.with_timezone(&zone).format("%H:%M").to_string();
    println!(
        "{}",
        wrapped(&format!("{}–{}  ", clock(e.from), clock(e.to)), &e.sentence(language))
    );
    for line in facts(&e, sides) {
        println!("  {line}");
    }
    Ok(())
}

/// Numbers behind the sentence, with what they do and do not say.
fn facts(e: &Explanation, sides: Option<BothSides>) -> Vec<String> {
    let per_kwh = |p: f64| format!("{p:.4} {}/kWh", e.currency);
    let mut all = Vec::new();
    if let Some(p) = e.node_price_per_kwh {
        all.push(format!("price of electricity here     {}", per_kwh(p)));
    }
    if let Some(s) = sides {
        let (less, more) = (per_kwh(s.less), per_kwh(s.more));
        all.push(format!("on the bus, a kWh less, more  {less}, {more}"));
    }
    if let Some(v) = e.value_per_kwh {
        all.push(format!("worth of one more stored kWh  {}", per_kwh(v)));
    }
    if let Some(binding) = &e.binding {
        all.push(format!("what binds                    {binding}"));
    }
    if let Some(a) = e.alternative {
        let basis = match a.basis {
            Basis::Exact => "solved again",
            Basis::AtLeast => "a lower bound",
        };
        all.push(format!(
            "best other choice             {:+.4} {} ({basis})",
            a.extra_cost, e.currency
        ));
    }
    all
}

/// Text in 80 columns behind a first word; a Hangul or other wide letter takes two.
fn wrapped(first: &str, text: &str) -> String {
    let width = |s: &str| {
        s.chars()
            .map(|c| 1 + usize::from(('\u{1100}'..='\u{ffdc}').contains(&c) && !('\u{2000}'..='\u{2e7f}').contains(&c)))
            .sum::<usize>()
    };
    let indent = " ".repeat(width(first));
    let (mut out, mut line) = (String::new(), first.to_owned());
    let mut fresh = true;
    for word in text.split(' ') {
        if !fresh && width(&line) + 1 + width(word) > 80 {
            out += &format!("{line}\n");
            (line, fresh) = (indent.clone(), true);
        }
        line += if fresh { "" } else { " " };
        line += word;
        fresh = false;
    }
    out + &line
}

/// A plan from what the site file alone says.
pub fn one_plan(site: &Site, now: Timestamp) -> Result<PlanOutcome, String> {
    let plant = Arc::new(site.plant.clone());
    let mut memory = ControllerState::fresh(&plant, now);
    let scan = Scan {
        measurements: assumed(&plant, now),
        devices: Vec::new(),
    };
    let snapshot = Arc::new(state::snapshot(&plant, &scan, &mut memory, now));
    let mut market = Market::of(site, now + TimeDelta::days(3))?;
    let prices = market.as_mut().and_then(|m| m.current(now));
    let grid = TimeGrid::aligned(now, plant.timing.interval, plant.timing.horizon);
    let forecast = forecast::forecast(&plant, &memory, Some(&snapshot), prices.as_deref(), grid, now);
    let trigger = Trigger::OnRequest;
    Ok(make_plan(&PlanInput {
        plant,
        snapshot,
        state: memory,
        forecast,
        id: 1,
        trigger,
        now,
        deadline: None,
        explain: true,
    }))
}

/// Storages half full, tanks half warm: said in the output.
fn assumed(plant: &Plant, now: Timestamp) -> Vec<Measurement> {
    let mut all = Vec::new();
    let mut put = |component: &crate::site::Id, quantity, value| {
        all.push(Measurement {
            component: component.clone(),
            quantity,
            reading: Reading::good(value, now),
        });
    };
    for (id, c) in &plant.components {
        match &c.kind {
            Kind::Battery(b) => put(
                id,
                Quantity::StateOfCharge,
                (b.soc_min.as_ratio() + b.soc_max.as_ratio()) / 2.0,
            ),
            Kind::HeatPump(h) => {
                put(
                    id,
                    Quantity::TankTemperature,
                    (h.tank.min.as_celsius() + h.tank.max.as_celsius()) / 2.0,
                );
                put(id, Quantity::RoomTemperature, h.building.comfort_min.as_celsius() + 1.0);
            }
            _ => {}
        }
    }
    all
}

fn show(plant: &Plant, schedule: &Schedule, args: &Args) -> Result<(), u8> {
    if args.json {
        let text = serde_json::to_string_pretty(schedule).map_err(|why| {
            eprintln!("the schedule cannot be written as JSON: {why}");
            BAD
        })?;
        println!("{text}");
        return Ok(());
    }
    let language = if args.ko { Language::Ko } else { Language::En };
    print!("{}", table(plant, schedule, language));
    Ok(())
}

/// The schedule hour by hour in 80 columns, then each component's story: one line for each change of reason.
pub fn table(plant: &Plant, schedule: &Schedule, language: Language) -> String {
    let tz = plant.location.time_zone;
    let mut out = format!(
        "{}: plan made {} ({}), {} steps, cost {:.2} {}\n\n",
        plant.name,
        schedule.made_at.with_timezone(&tz).format("%Y-%m-%d %H:%M"),
        tz,
        schedule.grid.len(),
        schedule.solution.objective,
        plant.tariff.currency
    );
    out += &format!(
        "{:<6}{:>9}{:>8}{:>8}{:>8}{:>8}  {}\n",
        "local", "price", "load", "PV", "import", "export", "net"
    );
    for (t, step) in schedule.grid.intervals().enumerate() {
        if t > 0 && step.start.timestamp() % 3600 != 0 {
            continue;
        }
        out += &row(schedule, t, &step.start.with_timezone(&tz).format("%H:%M").to_string());
    }
    out += "\n";
    for id in schedule.why.keys() {
        out += &story(plant, schedule, id, language);
    }
    for v in &schedule.solution.violations {
        out += &format!("not met: {} of {}: {:.2} {}\n", v.name, v.component, v.amount, v.unit);
    }
    out
}

fn row(schedule: &Schedule, t: usize, local: &str) -> String {
    let at = |v: &[f64]| v.get(t).copied().unwrap_or(f64::NAN);
    let plan = &schedule.solution.plan;
    let (import, export) = (at(&plan.import_kw), at(&plan.export_kw));
    let price = schedule
        .buy
        .get(t)
        .copied()
        .flatten()
        .map_or_else(|| "?".into(), |p| format!("{p:.3}"));
    let mark = if schedule.price_estimated.get(t) == Some(&true) {
        "~"
    } else {
        ""
    };
    format!(
        "{local:<6}{:>9}{:>8.1}{:>8.1}{import:>8.1}{export:>8.1}  {}\n",
        format!("{mark}{price}"),
        at(&schedule.load_kw),
        at(&schedule.pv_kw),
        bar(import - export, schedule)
    )
}

/// Import to the right, export to the left of the middle, 28 characters wide.
fn bar(net: f64, schedule: &Schedule) -> String {
    let plan = &schedule.solution.plan;
    let top = plan
        .import_kw
        .iter()
        .chain(&plan.export_kw)
        .copied()
        .fold(0.1, f64::max);
    let half = 14usize;
    let cells = ((net.abs() / top * half as f64).round() as usize).min(half);
    if net >= 0.0 {
        format!("{:>half$}|{}", "", "█".repeat(cells))
    } else {
        format!("{}{}|", " ".repeat(half - cells), "░".repeat(cells))
    }
}

/// One line for each change of reason; the first says also what the best other choice would cost.
fn story(plant: &Plant, schedule: &Schedule, id: &Id, language: Language) -> String {
    let steps = schedule.why.get(id).map_or(0, Vec::len);
    let mut out = format!("{id}\n");
    let mut last = None;
    for t in 0..steps {
        let Some(e) = schedule.explanation(plant, id, t) else {
            break;
        };
        if last.replace((e.code, e.action)) == Some((e.code, e.action)) {
            continue;
        }
        let local = e.from.with_timezone(&e.zone).format("%H:%M");
        let text = if t == 0 {
            e.sentence(language)
        } else {
            e.reason(language)
        };
        out += &format!("{}\n", wrapped(&format!("  {local}  "), &text));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_stay_inside_eighty_columns_in_both_scripts() {
        let ko = "배터리를 계통 전력으로 3.2 kW 충전합니다. ".repeat(5);
        for line in wrapped("  03:00  ", &ko).lines() {
            let columns: usize = line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
            assert!(columns <= 80 && line.starts_with("  "), "{columns}: {line}");
        }
        assert_eq!(wrapped("a ", "b c"), "a b c");
    }
}
