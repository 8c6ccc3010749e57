//! One sentence for the whole site: what its largest decision does, and why.

use super::{now, would};
use crate::cycle::CycleReport;
use crate::model::{Language, Setpoint, Target};
use crate::site::{Id, Kind, Plant};
use serde_json::{Value, json};

/// Below this a component counts as resting, kW.
const RESTING: f64 = 0.1;

/// `{en, ko, what: {en, ko}, why: {en, ko}, component}`; without a decision worth telling, where the controller stands.
pub fn of(plant: &Plant, report: &CycleReport) -> Value {
    let Some(s) = chosen(plant, report) else {
        let text = now::rung(report.state.rung, report.state.mode);
        return json!({"en": text["en"], "ko": text["ko"], "what": text, "why": null, "component": null});
    };
    if !now::writes(report) {
        return wished(plant, report, s);
    }
    let kw = power(report, &s.component);
    if let Some(told) = now::why(plant, &s.component, report) {
        return json!({
            "en": told["en"], "ko": told["ko"], "what": told["because"], "why": null, "other": told["other"],
            "value_per_kwh": told["value_per_kwh"], "price_per_kwh": told["node_price_per_kwh"], "component": s.component,
        });
    }
    let what = |language| {
        let (title, doing) = (
            now::title(plant, &s.component, language),
            doing(plant, &s.component, kw, language),
        );
        format!("{title} {doing}")
    };
    let (en, ko) = (what(Language::En), what(Language::Ko));
    let (why_en, why_ko) = (s.reason.code.en(), s.reason.code.ko());
    json!({
        "en": format!("{en}: {why_en}"), "ko": format!("{ko}: {why_ko}"),
        "what": {"en": en, "ko": ko}, "why": {"en": why_en, "ko": why_ko},
        "value_per_kwh": s.reason.value_per_kwh, "price_per_kwh": s.reason.price_per_kwh, "component": s.component,
    })
}

/// What the controller would do if it were in control, and that it does not do it.
fn wished(plant: &Plant, report: &CycleReport, s: &Setpoint) -> Value {
    let stands = now::rung(report.state.rung, report.state.mode);
    let text = |key: &str| stands[key].as_str().unwrap_or_default().to_owned();
    let order = plant
        .components
        .get(&s.component)
        .map(|c| would::order(&c.kind, &s.target));
    let (Some((en, ko)), false) = (order, s.target == Target::Release) else {
        return json!({"en": stands["en"], "ko": stands["ko"], "what": stands, "why": null, "component": null});
    };
    let title = |language| now::title(plant, &s.component, language);
    let wishes = [
        ("en", format!("In control it would tell {}: {en}.", title(Language::En))),
        ("ko", format!("제어 중이라면 {}에 지시: {ko}.", title(Language::Ko))),
    ];
    let because = now::why(plant, &s.component, report).map(|told| told["why"].clone());
    let [en, ko] = wishes.map(|(key, wish)| match because.as_ref().and_then(|b| b[key].as_str()) {
        Some(because) => format!("{wish} {because}"),
        None => wish,
    });
    json!({
        "en": format!("{}. {en}", text("en")), "ko": format!("{}. {ko}", text("ko")),
        "what": {"en": format!("{}.", text("en")), "ko": format!("{}.", text("ko"))}, "why": null,
        "other": {"en": en, "ko": ko}, "component": s.component,
    })
}

/// The component that moves most by decision; storage before loads; where all rest, the battery that waits.
fn chosen<'r>(plant: &Plant, report: &'r CycleReport) -> Option<&'r Setpoint> {
    let weight = |s: &Setpoint| {
        let kw = power(report, &s.component).map_or(0.0, f64::abs);
        let rank = match plant.components.get(&s.component).map(|c| &c.kind)? {
            Kind::Battery(_) => 3,
            Kind::ChargePoint(_) | Kind::Generator(_) | Kind::HeatPump(_) => 2,
            _ => 1,
        };
        let moves = kw > RESTING;
        (moves || rank == 3).then_some((moves, rank, kw))
    };
    let weighed = report.setpoints.iter().filter_map(|s| Some((s, weight(s)?)));
    let heaviest = weighed.max_by(|(_, a), (_, b)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    heaviest.map(|(s, _)| s)
}

fn power(report: &CycleReport, id: &Id) -> Option<f64> {
    report.snapshot.power(id).map(|p| p.as_kw())
}

/// What a component does, in words instead of signs.
fn doing(plant: &Plant, id: &Id, kw: Option<f64>, language: Language) -> String {
    let Some(kw) = kw.filter(|kw| kw.abs() > RESTING) else {
        return match language {
            Language::En => "resting".to_owned(),
            Language::Ko => "대기 중".to_owned(),
        };
    };
    let kind = plant.components.get(id).map(|c| &c.kind);
    let (en, ko) = match kind {
        Some(Kind::Battery(_) | Kind::ChargePoint(_)) if kw > 0.0 => ("charging", "충전"),
        Some(Kind::Battery(_) | Kind::ChargePoint(_)) => ("discharging", "방전"),
        Some(Kind::Pv(_) | Kind::Generator(_)) => ("producing", "발전"),
        _ => ("using", "사용"),
    };
    match language {
        Language::En => format!("{en} {:.1} kW", kw.abs()),
        Language::Ko => format!("{ko} {:.1} kW", kw.abs()),
    }
}
