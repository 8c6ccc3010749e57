//! What is told of plans and of moments: sentences of plans that people have read, and sentences of random moments compared
//! with the process image.
//!
//! Typical situations of plans in both languages, against a file that people have read: tests/golden/explanations.txt.
//! `MADANG_BLESS=1` writes the file anew; read every changed sentence aloud before it is committed.

use crate::support::day::{day_of, faults};
use crate::support::{get, saying};
use chrono::{TimeDelta, TimeZone, Utc};
use madang::backtest::{RunSpec, run_watched};
use madang::cycle::{CycleReport, samples};
use madang::model::{Action, Alternative, Basis, Explanation, Language, ReasonCode as C, Seen, Target, Voice};
use madang::site::{Id, Mode, Plant, Site, builtin};
use madang::telemetry::Metrics;
use madang::web::{CONNECTIONS_MAX, Exits, Hub, serve};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

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
        least_kw: None,
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
        voice: Voice::Planned,
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
        ("told to charge", until(battery(C::Override, Charge, 3.0), 1.5)),
        ("told to rest", until(ess(C::Override, Rest, 0.0), 1.0)),
        (
            "told to charge, behind a full fuse",
            bound(until(charger(C::Override, Charge, 4.6), 2.0), "circuit chargers", None),
        ),
        (
            "told to be off",
            until(
                korea("sheddable_load", "Ice maker", "제빙기", C::Override, Full, 0.0),
                0.5,
            ),
        ),
        ("told what to give at most", until(sun(C::Override, Full, 2.0), 2.0)),
    ]
}

#[test]
fn every_sentence_is_the_one_that_was_reviewed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explanations.txt");
    let mut text = String::from("Reviewed sentences; see tests/library/explanations.rs.\n");
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

/// A day of a site in virtual time with some faults, every cycle shown to `look`.
fn day(site: &str, seed: u64, date: &str, said: &[&str], look: &dyn Fn(&Plant, &CycleReport)) {
    let site = Arc::new(builtin(site).unwrap());
    let spec = RunSpec {
        seed,
        cycle: TimeDelta::seconds(30),
        wire: true,
        faults: faults(&site, said),
        ..day_of(&site, date)
    };
    run_watched(&spec, &|report| look(&site.plant, report)).unwrap();
}

/// Site, seed, date and faults.
type Day = (&'static str, u64, &'static str, &'static [&'static str]);

/// Sites, seeds, dates and faults that the words are read under; the larger site where tests may take their time.
fn days() -> Vec<Day> {
    let mut all: Vec<Day> = vec![
        ("home-amsterdam", 1, "2026-05-12", &[]),
        ("home-amsterdam", 7, "2026-11-30", &["all:drop=20%", "battery:unobeyed"]),
        (
            "home-amsterdam",
            11,
            "2026-07-04",
            &["grid:zero=10%", "ev:foreign=10min", "heat-pump:dead"],
        ),
        ("island-microgrid", 3, "2026-06-20", &["all:garbage=5%", "pv:asleep"]),
    ];
    if std::env::var_os("MADANG_REQUIRE_PEERS").is_some() {
        all.push(("apartment-seoul", 2, "2026-11-30", &["all:spike=2%"]));
        all.push(("apartment-seoul", 5, "2026-07-21", &["grid:frozen", "all:busy=30s"]));
        all.push(("home-amsterdam", 21, "2026-01-15", &["pv:dead", "all:word-swap=5%"]));
        all.push((
            "island-microgrid",
            9,
            "2026-12-31",
            &["generator:delayed=60s", "all:restart=10min"],
        ));
        all.push(("home-amsterdam", 33, "2026-04-02", &["grid:drop=20%", "pv:clipped=50%"]));
    }
    all
}

/// The same cycle as a controller that only observes would report it.
fn observing(report: &CycleReport) -> CycleReport {
    let mut state = (*report.state).clone();
    state.mode = Mode::Observe;
    CycleReport {
        state: Arc::new(state),
        ..report.clone()
    }
}

