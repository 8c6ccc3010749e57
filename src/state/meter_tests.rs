//! When is the grid meter believed? Rows of seconds with a healthy home behind a meter that may be wrong.

use super::tests::{Play, Row, right};
use super::*;
use crate::model::Measurement;

fn doubts_of(found: &[(i32, String, DoubtKind)], who: &str) -> Vec<(i32, DoubtKind)> {
    let own = found.iter().filter(|(_, c, _)| c == who);
    own.map(|(t, _, k)| (*t, *k)).collect()
}

/// A battery that is told another power every 40 s and follows within two seconds, a load that flickers and has a kettle
/// now and then, a sun that moves: true powers of second `t`, kW.
fn living(t: i32, seed: u64) -> Row {
    let dice = |n: i32| fastrand::Rng::with_seed(seed.wrapping_mul(7_919).wrapping_add(n as u64)).f64();
    let told = |t: i32| [-4.0, -2.0, 0.0, 2.5, 4.5][(dice(t.div_euclid(40)) * 5.0) as usize];
    let kettle = if dice(10_000 + t.div_euclid(90)) < 0.15 {
        2.0
    } else {
        0.0
    };
    let load = 0.6 + 0.2 * dice(20_000 + t.div_euclid(300)) + 0.04 * dice(30_000 + t) + kettle;
    let pv = -1.5 - 0.3 * (f64::from(t) / 200.0).sin();
    let battery = told(t - 2);
    Row {
        grid: load + pv + battery,
        pv,
        battery,
        soc: 0.5,
        import: 900.0 + f64::from(t) / 3600.0,
        told: told(t),
    }
}

/// First second in which the meter is doubted while it shows `k` times the truth and `offset` kW more.
fn first_doubt(seed: u64, k: f64, offset: f64, seconds: i32) -> Option<(i32, String, DoubtKind)> {
    let shown = |t: i32| {
        let row = living(t, seed);
        Row {
            grid: k * row.grid + offset,
            ..row
        }
    };
    Play::new().run(seconds, shown).into_iter().next()
}

#[test]
fn a_factor_or_an_offset_is_noticed_and_a_good_meter_is_not_accused() {
    let mut dice = fastrand::Rng::with_seed(11);
    for seed in 0..8 {
        // a factor evenly on a scale of ratios, and away from one
        let mut k: f64 = 1.0;
        while (0.85..=1.15).contains(&k) {
            k = 0.05 * 400f64.powf(dice.f64());
        }
        let found = first_doubt(seed, k, 0.0, 1_200);
        assert!(
            found.as_ref().is_some_and(|(_, who, _)| who == "grid"),
            "seed {seed}: × {k:.3}: {found:?}"
        );
        // far off it is a matter of seconds, near one of several steps
        let by = if !(0.5..=2.0).contains(&k) { 600 } else { 1_200 };
        assert!(
            found.as_ref().is_some_and(|(t, ..)| *t <= by),
            "seed {seed}: × {k:.3}: {found:?}"
        );
        let found = first_doubt(seed, -k, 0.0, 600);
        assert!(
            found.as_ref().is_some_and(|(_, who, _)| who == "grid"),
            "seed {seed}: × -{k:.3}: {found:?}"
        );
        let less = -1.5 - 3.0 * dice.f64();
        let found = first_doubt(seed, 1.0, less, 600);
        assert!(
            found.as_ref().is_some_and(|(_, who, _)| who == "grid"),
            "seed {seed}: {less:.2} kW: {found:?}"
        );
        let k = 0.95 + 0.1 * dice.f64();
        assert_eq!(first_doubt(seed, k, 0.0, 2_400), None, "seed {seed}: × {k:.3}");
    }
}

