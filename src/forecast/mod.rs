//! Series → [`Forecast`] with quantiles: load, PV, outdoor temperature, prices, sessions; scores itself. Pure.
//!
//! Cold start: with no history a load follows the site file's profile and PV the sun; every hour measured moves both.
//! The dispatch head is the mean; slots are 15 minutes of UTC, day types and hours are local.

mod load;
mod memory;
mod outdoor;
mod pv;
mod sessions;
mod slots;

pub use memory::{issued, observe};

use crate::model::{ControllerState, Forecast, Quantiles, Snapshot};
use crate::site::{Id, Kind, Plant};
use crate::tariff::PriceFiles;
use crate::time::{Interval, TimeGrid, Timestamp};
use slots::Slots;
use std::collections::BTreeMap;

/// One forecast on `grid`, from memory and prices only.
pub fn forecast(
    plant: &Plant,
    state: &ControllerState,
    snapshot: Option<&Snapshot>,
    prices: Option<&PriceFiles>,
    grid: TimeGrid,
    now: Timestamp,
) -> Forecast {
    let slots = Slots::covering(&grid);
    let mut models = BTreeMap::new();
    let (mut loads, mut pvs) = (BTreeMap::new(), BTreeMap::new());
    for (id, c) in &plant.components {
        let (series, kind, name) = match &c.kind {
            Kind::Load(l) => (
                load::forecast(plant, state, id, &l.expected, &slots, now),
                &mut loads,
                "load",
            ),
            Kind::SheddableLoad(l) => (
                load::forecast(plant, state, id, &l.expected, &slots, now),
                &mut loads,
                "load",
            ),
            Kind::Pv(p) => (pv::forecast(plant, state, id, p, &slots, now), &mut pvs, "pv"),
            _ => continue,
        };
        models.insert(format!("{name}/{id}"), series.model.to_owned());
        kind.insert(id.clone(), series.on(&slots, &grid));
    }
    let outdoor = outdoor::forecast(plant, state, snapshot, &slots, now).on(&slots, &grid);
    let month = &state.month;
    Forecast {
        issued_at: now,
        buy: grid
            .intervals()
            .map(|i| plant.tariff.buy_over(i, prices, month))
            .collect(),
        sell: grid.intervals().map(|i| plant.tariff.sell_over(i, prices)).collect(),
        sessions: sessions::forecast(plant, state, &grid, now),
        load: loads,
        pv: pvs,
        outdoor: Some(outdoor),
        models,
        grid,
    }
}

/// The same forecast with the true load and PV in place of the expected: the policy with perfect foresight.
pub fn perfect(mut forecast: Forecast, actual: &dyn Fn(&Id, Interval) -> Option<f64>) -> Forecast {
    let intervals: Vec<Interval> = forecast.grid.intervals().collect();
    for (id, series) in forecast.load.iter_mut().chain(forecast.pv.iter_mut()) {
        for (t, interval) in intervals.iter().enumerate() {
            if let Some(kw) = actual(id, *interval) {
                for head in [&mut series.mean, &mut series.p10, &mut series.p50, &mut series.p90] {
                    head[t] = kw;
                }
            }
        }
    }
    for model in forecast.models.values_mut() {
        *model = "perfect".to_owned();
    }
    forecast
}

/// A forecast by slot, before it is put on the plan's grid.
pub(crate) struct BySlot {
    pub mean: Vec<f64>,
    /// Spread below and above the mean as factors: p10 = mean × low, p90 = mean × high (+ `pad` for temperatures).
    pub low: f64,
    pub high: f64,
    pub most: f64,
    pub model: &'static str,
}

impl BySlot {
    fn on(&self, slots: &Slots, grid: &TimeGrid) -> Quantiles {
        let mean = slots.on_grid(&self.mean, grid);
        let scaled = |k: f64| mean.iter().map(|m| (m * k).min(self.most.max(*m))).collect::<Vec<_>>();
        // The distribution of a load is skewed: its median lies a little below the mean.
        let (p10, p50, p90) = (
            scaled(self.low),
            scaled(1.0 - (self.high - 1.0) * 0.1),
            scaled(self.high),
        );
        Quantiles { p10, p50, p90, mean }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Quantity, SLOTS_KEPT, Scan, Snapshot};
    use chrono::{TimeDelta, TimeZone, Utc};
    use proptest::prelude::*;

    fn plant() -> Plant {
        crate::site::builtin("home-amsterdam").unwrap().plant
    }

    fn noon() -> Timestamp {
        Utc.with_ymd_and_hms(2026, 5, 12, 10, 0, 0).unwrap()
    }

    fn run(state: &ControllerState, now: Timestamp) -> Forecast {
        let grid = TimeGrid::aligned(now, TimeDelta::minutes(15), TimeDelta::hours(30));
        forecast(&plant(), state, None, None, grid, now)
    }

    fn id(name: &str) -> Id {
        Id::new(name)
    }

