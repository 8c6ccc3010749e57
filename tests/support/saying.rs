//! Reads what is told of a component as a person would, and compares it with the process image. Knows nothing of how the
//! sentences are made.

use madang::cycle::CycleReport;
use madang::model::{Quantity, Snapshot};
use madang::site::{Id, Kind, Plant};

/// Below this much (kW) a word for rest is right, above it one for a flow.
const REST: f64 = 0.1;
/// A limit that is named is reached to this part.
const REACHED: f64 = 0.9;

/// Measured power of a component, or what the balance leaves for the load that nobody measures.
pub fn measured(snapshot: &Snapshot, id: &Id, kind: &Kind) -> Option<f64> {
    let own = snapshot.usable(id, Quantity::ActivePower);
    let has_device = snapshot.devices.iter().any(|d| d.components.contains(id));
    let left = || match kind {
        Kind::Load(_) if !has_device => snapshot.residual?.usable().map(|p| p.as_kw()),
        _ => None,
    };
    own.or_else(left)
}

/// Powers of a text, kW, in order.
pub fn powers(text: &str) -> Vec<f64> {
    let mut found = Vec::new();
    for pair in text.replace(',', "").split(' ').collect::<Vec<_>>().windows(2) {
        let factor = match pair[1].trim_end_matches(|c: char| !c.is_ascii_alphabetic()) {
            unit if unit.starts_with("kW") && !unit.starts_with("kWh") => 1.0,
            "W" => 1e-3,
            _ => continue,
        };
        let number = pair[0].trim_start_matches(|c: char| !c.is_ascii_digit());
        if let Ok(n) = number.parse::<f64>() {
            found.push(n * factor);
        }
    }
    found
}

/// The part that says what is, before any reason, order or plan.
fn fact(text: &str) -> &str {
    let of_load =
        |rest: &str| rest.contains(" in use") || rest.contains(" comes in than") || rest.starts_with(": no car");
    let from = text.find(": ").filter(|i| of_load(&text[*i..])).map_or(0, |i| i + 2);
    let rest = &text[from..];
    let end = [": ", "; ", ". "].iter().filter_map(|s| rest.find(s)).min();
    &rest[..end.unwrap_or(rest.len())]
}

/// +1 into the component, −1 out of it, 0 at rest; `None` where the text says none of it.
fn direction(fact: &str, kind: &Kind) -> Option<f64> {
    let says = |word: &str| fact.contains(word);
    let rest = [
        "rests",
        "neither buys",
        "is off",
        "does not charge",
        "no car",
        "gives nothing",
        "nothing in use",
    ];
    if rest.iter().any(|w| says(w)) {
        return Some(0.0);
    }
    if says(" runs at ") {
        return Some(if matches!(kind, Kind::Generator(_)) { -1.0 } else { 1.0 });
    }
    let out = ["supplies", "sells", "gives", "comes in than"].iter().any(|w| says(w));
    let into = ["charges", "buys", "draws", "in use"].iter().any(|w| says(w));
    match (out, into) {
        (true, false) => Some(-1.0),
        (false, true) => Some(1.0),
        _ => None,
    }
}

/// What is wrong with a text about a component at this moment; empty where nothing is.
pub fn faults(plant: &Plant, report: &CycleReport, id: &Id, en: &str, ko: &str) -> Vec<String> {
    let snapshot = &report.snapshot;
    let component = &plant.components[id];
    let mut wrong = Vec::new();
    let Some(kw) = measured(snapshot, id, &component.kind) else {
        if !en.contains("is not known") || !ko.contains("알 수 없습니다") || !powers(en).is_empty() {
            wrong.push(format!("speaks of an unknown component: {en} | {ko}"));
        }
        return wrong;
    };
    let fact = fact(en);
    match direction(fact, &component.kind) {
        None => wrong.push(format!("says no direction: `{fact}` of {en}")),
        Some(0.0) if kw.abs() > REST => wrong.push(format!("says rest at {kw} kW: {en}")),
        Some(d) if d != 0.0 => {
            let size = powers(fact).first().copied();
            if d * kw <= 0.0 || size.is_none_or(|s| (s - kw.abs()).abs() > 0.06 + 0.01 * kw.abs()) {
                wrong.push(format!("says `{fact}` at {kw} kW"));
            }
            let same = powers(&ko.replace("로 ", " ").replace("를 ", " ").replace("가 ", " "));
            if size.is_some_and(|s| !same.iter().any(|k| (k - s).abs() < 1e-9)) {
                wrong.push(format!("Korean has another size than `{fact}`: {ko}"));
            }
        }
        Some(_) => {}
    }
    wrong.extend(limits(plant, report, id, en));
    wrong
}

