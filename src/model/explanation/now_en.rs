//! A component at this moment, in English.

use super::bounds::Bound;
use super::claims::Way;
use super::en::{capital, earned, now_costs, parts, time};
use super::now::{Hand, Now};
use super::words::power;
use crate::model::{ReasonCode as C, Target};
use crate::time::Timestamp;

pub fn sentence(n: &Now) -> String {
    let Some(way) = n.way() else { return unknown(n) };
    let (who, does) = (who(n), does(n, way));
    let why = clauses(n).join("; ");
    let text = match &n.hand {
        Hand::Would { target } if n.follows == Some(true) && !is_ceiling(n, *target) => {
            with_why(format!("{who} {does} on its own; Madang would tell it the same"), &why)
        }
        Hand::Would { target } => {
            let would = with_why(format!("Madang would tell it to {}", told(n, *target)), &why);
            format!("{who} {does} on its own. {would}")
        }
        Hand::Refused { target } => format!("{who} {does}. It did not take the command to {}.", told(n, *target)),
        Hand::Told { target } if n.follows == Some(false) => {
            let told = with_why(format!("It is told to {}", told(n, *target)), &why);
            format!("{who} {does}. {told}")
        }
        Hand::Other { until } => {
            let until = until.map_or_else(String::new, |t| format!(" until {}", time(t, &n.facts)));
            format!("{who} {does}; another controller is left in charge of it{until}.")
        }
        Hand::Told { .. } | Hand::Itself | Hand::Nobody => with_why(format!("{who} {does}"), &why),
    };
    match planned(n) {
        Some(plan) => format!("{text} {plan}"),
        None => text,
    }
}

pub fn because(n: &Now) -> Option<String> {
    n.way()?;
    let text = clauses(n).join("; ");
    (!text.is_empty()).then(|| format!("{}.", capital(&text)))
}

fn with_why(does: String, why: &str) -> String {
    match why.is_empty() {
        true => format!("{does}."),
        false => format!("{does}: {why}."),
    }
}

fn who(n: &Now) -> String {
    match n.facts.kind.as_str() {
        "grid" => "The site".into(),
        // names of loads may be plural
        "load" | "sheddable_load" => format!("{}:", capital(&n.facts.title_en)),
        "charge_point" if n.way() == Some(Way::Rest) && n.plugged == Some(false) => {
            format!("{}:", capital(&n.facts.title_en))
        }
        _ => capital(&n.facts.title_en),
    }
}

fn unknown(n: &Now) -> String {
    let title = match n.facts.kind.as_str() {
        "grid" => "What the site buys or sells".to_owned(),
        _ => format!("{}: power", capital(&n.facts.title_en)),
    };
    match n.unknown_since {
        Some(t) => format!("{title} is not known since {}.", time(t, &n.facts)),
        None => format!("{title} is not known."),
    }
}

/// What is measured, in words instead of signs.
fn does(n: &Now, way: Way) -> String {
    let kw = power(n.power_kw.unwrap_or(f64::NAN));
    match (n.facts.kind.as_str(), way) {
        ("battery", Way::In) => format!("charges {kw}"),
        ("battery", Way::Out) => format!("supplies {kw}"),
        ("battery", Way::Rest) => "rests".into(),
        ("charge_point", Way::In) => format!("charges at {kw}"),
        ("charge_point", Way::Out) => format!("supplies {kw} from the car"),
        ("charge_point", Way::Rest) if n.plugged == Some(false) => "no car is plugged in".into(),
        ("charge_point", Way::Rest) => "does not charge".into(),
        ("pv", Way::Rest) if n.asleep => "gives nothing and is asleep until sunrise".into(),
        ("pv", Way::Rest) => "gives nothing".into(),
        ("grid", Way::In) => format!("buys {kw}"),
        ("grid", Way::Out) => format!("sells {kw}"),
        ("grid", Way::Rest) => "neither buys nor sells".into(),
        ("generator", Way::Out) => format!("runs at {kw}"),
        ("heat_pump", Way::In) if is_standby(n) => format!("draws {kw}"),
        ("heat_pump" | "shiftable_load", Way::In) => format!("runs at {kw}"),
        ("generator" | "heat_pump" | "shiftable_load", Way::Rest) => "is off".into(),
        ("load" | "sheddable_load", Way::In) => format!("{kw} in use"),
        ("load" | "sheddable_load", Way::Rest) => "nothing in use".into(),
        ("load" | "sheddable_load", Way::Out) => format!("{kw} more comes in than is measured"),
        (_, Way::In) => format!("draws {kw}"),
        (_, Way::Out) => format!("gives {kw}"),
        (_, Way::Rest) => "rests".into(),
    }
}

/// What a machine draws that does not run.
fn is_standby(n: &Now) -> bool {
    let least = n.facts.least_kw.unwrap_or(0.0);
    n.power_kw.is_some_and(|kw| kw < 0.5 * least)
}

/// A ceiling is not what a device does.
fn is_ceiling(n: &Now, target: Target) -> bool {
    matches!(target, Target::PowerLimit(_)) || n.facts.kind == "charge_point"
}

