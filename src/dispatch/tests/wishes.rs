//! Wishes of the site file in dispatch: what a plan pays for is not undone second by second.

use super::bench::Bench;
use crate::model::*;
use crate::tariff::{CapacityCharge, DemandCharge, Hours, Overrun, Peaks};
use crate::time::DayKind;
use crate::units::{Money, Power, Price};
use chrono::TimeDelta;
use std::collections::BTreeMap;

#[test]
fn a_wish_for_own_energy_makes_the_battery_cover_what_the_price_alone_would_not() {
    // a stored kWh is worth 0.40, the meter charges 0.30; the wish adds 0.20 to both sides of the plan
    for (wish, told) in [(None, 0.0), (Some(0.2), -2.0)] {
        let mut b = Bench::new("home-amsterdam", Policy::Plan);
        b.kw.insert("home".into(), 2.0);
        b.plan(|s| {
            s.marginal_value.insert("battery".into(), vec![0.40; 96]);
            s.solution.duals = wish.map(|w| Duals {
                bus: vec![0.3; 96],
                storage: BTreeMap::new(),
                tanks: BTreeMap::new(),
                evs: BTreeMap::new(),
                peak: 0.0,
                nodes: BTreeMap::new(),
                wishes: vec![w; 96],
            });
        });
        b.cycles(3);
        assert!(
            (b.told_kw("battery") - told).abs() < 0.05,
            "{wish:?}: {}",
            b.told_kw("battery")
        );
    }
}

#[test]
fn subscribed_power_holds_in_each_window_however_far_another_went() {
    // billed on, highest mean of the month so far, kW the battery gives although a stored kWh is worth more than the meter's
    let rows = [
        (Overrun::Energy(Price::per_kwh(0.4)), 9.0, 2.0),
        (Overrun::Highest(Money::of(9.0)), 0.0, 2.0),
        (Overrun::Highest(Money::of(9.0)), 6.5, 0.5),
    ];
    for (overrun, peak, gives) in rows {
        let mut b = Bench::new("home-amsterdam", Policy::Plan);
        b.plant.tariff.capacity = Some(CapacityCharge {
            subscribed: Power::kw(5.0),
            overrun,
            window: TimeDelta::minutes(15),
            peak_so_far: Power::ZERO,
        });
        b.state.month.peaks = Peaks::of(Power::kw(peak));
        b.kw.insert("home".into(), 7.0);
        b.plan(|s| {
            s.peak_kw = Some(5.0);
            s.marginal_value.insert("battery".into(), vec![9.0; 96]);
        });
        b.cycles(3);
        let kw = b.told_kw("battery");
        assert!((kw + gives).abs() < 0.2, "{overrun:?} {peak}: {kw}");
        assert_eq!(b.why("battery"), Some(ReasonCode::ShavePeak));
    }
}

#[test]
fn a_window_is_held_at_what_the_demand_charge_bills_anyway_and_only_where_it_counts() {
    // month that counts (it is May), billed at least, peak of a month that began before noon, kW the battery gives of 7 kW
    let rows = [
        (5, 0.0, None, 2.0),
        (11, 0.0, None, 0.0),
        (5, 6.5, None, 0.5),
        (5, 0.0, Some(6.0), 1.0),
    ];
    for (month, minimum, next, gives) in rows {
        let mut b = Bench::new("home-amsterdam", Policy::Plan);
        b.plant.tariff.demand = Some(DemandCharge {
            per_kw: Money::of(9.0),
            window: TimeDelta::minutes(15),
            peaks: 1,
            one_a_day: false,
            hours: Some(Hours {
                months: vec![month],
                days: vec![DayKind::Work, DayKind::Saturday, DayKind::Sunday],
                minutes: vec![(0, 1440)],
            }),
            minimum: Power::kw(minimum),
            ratchet: None,
            peak_so_far: Power::ZERO,
            contract: None,
        });
        b.kw.insert("home".into(), 7.0);
        let from = b.now - TimeDelta::hours(1);
        b.plan(|s| {
            s.peak_kw = Some(5.0);
            s.next_peak = next.map(|kw| NextPeak { from, kw });
            s.marginal_value.insert("battery".into(), vec![9.0; 96]);
        });
        b.cycles(3);
        let kw = b.told_kw("battery");
        assert!((kw + gives).abs() < 0.2, "{month} {minimum} {next:?}: {kw}");
    }
}
