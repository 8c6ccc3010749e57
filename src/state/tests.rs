//! Rows of time steps: what the devices show, and what is believed of it.

use super::*;
use crate::model::{CommandHealth, IdentityStatus, LastTarget, Measurement, Reason, ReasonCode, Target};
use crate::site::Mode;

/// What the devices of a home show in one second, kW and kWh.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub grid: f64,
    pub pv: f64,
    pub battery: f64,
    pub soc: f64,
    pub import: f64,
    /// What the battery was told.
    pub told: f64,
}

/// The household draws this besides what is metered.
const LOAD: f64 = 1.2;

/// A second in which everything is right: a load that flickers, a battery that does what it is told.
pub fn right(t: i32, told: f64) -> Row {
    let load = LOAD + 0.01 * f64::from(t % 7);
    let pv = -2.0 - 0.003 * f64::from(t % 11);
    let battery = told + 0.002 * f64::from(t % 3);
    Row {
        grid: load + pv + battery,
        pv,
        battery,
        soc: 0.5,
        import: 900.0 + f64::from(t) / 3600.0,
        told,
    }
}

pub struct Play {
    pub plant: Plant,
    pub state: ControllerState,
    pub start: Timestamp,
}

fn device(name: &str, components: &[&str], commands: Vec<CommandHealth>) -> DeviceHealth {
    DeviceHealth {
        online: true,
        identity: IdentityStatus::Confirmed,
        commands,
        ..DeviceHealth::unheard(Id::new(name), components.iter().map(|c| Id::new(c)).collect())
    }
}

impl Play {
    pub fn new() -> Self {
        let mut plant = crate::site::builtin("home-amsterdam").unwrap().plant;
        plant.timing.cycle = TimeDelta::seconds(1);
        plant.mode = Mode::Control;
        let start = chrono::DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let state = ControllerState::fresh(&plant, start);
        Self { plant, state, start }
    }

    pub fn step(&mut self, t: i32, row: Row) -> Snapshot {
        self.step_with(t, row, Vec::new())
    }

    /// The same with more that the devices show.
    pub fn step_with(&mut self, t: i32, row: Row, more: Vec<Measurement>) -> Snapshot {
        let mut scan = self.scan(t, row);
        scan.measurements.extend(more);
        let now = self.start + TimeDelta::seconds(i64::from(t));
        snapshot(&self.plant, &scan, &mut self.state, now)
    }

    pub fn scan(&mut self, t: i32, row: Row) -> Scan {
        let now = self.start + TimeDelta::seconds(i64::from(t));
        let told = CommandHealth {
            command: "battery_power".into(),
            component: Id::new("battery"),
            value: Some(row.told),
            proof: CommandProof::Verified,
            foreign: None,
            worn: None,
        };
        let last = LastTarget {
            target: Target::Power(Power::kw(row.told)),
            at: now,
            mode_since: now,
            reason: Reason::new(ReasonCode::FollowPlan),
        };
        self.state.last.insert(Id::new("battery"), last);
        let of = |c: &str, quantity, v| Measurement {
            component: Id::new(c),
            quantity,
            reading: Reading::good(v, now),
        };
        Scan {
            measurements: vec![
                of("grid", Quantity::ActivePower, row.grid),
                of("grid", Quantity::EnergyImport, row.import),
                of("pv", Quantity::ActivePower, row.pv),
                of("battery", Quantity::ActivePower, row.battery),
                of("battery", Quantity::StateOfCharge, row.soc),
                of("ev", Quantity::ActivePower, 0.0),
                of("heat-pump", Quantity::ActivePower, 0.0),
            ],
            devices: vec![
                device("meter", &["grid"], vec![]),
                device("inverter", &["pv", "battery"], vec![told]),
                device("charger", &["ev"], vec![]),
                device("heat-pump", &["heat-pump"], vec![]),
            ],
        }
    }