fn seen<'a>(plant: &'a Plant, report: &'a CycleReport) -> Seen<'a> {
    Seen {
        plant,
        snapshot: &report.snapshot,
        state: &report.state,
        setpoints: &report.setpoints,
        prices: report.prices.as_deref(),
    }
}

#[test]
fn no_sentence_of_any_moment_contradicts_what_is_measured() {
    for (site, seed, date, faults) in days() {
        let wrong = RefCell::new(BTreeMap::<String, (u32, String)>::new());
        let told = Cell::new(0u32);
        day(site, seed, date, faults, &|plant, report| {
            let watched = observing(report);
            for id in plant.components.keys() {
                let (now, alone) = (
                    seen(plant, report).now(id).unwrap(),
                    seen(plant, &watched).now(id).unwrap(),
                );
                told.set(told.get() + 1);
                let (en, ko) = (now.sentence(Language::En), now.sentence(Language::Ko));
                let mut found = saying::faults(plant, report, id, &en, &ko);
                found.extend(saying::limits(
                    plant,
                    report,
                    id,
                    &now.because(Language::En).unwrap_or_default(),
                ));
                found.extend(active_voice(plant, &watched, id, &alone.sentence(Language::En)));
                for text in [&en, &ko] {
                    if text.contains(['{', '}']) || text.contains("NaN") || text.contains("  ") || !text.ends_with('.')
                    {
                        found.push(format!("not a sentence: {text}"));
                    }
                }
                for f in found {
                    let kind: String = f.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
                    let mut wrong = wrong.borrow_mut();
                    let entry = wrong
                        .entry(kind)
                        .or_insert((0, format!("{id} {}: {f}", report.snapshot.at)));
                    entry.0 += 1;
                }
            }
        });
        let wrong = wrong.into_inner();
        assert!(
            wrong.is_empty(),
            "{site} seed {seed} {faults:?}, of {} sentences: {wrong:#?}",
            told.get()
        );
        assert!(told.get() > 10_000, "{site}: {} sentences", told.get());
    }
}

/// In observe mode a device does what it does by itself, and what Madang would do is said as that.
fn active_voice(plant: &Plant, report: &CycleReport, id: &Id, en: &str) -> Option<String> {
    let setpoint = report.setpoints.iter().find(|s| s.component == *id)?;
    saying::measured(&report.snapshot, id, &plant.components[id].kind)?;
    let own = setpoint.target == Target::Release;
    let left = en.contains("another controller");
    let right = own || left || (en.contains("on its own") && en.contains("Madang would"));
    let told = en.contains("is told to") || en.contains("did not take");
    (!right || told).then(|| format!("speaks as if it acted: {en}"))
}

/// Page, API and metrics over a real socket.
struct Exit {
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    port: u16,
    stop: watch::Sender<bool>,
}

impl Exit {
    fn open(site: &Arc<Site>) -> Self {
        let (hub, metrics) = (
            Hub::new(site.clone(), "token".into()),
            Arc::new(Metrics::new(&site.plant.name)),
        );
        let (stop, stopped) = watch::channel(false);
        let (inbox, _nobody) = mpsc::channel(1);
        let (tell, port) = std::sync::mpsc::channel();
        let text = metrics.clone();
        let exits = Exits {
            hub: hub.clone(),
            inbox,
            history: None,
            journal: None,
            metrics: Arc::new(move || text.text(&[])),
            connections: CONNECTIONS_MAX,
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                serve(listener, exits, stopped).await;
            });
        });
        let port = port.recv().unwrap();
        Self {
            hub,
            metrics,
            port,
            stop,
        }
    }

    fn show(&self, plant: &Plant, report: &CycleReport) {
        self.metrics.update(samples(plant, report));
        self.hub.publish(report);
    }

    fn json(&self, path: &str) -> Value {
        let text = get(self.port, path).unwrap_or_else(|| panic!("{path} does not answer"));
        serde_json::from_str(&text).unwrap()
    }
}

