//! The state now, as JSON for people's pages: quantities carry their unit in the key, reasons come in both languages.

use super::past::Told;
use super::standing::Standing;
use super::{plan, sentence, would};
use crate::cycle::{CycleReport, residual};
use crate::model::{CommandProof, Costs, DayBooks, DeviceHealth, Language, Reason, ReasonCode, Rung, Setpoint, Target};
use crate::reading::{Quality, Quantity};
use crate::site::{Component, Id, Kind, Mode, Plant};
use serde_json::{Value, json};

/// `GET /api/v1/now` and the `now` event.
pub fn view(plant: &Plant, report: &CycleReport, standing: &Standing) -> Value {
    let (snapshot, state) = (&report.snapshot, &report.state);
    let prices = report.prices.as_deref();
    let buy = plant.tariff.buy(snapshot.at, prices, &state.month);
    let components: Vec<Value> = plant
        .components
        .iter()
        .map(|(id, c)| component(plant, id, c, report, standing))
        .collect();
    json!({
        "at": snapshot.at, "site": plant.name, "mode": state.mode, "rung": state.rung,
        "rung_text": rung(state.rung, state.mode), "state": standing.view(plant, report),
        "writes": writes(report), "holds": holds(report),
        "sentence": sentence::of(plant, report),
        "grid_power_kw": snapshot.grid.and_then(|g| g.usable()).map(|p| p.as_kw()),
        "residual_power_kw": snapshot.residual.and_then(|g| g.usable()).map(|p| p.as_kw()),
        "components": components,
        "price": {
            "import_per_kwh": buy.map(|p| p.price.as_per_kwh()), "estimated": buy.map(|p| p.estimated),
            "export_per_kwh": plant.tariff.sell(snapshot.at, prices).map(|p| p.as_per_kwh()),
            "period": plant.tariff.period(snapshot.at).map(|p| &p.name),
        },
        "today": today(&state.today),
        "month": {
            "peak_kw": state.month.peak.as_kw(), "imported_kwh": state.month.imported.as_kwh(),
            "contract_kw": plant.tariff.contracted().map(|p| p.as_kw()),
            "demand_charge": plant.tariff.demand.is_some(),
        },
        "limits": state.limits.iter().map(|(d, l)| json!({"direction": d, "power_kw": l.power.as_kw(), "until": l.until})).collect::<Vec<_>>(),
        "alarms": report.alarms, "counts": report.counts, "plan_id": state.schedule.as_ref().map(|s| s.id),
        "cycle_ms": report.cycle_ms,
    })
}

/// Registers are written: it controls, and nothing was handed back.
pub fn writes(report: &CycleReport) -> bool {
    report.state.mode == Mode::Control && report.state.rung != Rung::Released
}

/// Something at a device is in our hands.
fn holds(report: &CycleReport) -> bool {
    let mut commands = report.snapshot.devices.iter().flat_map(|d| &d.commands);
    commands.any(|c| c.proof != CommandProof::Released)
}

/// The books of the day: one total, its parts, and the same with the batteries at rest.
fn today(day: &DayBooks) -> Value {
    let parts = |c: &Costs| json!({"energy": c.energy, "demand": c.demand, "fuel": c.fuel, "wear": c.wear, "carbon": c.carbon, "stored": c.stored});
    let generators = day.generators.iter().map(
        |(id, g)| json!({"id": id, "energy_kwh": g.energy_kwh, "run_h": g.run_h, "starts": g.starts, "cost": g.cost}),
    );
    json!({
        "cost": day.costs.total(), "cost_parts": parts(&day.costs),
        "baseline_cost": day.baseline.total(), "baseline_parts": parts(&day.baseline), "saved": day.saved(),
        "imported_kwh": day.imported.as_kwh(), "exported_kwh": day.exported.as_kwh(), "co2_kg": day.co2_kg,
        "generators": generators.collect::<Vec<_>>(),
        "start": day.start, "counted_from": day.counted_from, "uncounted_s": day.gap.seconds,
        "uncounted_since": day.gap.since, "uncounted_why": day.gap.why,
    })
}