    /// Plays seconds `0..n` and returns, for each in which something was doubted, what.
    pub fn run(&mut self, n: i32, row: impl Fn(i32) -> Row) -> Vec<(i32, String, DoubtKind)> {
        let mut all = Vec::new();
        for t in 0..n {
            let s = self.step(t, row(t));
            all.extend(s.doubts.iter().map(|d| (t, d.component.to_string(), d.kind)));
        }
        all
    }
}

/// Which doubts must come, on whom, from which second at the latest; nobody else may be doubted.
fn doubted(what: &str, whom: &str, kind: DoubtKind, by: i32, row: impl Fn(i32) -> Row) {
    let found = Play::new().run(120, row);
    let first = found.first().unwrap_or_else(|| panic!("{what}: nobody noticed")).0;
    assert!(first <= by, "{what}: noticed after {first} s");
    for (t, who, found) in &found {
        assert!(
            who == whom && *found == kind,
            "{what}: second {t} doubts {who}: {found:?}"
        );
    }
    assert!(found.iter().any(|(t, ..)| *t == 119), "{what}: forgotten again");
}

#[test]
fn what_is_right_is_never_doubted() {
    let told = |t: i32| [0.0, 3.0, -2.5, 5.0][(t / 40 % 4) as usize];
    assert_eq!(Play::new().run(400, |t| right(t, told(t))), []);
    // a meter that shows a new value only each ten seconds
    let slow = |t: i32| Row {
        grid: right(t / 10 * 10, told(t / 10 * 10)).grid,
        ..right(t, told(t))
    };
    assert_eq!(Play::new().run(400, slow), []);
    // a full battery does not charge; a slow one takes a while
    assert_eq!(
        Play::new().run(200, |t| Row {
            battery: 0.0,
            grid: right(t, 0.0).grid,
            ..right(t, 4.0)
        }),
        []
    );
    let lazy = |t: i32| right((t - 8).max(0), told((t - 8).max(0)));
    assert_eq!(
        Play::new().run(400, |t| Row {
            told: told(t),
            ..lazy(t)
        }),
        []
    );
    // to the last digit the same for a long time, and then some seconds late
    let late = |t: i32| Row {
        battery: told((t - 9).max(0)),
        told: told(t),
        grid: right(t, told((t - 9).max(0))).grid,
        ..right(t, told(t))
    };
    assert_eq!(Play::new().run(400, late), []);
    // one that disobeys is measured rightly: the meter says so
    let stubborn = |t: i32| Row {
        told: 3.0,
        ..right(t, -3.0)
    };
    assert_eq!(Play::new().run(120, stubborn), []);
}