/// Every text of a JSON value.
fn texts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) if text.contains(' ') => into.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|v| texts(v, into)),
        Value::Object(all) => all.values().for_each(|v| texts(v, into)),
        _ => {}
    }
}

fn same(shown: &Value, known: Option<f64>) -> bool {
    match (shown.as_f64(), known) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (None, None) => shown.is_null(),
        _ => false,
    }
}

/// What of one component's JSON is not so.
fn component_faults(plant: &Plant, report: &CycleReport, c: &Value) -> Vec<String> {
    let id = Id::new(c["id"].as_str().unwrap());
    let known = saying::measured(&report.snapshot, &id, &plant.components[&id].kind);
    let mut wrong = Vec::new();
    if !same(&c["power_kw"], known) {
        wrong.push(format!("{id}: {} for {known:?} kW", c["power_kw"]));
    }
    if !same(&c["now"]["power_kw"], known) {
        wrong.push(format!("{id}: now {} for {known:?} kW", c["now"]["power_kw"]));
    }
    let soc = report.snapshot.soc(&id).map(|s| s.as_ratio());
    if !same(&c["soc"], soc) {
        wrong.push(format!("{id}: charge {} for {soc:?}", c["soc"]));
    }
    let (en, ko) = (c["why"]["en"].as_str().unwrap(), c["why"]["ko"].as_str().unwrap());
    wrong.extend(saying::faults(plant, report, &id, en, ko));
    let mut said = Vec::new();
    for part in ["why", "reason"] {
        texts(&c[part], &mut said);
    }
    for text in &said {
        wrong.extend(saying::limits(plant, report, &id, text));
        let unknown = text.contains("not known") || text.contains("알 수 없습니다");
        if known.is_none() && !unknown {
            wrong.push(format!("speaks of the unknown {id}: {text}"));
        }
    }
    wrong
}

/// Value of a metric, of a component where one is named.
fn metric(text: &str, name: &str, component: Option<&Id>) -> Option<f64> {
    let start = format!("madang_{name}{{");
    let own = component.map_or(String::new(), |id| format!("component=\"{id}\""));
    let line = text.lines().find(|l| l.starts_with(&start) && l.contains(&own))?;
    line.split("} ").nth(1)?.split(' ').next()?.parse().ok()
}

/// What of `/metrics` is not so: powers, every measured quantity and the day's money.
fn metric_faults(plant: &Plant, report: &CycleReport, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |name: &str, component: Option<&Id>, known: Option<f64>| {
        let shown = metric(text, name, component);
        let same = match (shown, known) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-6 * b.abs().max(1.0),
            (a, b) => a.is_none() && b.is_none(),
        };
        if !same {
            wrong.push(format!("metric {name} of {component:?}: {shown:?} for {known:?}"));
        }
    };
    for (id, c) in &plant.components {
        let kind = c.kind.name();
        let power = saying::measured(&report.snapshot, id, &c.kind).map(|kw| kw * 1e3);
        compare(&format!("{kind}_active_power_watts"), Some(id), power);
        let readings = report.snapshot.components.get(id).into_iter().flatten();
        // Published counters go on where a device's own begin anew.
        for (quantity, reading) in readings.filter(|(q, _)| !q.series().0.ends_with("_total")) {
            let (field, factor) = quantity.series();
            let known = reading.usable().map(|v| v * factor);
            compare(&format!("{kind}_{field}"), Some(id), known);
        }
    }
    let day = &report.state.today;
    compare("day_cost", None, Some(day.costs.total()));
    compare("day_baseline_cost", None, Some(day.baseline.total()));
    compare(
        "month_peak_watts",
        None,
        Some(report.state.month.peaks.peak.as_kw() * 1e3),
    );
    wrong
}

