//! English.

use super::words::{clock, decimals, energy, is_nothing, number, power};
use super::{Action, Basis, COMFORT_K_H, Explanation, Voice};
use crate::model::ReasonCode as C;
use crate::time::Timestamp;

pub fn sentence(e: &Explanation) -> String {
    match alternative(e) {
        Some(other) => format!("{} {}.", reason(e), capital(&other)),
        None => reason(e),
    }
}

/// What and why, one sentence.
pub fn reason(e: &Explanation) -> String {
    let (does, because) = parts(e);
    let because = [because, held(e)].into_iter().flatten().collect::<Vec<_>>().join("; ");
    let who = if e.kind == "grid" { "The site" } else { &e.title_en };
    match because.is_empty() {
        // names of loads may be plural
        true if matches!(e.kind.as_str(), "load" | "sheddable_load") || e.code == C::NoCar => {
            format!("Planned: {who}: {does}.")
        }
        true => format!("Planned: {who} {does}."),
        false => format!("Planned: {who} {does}: {because}."),
    }
}

/// The moment of the sentence, behind a price.
fn when(e: &Explanation) -> String {
    match e.voice {
        Voice::Now => "now".into(),
        Voice::Planned => format!("at {}", time(e.from, e)),
    }
}

/// The moment of the sentence, behind a verb.
fn then_or_now(e: &Explanation) -> &'static str {
    match e.voice {
        Voice::Now => "now",
        Voice::Planned => "then",
    }
}

/// "runs at 2.0 kW"; a mean below what the component can do is a part of the time.
fn at_power(verb: &str, e: &Explanation) -> String {
    match e.least_kw {
        Some(least) if e.voice == Voice::Planned && e.power_kw < 0.98 * least => {
            format!("{verb} part of the time, {} on average", power(e.power_kw))
        }
        _ => format!("{verb} at {}", power(e.power_kw)),
    }
}

/// Why alone, a sentence.
pub fn because(e: &Explanation) -> Option<String> {
    let all = [parts(e).1, held(e)];
    let text = all.into_iter().flatten().collect::<Vec<_>>().join("; ");
    (!text.is_empty()).then(|| format!("{}.", capital(&text)))
}

pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

pub fn money(amount: f64, currency: &str) -> String {
    let amount = number(amount, decimals(currency));
    match currency {
        "KRW" => format!("{amount} won"),
        other => format!("{amount} {other}"),
    }
}

pub(super) fn price(per_kwh: f64, e: &Explanation) -> String {
    format!("{}/kWh", money(per_kwh, &e.currency))
}

pub(super) fn time(t: Timestamp, e: &Explanation) -> String {
    let (hour, minute, other_day) = clock(t, e.from, e.zone);
    let next = if other_day { " the next day" } else { "" };
    format!("{hour:02}:{minute:02}{next}")
}

/// "electricity costs 0.08 EUR/kWh now"; below zero one is paid for using it.
pub(super) fn now_costs(e: &Explanation) -> Option<String> {
    let p = e.buy_per_kwh?;
    let when = when(e);
    Some(match is_nothing(p, &e.currency) {
        true => format!("electricity is free {when}"),
        false if p < 0.0 => format!("using electricity earns {} {when}", price(p, e)),
        false => format!("electricity costs {} {when}", price(p, e)),
    })
}

/// "and 0.31 EUR/kWh at 18:00"
fn then(e: &Explanation) -> Option<String> {
    let (at, p) = (e.compared_at?, e.compared_per_kwh?);
    // what the first half of the sentence has already named
    let at = match e.action {
        Action::Rest | Action::Off if e.kind != "battery" && e.voice == Voice::Planned => "then".to_owned(),
        _ => format!("at {}", time(at, e)),
    };
    let earns = |p: f64| p < 0.0 && !is_nothing(p, &e.currency);
    let verb = match (e.buy_per_kwh.is_some_and(earns), earns(p)) {
        (true, false) => "costs ",
        (false, true) => "earns ",
        _ => "",
    };
    Some(match is_nothing(p, &e.currency) {
        true => format!("and nothing {at}"),
        false => format!("and {verb}{} {at}", price(p, e)),
    })
}

