//! One naming of all series: what the historian stores, Prometheus is scraped for, InfluxDB is sent and the page plots.
//!
//! In: one [`CycleReport`]. Out: [`Sample`]s. Prometheus calls one `madang_<kind>_<field>{site,component}`, InfluxDB field
//! `<field>` of measurement `madang_<kind>` with tags `site`, `component`; VictoriaMetrics shows the same name for both.
//! A value that must not be acted on gives no sample; `up` and `online` say so. Counters end in `_total`.

use super::ports::CycleReport;
use crate::model::{Basis, Quantity, Rung, Setpoint, Snapshot, Target};
use crate::site::{Id, Mode, Plant};
use crate::time::Timestamp;

/// One value of one series at the report's instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `battery`, `grid`, `plan`, `device`, …
    pub kind: &'static str,
    /// `<noun>_<unit>[_total]`
    pub field: &'static str,
    /// Component or device; `None` for values of the whole site.
    pub component: Option<Id>,
    /// Finite, in the unit the name says.
    pub value: f64,
}

impl Sample {
    /// `kind.field` or `kind.field.component`: the historian's key.
    pub fn key(&self) -> String {
        match &self.component {
            Some(c) => format!("{}.{}.{}", self.kind, self.field, c.as_str()),
            None => format!("{}.{}", self.kind, self.field),
        }
    }
    /// Name in Prometheus.
    pub fn metric(&self) -> String {
        format!("madang_{}_{}", self.kind, self.field)
    }
}

/// Splits a historian's key into kind, field and component.
pub fn split_key(key: &str) -> Option<(&str, &str, Option<&str>)> {
    let mut parts = key.splitn(3, '.');
    Some((parts.next()?, parts.next()?, parts.next()))
}

/// All samples of one cycle, in a fixed order.
pub fn samples(plant: &Plant, report: &CycleReport) -> Vec<Sample> {
    let mut all = Collector(Vec::with_capacity(256));
    components(&mut all, plant, &report.snapshot);
    devices(&mut all, report);
    setpoints(&mut all, &report.setpoints);
    plan(&mut all, report);
    money(&mut all, plant, report);
    controller(&mut all, report);
    all.0
}

struct Collector(Vec<Sample>);

impl Collector {
    fn add(&mut self, kind: &'static str, field: &'static str, component: Option<&Id>, value: f64) {
        if value.is_finite() {
            self.0.push(Sample {
                kind,
                field,
                component: component.cloned(),
                value,
            });
        }
    }
    fn maybe(&mut self, kind: &'static str, field: &'static str, component: Option<&Id>, value: Option<f64>) {
        if let Some(v) = value {
            self.add(kind, field, component, v);
        }
    }
}

fn components(all: &mut Collector, plant: &Plant, snapshot: &Snapshot) {
    for (id, component) in &plant.components {
        let kind = component.kind.name();
        let readings = snapshot.components.get(id);
        let residual = snapshot.residual_of(id, &component.kind);
        // Slow values (charge, temperatures) may be used for longer; what is shown as up follows the power.
        let seen = readings.is_some_and(|r| match r.get(&Quantity::ActivePower) {
            Some(power) => power.usable().is_some(),
            None => r.values().any(|v| v.usable().is_some()),
        });
        let up = seen || residual.is_some();
        all.add(kind, "up", Some(id), f64::from(u8::from(up)));
        all.maybe(kind, "active_power_watts", Some(id), residual.map(|kw| kw * 1e3));
        for (quantity, reading) in readings.into_iter().flatten() {
            let (field, factor) = quantity.series();
            all.maybe(kind, field, Some(id), reading.usable().map(|v| v * factor));
        }
    }
}

fn devices(all: &mut Collector, report: &CycleReport) {
    for (device, memory) in &report.state.field.devices {
        let writes: u64 = memory.wear.values().map(|w| w.total).sum();
        all.add("device", "register_writes_total", Some(device), writes as f64);
    }
    for d in &report.snapshot.devices {
        let id = Some(&d.device);
        all.add("device", "online", id, f64::from(u8::from(d.online || d.asleep)));
        all.maybe("device", "answer_seconds", id, d.answer_ms.map(|ms| ms / 1e3));
        all.add("device", "requests_total", id, d.requests as f64);
        all.add("device", "failures_total", id, d.failures as f64);
        let (link, seconds) = (&d.link, |ms: Option<f64>| ms.map(|ms| ms / 1e3));
        all.maybe("device", "answer_median_seconds", id, seconds(link.answer_p50_ms));
        all.maybe("device", "answer_p99_seconds", id, seconds(link.answer_p99_ms));
        all.add("device", "timeouts_total", id, link.timeouts as f64);
        all.add("device", "exceptions_total", id, link.exceptions as f64);
        all.add("device", "dropped_frames_total", id, link.dropped_frames as f64);
        all.add("device", "reconnects_total", id, link.reconnects as f64);
        all.add("device", "restarts_total", id, link.restarts as f64);
        let foreign = d.commands.iter().any(|c| c.foreign.is_some());
        all.add("device", "foreign_controller", id, f64::from(u8::from(foreign)));
    }
}