#[test]
fn each_lasting_lie_is_named_within_a_minute_and_only_its_own_value_is_refused() {
    let told = |t: i32| if t < 30 { 1.0 } else { 3.5 };
    let base = |t: i32| right(t, told(t));
    doubted("a meter that stands still", "grid", DoubtKind::Frozen, 59, |t| Row {
        grid: 1.234,
        ..base(t)
    });
    let moving = |t: i32| right(t, if t < 10 { 2.0 } else { -2.0 });
    doubted("a battery that stands still", "battery", DoubtKind::Frozen, 59, |t| {
        Row {
            battery: 2.0,
            grid: moving(t).grid,
            ..moving(t)
        }
    });
    doubted("a meter with its sign turned", "grid", DoubtKind::Sign, 59, |t| Row {
        grid: -right(t, 4.0).grid,
        ..right(t, 4.0)
    });
    doubted("a battery with its sign turned", "battery", DoubtKind::Sign, 59, |t| {
        Row {
            battery: -right(t, 4.5).battery,
            ..right(t, 4.5)
        }
    });
    doubted("a sun that consumes", "pv", DoubtKind::Sign, 0, |t| Row {
        pv: 2.1,
        ..base(t)
    });
    doubted("watts for kilowatts", "battery", DoubtKind::Unit, 0, |t| Row {
        battery: 1000.0 * base(t).battery,
        ..base(t)
    });
    doubted("a thousandth", "battery", DoubtKind::Unit, 59, |t| Row {
        battery: 1e-3 * base(t).battery,
        ..base(t)
    });
    doubted("a meter in megawatts", "grid", DoubtKind::Unit, 59, |t| Row {
        grid: 1e-3 * right(t, 5.0).grid,
        ..right(t, 5.0)
    });
    let swapped = |v: f64| {
        let b = (v as f32).to_bits();
        f64::from(f32::from_bits(b.rotate_left(16)))
    };
    for v in [1.7_f64, 3.3, -2.4] {
        let found = Play::new().run(120, |t| Row {
            grid: swapped(v * 1e3 + f64::from(t)) * 1e-3,
            ..base(t)
        });
        let kinds: Vec<DoubtKind> = found.iter().map(|(_, _, k)| *k).collect();
        assert!(
            !kinds.is_empty() && found.iter().all(|(_, who, _)| who == "grid"),
            "{v}: {found:?}"
        );
    }
    doubted("not available, scaled", "grid", DoubtKind::Sentinel, 0, |t| Row {
        grid: 32.767,
        ..base(t)
    });
    doubted("not available, wide", "grid", DoubtKind::Sentinel, 0, |t| Row {
        grid: 4_294_967.295,
        ..base(t)
    });
    doubted("nonsense", "grid", DoubtKind::Range, 0, |t| Row {
        grid: 188.0,
        ..base(t)
    });
}

#[test]
fn a_glitch_is_bridged_by_the_last_value_for_two_polls_and_never_learned_from() {
    let mut play = Play::new();
    let grid = Id::new("grid");
    let mut seen = Vec::new();
    for t in 0..12 {
        let row = right(t, 1.0);
        let glitch = (4..=8).contains(&t);
        let s = play.step(
            t,
            Row {
                grid: if glitch { 65.535 } else { row.grid },
                ..row
            },
        );
        let power = s.grid.unwrap();
        seen.push((power.quality(), s.measured(&grid, Quantity::ActivePower).is_some()));
        if glitch {
            let before = right(3, 1.0).grid;
            assert!(
                power.usable().is_none_or(|p| (p.as_kw() - before).abs() < 1e-9),
                "second {t}"
            );
            assert!(
                s.residual.unwrap().quality() != Quality::Derived,
                "second {t} teaches the load"
            );
        }
    }
    let good = (Quality::Good, true);
    let (held, none) = ((Quality::Held, false), (Quality::Invalid, false));
    assert_eq!(seen[..4], [good; 4]);
    assert_eq!(seen[4..=8], [held, held, none, none, none]);
    assert_eq!(seen[9..], [good; 3]);
}

#[test]
fn counters_and_charge_may_find_a_new_level_but_a_bounce_is_none() {
    let import = |from: i32, to: i32, v: fn(i32) -> f64| {
        move |t: i32| Row {
            import: if (from..to).contains(&t) {
                v(t)
            } else {
                right(t, 1.0).import
            },
            ..right(t, 1.0)
        }
    };
    let seconds = |found: Vec<(i32, String, DoubtKind)>| -> Vec<(i32, DoubtKind)> {
        found.into_iter().map(|(t, _, k)| (t, k)).collect()
    };
    // a zero for one poll
    let found = Play::new().run(60, import(20, 21, |_| 0.0));
    assert_eq!(seconds(found), [(20, DoubtKind::Reset)]);
    // a counter that starts again
    let found = Play::new().run(60, import(20, 60, |t| f64::from(t - 20) / 3600.0));
    assert_eq!(seconds(found), [20, 21, 22].map(|t| (t, DoubtKind::Reset)));
    // phantom energy
    let found = Play::new().run(60, import(20, 22, |t| 1_088.0 + f64::from(t)));
    assert_eq!(seconds(found), [20, 21].map(|t| (t, DoubtKind::Leap)));
    // another meter in its place
    let found = Play::new().run(60, import(20, 60, |t| 5_000.0 + f64::from(t) / 3600.0));
    assert_eq!(seconds(found), [20, 21, 22].map(|t| (t, DoubtKind::Leap)));
    // a state of charge that is calibrated, and one that blinks
    let soc = |to: i32| {
        move |t: i32| Row {
            soc: if (20..to).contains(&t) { 0.8 } else { 0.5 },
            ..right(t, 1.0)
        }
    };
    assert_eq!(
        seconds(Play::new().run(60, soc(60))),
        [20, 21, 22].map(|t| (t, DoubtKind::Spike))
    );
    assert_eq!(seconds(Play::new().run(60, soc(21))), [(20, DoubtKind::Spike)]);
}

