//! Thirty typical situations in both languages, against a file that people have read: tests/golden/explanations.txt.
//! `MADANG_BLESS=1` writes the file anew; read every changed sentence aloud before it is committed.

use chrono::{TimeDelta, TimeZone, Utc};
use madang::model::{Action, Alternative, Basis, Explanation, Language, ReasonCode as C};
use madang::site::Id;
use std::path::Path;

/// A situation of the home (EUR, Amsterdam), 12 May 2026, a quarter-hour from 03:00 local time on.
fn home(kind: &str, en: &str, ko: &str, code: C, action: Action, kw: f64) -> Explanation {
    let from = Utc.with_ymd_and_hms(2026, 5, 12, 1, 0, 0).unwrap();
    Explanation {
        component: Id::new("x"),
        kind: kind.into(),
        title_en: en.into(),
        title_ko: ko.into(),
        from,
        to: from + TimeDelta::minutes(15),
        code,
        action,
        power_kw: kw,
        buy_per_kwh: None,
        sell_per_kwh: None,
        node_price_per_kwh: None,
        node_price_one_sided: true,
        value_per_kwh: None,
        compared_at: None,
        compared_per_kwh: None,
        until: None,
        binding: None,
        limit_kw: None,
        alternative: None,
        currency: "EUR".into(),
        zone: chrono_tz::Europe::Amsterdam,
    }
}

/// The same on a Korean site, a quarter-hour from 14:00 local time on.
fn korea(kind: &str, en: &str, ko: &str, code: C, action: Action, kw: f64) -> Explanation {
    let from = Utc.with_ymd_and_hms(2026, 5, 12, 5, 0, 0).unwrap();
    Explanation {
        from,
        to: from + TimeDelta::minutes(15),
        currency: "KRW".into(),
        zone: chrono_tz::Asia::Seoul,
        ..home(kind, en, ko, code, action, kw)
    }
}

fn price(mut e: Explanation, buy: f64) -> Explanation {
    e.buy_per_kwh = Some(buy);
    e
}
fn pays(mut e: Explanation, sell: f64) -> Explanation {
    e.sell_per_kwh = Some(sell);
    e
}
/// Hours after the start, and the price then.
fn then(mut e: Explanation, hours: f64, per_kwh: f64) -> Explanation {
    e.compared_at = Some(e.from + TimeDelta::minutes((hours * 60.0) as i64));
    e.compared_per_kwh = Some(per_kwh);
    e
}
fn until(mut e: Explanation, hours: f64) -> Explanation {
    e.until = Some(e.from + TimeDelta::minutes((hours * 60.0) as i64));
    e
}
fn bound(mut e: Explanation, binding: &str, limit: Option<f64>) -> Explanation {
    (e.binding, e.limit_kw) = (Some(binding.into()), limit);
    e
}
fn other(mut e: Explanation, action: Action, power_kw: f64, extra_cost: f64) -> Explanation {
    e.alternative = Some(Alternative {
        action,
        power_kw,
        extra_cost,
        missed_kwh: 0.0,
        missed_kelvin_hours: 0.0,
        basis: Basis::Exact,
    });
    e
}
fn at_least(e: Explanation, action: Action, power_kw: f64, extra_cost: f64) -> Explanation {
    let mut e = other(e, action, power_kw, extra_cost);
    e.alternative = e.alternative.map(|a| Alternative {
        basis: Basis::AtLeast,
        ..a
    });
    e
}
fn missing(e: Explanation, action: Action, power_kw: f64, kwh: f64) -> Explanation {
    let mut e = other(e, action, power_kw, -0.1);
    e.alternative = e.alternative.map(|a| Alternative { missed_kwh: kwh, ..a });
    e
}

/// The other choice would be felt in the rooms.
fn cold(mut e: Explanation) -> Explanation {
    e.alternative = e.alternative.map(|a| Alternative {
        missed_kelvin_hours: 1.5,
        ..a
    });
    e
}

fn battery(code: C, action: Action, kw: f64) -> Explanation {
    home("battery", "Battery", "배터리", code, action, kw)
}
fn ess(code: C, action: Action, kw: f64) -> Explanation {
    korea("battery", "Battery", "ESS", code, action, kw)
}
fn car(code: C, action: Action, kw: f64) -> Explanation {
    home("charge_point", "Car charger", "전기차 충전기", code, action, kw)
}
fn charger(code: C, action: Action, kw: f64) -> Explanation {
    korea("charge_point", "Charger 7", "충전기 7", code, action, kw)
}