#[test]
fn what_does_not_add_up_is_held_against_the_meter_after_ten_seconds_and_before_that_limits_count_it() {
    let mut play = Play::new();
    let mut astray = Vec::new();
    for t in 0..40 {
        let row = right(t, 4.0);
        // it falls to a fifth in second 10: 3.2 kW less than the battery and the load draw
        let k = if t < 10 { 1.0 } else { 0.2 };
        let s = play.step(
            t,
            Row {
                grid: k * row.grid,
                ..row
            },
        );
        let residual = s.residual.unwrap().usable().map(|p| p.as_kw());
        match t {
            // the load that is left is shown as it comes out, and what the meter leaves too
            10..20 => {
                assert!(residual.unwrap() < -1.0, "second {t}: {residual:?}");
                assert_eq!(s.rest, s.residual);
                astray.extend(s.astray.map(|a| (t, a)));
            }
            20.. => assert_eq!((s.grid.unwrap().usable(), residual), (None, None), "second {t}"),
            _ => assert_eq!((s.astray, s.doubts.len()), (None, 0), "second {t}"),
        }
        if t == 20 {
            let d = &s.doubts[0];
            assert_eq!((d.component.as_str(), d.kind), ("grid", DoubtKind::Balance));
            for part in ["0.6", "current transformers", "Household would have to feed in"] {
                assert!(d.why.contains(part), "{part}: {}", d.why);
            }
            assert!(
                d.why_ko
                    .as_ref()
                    .is_some_and(|ko| ko.contains("변류기") && ko.contains("가정 부하이(가)"))
            );
        }
    }
    let (first, a) = astray[0];
    assert_eq!((first, astray.len()), (12, 8));
    let missing = 0.8 * right(first, 4.0).grid;
    assert!(
        (a.import - missing).abs() < 0.1 && a.export == 0.0,
        "{a:?} for {missing}"
    );
}

#[test]
fn a_meter_that_was_wrong_must_add_up_for_longer_each_time() {
    // a fifth while the battery charges, which it does for 30 s every 1,000 s; nothing contradicts in between
    let shown = |t: i32| {
        let row = right(t, if t % 1_000 < 30 { 4.0 } else { 0.0 });
        Row {
            grid: 0.2 * row.grid,
            pv: 0.0,
            ..row
        }
    };
    let found = Play::new().run(3_000, shown);
    let seconds = doubts_of(&found, "grid");
    let starts: Vec<i32> = (1..seconds.len())
        .filter(|i| seconds[*i].0 > seconds[i - 1].0 + 1)
        .map(|i| seconds[i].0)
        .collect();
    // believed again 600 s after it added up, and found out by the first step; the second time it takes 1,200 s, so that the
    // third charge finds it doubted
    assert!(matches!(starts[..], [1_004..=1_010]), "{starts:?}");
    let around: Vec<bool> = [5, 15, 625, 635, 995, 2_015, 2_200]
        .iter()
        .map(|t| seconds.iter().any(|(s, _)| s == t))
        .collect();
    assert_eq!(around, [false, true, true, false, false, true, true]);
}

#[test]
fn an_unmeasured_generator_is_told_once_a_day_and_a_large_load_costs_no_control_where_our_steps_agree() {
    // 3 kW of sun that nobody measures, for two hours
    let sunny = |t: i32| Row {
        grid: right(t, 0.0).grid - 3.0,
        ..right(t, 0.0)
    };
    let found = Play::new().run(7_200, sunny);
    let seconds = doubts_of(&found, "grid");
    assert_eq!(seconds.first().map(|(t, _)| *t), Some(10));
    assert_eq!(seconds.len(), 7_190, "it comes and goes");
    // 12 kW in a home that is said to draw 7 at most, after steps that the meter showed rightly
    let oven = |t: i32| {
        let row = living(t, 3);
        let more = if t > 600 { 12.0 } else { 0.0 };
        Row {
            grid: row.grid + more,
            ..row
        }
    };
    let found = Play::new().run(900, oven);
    assert!(
        !found.is_empty()
            && found
                .iter()
                .all(|(t, who, k)| *t > 650 && who == "home" && *k == DoubtKind::Balance)
    );
    // without a single step it cannot be told from a meter that shows too much
    let still = |t: i32| Row {
        grid: right(t, 0.0).grid + 12.0,
        ..right(t, 0.0)
    };
    assert_eq!(
        doubts_of(&Play::new().run(30, still), "grid").first().map(|(t, _)| *t),
        Some(10)
    );
}

#[test]
fn a_part_that_explains_it_better_is_given_the_time_to_be_found_out() {
    // the battery's value stands still at 4 kW while it does the 4 kW discharge it was told: the meter was right
    let row = |t: i32| {
        let row = right(t, if t < 20 { 4.0 } else { -4.0 });
        Row {
            battery: if t < 20 { row.battery } else { 4.004 },
            ..row
        }
    };
    let found = Play::new().run(120, row);
    assert_eq!(doubts_of(&found, "grid"), []);
    assert!(found.iter().any(|(t, who, _)| *t < 60 && who == "battery"), "{found:?}");
}

