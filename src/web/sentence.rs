//! One sentence for the whole site: what its largest decision does, and why.

use super::now;
use crate::cycle::CycleReport;
use crate::model::{Language, Now, Seen};
use crate::site::{Kind, Plant};
use serde_json::{Value, json};

/// Below this a component counts as resting, kW.
const RESTING: f64 = 0.1;

/// `{en, ko, what: {en, ko}, why, other: {en, ko}, component}`; where nothing is written that comes first, and without a
/// decision worth telling only where the controller stands.
pub fn of(plant: &Plant, report: &CycleReport) -> Value {
    let stands = now::rung(report.state.rung, report.state.mode);
    let Some(chosen) = chosen(&now::seen(plant, report)) else {
        return json!({"en": stands["en"], "ko": stands["ko"], "what": stands, "why": null, "component": null});
    };
    let both = |text: &dyn Fn(Language) -> Option<String>| json!({"en": text(Language::En), "ko": text(Language::Ko)});
    let says = both(&|l| Some(chosen.sentence(l)));
    if !now::writes(report) {
        let end = |key: &str| format!("{}.", stands[key].as_str().unwrap_or_default());
        let all = |key: &str| format!("{} {}", end(key), says[key].as_str().unwrap_or_default());
        return json!({
            "en": all("en"), "ko": all("ko"), "what": {"en": end("en"), "ko": end("ko")}, "why": null, "other": says,
            "component": chosen.component,
        });
    }
    json!({
        "en": says["en"], "ko": says["ko"], "what": says, "why": null, "other": both(&|l| chosen.alternative(l)),
        "value_per_kwh": chosen.facts.value_per_kwh, "price_per_kwh": chosen.facts.node_price_per_kwh,
        "component": chosen.component,
    })
}

/// The component that moves most by decision; storage before loads; where all rest, the battery that waits. Nothing whose
/// power is unknown.
fn chosen(seen: &Seen<'_>) -> Option<Now> {
    let weight = |now: &Now| {
        let kw = now.power_kw?.abs();
        let rank = match seen.plant.components.get(&now.component).map(|c| &c.kind)? {
            Kind::Battery(_) => 3,
            Kind::ChargePoint(_) | Kind::Generator(_) | Kind::HeatPump(_) => 2,
            _ => 1,
        };
        let moves = kw > RESTING;
        (moves || rank == 3).then_some((moves, rank, kw))
    };
    let told = seen.setpoints.iter().filter_map(|s| seen.now(&s.component));
    let weighed = told.filter_map(|now| Some((weight(&now)?, now)));
    let heaviest = weighed.max_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    heaviest.map(|(_, now)| now)
}
