//! What the site is, for people's pages: ratings with their unit in the key.

use crate::site::{Component, Id, Kind, Plant, Site};
use serde_json::{Value, json};

/// `GET /api/v1/site`.
pub fn view(site: &Site) -> Value {
    let plant = &site.plant;
    let components: Vec<Value> = plant.components.iter().map(|(id, c)| component(id, c)).collect();
    let circuits = plant.circuits.iter().map(|(id, c)| {
        json!({"id": id, "parent": c.parent, "power_max_kw": c.power_max.map(|p| p.as_kw()),
               "fuse_a": c.fuse.map(|a| a.as_amps())})
    });
    json!({
        "site": plant.name, "title": {"en": plant.title_en, "ko": plant.title_ko}, "version": env!("CARGO_PKG_VERSION"),
        "currency": plant.tariff.currency, "time_zone": plant.location.time_zone.name(),
        "mode": plant.mode, "interval_s": plant.timing.interval.num_seconds(), "cycle_s": plant.timing.cycle.as_seconds_f64(),
        "connection": connection(plant), "circuits": circuits.collect::<Vec<_>>(), "components": components,
        "devices": site.wiring.devices,
    })
}

/// `null` on an island.
fn connection(plant: &Plant) -> Value {
    let Some(c) = &plant.connection else { return Value::Null };
    json!({"import_max_kw": c.import_max.as_kw(), "export_max_kw": c.export_max.as_kw(), "phases": c.phases,
           "fuse_a": c.fuse.as_amps(), "meter": c.meter})
}

fn component(id: &Id, c: &Component) -> Value {
    let mut view =
        json!({"id": id, "kind": c.kind.name(), "title": {"en": c.title_en, "ko": c.title_ko}, "circuit": c.circuit});
    view["ratings"] = ratings(&c.kind);
    view
}

fn ratings(kind: &Kind) -> Value {
    match kind {
        Kind::Meter(_) => json!({}),
        Kind::Pv(p) => {
            json!({"peak_kw": p.peak.as_kw(), "power_max_kw": p.inverter_max.as_kw(), "curtailable": p.curtailable})
        }
        Kind::Battery(b) => json!({"capacity_kwh": b.capacity.as_kwh(), "charge_max_kw": b.charge_max.as_kw(),
            "discharge_max_kw": b.discharge_max.as_kw(), "soc_min": b.soc_min.as_ratio(), "soc_max": b.soc_max.as_ratio(),
            "reserve": b.reserve.as_ratio(), "grid_forming": b.grid_forming}),
        Kind::ChargePoint(c) => {
            json!({"current_min_a": c.current_min.as_amps(), "current_max_a": c.current_max.as_amps()})
        }
        Kind::Load(l) => json!({"power_max_kw": l.expected.max.as_kw()}),
        Kind::ShiftableLoad(s) => json!({"power_kw": s.power.as_kw(), "duration_s": s.duration.num_seconds(),
            "earliest": s.earliest, "latest": s.latest}),
        Kind::SheddableLoad(s) => json!({"power_max_kw": s.expected.max.as_kw(), "priority": s.priority}),
        Kind::HeatPump(h) => {
            json!({"power_max_kw": h.electric_max.as_kw(), "comfort_min_celsius": h.building.comfort_min.as_celsius(),
            "comfort_max_celsius": h.building.comfort_max.as_celsius()})
        }
        Kind::Generator(g) => json!({"power_min_kw": g.power_min.as_kw(), "power_max_kw": g.power_max.as_kw()}),
    }
}