/// "supply 2.0 kW": a target, behind "is told to".
fn told(n: &Now, target: Target) -> String {
    let battery = n.facts.kind == "battery";
    match target {
        Target::Power(p) if p.as_kw().abs() < Way::REST_KW => if battery { "rest" } else { "be off" }.into(),
        Target::Power(p) if battery && p.as_kw() < 0.0 => format!("supply {}", power(p.as_kw())),
        Target::Power(p) if battery => format!("charge {}", power(p.as_kw())),
        Target::Power(p) => format!("run at {}", power(p.as_kw())),
        Target::PowerLimit(p) => format!("give {} at most", power(p.as_kw())),
        Target::Current(a) if a.as_amps() == 0.0 => "pause".into(),
        Target::Current(a) => format!("charge at {} at most", power(a.as_amps() * n.kw_per_amp)),
        Target::On(true) => "be on".into(),
        Target::On(false) => "be off".into(),
        Target::Release => "decide by itself".into(),
    }
}

/// Why, clause by clause.
fn clauses(n: &Now) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    match n.facts.kind.as_str() {
        "grid" => all.extend(meter(n)),
        "load" => {}
        _ => all.extend(n.code.and_then(|code| reason(n, code))),
    }
    all.extend(n.bound.as_ref().map(|b| bound(n, b)));
    if n.held {
        all.push("what is left is kept free for loads that may start".into());
    }
    all
}

fn meter(n: &Now) -> Option<String> {
    match n.way()? {
        Way::In => now_costs(&n.facts),
        Way::Out => n.facts.sell_per_kwh.map(|p| earned(p, &n.facts)),
        Way::Rest => None,
    }
}

fn reason(n: &Now, code: C) -> Option<String> {
    let e = &n.facts;
    let until = |t: Option<Timestamp>| t.map_or_else(String::new, |t| format!(" until {}", time(t, e)));
    Some(match code {
        C::Override if n.hand == Hand::Itself => format!("a person left it to itself{}", until(e.until)),
        C::Override => format!("a person said so{}", until(e.until)),
        C::Thermostat => "it follows its own thermostat".into(),
        C::RuleSelfConsumption => "by the rule it stores surplus and supplies the site".into(),
        C::FallbackNoPlan => "there is no valid plan, so it stores surplus and supplies the site".into(),
        C::SafeGridSilent if n.blind => "the grid meter gives no usable value".into(),
        C::SafeGridSilent => "safe setpoints hold until values have been good for some seconds".into(),
        C::HandedBack => "control is handed back to it".into(),
        C::CarTakesNothing => "power is on offer, but the car takes none: it is full or asleep".into(),
        C::LimitRating => "its own rating allows no more".into(),
        C::LimitSoc => match e.binding.as_deref()? {
            "full" => "it is full".into(),
            "reserve" => "what is left is its reserve for outages".into(),
            _ => "it is at its lowest allowed charge".into(),
        },
        C::ShedLoad => "there is not enough power for everything".into(),
        C::DeadlineShiftable => "it must run now to be done in time".into(),
        C::WaitShiftable => format!("its run is planned at {}", time(e.compared_at?, e)),
        C::LimitImport | C::LimitExport | C::LimitFuse | C::ShavePeak => return None,
        C::NoCar | C::KeepServed | C::PolicyIdle | C::FollowPlan | C::Ceiling => return None,
        _ => return parts(e).1,
    })
}

fn bound(n: &Now, bound: &Bound) -> String {
    let by = |source: &String| {
        if source == "site" {
            String::new()
        } else {
            format!(" (told by {source})")
        }
    };
    match bound {
        Bound::Import { kw, source } => format!("no more than {}{} may be bought", power(*kw), by(source)),
        Bound::Export { kw, source } => format!("no more than {}{} may be sold", power(*kw), by(source)),
        Bound::MainFuse { amps } => format!("the main fuse of {amps:.0} A allows no more"),
        Bound::CircuitFuse { circuit, amps } => format!("the fuse of “{circuit}” ({amps:.0} A) allows no more"),
        Bound::CircuitPower { circuit, kw } => format!("the limit of “{circuit}” ({}) allows no more", power(*kw)),
        Bound::Demand { .. } if n.facts.kind == "battery" => "this keeps the demand peak from rising".into(),
        Bound::Demand { .. } => "more would raise the demand peak".into(),
    }
}

/// What was planned for this interval, where something else happens.
fn planned(n: &Now) -> Option<String> {
    let kw = n.planned_kw.filter(|_| n.off_plan)?;
    let size = match n.facts.least_kw {
        Some(least) if kw.abs() < 0.98 * least => format!("{} on average", power(kw)),
        _ => power(kw),
    };
    let doing = match (n.facts.kind.as_str(), Way::of(kw)) {
        ("battery", Way::In) => format!("charging {size}"),
        ("battery", Way::Out) => format!("supplying {size}"),
        ("battery", Way::Rest) => "rest".into(),
        ("charge_point", Way::In) => format!("charging at {size}"),
        ("charge_point", Way::Out) => format!("supplying {size} from the car"),
        ("charge_point", Way::Rest) => "no charging".into(),
        ("generator" | "heat_pump" | "shiftable_load", Way::Rest) => "off".into(),
        ("generator" | "heat_pump" | "shiftable_load", _) => format!("running at {size}"),
        // sun and load come as they come
        _ => return None,
    };
    Some(format!("Planned: {doing}."))
}
