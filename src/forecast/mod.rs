//! Series → [`Forecast`] with quantiles: load, PV, outdoor temperature, prices, sessions; scores itself. Pure.
//!
//! Cold start: with no history a load follows the site file's profile and PV the sun; every hour measured moves both.
//! The dispatch head is the mean; slots are 15 minutes of UTC, day types and hours are local.

mod level;
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

    /// A household of 18 kWh a day by hour of UTC, kW.
    fn with_people(hour: i64) -> f64 {
        match hour {
            6..=8 => 1.2,
            17..=21 => 1.7,
            _ => 0.36,
        }
    }

    /// What is on while nobody is there, kW.
    fn alone(_: i64) -> f64 {
        0.12
    }

    type Draw = fn(i64) -> f64;
    type Stretches<'a> = &'a [(i64, Draw)];

    /// State at noon after stretches of days in which a load was drawn.
    fn after(stretches: Stretches<'_>) -> ControllerState {
        let days: i64 = stretches.iter().map(|(days, _)| days).sum();
        let mut t = noon() - TimeDelta::days(days);
        let mut state = ControllerState::fresh(&plant(), t);
        for (days, draw) in stretches {
            for i in 0..days * 96 {
                let hour = (t + TimeDelta::minutes(15 * i))
                    .time()
                    .signed_duration_since(chrono::NaiveTime::MIN);
                let kw = draw(hour.num_hours()) as f32;
                state
                    .forecast
                    .put_slot("load/home", t + TimeDelta::minutes(15 * i), Some(kw));
            }
            t += TimeDelta::days(*days);
        }
        state
    }

    /// Error of the next `days` of the home's load, kWh a day.
    fn error(state: &ControllerState, truth: Draw, from_day: usize, days: usize) -> f64 {
        let length = TimeDelta::days((from_day + days) as i64);
        let grid = TimeGrid::aligned(noon(), TimeDelta::minutes(15), length);
        let f = forecast(&plant(), state, None, None, grid, noon());
        let kw = f.load[&id("home")].mean.iter().enumerate().skip(from_day * 96);
        let hour = |t: usize| (10 + t as i64 / 4) % 24;
        kw.map(|(t, kw)| (kw - truth(hour(t))).abs() / 4.0).sum::<f64>() / days as f64
    }

    #[test]
    fn a_lasting_change_of_level_is_followed_within_two_days_and_back() {
        let rows: [(&str, Stretches<'_>, Draw, f64); 6] = [
            ("as usual", &[(14, with_people)], with_people, 3.0),
            ("away for two days", &[(14, with_people), (2, alone)], alone, 1.5),
            ("away for eight days", &[(14, with_people), (8, alone)], alone, 0.5),
            (
                "back for two days",
                &[(14, with_people), (8, alone), (2, with_people)],
                with_people,
                3.5,
            ),
            (
                "back after three weeks",
                &[(30, with_people), (21, alone), (2, with_people)],
                with_people,
                3.5,
            ),
            (
                "a day away does not last",
                &[(14, with_people), (1, alone), (2, with_people)],
                with_people,
                3.0,
            ),
        ];
        for (name, stretches, truth, most) in rows {
            let error = error(&after(stretches), truth, 0, 1);
            assert!(error < most, "{name}: {error:.2} kWh a day");
        }
    }

    #[test]
    fn who_says_that_nobody_is_there_is_counted_on_at_once_until_the_end() {
        let ends = noon() + TimeDelta::days(2);
        let mut first = after(&[(14, with_people)]);
        first.leave(noon(), ends);
        // 0.36 kW is the lowest that was ever drawn
        assert!(error(&first, |_| 0.36, 0, 2) < 1.0, "{}", error(&first, |_| 0.36, 0, 2));
        assert!(
            error(&first, with_people, 2, 1) < 3.0,
            "the day after the end is a usual one"
        );
        let mut again = after(&[(10, with_people), (4, alone), (10, with_people)]);
        again.leave(noon() - TimeDelta::days(14), ends);
        again.come_back(noon() - TimeDelta::days(10));
        again.leave(noon(), ends);
        let known = error(&again, alone, 0, 2);
        assert!(known < 1.5, "an earlier absence told what is drawn: {known}");
        assert_eq!(run(&again, noon()).models["load/home"], "away");
        let mut back = after(&[(14, with_people), (8, alone)]);
        back.leave(noon() - TimeDelta::days(8), ends);
        back.come_back(noon());
        let home = error(&back, with_people, 0, 1);
        assert!(
            home < 4.0,
            "what was drawn without people teaches nothing of those with: {home}"
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