fn now_and_then(e: &Explanation) -> Option<String> {
    let now = now_costs(e)?;
    Some(then(e).map_or_else(|| now.clone(), |then| format!("{now} {then}")))
}

/// What selling would bring instead.
fn selling(e: &Explanation) -> Option<String> {
    let p = e.sell_per_kwh?;
    Some(match is_nothing(p, &e.currency) {
        true => "selling it would earn nothing".to_owned(),
        false if p < 0.0 => format!("selling it would cost {}", price(p, e)),
        false => format!("selling it would earn only {}", price(p, e)),
    })
}

fn later_use(e: &Explanation) -> Option<String> {
    let (at, p) = (e.compared_at?, e.compared_per_kwh?);
    Some(match is_nothing(p, &e.currency) || p < 0.0 {
        true => format!("it will be used at {}", time(at, e)),
        false => format!("it will be worth {} at {}", price(p, e), time(at, e)),
    })
}

fn refill(e: &Explanation) -> Option<String> {
    let (at, p) = (e.compared_at?, e.compared_per_kwh?);
    Some(match is_nothing(p, &e.currency) || p < 0.0 {
        true => format!("it can be refilled for nothing at {}", time(at, e)),
        false => format!("it can be refilled for {} at {}", price(p, e), time(at, e)),
    })
}

fn join(parts: [Option<String>; 2], between: &str) -> Option<String> {
    let all: Vec<String> = parts.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(between))
}

fn by(e: &Explanation) -> Option<String> {
    e.until.map(|t| time(t, e))
}

/// (what it does, why)
pub(super) fn parts(e: &Explanation) -> (String, Option<String>) {
    match e.kind.as_str() {
        _ if e.code == C::Override => told(e),
        "battery" => battery(e),
        "charge_point" => car(e),
        "generator" => generator(e),
        "heat_pump" => heat(e),
        "pv" => sun(e),
        "shiftable_load" | "deferrable_load" => run_once(e),
        "chp" | "boiler" | "hydro" => engine(e),
        "sheddable_load" | "load" => load(e),
        _ => meter(e),
    }
}

/// What a person told it, and until when.
fn told(e: &Explanation) -> (String, Option<String>) {
    let does = match e.action {
        Action::Charge => at_power("charges", e),
        Action::Discharge => format!("supplies {}", power(e.power_kw)),
        Action::Rest => "rests".into(),
        _ if e.kind == "pv" => format!("gives {}", power(e.power_kw)),
        _ if e.power_kw <= super::IDLE_KW => "is off".into(),
        _ => at_power("runs", e),
    };
    let until = by(e).map_or_else(String::new, |t| format!(" until {t}"));
    (does, Some(format!("a person said so{until}")))
}

fn battery(e: &Explanation) -> (String, Option<String>) {
    let kw = power(e.power_kw);
    match e.code {
        C::GridCharge => (format!("charges {kw} from the grid"), now_and_then(e)),
        C::StoreSurplus => (
            format!("stores {kw} of surplus"),
            join([selling(e), later_use(e)], "; "),
        ),
        C::CoverLoad if bound_by(e, "outage") => (
            format!("supplies {kw} to the site"),
            Some("no power comes from the grid".into()),
        ),
        C::CoverLoad => (
            format!("supplies {kw} to the site"),
            join([now_costs(e).or_else(|| sun_alone(e)), refill(e)], "; "),
        ),
        C::SellStored => {
            let earns = e.sell_per_kwh.map(|p| format!("it earns {} {}", price(p, e), when(e)));
            (format!("sells {kw} to the grid"), join([earns, refill(e)], "; "))
        }
        C::ShavePeak => (format!("supplies {kw}"), Some(peak(e))),
        C::LimitSoc if e.binding.as_deref() == Some("full") => ("rests".into(), Some("it is full".into())),
        C::LimitSoc => ("rests".into(), Some("it is at its lowest allowed charge".into())),
        C::DeviceSilent => ("is left alone".into(), Some("its charge is not known".into())),
        _ if bound_by(e, "reserve") => ("rests".into(), Some("what is left is its reserve for outages".into())),
        _ if bound_by(e, "lifeline") => (
            "rests".into(),
            Some("what is left is kept to carry the critical loads through an outage".into()),
        ),
        _ => {
            let wait = e
                .compared_at
                .map(|_| now_and_then(e))
                .unwrap_or_else(|| Some(format!("nothing is gained by using it {}", then_or_now(e))));
            ("keeps its energy".into(), wait)
        }
    }
}