#[test]
fn a_power_of_zero_with_a_counter_back_at_zero_is_held_until_it_is_confirmed() {
    let from_20 = |to: i32, blank: fn(Row, i32) -> Row| {
        move |t: i32| {
            let row = right(t, 1.0);
            if (20..to).contains(&t) { blank(row, t) } else { row }
        }
    };
    let zeros = |row: Row, _: i32| Row {
        grid: 0.0,
        import: 0.0,
        ..row
    };
    // An answer full of zeros: neither is believed, and the last power stands in.
    let mut play = Play::new();
    play.run(20, |t| right(t, 1.0));
    let s = play.step(20, zeros(right(20, 1.0), 20));
    let grid = s.grid.unwrap();
    let before = right(19, 1.0).grid;
    assert_eq!(
        (grid.quality(), grid.usable().map(|p| p.as_kw())),
        (Quality::Held, Some(before))
    );
    let doubted: Vec<_> = s.doubts.iter().map(|d| (d.quantity, d.kind)).collect();
    let reset = DoubtKind::Reset;
    assert_eq!(
        doubted,
        [(Quantity::ActivePower, reset), (Quantity::EnergyImport, reset)]
    );
    let s = play.step(21, right(21, 1.0));
    assert_eq!((s.doubts.len(), s.grid.unwrap().quality()), (0, Quality::Good));
    let power = |to: i32, blank: fn(Row, i32) -> Row| {
        let mut play = Play::new();
        let row = from_20(to, blank);
        let doubts = |t: i32, s: Snapshot| {
            let own = s.doubts.into_iter().filter(|d| d.quantity == Quantity::ActivePower);
            own.map(move |d| (t, d.kind)).collect::<Vec<_>>()
        };
        (0..60)
            .flat_map(|t| doubts(t, play.step(t, row(t))))
            .collect::<Vec<_>>()
    };
    // Zeros that stay are the truth after three polls.
    assert_eq!(power(25, zeros), [20, 21, 22].map(|t| (t, reset)));
    // A meter that restarted counts from zero and shows its power; one at exactly nothing counts on.
    assert_eq!(
        power(60, |row, t| Row {
            import: f64::from(t - 20) / 3600.0,
            ..row
        }),
        []
    );
    assert_eq!(
        power(60, |row, _| Row {
            grid: 0.0,
            pv: row.pv - row.grid,
            ..row
        }),
        []
    );
}

#[test]
fn what_was_found_out_is_not_forgotten_by_a_restart() {
    let turned = |t: i32| Row {
        battery: -right(t, 4.5).battery,
        ..right(t, 4.5)
    };
    let mut play = Play::new();
    play.run(60, turned);
    let fresh = ControllerState::fresh(&play.plant, play.start);
    let light = serde_json::to_string(&play.state.light()).unwrap();
    play.state = fresh.overlay(serde_json::from_str(&light).unwrap());
    let s = play.step(61, turned(61));
    assert_eq!(s.power(&Id::new("battery")), None);
    assert_eq!(s.doubts.len(), 1);
}
