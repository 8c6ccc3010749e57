//! The plan in force and the plan of the day, column by column, with what it costs and why.

use crate::cycle::{self, CycleReport};
use crate::model::{Basis, Explanation, Language, Schedule};
use crate::site::{Id, Kind, Plant};
use serde_json::{Map, Value, json};

/// `GET /api/v1/plan`; `None` before the first plan.
pub fn view(plant: &Plant, report: &CycleReport) -> Option<Value> {
    let schedule = report.state.schedule.as_deref()?;
    let mut plan = columns(plant, report, schedule);
    plan["why"] = why(plant, schedule);
    plan["day_plan"] = report
        .state
        .day_plan
        .as_deref()
        .map_or(Value::Null, |d| columns(plant, report, d));
    Some(plan)
}

fn columns(plant: &Plant, report: &CycleReport, s: &Schedule) -> Value {
    let steps: Vec<_> = s.grid.intervals().collect();
    let start: Vec<_> = steps.iter().map(|i| i.start).collect();
    let prices = report.prices.as_deref();
    let buy: Vec<_> = steps
        .iter()
        .map(|i| plant.tariff.buy_over(*i, prices, &report.state.month))
        .collect();
    let import: Vec<_> = buy.iter().map(|p| p.map(|p| p.price.as_per_kwh())).collect();
    let estimated: Vec<_> = buy.iter().map(|p| p.map(|p| p.estimated)).collect();
    let export: Vec<_> = steps
        .iter()
        .map(|i| plant.tariff.sell_over(*i, prices).map(|p| p.as_per_kwh()))
        .collect();
    let values = &s.solution.plan;
    let grid: Vec<f64> = values
        .import_kw
        .iter()
        .zip(&values.export_kw)
        .map(|(i, e)| i - e)
        .collect();
    json!({
        "id": s.id, "made_at": s.made_at, "trigger": s.trigger, "end": s.grid.end(), "start": start,
        "status": s.solution.status, "objective": s.solution.objective, "solve_ms": s.solution.solve_ms,
        "grid_power_kw": grid, "load_kw": s.load_kw, "pv_kw": s.pv_kw, "power_kw": s.power_kw,
        "soc": soc(plant, s), "marginal_value_per_kwh": s.marginal_value, "peak_kw": s.peak_kw,
        "import_per_kwh": import, "price_estimated": estimated, "export_per_kwh": export,
        "violations": s.solution.violations, "node_price_per_kwh": s.node_price,
        "bus_price_per_kwh": s.solution.duals.as_ref().map(|d| &d.bus), "price_one_sided": s.price_one_sided,
    })
}

/// State of charge at the end of each step, by battery.
fn soc(plant: &Plant, s: &Schedule) -> Value {
    let mut all = Map::new();
    for (id, c) in &plant.components {
        if let (Kind::Battery(b), Some(plan)) = (&c.kind, s.solution.plan.batteries.get(id.as_str())) {
            let capacity = b.capacity.as_kwh();
            let ratios: Vec<f64> = plan.energy_kwh.iter().map(|e| e / capacity).collect();
            all.insert(id.to_string(), json!(ratios));
        }
    }
    Value::Object(all)
}

/// Reasons of every component and step, with the sentences people read.
fn why(plant: &Plant, s: &Schedule) -> Value {
    let mut all = Map::new();
    for (id, steps) in &s.why {
        let told = |(t, w): (usize, &crate::model::Why)| {
            let e = s.explanation(plant, id, t);
            let said = |language| e.as_ref().map(|e| e.reason(language));
            let other = |language| e.as_ref().and_then(|e| e.alternative_sentence(language));
            json!({"reason": w.reason, "binding": w.binding, "alternative": w.alternative,
                   "en": said(Language::En), "ko": said(Language::Ko),
                   "other_en": other(Language::En), "other_ko": other(Language::Ko)})
        };
        all.insert(id.to_string(), steps.iter().enumerate().map(told).collect());
    }
    Value::Object(all)
}

/// One component in one interval: everything known of why, as data and in both languages. The alternative is solved
/// exactly, which takes some milliseconds.
pub fn why_one(plant: &Plant, s: &Schedule, component: &Id, step: usize) -> Option<Value> {
    let mut e = s.explanation(plant, component, step)?;
    if e.alternative.is_none_or(|a| a.basis != Basis::Exact) {
        e.alternative = cycle::alternative(s, component, step).or(e.alternative);
    }
    Some(explained(&e))
}

/// An explanation with its sentences.
pub fn explained(e: &Explanation) -> Value {
    let mut all = json!(e);
    all["en"] = json!(e.sentence(Language::En));
    all["ko"] = json!(e.sentence(Language::Ko));
    all["because"] = json!({"en": e.reason(Language::En), "ko": e.reason(Language::Ko)});
    all["why"] = json!({"en": e.because(Language::En), "ko": e.because(Language::Ko)});
    all["other"] = json!({"en": e.alternative_sentence(Language::En), "ko": e.alternative_sentence(Language::Ko)});
    all
}