#[test]
fn small_steps_beside_a_large_load_that_rises_accuse_nobody() {
    let mut play = Play::new();
    for c in play.plant.components.values_mut() {
        if let Kind::Load(load) = &mut c.kind {
            load.expected.max = Power::kw(60.0);
        }
    }
    // a load of 25 kW rises by 0.2 kW while a step comes to rest; the battery is told 1.1 kW more each minute, and starts again
    let row = |t: i32| {
        let told = |t: i32| 1.1 * f64::from(t.rem_euclid(300) / 60);
        let battery = told(t - 2);
        Row {
            grid: 25.0 + 1.2 * f64::from(t) / 60.0 + battery,
            pv: 0.0,
            battery,
            told: told(t),
            ..right(t, 0.0)
        }
    };
    let found = play.run(1_200, row);
    assert!(found.iter().all(|(.., kind)| *kind != DoubtKind::Scale), "{found:?}");
}

#[test]
fn a_contradiction_that_our_own_reaction_ends_is_not_forgotten() {
    // A fifth: the battery's 4 kW do not fit, so it is held back, then it fits, so the battery is let go on.
    let k = 0.2;
    let reacting = |from: i32, period: i32, on: i32| {
        move |t: i32| {
            let row = right(
                t,
                if t >= from && (t - from) % period < on {
                    4.0
                } else {
                    0.0
                },
            );
            Row {
                grid: k * (row.grid - row.pv),
                pv: 0.0,
                ..row
            }
        }
    };
    let first = |n: i32, row: &dyn Fn(i32) -> Row| doubts_of(&Play::new().run(n, row), "grid").first().map(|(t, _)| *t);
    for (period, on) in [(8, 5), (10, 4), (14, 7), (40, 6)] {
        let found = first(300, &reacting(20, period, on));
        assert!(
            found.is_some_and(|t| t <= 20 + period + on),
            "{on} of {period} s: {found:?}"
        );
    }
    // readings that are late by a second or two when the battery starts accuse nobody, however often it starts
    for late in [1, 2] {
        let shown = move |t: i32| {
            let now = right(t, if t % 8 < 4 { 4.0 } else { 0.0 });
            let then = right(t - late, if (t - late).rem_euclid(8) < 4 { 4.0 } else { 0.0 });
            Row { grid: then.grid, ..now }
        };
        assert_eq!(first(600, &shown), None, "{late} s late");
    }
    // nor does a meter that shows another value only every ten seconds
    let slow = |t: i32| {
        let at = |t: i32| right(t, if t % 7 < 4 { 4.0 } else { 0.0 });
        Row {
            grid: at(t / 10 * 10).grid,
            ..at(t)
        }
    };
    assert_eq!(first(600, &slow), None);
}

#[test]
fn a_turned_meter_is_found_by_one_step_where_the_sums_did_not_fit_just_before() {
    // Our own reaction brings it to where the load that is left looks like a load: 2.2 kW that are 0.2.
    let told = |t: i32| match t {
        ..20 => 1.4,
        20..26 => 4.0,
        _ => -1.0,
    };
    let shown = |sign: f64| {
        move |t: i32| {
            let row = right(t, told(t));
            let grid = row.grid - row.pv - 1.0;
            Row {
                grid: if t < 18 { grid } else { sign * grid },
                pv: 0.0,
                ..row
            }
        }
    };
    let found = Play::new().run(60, shown(-1.0));
    let seconds = doubts_of(&found, "grid");
    assert!(
        seconds.first().is_some_and(|(t, k)| *t < 40 && *k == DoubtKind::Scale),
        "{found:?}"
    );
    assert_eq!(Play::new().run(60, shown(1.0)), []);
}

/// What the meter shows of one second: total, phases (kW), volts, amperes, hertz.
#[derive(Clone, Copy)]
struct Answer {
    total: f64,
    phases: [f64; 3],
    volts: [f64; 3],
    amps: [f64; 3],
    hertz: f64,
}

fn answer(grid: f64) -> Answer {
    Answer {
        total: grid,
        phases: [grid / 3.0; 3],
        volts: [230.0; 3],
        amps: [grid / 3.0 / 0.23; 3],
        hertz: 50.0,
    }
}