fn setpoints(all: &mut Collector, setpoints: &[Setpoint]) {
    for s in setpoints {
        let id = Some(&s.component);
        match s.target {
            Target::Power(p) => all.add("setpoint", "active_power_watts", id, p.as_kw() * 1e3),
            Target::PowerLimit(p) => all.add("setpoint", "power_limit_watts", id, p.as_kw() * 1e3),
            Target::Current(a) => all.add("setpoint", "current_amperes", id, a.as_amps()),
            Target::On(on) => all.add("setpoint", "on", id, f64::from(u8::from(on))),
            Target::Release => {}
        }
    }
}

fn plan(all: &mut Collector, report: &CycleReport) {
    let counts = &report.counts;
    all.add("plan", "made_total", None, counts.plans as f64);
    all.add("plan", "rejected_total", None, counts.rejected as f64);
    all.maybe(
        "solve",
        "duration_seconds",
        None,
        counts.last_solve_ms.map(|ms| ms / 1e3),
    );
    let Some(schedule) = &report.state.schedule else { return };
    let age = report.snapshot.at - schedule.made_at;
    all.add("plan", "age_seconds", None, age.as_seconds_f64());
    let Some(step) = schedule.grid.index_of(report.snapshot.at) else {
        return;
    };
    let at = |values: &Vec<f64>| values.get(step).copied();
    for (id, power) in &schedule.power_kw {
        all.maybe("plan", "active_power_watts", Some(id), at(power).map(|kw| kw * 1e3));
    }
    for (id, value) in &schedule.marginal_value {
        all.maybe("plan", "marginal_value_per_kwh", Some(id), at(value));
    }
    let bus = schedule.solution.duals.as_ref().and_then(|d| at(&d.bus));
    all.maybe("plan", "node_price_per_kwh", None, bus);
    for (id, price) in &schedule.node_price {
        all.maybe("plan", "node_price_per_kwh", Some(id), at(price));
    }
    for (id, why) in &schedule.why {
        let other = why.get(step).and_then(|w| w.alternative);
        let exact = other.filter(|a| a.basis == Basis::Exact);
        all.maybe("plan", "alternative_cost", Some(id), exact.map(|a| a.extra_cost));
        all.maybe(
            "plan",
            "alternative_missed_watthours",
            Some(id),
            exact.map(|a| a.missed_kwh * 1e3),
        );
    }
    let values = &schedule.solution.plan;
    let grid = at(&values.import_kw)
        .zip(at(&values.export_kw))
        .map(|(i, e)| (i - e) * 1e3);
    all.maybe("plan", "grid_power_watts", None, grid);
    all.maybe("forecast", "load_watts", None, at(&schedule.load_kw).map(|kw| kw * 1e3));
    all.maybe("forecast", "pv_watts", None, at(&schedule.pv_kw).map(|kw| kw * 1e3));
}

fn money(all: &mut Collector, plant: &Plant, report: &CycleReport) {
    let (state, now) = (&report.state, report.snapshot.at);
    let prices = report.prices.as_deref();
    let buy = plant
        .tariff
        .buy(now, prices, &state.month)
        .map(|p| p.price.as_per_kwh());
    let sell = plant.tariff.sell(now, prices).map(|p| p.as_per_kwh());
    all.maybe("price", "import_per_kwh", None, buy);
    all.maybe("price", "export_per_kwh", None, sell);
    all.add("day", "cost", None, state.today.costs.total());
    all.add("day", "baseline_cost", None, state.today.baseline.total());
    let parts = &state.today.costs;
    all.add("day", "energy_cost", None, parts.energy);
    all.add("day", "demand_cost", None, parts.demand);
    all.add("day", "fuel_cost", None, parts.fuel);
    all.add("day", "wear_cost", None, parts.wear);
    all.add("day", "carbon_cost", None, parts.carbon);
    all.add("day", "stored_worth", None, parts.stored);
    all.add("day", "uncounted_seconds", None, state.today.gap.seconds);
    for (id, g) in &state.today.generators {
        all.add("generator", "day_energy_watthours", Some(id), g.energy_kwh * 1e3);
        all.add("generator", "day_running_seconds", Some(id), g.run_h * 3600.0);
        all.add("generator", "day_starts", Some(id), f64::from(g.starts));
        all.add("generator", "day_cost", Some(id), g.cost);
        all.maybe("generator", "day_fuel_litres", Some(id), g.litres);
    }
    all.add(
        "day",
        "energy_import_watthours",
        None,
        state.today.imported.as_kwh() * 1e3,
    );
    all.add(
        "day",
        "energy_export_watthours",
        None,
        state.today.exported.as_kwh() * 1e3,
    );
    all.add("day", "co2_grams", None, state.today.co2_kg * 1e3);
    all.add("month", "peak_watts", None, state.month.peaks.peak.as_kw() * 1e3);
    all.add(
        "month",
        "energy_import_watthours",
        None,
        state.month.imported.as_kwh() * 1e3,
    );
    let contract = plant.tariff.contracted();
    all.maybe("month", "contract_watts", None, contract.map(|p| p.as_kw() * 1e3));
}