/// Where nothing is bought: what the battery makes up for.
fn sun_alone(e: &Explanation) -> Option<String> {
    (e.buy_per_kwh.is_none() && e.sell_per_kwh.is_none()).then(|| "the sun alone is not enough".into())
}

fn bound_by(e: &Explanation, name: &str) -> bool {
    e.binding.as_deref() == Some(name)
}

fn peak(e: &Explanation) -> String {
    if bound_by(e, "subscribed power") {
        return limit(e, "this keeps the site within the {} it has subscribed to");
    }
    e.limit_kw.map_or_else(
        || "this keeps the month's peak, and its charge, from rising".into(),
        |kw| {
            format!(
                "this keeps the month's peak at {}, and its charge from rising",
                power(kw)
            )
        },
    )
}

fn car(e: &Explanation) -> (String, Option<String>) {
    let charges = at_power("charges", e);
    let ready = by(e).map_or_else(String::new, |t| format!(" before the car leaves at {t}"));
    match e.code {
        C::CoverLoad | C::SellStored => {
            let (does, because) = battery(e);
            (format!("{does} from the car"), because)
        }
        C::ChargeFast => (charges, Some("its owner wants it full as soon as possible".into())),
        C::ChargeSurplus => (charges, Some("there is surplus from the sun".into())),
        C::MustChargeNow => (charges, Some(format!("it needs all the time left{ready}"))),
        C::ChargeCheap => {
            let most = e
                .compared_per_kwh
                .map_or_else(String::new, |p| format!(" and up to {}{ready}", price(p, e)));
            (charges, now_costs(e).map(|now| format!("{now}{most}")))
        }
        C::WaitCheaper => {
            let wait = e
                .compared_at
                .map_or_else(|| "waits".to_owned(), |t| format!("waits until {}", time(t, e)));
            let cheaper = match (e.buy_per_kwh, e.compared_per_kwh) {
                (Some(now), Some(then)) if then < now && !is_nothing(now - then, &e.currency) => now_and_then(e),
                _ => by(e).map(|t| format!("there is time enough before the car leaves at {t}")),
            };
            (wait, cheaper)
        }
        C::ChargeDone => ("rests".into(), Some("the car has what it needs".into())),
        _ => ("no car is plugged in".into(), None),
    }
}

fn generator(e: &Explanation) -> (String, Option<String>) {
    let runs = at_power("runs", e);
    match e.code {
        C::GeneratorNeeded => {
            let because = match e.binding.as_deref() {
                Some("minimum power") => "the battery and the sun are not enough, and it cannot run any slower",
                _ => "the battery and the sun are not enough",
            };
            (runs, Some(because.into()))
        }
        C::GeneratorMinimum => {
            let until = by(e).map_or_else(String::new, |t| format!(" until {t}"));
            (runs, Some(format!("once started it must stay on{until}")))
        }
        _ => ("is off".into(), Some("the battery and the sun are enough".into())),
    }
}