/// Ten good seconds at 3 kW into the battery, then ten twisted ones; for each of those the meter's power and quality, and whom it blames.
fn twisted(twist: impl Fn(Answer) -> Answer) -> Vec<(Option<f64>, Quality, Vec<String>)> {
    twisted_at(3.0, twist)
}

/// The same with another power into the battery.
fn twisted_at(battery: f64, twist: impl Fn(Answer) -> Answer) -> Vec<(Option<f64>, Quality, Vec<String>)> {
    use Quantity::*;
    let mut play = Play::new();
    let mut seen = Vec::new();
    for t in 0..20 {
        let row = right(t, battery);
        let a = if t < 10 {
            answer(row.grid)
        } else {
            twist(answer(row.grid))
        };
        let of = |quantity, v| Measurement {
            component: Id::new("grid"),
            quantity,
            reading: Reading::good(v, play.start + TimeDelta::seconds(i64::from(t))),
        };
        let more = vec![
            of(ActivePowerL1, a.phases[0]),
            of(ActivePowerL2, a.phases[1]),
            of(ActivePowerL3, a.phases[2]),
            of(VoltageL1, a.volts[0]),
            of(VoltageL2, a.volts[1]),
            of(VoltageL3, a.volts[2]),
            of(CurrentL1, a.amps[0]),
            of(CurrentL2, a.amps[1]),
            of(CurrentL3, a.amps[2]),
            of(Frequency, a.hertz),
        ];
        let s = play.step_with(t, Row { grid: a.total, ..row }, more);
        if t < 10 {
            assert_eq!(s.doubts, [], "second {t}");
        } else {
            let grid = s.grid.unwrap();
            let who = s.doubts.iter().map(|d| d.component.to_string()).collect();
            seen.push((grid.usable().map(|p| p.as_kw()), grid.quality(), who));
        }
    }
    seen
}

#[test]
fn one_value_of_an_answer_that_is_not_believed_takes_its_power_with_it_at_once() {
    type Change = fn(Answer) -> Answer;
    let rows: [(&str, Change); 7] = [
        ("0 V", |a| Answer { volts: [0.0; 3], ..a }),
        ("0 V on one phase", |a| Answer {
            volts: [230.0, 0.0, 230.0],
            ..a
        }),
        ("-23,000 V", |a| Answer {
            volts: [-23_000.0; 3],
            ..a
        }),
        ("half of 230 V", |a| Answer {
            volts: [115.0; 3],
            total: a.total / 2.0,
            phases: a.phases.map(|p| p / 2.0),
            ..a
        }),
        ("0 Hz", |a| Answer { hertz: 0.0, ..a }),
        ("2 kW more than volts times amperes", |a| Answer {
            total: a.total + 3.0,
            phases: a.phases.map(|p| p + 1.0),
            ..a
        }),
        ("phases that are not the total, nor V times A", |a| Answer {
            phases: [9.0; 3],
            amps: [0.0; 3],
            ..a
        }),
    ];
    for (what, twist) in rows {
        let seen = twisted(twist);
        let before = right(9, 3.0).grid;
        for (i, (power, quality, who)) in seen.iter().enumerate() {
            assert!(who.iter().any(|w| w == "grid"), "{what}, second {i}");
            // the last good value stands in for two polls, then there is none
            let held = i < 2;
            assert_eq!(
                (*power, *quality == Quality::Held),
                (held.then_some(before), held),
                "{what}, second {i}"
            );
        }
    }
}

#[test]
fn a_total_that_its_own_phases_contradict_is_replaced_by_their_sum() {
    // 16 bits wrap: the total turns negative, the phases do not
    for (power, quality, who) in twisted(|a| Answer {
        total: a.total - 655.36e-2,
        ..a
    }) {
        let sum = power.unwrap();
        assert!(
            (1.9..2.6).contains(&sum) && quality == Quality::Derived,
            "{sum} {quality:?}"
        );
        assert_eq!(who, ["grid"]);
    }
    // phases that are impossible beside their amperes say nothing against the total
    for (power, quality, who) in twisted(|a| Answer { phases: [30.0; 3], ..a }) {
        assert!(
            power.is_some() && quality == Quality::Good && who.is_empty(),
            "{power:?} {quality:?} {who:?}"
        );
    }
}