fn component(plant: &Plant, id: &Id, c: &Component, report: &CycleReport, standing: &Standing) -> Value {
    let (snapshot, state) = (&report.snapshot, &report.state);
    let usable = |q| snapshot.usable(id, q);
    let main = snapshot.reading(id, Quantity::ActivePower);
    let residual = residual(snapshot, id, &c.kind);
    let quality = match residual {
        Some(_) => Quality::Derived,
        None => main.map_or(Quality::Missing, |r| r.quality()),
    };
    let setpoint = report.setpoints.iter().find(|s| s.component == *id);
    let device = snapshot.devices.iter().find(|d| d.components.contains(id));
    let schedule = state.schedule.as_ref();
    let step = schedule.and_then(|s| s.grid.index_of(snapshot.at));
    let planned = |list: Option<&Vec<f64>>| list.zip(step).and_then(|(l, t)| l.get(t).copied());
    let session = state.sessions.get(id).map(|s| {
        json!({"since": s.since, "departure": s.departure, "energy_kwh": s.energy.as_kwh(), "mode": s.mode,
               "delivered_kwh": s.delivered.as_kwh(), "told": s.told})
    });
    json!({
        "id": id, "kind": c.kind.name(), "title": {"en": c.title_en, "ko": c.title_ko},
        "power_kw": usable(Quantity::ActivePower).or(residual), "last_power_kw": main.and_then(|r| r.last_known()),
        "unknown_since": standing.since(id), "quality": quality, "age_s": main.map(|r| r.age(snapshot.at).as_seconds_f64()),
        "soc": usable(Quantity::StateOfCharge), "plugged": snapshot.plugged(id),
        "charging": usable(Quantity::ChargePointState).map(|s| s >= 2.0),
        "room_celsius": usable(Quantity::RoomTemperature), "tank_celsius": usable(Quantity::TankTemperature),
        "running": usable(Quantity::Running).map(|r| r > 0.5),
        "session": session, "device": device.map(device_view),
        "planned_kw": planned(schedule.and_then(|s| s.power_kw.get(id))),
        "marginal_value_per_kwh": planned(schedule.and_then(|s| s.marginal_value.get(id))),
        "target": setpoint.map(|s| target(&s.target)),
        "would_write": setpoint.filter(|_| !writes(report)).map(|s| would_write(&c.kind, s)),
        "reason": setpoint.map(|s| reason(&s.reason)),
        "why": why(plant, id, report),
        "override": state.overrides.get(id).filter(|_| state.rung != Rung::Released).map(|o| json!({"target": target(&o.target),
            "until": o.until, "in_force": writes(report)})),
    })
}

/// The plan's explanation of this interval, while dispatch does what the plan says; null where it has a reason of its own.
pub fn why(plant: &Plant, id: &Id, report: &CycleReport) -> Option<Value> {
    let schedule = report.state.schedule.as_deref()?;
    let step = schedule.grid.index_of(report.snapshot.at)?;
    let e = schedule.explanation(plant, id, step)?;
    let own = report.setpoints.iter().find(|s| s.component == *id);
    let agrees = own.is_none_or(|s| s.reason.code == e.code || s.reason.code == ReasonCode::FollowPlan);
    agrees.then(|| plan::explained(&e))
}

/// What the component would be told; it is not.
fn would_write(kind: &Kind, s: &Setpoint) -> Value {
    let (en, ko) = would::order(kind, &s.target);
    json!({"target": target(&s.target), "en": en, "ko": ko})
}

/// Its name in a language, or its id where it has none.
pub fn title(plant: &Plant, id: &Id, language: Language) -> String {
    let c = plant.components.get(id);
    let named = c.and_then(|c| match language {
        Language::En => c.title_en.clone(),
        Language::Ko => c.title_ko.clone(),
    });
    named.unwrap_or_else(|| id.to_string())
}

pub fn device_view(d: &DeviceHealth) -> Value {
    json!({"device": d.device, "components": d.components, "online": d.online, "asleep": d.asleep, "identity": d.identity,
           "last_answer": d.last_answer, "answer_ms": d.answer_ms, "requests": d.requests, "failures": d.failures,
           "trouble": d.trouble, "trouble_text": {"en": d.trouble, "ko": d.trouble_ko}, "link": d.link, "commands": d.commands})
}

/// A setpoint with why, as people read it.
pub fn decision(s: &Setpoint) -> Value {
    json!({"component": s.component, "target": target(&s.target), "reason": reason(&s.reason),
           "decision": s.decision, "valid_until": s.valid_until})
}

/// A decision of the past.
pub fn decided(told: &Told) -> Value {
    json!({"component": told.component, "since": told.since, "target": target(&told.target), "reason": reason(&told.reason)})
}

pub fn target(target: &Target) -> Value {
    match target {
        Target::Power(p) => json!({"power_kw": p.as_kw()}),
        Target::PowerLimit(p) => json!({"power_limit_kw": p.as_kw()}),
        Target::Current(a) => json!({"current_a": a.as_amps()}),
        Target::On(on) => json!({"on": on}),
        Target::Release => json!({"release": true}),
    }
}

pub fn reason(r: &Reason) -> Value {
    json!({"code": r.code, "en": r.sentence(Language::En), "ko": r.sentence(Language::Ko),
           "plain": {"en": r.code.en(), "ko": r.code.ko()},
           "value_per_kwh": r.value_per_kwh, "price_per_kwh": r.price_per_kwh, "limit": r.limit})
}

/// Where the controller stands, in words.
pub fn rung(rung: Rung, mode: Mode) -> Value {
    let (en, ko) = match (rung, mode) {
        (Rung::Released, _) => ("Handed back to the devices", "장치에 제어권 반환됨"),
        (_, Mode::Observe) => ("Observing: writes nothing", "관찰 중: 쓰기 없음"),
        (Rung::Normal, _) => ("In control", "제어 중"),
        (Rung::LastPlan, _) => ("In control, on an older plan", "이전 계획으로 제어 중"),
        (Rung::Rule, _) => ("In control by rule, without a plan", "계획 없이 규칙으로 제어 중"),
        (Rung::Safe, _) => ("Safe setpoints", "안전 설정값"),
    };
    json!({"en": en, "ko": ko})
}