fn controller(all: &mut Collector, report: &CycleReport) {
    let (state, counts) = (&report.state, &report.counts);
    all.add("controller", "rung", None, f64::from(rung_number(state.rung)));
    all.add(
        "controller",
        "control_enabled",
        None,
        f64::from(u8::from(state.mode == Mode::Control)),
    );
    all.add("controller", "alarms", None, report.alarms.len() as f64);
    all.add("cycle", "duration_seconds", None, report.cycle_ms / 1e3);
    all.add("cycle", "done_total", None, counts.cycles as f64);
    all.add("cycle", "timestamp_seconds", None, unix(report.snapshot.at));
    all.add("write", "issued_total", None, counts.writes_issued as f64);
    all.add("write", "verified_total", None, counts.writes_verified as f64);
    all.add("write", "failed_total", None, counts.writes_failed as f64);
}

fn unix(t: Timestamp) -> f64 {
    t.timestamp_millis() as f64 / 1e3
}

/// 0 normal … 4 released: higher is further down the ladder.
pub fn rung_number(rung: Rung) -> u8 {
    match rung {
        Rung::Normal => 0,
        Rung::LastPlan => 1,
        Rung::Rule => 2,
        Rung::Safe => 3,
        Rung::Released => 4,
    }
}

/// What a series shows, for `# HELP` lines and the API.
pub fn help(kind: &str, field: &str) -> String {
    let text = match (kind, field) {
        (_, "up") => "1 if the power of the component (or any value, where it has none) may be acted on",
        ("device", "online") => "1 if the device answers, or is an inverter asleep for the night",
        ("device", "register_writes_total") => "Writes to registers that wear, or may, since the state began",
        ("device", "foreign_controller") => "1 if another controller writes to the device",
        ("device", "answer_seconds") => "Time of the last complete answer",
        ("plan", "active_power_watts") => "Planned power of this interval, positive into the component",
        ("plan", "marginal_value_per_kwh") => "Worth of one more stored kWh, from the LP duals",
        ("plan", "node_price_per_kwh") => {
            "Price of one more kWh where the component is connected (no component: on the bus), from the LP duals"
        }
        ("plan", "alternative_cost") => {
            "What the best other choice of the component in this interval would cost more, solved exactly"
        }
        ("plan", "alternative_missed_watthours") => "Energy asked for that this other choice would miss",
        ("plan", "age_seconds") => "Age of the plan in force",
        ("solve", _) => "CPU time of the last plan: build and solve",
        ("day", "cost") => {
            "Cost since local midnight: energy, demand charge added, fuel, wear, carbon, minus the worth of what was stored"
        }
        ("day", "baseline_cost") => "The same with the batteries at rest",
        ("day", "demand_cost") => "Demand charge that today's metering windows have added",
        ("day", "stored_worth") => "Worth of the change of stored energy since local midnight",
        ("day", "uncounted_seconds") => "Time since local midnight in which money could not be counted",
        ("generator", "day_fuel_litres") => {
            "Fuel burnt since local midnight by the fuel curve of the site file; absent without one"
        }
        ("month", "peak_watts") => "Highest metering window of the billing month",
        ("month", "contract_watts") => "Contracted power",
        ("controller", "rung") => "Rung of the safety ladder: 0 normal, 1 last plan, 2 rule, 3 safe, 4 released",
        ("controller", "control_enabled") => "1 in control, 0 in observe mode",
        _ => return format!("{} of {kind}", field.trim_end_matches("_total").replace('_', " ")),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_as_it_was_written() {
        let check = |component: Option<&str>, key: &str| {
            let sample = Sample {
                kind: "battery",
                field: "state_of_charge_ratio",
                component: component.map(Id::new),
                value: 0.5,
            };
            assert_eq!(sample.key(), key);
            assert_eq!(split_key(key), Some(("battery", "state_of_charge_ratio", component)));
        };
        check(Some("bat"), "battery.state_of_charge_ratio.bat");
        check(None, "battery.state_of_charge_ratio");
        assert_eq!(split_key("nothing"), None);
    }
}