#[test]
fn amperes_with_a_sign_know_the_direction_of_the_power() {
    let turned = |a: Answer| Answer {
        total: -a.total,
        phases: a.phases.map(|p| -p),
        ..a
    };
    // exporting, it has shown that its amperes have a sign
    let seen = twisted_at(-2.0, turned);
    assert!(
        seen.iter()
            .all(|(power, _, who)| who[0] == "grid" && power.is_none_or(|kw| kw < 0.0)),
        "{seen:?}"
    );
    // amperes without one say nothing
    let bare = |a: Answer| Answer {
        amps: a.amps.map(f64::abs),
        ..a
    };
    assert!(twisted_at(3.0, bare).iter().all(|(_, _, who)| who.is_empty()));
}

#[test]
fn what_a_meter_never_showed_rightly_does_not_speak_against_its_power() {
    let mut play = Play::new();
    for t in 0..30 {
        let row = right(t, 2.0);
        let of = |quantity, v| Measurement {
            component: Id::new("grid"),
            quantity,
            reading: Reading::good(v, play.start + TimeDelta::seconds(i64::from(t))),
        };
        let more = vec![
            of(Quantity::Frequency, 0.0),
            of(Quantity::CurrentL1, 0.0),
            of(Quantity::CurrentL2, 0.0),
        ];
        let s = play.step_with(t, row, more);
        assert_eq!(s.grid.unwrap().quality(), Quality::Good, "second {t}: {:?}", s.doubts);
    }
}

#[test]
fn an_inverter_that_rests_without_voltage_keeps_its_powers() {
    let mut play = Play::new();
    let mut doubted = Vec::new();
    for t in 0..60 {
        let volts = if t < 20 { 230.0 } else { 0.0 };
        let of = Measurement {
            component: Id::new("pv"),
            quantity: Quantity::VoltageL1,
            reading: Reading::good(volts, play.start + TimeDelta::seconds(i64::from(t))),
        };
        let s = play.step_with(t, right(t, 1.0), vec![of]);
        let power = |d: &&Doubt| d.quantity == Quantity::ActivePower;
        doubted.extend(s.doubts.iter().filter(power).map(|d| (t, d.component.to_string())));
    }
    // at once it is a reason to doubt all of the hybrid's answer, and for no longer than ten seconds
    assert_eq!(doubted.first(), Some(&(20, "pv".to_owned())), "{doubted:?}");
    assert_eq!(doubted.last(), Some(&(30, "battery".to_owned())), "{doubted:?}");
}

#[test]
fn what_the_meter_leaves_is_known_while_a_part_keeps_silent() {
    let mut play = Play::new();
    let mut scan = play.scan(0, right(0, 0.0));
    scan.measurements.retain(|m| m.component.as_str() != "heat-pump");
    let s = snapshot(&play.plant, &scan, &mut play.state, play.start);
    assert_eq!(s.residual.unwrap().usable(), None);
    let rest = s.rest.unwrap().usable().unwrap().as_kw();
    let row = right(0, 0.0);
    assert!((rest - (row.grid - row.pv - row.battery)).abs() < 1e-9);
}

#[test]
fn a_constant_amount_too_much_is_found_by_the_meters_own_counters() {
    let play = |more: f64| {
        let mut play = Play::new();
        let mut counted = 900.0;
        let mut first = None;
        for t in 0..14_400 {
            // no step of ours, no phases, no amperes: two kilowatts that the counters do not know
            let row = right(t, 0.0);
            let row = Row {
                grid: row.grid + 1.5,
                pv: row.pv + 1.5,
                ..row
            };
            counted += row.grid / 3_600.0;
            let import = f64::floor(counted * 100.0) / 100.0;
            let export = Measurement {
                component: Id::new("grid"),
                quantity: Quantity::EnergyExport,
                reading: Reading::good(3.0, play.start + TimeDelta::seconds(i64::from(t))),
            };
            let s = play.step_with(
                t,
                Row {
                    grid: row.grid + more,
                    import,
                    ..row
                },
                vec![export],
            );
            first = first.or(s.doubts.first().map(|d| (t, d.component.to_string(), d.why.clone())));
        }
        first
    };
    assert_eq!(play(0.0), None);
    let (t, who, why) = play(2.0).expect("nobody noticed");
    assert!(
        who == "grid" && t < 7_200 && why.contains("counters"),
        "{t} {who} {why}"
    );
}