    #[test]
    fn without_history_the_site_file_and_the_sun_speak() {
        let f = run(&ControllerState::fresh(&plant(), noon()), noon());
        let home = &f.load[&id("home")].mean;
        let day: f64 = home[..96].iter().sum::<f64>() / 4.0;
        assert!((day - 9.0).abs() < 0.3, "{day} kWh a day");
        let pv = &f.pv[&id("pv")].mean;
        assert!(pv[8] > 2.0 && pv[48] == 0.0, "noon {} midnight {}", pv[8], pv[48]);
        assert_eq!(f.models["load/home"], "cold start");
        assert!(f.buy.iter().all(Option::is_none), "no price is known, none is free");
    }

    /// State after `days` of a constant load.
    fn lived(days: usize, kw: f32) -> ControllerState {
        let start = noon() - TimeDelta::days(days as i64);
        let mut state = ControllerState::fresh(&plant(), start);
        for i in 0..days * 96 {
            state
                .forecast
                .put_slot("load/home", start + TimeDelta::minutes(15 * i as i64), Some(kw));
        }
        state
    }

    #[test]
    fn history_takes_over_from_the_site_file() {
        let error = |days| {
            let f = run(&lived(days, 1.5), noon());
            let mean = &f.load[&id("home")].mean;
            mean[16..96].iter().map(|v| (v - 1.5).abs()).sum::<f64>() / 80.0
        };
        let (cold, one, three, ten) = (error(0), error(1), error(3), error(10));
        assert!(
            cold > one && one > three && three > ten && ten < 0.2,
            "{cold} {one} {three} {ten}"
        );
    }

    #[test]
    fn the_last_hours_move_the_next_ones_and_fade() {
        let mut state = lived(14, 0.4);
        for i in 0..4 {
            state
                .forecast
                .put_slot("load/home", noon() - TimeDelta::minutes(60 - 15 * i), Some(2.4));
        }
        let f = run(&state, noon());
        let mean = &f.load[&id("home")].mean;
        assert!(
            mean[1] > 0.8 && mean[1] > mean[12] && mean[12] > mean[48],
            "{} {} {}",
            mean[1],
            mean[12],
            mean[48]
        );
    }

    #[test]
    fn curtailed_hours_do_not_teach_that_panels_produce_less() {
        use crate::model::{LastTarget, Measurement, Reason, ReasonCode, Target};
        let plant = plant();
        let mut state = ControllerState::fresh(&plant, noon());
        let limit = Target::PowerLimit(crate::units::Power::kw(1.0));
        let reason = Reason::new(ReasonCode::CurtailNegative);
        let last = LastTarget {
            target: limit,
            at: noon(),
            mode_since: noon(),
            reason,
        };
        state.last.insert(id("pv"), last);
        for k in 0..200 {
            let at = noon() + TimeDelta::seconds(10 * k);
            let reading = crate::reading::Reading::good(-1.0, at);
            let m = Measurement {
                component: id("pv"),
                quantity: Quantity::ActivePower,
                reading,
            };
            let scan = Scan {
                measurements: vec![m],
                devices: vec![],
            };
            let components = scan
                .measurements
                .iter()
                .map(|m| (m.component.clone(), [(m.quantity, m.reading)].into()));
            let snapshot = Snapshot {
                at,
                components: components.collect(),
                grid: None,
                residual: None,
                rest: None,
                astray: None,
                devices: vec![],
                doubts: vec![],
            };
            observe(&plant, &snapshot, &mut state, TimeDelta::seconds(10));
        }
        assert_eq!(state.forecast.series["pv/pv"].slots, [None, None]);
    }

    #[test]
    fn a_forecast_is_scored_by_what_it_said_first() {
        let mut state = ControllerState::fresh(&plant(), noon());
        let said_now = run(&state, noon());
        issued(&mut state, &said_now);
        let said = state.forecast.scores["load/home"].pending[&noon()];
        state
            .forecast
            .put_slot("load/home", noon() - TimeDelta::hours(1), Some(9.0));
        let said_now = run(&state, noon());
        issued(&mut state, &said_now);
        assert_eq!(state.forecast.scores["load/home"].pending[&noon()], said);
        assert_eq!(state.forecast.scores["load/home"].nmae(), None);
    }

    proptest! {
        #[test]
        fn any_memory_gives_a_finite_ordered_forecast(
            slots in proptest::collection::vec(proptest::option::of(0.0f32..50.0), 0..600),
            offset in 0i64..1200,
        ) {
            let mut state = ControllerState::fresh(&plant(), noon());
            for (i, v) in slots.iter().enumerate() {
                for name in ["load/home", "pv/pv"] {
                    state.forecast.put_slot(name, noon() - TimeDelta::minutes(15 * (offset - i as i64)), *v);
                }
            }
            prop_assert!(state.forecast.series.values().all(|s| s.slots.len() <= SLOTS_KEPT));
            let f = run(&state, noon());
            for q in f.load.values().chain(f.pv.values()) {
                for t in 0..q.mean.len() {
                    prop_assert!(q.mean[t].is_finite() && q.mean[t] >= 0.0);
                    prop_assert!(q.p10[t] <= q.p50[t] + 1e-9 && q.p50[t] <= q.p90[t] + 1e-9);
                }
            }
        }
    }
}