fn situations() -> Vec<(&'static str, Explanation)> {
    use Action::{Charge, Discharge, Full, HoldBack, Off, Rest, Run};
    let generator = |code, action, kw| korea("generator", "Diesel generator", "디젤 발전기", code, action, kw);
    let pump = |code, action, kw| home("heat_pump", "Heat pump", "히트펌프", code, action, kw);
    let sun = |code, action, kw| home("pv", "Roof PV", "옥상 태양광", code, action, kw);
    let meter = |code, action, kw| home("grid", "Grid meter", "계통 계량기", code, action, kw);
    let water = |code, action, kw| korea("shiftable_load", "Water pump", "양수 펌프", code, action, kw);
    vec![
        (
            "night charging",
            other(
                then(price(battery(C::GridCharge, Charge, 3.2), 0.08), 15.0, 0.31),
                Rest,
                0.0,
                0.42,
            ),
        ),
        (
            "paid to charge",
            other(
                then(price(battery(C::GridCharge, Charge, 5.0), -0.03), 16.5, 0.27),
                Rest,
                0.0,
                0.71,
            ),
        ),
        (
            "charging held by the connection",
            bound(
                then(price(ess(C::GridCharge, Charge, 41.7), 95.7), 4.0, 214.1),
                "import limit",
                None,
            ),
        ),
        (
            "storing the sun",
            other(
                then(pays(battery(C::StoreSurplus, Charge, 2.4), 0.05), 16.0, 0.31),
                Rest,
                0.0,
                0.13,
            ),
        ),
        (
            "storing when selling costs",
            then(pays(battery(C::StoreSurplus, Charge, 3.0), -0.02), 16.0, 0.29),
        ),
        (
            "covering the evening",
            other(
                then(price(battery(C::CoverLoad, Discharge, 2.1), 0.31), 24.0, 0.08),
                Rest,
                0.0,
                0.18,
            ),
        ),
        (
            "covering for nothing gained",
            other(price(battery(C::CoverLoad, Discharge, 0.8), 0.24), Rest, 0.0, 0.001),
        ),
        (
            "selling at the peak",
            other(
                then(pays(battery(C::SellStored, Discharge, 5.0), 0.35), 23.0, 0.09),
                Rest,
                0.0,
                0.27,
            ),
        ),
        (
            "shaving the peak",
            other(
                bound(ess(C::ShavePeak, Discharge, 18.4), "discharge power", Some(45.0)),
                Rest,
                0.0,
                153_216.0,
            ),
        ),
        (
            "holding",
            other(
                then(price(battery(C::HoldForLater, Rest, 0.0), 0.12), 15.0, 0.31),
                Discharge,
                1.2,
                0.05,
            ),
        ),
        (
            "holding, a bound",
            at_least(
                then(price(ess(C::HoldForLater, Rest, 0.0), 95.7), 5.25, 214.1),
                Discharge,
                20.0,
                310.0,
            ),
        ),
        (
            "holding, nothing to gain",
            price(battery(C::HoldForLater, Rest, 0.0), 0.25),
        ),
        ("full", bound(battery(C::LimitSoc, Rest, 0.0), "full", None)),
        ("empty", bound(ess(C::LimitSoc, Rest, 0.0), "empty", None)),
        ("reserve", bound(battery(C::HoldForLater, Rest, 0.0), "reserve", None)),
        (
            "car in the cheap hours",
            other(
                until(then(price(car(C::ChargeCheap, Charge, 7.4), 0.11), 3.0, 0.31), 4.5),
                Rest,
                0.0,
                0.09,
            ),
        ),
        (
            "car waits",
            other(
                until(then(price(car(C::WaitCheaper, Rest, 0.0), 0.31), 2.0, 0.08), 4.5),
                Charge,
                7.4,
                0.38,
            ),
        ),
        (
            "car has time",
            until(price(charger(C::WaitCheaper, Rest, 0.0), 95.7), 17.5),
        ),
        (
            "car must charge",
            missing(
                until(price(car(C::MustChargeNow, Charge, 11.0), 0.29), 1.5),
                Rest,
                0.0,
                2.6,
            ),
        ),
        (
            "car at once, behind a full fuse",
            bound(charger(C::ChargeFast, Charge, 4.6), "circuit chargers", None),
        ),
        ("car from the sun", car(C::ChargeSurplus, Charge, 3.1)),
        ("car is ready", car(C::ChargeDone, Rest, 0.0)),
        ("no car", charger(C::NoCar, Rest, 0.0)),
        (
            "generator needed",
            other(generator(C::GeneratorNeeded, Run, 32.0), Off, 0.0, 4_812.0),
        ),
        (
            "generator at its least",
            bound(generator(C::GeneratorNeeded, Run, 15.0), "minimum power", None),
        ),
        (
            "generator must stay on",
            until(generator(C::GeneratorMinimum, Run, 18.0), 0.75),
        ),
        (
            "generator rests",
            other(generator(C::GeneratorRest, Off, 0.0), Run, 15.0, 1_930.0),
        ),
        (
            "heat stored",
            other(then(price(pump(C::RunHeat, Run, 2.0), 0.08), 4.0, 0.29), Off, 0.0, 0.11),
        ),
        (
            "warm enough",
            then(price(pump(C::HeatSatisfied, Off, 0.0), 0.21), 2.25, 0.09),
        ),
        (
            "sun held back, selling costs",
            other(pays(sun(C::CurtailNegative, HoldBack, 1.2), -0.06), Full, 4.0, 0.04),
        ),
        (
            "sun held back, limit",
            bound(
                korea("pv", "Roof PV", "옥상 태양광", C::LimitExport, HoldBack, 30.0),
                "export limit",
                Some(30.0),
            ),
        ),
        ("sun as it shines", sun(C::FollowPlan, Full, 4.2)),
        (
            "pump waits",
            other(
                then(price(water(C::WaitShiftable, Off, 0.0), 138.0), 10.0, 95.7),
                Run,
                9.0,
                1_140.0,
            ),
        ),
        (
            "pump runs",
            then(price(water(C::RunShiftable, Run, 9.0), 95.7), 5.0, 214.1),
        ),
        (
            "switched off",
            korea("sheddable_load", "Ice maker", "제빙기", C::ShedLoad, HoldBack, 0.0),
        ),
        (
            "run that would not finish",
            missing(water(C::RunShiftable, Run, 9.0), Off, 0.0, 4.5),
        ),
        (
            "battery in an outage",
            bound(battery(C::CoverLoad, Discharge, 1.4), "outage", None),
        ),
        (
            "meter in an outage",
            bound(meter(C::FollowPlan, Full, 0.0), "outage", None),
        ),
        (
            "kept for the critical loads",
            bound(ess(C::HoldForLater, Rest, 0.0), "lifeline", None),
        ),
        (
            "within the subscribed power",
            bound(battery(C::ShavePeak, Discharge, 2.6), "subscribed power", Some(4.0)),
        ),
        (
            "buying within the subscribed power",
            bound(meter(C::ShavePeak, Full, 4.0), "subscribed power", Some(4.0)),
        ),
        (
            "car that supplies the house",
            other(
                then(price(car(C::CoverLoad, Discharge, 3.0), 0.34), 8.0, 0.09),
                Rest,
                0.0,
                0.21,
            ),
        ),
        (
            "car that could supply",
            other(car(C::ChargeDone, Rest, 0.0), Discharge, 3.0, 0.02),
        ),
        (
            "pausing felt in the rooms",
            cold(other(
                then(price(pump(C::RunHeat, Run, 2.0), 0.08), 4.0, 0.29),
                Off,
                0.0,
                -0.04,
            )),
        ),
        (
            "pump that may pause",
            missing(
                then(
                    price(
                        home("deferrable_load", "Pool pump", "수영장 펌프", C::RunShiftable, Run, 1.1),
                        0.08,
                    ),
                    10.0,
                    0.27,
                ),
                Off,
                0.0,
                0.3,
            ),
        ),
        (
            "CHP runs",
            other(
                korea("chp", "CHP", "열병합발전기", C::FollowPlan, Run, 20.0),
                Off,
                0.0,
                2_310.0,
            ),
        ),
        (
            "boiler rests",
            other(
                korea("boiler", "Boiler", "보일러", C::FollowPlan, Off, 0.0),
                Run,
                40.0,
                1_480.0,
            ),
        ),
        (
            "turbine waits",
            other(
                korea("hydro", "Turbine", "수차", C::FollowPlan, Off, 0.0),
                Run,
                25.0,
                860.0,
            ),
        ),
        (
            "turbine runs",
            price(korea("hydro", "Turbine", "수차", C::FollowPlan, Run, 25.0), 214.1),
        ),
        ("buying", price(meter(C::FollowPlan, Full, 3.2), 0.21)),
        ("selling", pays(meter(C::FollowPlan, Discharge, 2.0), 0.05)),
        (
            "the connection is full",
            bound(
                korea("grid", "Grid", "한전 계량기", C::LimitImport, Full, 120.0),
                "import limit",
                Some(120.0),
            ),
        ),
    ]
}

#[test]
fn every_sentence_is_the_one_that_was_reviewed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explanations.txt");
    let mut text = String::from("Reviewed sentences; see tests/explanations.rs.\n");
    for (name, e) in situations() {
        let (en, ko) = (e.sentence(Language::En), e.sentence(Language::Ko));
        text += &format!("\n# {name}\n{en}\n{ko}\n");
    }
    if std::env::var_os("MADANG_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        text,
        reviewed,
        "MADANG_BLESS=1 writes {}; read it before you commit it",
        path.display()
    );
}

#[test]
fn no_sentence_has_a_sign_a_number_without_unit_or_a_word_of_mathematics() {
    assert!(situations().len() >= 30);
    for (name, e) in situations() {
        for text in [e.sentence(Language::En), e.sentence(Language::Ko)] {
            for word in ["dual", "LP", "NaN", "-", "{", "  ", "marginal", "쌍대", "..", "。"] {
                assert!(!text.contains(word), "{name}: {text}");
            }
            assert!(text.ends_with('.'), "{name}: {text}");
        }
        for clause in e.sentence(Language::Ko).split_inclusive(". ") {
            assert!(
                clause.trim_end().ends_with("다."),
                "{name}: not a polite statement: {clause}"
            );
        }
    }
}