/// CHP, boiler, turbine: what the other way to the same heat or power costs decides.
fn engine(e: &Explanation) -> (String, Option<String>) {
    let instead = match (e.kind.as_str(), e.action) {
        ("hydro", Action::Run) => then_worth(e),
        ("hydro", _) => Some("the water is worth more later".into()),
        (_, Action::Run) => Some("this is the cheapest way to the heat that is needed".into()),
        _ => Some("there is a cheaper way to the heat that is needed".into()),
    };
    match e.action {
        Action::Run => (format!("runs at {}", power(e.power_kw)), instead),
        _ => ("is off".into(), instead),
    }
}

/// What the water replaces now.
fn then_worth(e: &Explanation) -> Option<String> {
    now_costs(e).or_else(|| Some("the site needs the power".into()))
}

fn heat(e: &Explanation) -> (String, Option<String>) {
    let runs = at_power("runs", e);
    match e.code {
        C::RunHeat => (format!("{runs} and stores heat"), now_and_then(e)),
        C::ComfortHeat => (runs, Some(format!("the rooms need the heat {}", then_or_now(e)))),
        C::HeatSatisfied => {
            let next = e
                .compared_at
                .map(|t| format!("the next run is planned at {}", time(t, e)));
            ("is off".into(), join([Some("it is warm enough".into()), next], "; "))
        }
        _ => ("follows its thermostat".into(), None),
    }
}

fn sun(e: &Explanation) -> (String, Option<String>) {
    let held = format!("is held back to {}", power(e.power_kw));
    match e.code {
        C::CurtailNegative => (
            held,
            e.sell_per_kwh
                .map(|p| format!("selling more would cost {}", price(p, e))),
        ),
        C::LimitExport => (held, Some(limit(e, "no more than {} may be sold"))),
        C::CurtailSurplus => (held, Some("nobody can use or store the rest".into())),
        _ if e.power_kw > super::IDLE_KW => (format!("gives {}", power(e.power_kw)), None),
        _ => ("gives nothing".into(), Some("there is no sun".into())),
    }
}

fn limit(e: &Explanation, text: &str) -> String {
    text.replace("{}", &e.limit_kw.map_or_else(|| "the limit".into(), power))
}

fn run_once(e: &Explanation) -> (String, Option<String>) {
    match e.action {
        Action::Run => (format!("runs at {}", power(e.power_kw)), now_and_then(e)),
        _ => match e.compared_at {
            Some(t) if cheaper_then(e) => (format!("waits until {}", time(t, e)), now_and_then(e)),
            Some(t) => (format!("waits until {}", time(t, e)), Some("it fits best then".into())),
            None => ("is off".into(), Some("it is not due".into())),
        },
    }
}

fn cheaper_then(e: &Explanation) -> bool {
    let saves = |(now, then): (f64, f64)| then < now && !is_nothing(now - then, &e.currency);
    e.buy_per_kwh.zip(e.compared_per_kwh).is_some_and(saves)
}

fn load(e: &Explanation) -> (String, Option<String>) {
    match e.code {
        C::ShedLoad => (
            "switched off, because there is not enough power for everything".into(),
            None,
        ),
        _ => (format!("{} in use", power(e.power_kw)), None),
    }
}

fn meter(e: &Explanation) -> (String, Option<String>) {
    let kw = power(e.power_kw);
    match e.code {
        _ if bound_by(e, "outage") => ("runs on its own".into(), Some("no power comes from the grid".into())),
        C::LimitImport => (format!("buys {kw}"), Some("its connection allows no more".into())),
        C::LimitExport => (format!("sells {kw}"), Some("its connection allows no more".into())),
        C::ShavePeak => (format!("buys {kw}"), Some(peak(e))),
        _ if e.power_kw <= super::IDLE_KW => ("neither buys nor sells".into(), Some("it supplies itself".into())),
        _ if e.action == Action::Discharge => (format!("sells {kw}"), e.sell_per_kwh.map(|p| earned(p, e))),
        _ => (format!("buys {kw}"), now_costs(e)),
    }
}