/// Limits named that do not bind.
pub fn limits(plant: &Plant, report: &CycleReport, id: &Id, en: &str) -> Vec<String> {
    let snapshot = &report.snapshot;
    let grid = snapshot.grid.and_then(|g| g.usable()).map(|g| g.as_kw());
    let mut wrong = Vec::new();
    let mut check = |named: bool, binds: bool, what: &str| {
        if named && !binds {
            wrong.push(format!("names {what} that does not bind (grid {grid:?} kW): {en}"));
        }
    };
    let limit_of = |tail: &str| {
        let head = &en[..en.find(tail)?];
        powers(head).last().copied()
    };
    let reached =
        |flow: Option<f64>, limit: Option<f64>| flow.zip(limit).is_some_and(|(f, l)| f >= (REACHED * l).min(l - 0.15));
    let bought = limit_of("may be bought");
    check(en.contains("may be bought"), reached(grid, bought), "an import limit");
    let sold = limit_of("may be sold");
    check(
        en.contains("may be sold"),
        reached(grid.map(|g| -g), sold),
        "an export limit",
    );
    check(
        en.contains("demand peak"),
        grid.is_some_and(|g| g > 0.0),
        "a demand peak",
    );
    check(
        en.contains("import limit") || en.contains("export limit"),
        false,
        "a limit by its code",
    );
    check(
        en.contains("main fuse"),
        phase_share(plant, snapshot) >= REACHED,
        "a main fuse",
    );
    check(
        en.contains("The fuse of") || en.contains("the fuse of"),
        circuit_share(plant, snapshot, id) >= REACHED,
        "a circuit's fuse",
    );
    if let Kind::Battery(b) = &plant.components[id].kind {
        let kw = snapshot.power(id).map_or(0.0, |p| p.as_kw());
        let most = if kw > 0.0 { b.charge_max } else { b.discharge_max };
        check(en.contains("rating"), kw.abs() >= 0.9 * most.as_kw(), "a rating");
        let soc = snapshot.soc(id).map(|s| s.as_ratio());
        check(
            en.contains("it is full"),
            soc >= Some(b.soc_max.as_ratio() - 0.03),
            "a full battery",
        );
        let empty = soc.is_some_and(|s| s <= b.soc_min.as_ratio() + 0.03);
        check(en.contains("lowest allowed charge"), empty, "an empty battery");
    }
    wrong
}

/// Largest phase current at the meter as a part of the fuse.
fn phase_share(plant: &Plant, snapshot: &Snapshot) -> f64 {
    use Quantity::{ActivePowerL1, ActivePowerL2, ActivePowerL3, CurrentL1, CurrentL2, CurrentL3};
    let Some(c) = &plant.connection else { return 0.0 };
    let pairs = [
        (CurrentL1, ActivePowerL1),
        (CurrentL2, ActivePowerL2),
        (CurrentL3, ActivePowerL3),
    ];
    let amps = pairs.iter().filter_map(|(a, p)| {
        let by_power = || Some(snapshot.usable(&c.meter, *p)? * 1e3 / c.voltage.as_volts());
        snapshot.usable(&c.meter, *a).or_else(by_power)
    });
    amps.map(|a| a.abs() / c.fuse.as_amps()).fold(0.0, f64::max)
}

/// Fullest circuit above a component, all phases taken alike.
fn circuit_share(plant: &Plant, snapshot: &Snapshot, id: &Id) -> f64 {
    let mut at = plant.components[id].circuit.as_ref();
    let mut most: f64 = 0.0;
    while let Some(name) = at {
        let circuit = &plant.circuits[name];
        let inside = plant.components.iter().filter(|(_, c)| {
            let mut own = c.circuit.as_ref();
            while let Some(o) = own.filter(|o| *o != name) {
                own = plant.circuits[o].parent.as_ref();
            }
            own.is_some()
        });
        let volts = plant.connection.as_ref().map_or(230.0, |c| c.voltage.as_volts());
        let mut amps = [0.0f64; 3];
        for (member, c) in inside {
            let kw = measured(snapshot, member, &c.kind).unwrap_or(0.0);
            let used = c.phases.iter().filter(|p| **p).count().max(1) as f64;
            for (p, a) in amps.iter_mut().enumerate() {
                *a += f64::from(u8::from(c.phases[p])) * kw / used * 1e3 / volts;
            }
        }
        if let Some(fuse) = circuit.fuse {
            most = most.max(amps.iter().fold(0.0, |m: f64, a| m.max(a.abs())) / fuse.as_amps());
        }
        at = circuit.parent.as_ref();
    }
    most
}
