//! The plan in force and the plan of the day, column by column, with what it costs and why.

use super::now::reason;
use crate::cycle::CycleReport;
use crate::model::Schedule;
use crate::site::{Kind, Plant};
use serde_json::{Map, Value, json};

/// `GET /api/v1/plan`; `None` before the first plan.
pub fn view(plant: &Plant, report: &CycleReport) -> Option<Value> {
    let schedule = report.state.schedule.as_deref()?;
    let mut plan = columns(plant, report, schedule);
    plan["why"] = why(schedule);
    plan["day_plan"] = report
        .state
        .day_plan
        .as_deref()
        .map_or(Value::Null, |d| columns(plant, report, d));
    Some(plan)
}

fn columns(plant: &Plant, report: &CycleReport, s: &Schedule) -> Value {
    let start: Vec<_> = s.grid.intervals().map(|i| i.start).collect();
    let prices = report.prices.as_deref();
    let buy = |t: &crate::time::Timestamp| plant.tariff.buy(*t, prices, &report.state.month);
    let import: Vec<_> = start.iter().map(|t| buy(t).map(|p| p.price.as_per_kwh())).collect();
    let estimated: Vec<_> = start.iter().map(|t| buy(t).map(|p| p.estimated)).collect();
    let export: Vec<_> = start
        .iter()
        .map(|t| plant.tariff.sell(*t, prices).map(|p| p.as_per_kwh()))
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
        "violations": s.solution.violations,
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

fn why(s: &Schedule) -> Value {
    let mut all = Map::new();
    for (id, steps) in &s.why {
        let steps: Vec<Value> = steps
            .iter()
            .map(|w| json!({"reason": reason(&w.reason), "binding": w.binding}))
            .collect();
        all.insert(id.to_string(), Value::Array(steps));
    }
    Value::Object(all)
}