pub(super) fn earned(p: f64, e: &Explanation) -> String {
    match is_nothing(p, &e.currency) {
        true => format!("it earns nothing {}", when(e)),
        false if p < 0.0 => format!("it costs {} {}", price(p, e), when(e)),
        false => format!("it earns {} {}", price(p, e), when(e)),
    }
}

/// A limit that keeps a component from doing more of what it does.
fn held(e: &Explanation) -> Option<String> {
    if !matches!(e.action, Action::Charge | Action::Discharge | Action::Run) || e.kind == "grid" {
        return None;
    }
    match e.binding.as_deref()? {
        "import limit" => Some("the connection allows no more".into()),
        "export limit" => Some("no more may be fed into the grid".into()),
        other => {
            let circuit = other.strip_prefix("circuit ")?;
            Some(format!("the fuse of “{circuit}” allows no more"))
        }
    }
}

/// What the best other choice would cost.
pub fn alternative(e: &Explanation) -> Option<String> {
    let a = e.alternative?;
    let choice = choice(e, a.action, a.power_kw)?;
    let nothing = is_nothing(a.extra_cost, &e.currency);
    let missed = (a.missed_kwh > 0.05).then(|| energy(a.missed_kwh));
    let cost = money(a.extra_cost, &e.currency);
    if a.missed_kelvin_hours > COMFORT_K_H {
        return Some(format!("{choice} would make it less comfortable than you asked for"));
    }
    Some(match (missed, a.basis) {
        (Some(kwh), _) if e.kind == "charge_point" => format!("{choice} would leave the car {kwh} short"),
        (Some(_), _) if e.kind == "shiftable_load" => format!("{choice} would leave too little time for it to finish"),
        (Some(kwh), _) if e.kind == "deferrable_load" => format!("{choice} would leave it {kwh} short"),
        (Some(kwh), _) => format!("{choice} would leave {kwh} without supply"),
        (None, Basis::Exact) if nothing => format!("{choice} would cost about the same"),
        (None, Basis::AtLeast) if nothing => return None,
        (None, Basis::Exact) if a.extra_cost < 0.0 => format!("{choice} would cost {cost} less"),
        (None, Basis::Exact) => format!("{choice} would cost {cost} more"),
        (None, Basis::AtLeast) => format!("{choice} would cost at least {cost} more"),
    })
}

fn choice(e: &Explanation, other: Action, kw: f64) -> Option<String> {
    let kw = power(kw);
    // "then" would point at the time that was compared with
    let now = match e.voice {
        Voice::Now => "now",
        Voice::Planned => "instead",
    };
    Some(match (e.kind.as_str(), e.action, other) {
        (_, Action::Charge, Action::Rest) => "waiting".into(),
        (_, Action::Discharge, Action::Rest) => "holding it back".into(),
        ("battery", _, Action::Charge) => format!("charging {kw} {now}"),
        ("battery", _, Action::Discharge) => format!("supplying {kw} {now}"),
        ("charge_point", _, Action::Charge) => format!("charging {kw} {now}"),
        ("charge_point", _, Action::Discharge) => format!("supplying {kw} from the car {now}"),
        ("generator", _, Action::Off) => "leaving it off".into(),
        ("generator", _, Action::Run) => format!("running it {now}"),
        ("heat_pump" | "deferrable_load", _, Action::Off) => "pausing it".into(),
        ("chp" | "boiler" | "hydro", _, Action::Off) => "leaving it off".into(),
        ("heat_pump" | "deferrable_load" | "chp" | "boiler" | "hydro", _, Action::Run) => format!("running it {now}"),
        ("shiftable_load", _, Action::Off) => "starting later".into(),
        ("shiftable_load", _, Action::Run) => format!("starting {now}"),
        ("pv", _, Action::Full) => "producing at full power".into(),
        ("sheddable_load", _, Action::Full) => "keeping it on".into(),
        _ => return None,
    })
}