/// What of the page's money and counts is not so.
fn day_faults(report: &CycleReport, now: &Value) -> Vec<String> {
    let (day, shown) = (&report.state.today, &now["today"]);
    let pairs = [
        ("cost", day.costs.total()),
        ("baseline_cost", day.baseline.total()),
        ("saved", day.saved()),
    ];
    let off = pairs
        .into_iter()
        .filter(|(key, known)| !same(&shown[*key], Some(*known)));
    off.map(|(key, known)| format!("today {key}: {} for {known}", shown[key]))
        .collect()
}

#[test]
fn every_value_and_text_of_the_api_at_random_moments_is_that_of_the_process_image() {
    for (site, seed, date, faults) in days().into_iter().take(4) {
        let exit = Exit::open(&Arc::new(builtin(site).unwrap()));
        let (random, looked) = (Cell::new(seed), Cell::new(0));
        let wrong = RefCell::new(Vec::new());
        day(site, seed, date, faults, &|plant, report| {
            random.set(
                random
                    .get()
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407),
            );
            if (random.get() >> 33) % 40 != 0 {
                return;
            }
            looked.set(looked.get() + 1);
            exit.show(plant, report);
            let now = exit.json("/api/v1/now");
            let mut found = Vec::new();
            let grid = report.snapshot.grid.and_then(|g| g.usable()).map(|g| g.as_kw());
            if !same(&now["grid_power_kw"], grid) {
                found.push(format!("grid {} for {grid:?}", now["grid_power_kw"]));
            }
            found.extend(day_faults(report, &now));
            for c in now["components"].as_array().unwrap() {
                found.extend(component_faults(plant, report, c));
            }
            let told = &now["sentence"];
            if let Some(id) = told["component"].as_str().map(Id::new) {
                let (en, ko) = (told["en"].as_str().unwrap(), told["ko"].as_str().unwrap());
                found.extend(saying::faults(plant, report, &id, en, ko));
            }
            for s in exit.json("/api/v1/decisions").as_array().unwrap() {
                let id = Id::new(s["component"].as_str().unwrap());
                found.extend(saying::limits(plant, report, &id, s["reason"]["en"].as_str().unwrap()));
            }
            found.extend(metric_faults(plant, report, &get(exit.port, "/metrics").unwrap()));
            let at = report.snapshot.at;
            wrong
                .borrow_mut()
                .extend(found.into_iter().map(|f| format!("{at}: {f}")));
        });
        exit.stop.send_replace(true);
        let wrong = wrong.into_inner();
        assert!(
            wrong.is_empty(),
            "{site} {faults:?}: {} of {} moments: {:#?}",
            wrong.len(),
            looked.get(),
            &wrong[..wrong.len().min(20)]
        );
        assert!(looked.get() > 30, "{site}: {} moments", looked.get());
    }
}

#[test]
fn every_sentence_of_a_plan_says_that_it_is_one() {
    let looked = Cell::new(0);
    day("home-amsterdam", 1, "2026-05-12", &[], &|plant, report| {
        let Some(schedule) = report.state.schedule.as_deref().filter(|s| s.id % 24 == 1) else {
            return;
        };
        for id in plant.components.keys() {
            for t in 0..schedule.grid.len() {
                let e = schedule.explanation(plant, id, t).unwrap();
                let (en, ko) = (e.reason(Language::En), e.reason(Language::Ko));
                assert!(en.starts_with("Planned: ") && ko.starts_with("계획: "), "{en} | {ko}");
                assert!(!en.contains(" now") && !ko.contains("지금"), "{en} | {ko}");
                if id.as_str() == "heat-pump" && e.power_kw > 0.02 && e.power_kw < 0.58 {
                    assert!(
                        en.contains("part of the time") && ko.contains("일부 시간"),
                        "{en} | {ko}"
                    );
                    looked.set(looked.get() + 1);
                }
            }
        }
    });
    assert!(looked.get() > 0, "no plan ran the heat pump for part of an interval");
}
