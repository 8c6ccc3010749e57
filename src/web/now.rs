//! The state now, as JSON for people's pages: quantities carry their unit in the key, reasons come in both languages.

use super::past::Told;
use super::standing::Standing;
use super::{sentence, would};
use crate::cycle::CycleReport;
use crate::model::{
    CommandProof, Costs, DayBooks, DeviceHealth, Direction, Language, LastTarget, Now, Reason, Rung, Seen, Setpoint,
    Target, own_limit,
};
use crate::reading::{Quality, Quantity};
use crate::site::{Component, Id, Kind, Mode, Plant};
use crate::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `GET /api/v1/now` and the `now` event.
pub fn view(plant: &Plant, report: &CycleReport, standing: &Standing) -> Value {
    let (snapshot, state) = (&report.snapshot, &report.state);
    let (prices, seen) = (report.prices.as_deref(), seen(plant, report));
    let buy = plant.tariff.buy(snapshot.at, prices, &state.month);
    let components: Vec<Value> = plant
        .components
        .iter()
        .map(|(id, c)| component(&seen, id, c, report, standing))
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
            "peak_kw": state.month.peaks.peak.as_kw(), "imported_kwh": state.month.imported.as_kwh(),
            "contract_kw": plant.tariff.contracted().map(|p| p.as_kw()),
            "demand_charge": plant.tariff.demand.is_some(),
        },
        "limits": limits(&seen),
        "away": state.away.map(|a| json!({"since": a.from, "until": a.until})),
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
        |(id, g)| json!({"id": id, "energy_kwh": g.energy_kwh, "run_h": g.run_h, "starts": g.starts, "cost": g.cost, "fuel_litres": g.litres}),
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

/// What one report shows, for sentences about the moment.
pub fn seen<'a>(plant: &'a Plant, report: &'a CycleReport) -> Seen<'a> {
    Seen {
        plant,
        snapshot: &report.snapshot,
        state: &report.state,
        setpoints: &report.setpoints,
        prices: report.prices.as_deref(),
    }
}

/// Every limit of the connection point: orders first, the site's own last. `binding`: the tightest of its direction, which holds;
/// `reached`: the measured power stands at it.
fn limits(seen: &Seen<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    for direction in [Direction::Import, Direction::Export] {
        let Some(own) = own_limit(seen.plant, direction) else {
            continue;
        };
        let tightest = seen.state.limits.tightest(direction, seen.snapshot.at);
        let tightest = tightest.filter(|l| l.power.as_kw() < own);
        let reached = seen.at_connection(direction).is_some();
        let mut row = |source: &str, kw: f64, times: [Option<Timestamp>; 2], binding: bool| {
            all.push(
                json!({"direction": direction, "power_kw": kw, "until": times[0], "source": source,
                            "said_at": times[1], "binding": binding, "reached": binding && reached}),
            );
        };
        for l in seen.state.limits.iter().filter(|l| l.direction == direction) {
            let times = [Some(l.until), l.said_at];
            row(l.source.as_str(), l.power.as_kw(), times, tightest == Some(l));
        }
        row("site", own, [None, None], tightest.is_none());
    }
    all
}

fn component(seen: &Seen<'_>, id: &Id, c: &Component, report: &CycleReport, standing: &Standing) -> Value {
    let (snapshot, state) = (&report.snapshot, &report.state);
    let usable = |q| snapshot.usable(id, q);
    let main = snapshot.reading(id, Quantity::ActivePower);
    let residual = snapshot.residual_of(id, &c.kind);
    let quality = match residual {
        Some(_) => Quality::Derived,
        None => main.map_or(Quality::Missing, |r| r.quality()),
    };
    let setpoint = report.setpoints.iter().find(|s| s.component == *id);
    let now = seen.now(id);
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
        "reason": setpoint.zip(now.as_ref()).map(|(s, n)| reason(&s.reason, n)),
        "now": now.as_ref(), "why": now.as_ref().map(told),
        "override": state.overrides.get(id).filter(|o| state.rung != Rung::Released && o.until > snapshot.at).map(|o| json!({"target": target(&o.target),
            "until": o.until, "in_force": writes(report)})),
    })
}

/// What is told of a component at this moment, with the facts behind it. Nothing but that it is unknown of one whose power
/// is.
pub fn told(now: &Now) -> Value {
    let both = |text: &dyn Fn(Language) -> Option<String>| json!({"en": text(Language::En), "ko": text(Language::Ko)});
    let mut all = match now.power_kw {
        Some(_) => json!(now.facts),
        None => json!({"component": now.component, "node_price_per_kwh": null}),
    };
    all["because"] = both(&|l| Some(now.sentence(l)));
    all["why"] = both(&|l| now.because(l));
    all["other"] = both(&|l| now.alternative(l));
    (all["en"], all["ko"]) = (all["because"]["en"].clone(), all["because"]["ko"].clone());
    all
}

/// What the component would be told; it is not.
fn would_write(kind: &Kind, s: &Setpoint) -> Value {
    let (en, ko) = would::order(kind, &s.target);
    json!({"target": target(&s.target), "en": en, "ko": ko})
}

pub fn device_view(d: &DeviceHealth) -> Value {
    json!({"device": d.device, "components": d.components, "online": d.online, "asleep": d.asleep, "identity": d.identity,
           "last_answer": d.last_answer, "answer_ms": d.answer_ms, "requests": d.requests, "failures": d.failures,
           "trouble": d.trouble, "trouble_text": {"en": d.trouble, "ko": d.trouble_ko}, "link": d.link, "commands": d.commands})
}

/// Setpoints in force with why, as people read it.
pub fn decisions(plant: &Plant, report: &CycleReport) -> Value {
    let seen = seen(plant, report);
    let decision = |s: &Setpoint| {
        let why = seen.now(&s.component).map(|n| reason(&s.reason, &n));
        json!({"component": s.component, "target": target(&s.target), "reason": why,
               "decision": s.decision, "valid_until": s.valid_until})
    };
    report.setpoints.iter().map(decision).collect()
}

/// A decision of the past, told as it was when it was made.
pub fn decided(told: &Told) -> Value {
    let said = |l| told.now.as_ref().map(|n| n.sentence(l));
    json!({"component": told.component, "since": told.since, "target": target(&told.target),
           "reason": told.now.as_ref().map(|n| reason(&told.reason, n)), "en": said(Language::En), "ko": said(Language::Ko)})
}

/// Decisions of the past as the journal has them: what was measured then is not there, so that the bare reason is told.
pub fn recorded(plant: &Plant, all: &BTreeMap<Id, LastTarget>) -> Value {
    let one = |(id, last): (&Id, &LastTarget)| {
        let c = plant.components.get(id)?;
        let (en, ko) = (last.reason.code.en(), last.reason.code.ko());
        Some(
            json!({"component": id, "since": last.mode_since, "target": target(&last.target),
               "reason": reason_told(&last.reason, en, ko),
               "en": format!("{}: {en}.", c.title(id, false)), "ko": format!("{}: {ko}.", c.title(id, true))}),
        )
    };
    all.iter().filter_map(one).collect()
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

/// A decision's code and numbers; its words are those of the moment, empty where nothing of it can be told.
pub fn reason(r: &Reason, now: &Now) -> Value {
    let text = |l| now.because(l).unwrap_or_default();
    reason_told(r, &text(Language::En), &text(Language::Ko))
}

fn reason_told(r: &Reason, en: &str, ko: &str) -> Value {
    json!({"code": r.code, "en": en, "ko": ko, "plain": {"en": en, "ko": ko},
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
