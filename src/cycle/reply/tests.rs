//! What people are told, on the shipped sites.

use super::*;
use crate::cycle::people;
use crate::model::Override;
use crate::site::builtin;
use crate::units::{Current, Energy, Power};
use chrono::{TimeDelta, TimeZone, Utc};

fn now() -> Timestamp {
    Utc.with_ymd_and_hms(2026, 11, 30, 12, 0, 0).unwrap()
}

/// A controller in control of a shipped site.
fn site(name: &str) -> (Plant, ControllerState) {
    let plant = builtin(name).unwrap().plant;
    let mut state = ControllerState::fresh(&plant, now());
    (state.mode, state.rung) = (Mode::Control, Rung::Normal);
    (plant, state)
}

fn tell(plant: &Plant, state: &mut ControllerState, input: &PeopleInput) -> Reply {
    let taken = people::taken(plant, input, now());
    people::apply(plant, state, &taken, now()).unwrap();
    reply(plant, state, input, now())
}

fn limit(source: &str, kw: f64, hours: i64) -> PeopleInput {
    PeopleInput::Limit {
        source: Source::parse(source).unwrap(),
        direction: Direction::Import,
        power: Power::kw(kw),
        until: now() + TimeDelta::hours(hours),
        said_at: None,
    }
}

fn order(component: &str, target: Target, hours: i64) -> PeopleInput {
    PeopleInput::Override {
        component: Id::new(component),
        target,
        until: now() + TimeDelta::hours(hours),
    }
}

fn codes(reply: &Reply) -> Vec<&'static str> {
    reply.notes.iter().map(|n| n.code).collect()
}

#[test]
fn what_is_cut_is_told_with_what_cut_it() {
    let (plant, mut state) = site("home-amsterdam");
    let said = tell(&plant, &mut state, &order("battery", Target::Power(Power::kw(50.0)), 2));
    assert_eq!((said.effect, codes(&said)), (Effect::Part, vec!["rating"]));
    assert_eq!(
        said.done,
        "Battery: charges 5.0 kW until Mon 30 Nov 2026 15:00, inside all limits. 50.0 kW was asked, 5.0 kW is its most."
    );
    assert!(
        said.done_ko.contains("50.0 kW를 요청했지만 최대는 5.0 kW입니다."),
        "{}",
        said.done_ko
    );
    let kept = state.overrides.get("battery").map(|o| o.target);
    assert_eq!(
        kept,
        Some(Target::Power(Power::kw(5.0))),
        "what is shown is what is in force"
    );

    let least = tell(&plant, &mut state, &order("ev", Target::Current(Current::amps(3.0)), 1));
    assert_eq!(codes(&least), ["rating", "no_car"]);
    assert!(
        least.done.contains("pauses") && least.done.contains("below the least"),
        "{}",
        least.done
    );
    let idle = tell(&plant, &mut state, &order("pv", Target::PowerLimit(Power::kw(9.0)), 1));
    assert_eq!((idle.effect, codes(&idle)), (Effect::None, vec!["rating"]));
    let fits = tell(
        &plant,
        &mut state,
        &order("heat-pump", Target::Power(Power::kw(1.5)), 1),
    );
    assert_eq!((fits.effect, codes(&fits)), (Effect::Full, vec![]));
}

#[test]
fn nothing_a_person_says_lasts_longer_than_a_week() {
    let (plant, mut state) = site("home-amsterdam");
    for input in [
        order("battery", Target::Power(Power::ZERO), 24 * 365 * 1000),
        limit("person", 4.0, 24 * 365 * 1000),
    ] {
        let said = tell(&plant, &mut state, &input);
        assert!(codes(&said).contains(&"week"), "{said:?}");
        assert!(said.done.contains("Mon 7 Dec 2026 13:00"), "{}", said.done);
    }
    assert_eq!(state.overrides["battery"].until, now() + people::LONGEST);
    assert!(state.limits.iter().all(|l| l.until == now() + people::LONGEST));
}

#[test]
fn a_limit_answers_with_the_one_that_holds() {
    let (plant, mut state) = site("home-amsterdam");
    let first = tell(&plant, &mut state, &limit("operator", 5.0, 5));
    assert_eq!(first.effect, Effect::Full);
    assert_eq!(
        first.done,
        "In force: import at most 5.0 kW until Mon 30 Nov 2026 18:00, told by operator."
    );
    let looser = tell(&plant, &mut state, &limit("person", 500.0, 8));
    assert_eq!((looser.effect, codes(&looser)), (Effect::None, vec!["tighter"]));
    assert!(
        looser.done.starts_with("In force: import at most 5.0 kW"),
        "{}",
        looser.done
    );
    let end = PeopleInput::EndLimit {
        source: Source::parse("operator").unwrap(),
        direction: Direction::Import,
    };
    let ended = tell(&plant, &mut state, &end);
    assert_eq!(ended.done, "In force: import at most 8.0 kW, the site's own.");
    let own = tell(&plant, &mut state, &limit("person", 9.0, 1));
    assert_eq!((own.effect, codes(&own)), (Effect::None, vec!["site"]));
    assert!(own.done.contains("the site's own 8.0 kW is tighter"), "{}", own.done);
    assert!(
        people::apply(&plant, &mut state, &end, now()).is_err(),
        "it has none left"
    );
}

#[test]
fn what_is_not_written_is_said() {
    let (plant, mut state) = site("home-amsterdam");
    state.mode = Mode::Observe;
    let said = tell(&plant, &mut state, &order("battery", Target::Power(Power::kw(2.0)), 1));
    assert_eq!((said.effect, codes(&said)), (Effect::None, vec!["observe"]));
    (state.mode, state.rung) = (Mode::Control, Rung::Safe);
    let said = tell(&plant, &mut state, &limit("person", 3.0, 1));
    assert_eq!(codes(&said), ["safe"]);
    let (island, mut state) = site("island-microgrid");
    let why = people::apply(&island, &mut state, &limit("person", 3.0, 1), now()).unwrap_err();
    assert!(why.contains("island"), "{why}");
}

#[test]
fn a_car_is_told_with_its_full_date_and_what_cannot_be_ready() {
    let (plant, mut state) = site("home-amsterdam");
    let session = Session {
        since: now(),
        departure: now() + TimeDelta::hours(9),
        energy: Energy::kwh(14.0),
        mode: EvMode::Cheapest,
        delivered: Energy::kwh(1.0),
        drawn: Energy::ZERO,
        counter: None,
        told: false,
        idle_since: None,
        woke: false,
    };
    state.sessions.insert(Id::new("ev"), session);
    let wish = |hours: i64, kwh: f64| PeopleInput::Ev {
        component: Id::new("ev"),
        departure: Some(now() + TimeDelta::hours(hours)),
        energy: Some(Energy::kwh(kwh)),
        mode: None,
    };
    let said = tell(&plant, &mut state, &wish(18, 20.0));
    assert_eq!(
        said.done,
        "Car: 20.0 kWh by Tue 1 Dec 2026 07:00, at least cost; 1.0 kWh of it is in."
    );
    assert_eq!(codes(&tell(&plant, &mut state, &wish(1, 30.0))), ["too_little_time"]);
    // a wish that is refused changes nothing of the one before
    let before = state.sessions["ev"].clone();
    assert!(people::apply(&plant, &mut state, &wish(5, f64::NAN), now()).is_err());
    assert!(people::apply(&plant, &mut state, &wish(24 * 180, 20.0), now()).is_err());
    assert_eq!(state.sessions["ev"], before);
}

#[test]
fn nonsense_is_answered_with_what_was_probably_meant() {
    let (plant, mut state) = site("home-amsterdam");
    let refused =
        |state: &mut ControllerState, input: PeopleInput| people::apply(&plant, state, &input, now()).unwrap_err();
    let why = refused(&mut state, order("batery", Target::Power(Power::ZERO), 1));
    assert_eq!(why, "there is no component `batery`; did you mean `battery`?");
    let why = refused(&mut state, order("battery", Target::On(true), 1));
    assert!(why.contains("3 kW (charging)"), "{why}");
    let cold = order("heat-pump", Target::Power(Power::kw(-3.0)), 1);
    let why = refused(&mut state, people::taken(&plant, &cold, now()));
    assert!(why.contains("off or release"), "{why}");
    for kw in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(refused(&mut state, limit("person", kw, 1)).contains("magnitude"));
    }
    assert_eq!(state.limits.iter().count(), 0);
    assert_eq!(state.overrides, std::collections::BTreeMap::<Id, Override>::new());
}

#[test]
fn an_absence_is_told_ends_by_itself_or_by_people_and_survives() {
    let (plant, mut state) = site("home-amsterdam");
    let away = |days: i64| PeopleInput::Away {
        until: now() + TimeDelta::days(days),
        said_at: None,
    };
    let said = tell(&plant, &mut state, &away(10));
    assert_eq!((said.effect, codes(&said)), (Effect::Full, vec![]));
    assert!(
        said.done.starts_with("Away until Thu 10 Dec 2026 13:00"),
        "{}",
        said.done
    );
    assert!(said.done_ko.contains("까지 집을 비웁니다"), "{}", said.done_ko);
    // said again: only its end moves
    let said = tell(&plant, &mut state, &away(100));
    assert_eq!((said.effect, codes(&said)), (Effect::Part, vec!["eight_weeks"]));
    assert_eq!(
        state.away.map(|a| (a.from, a.until - a.from)),
        Some((now(), people::LONGEST_AWAY))
    );
    let words = serde_json::to_string(&crate::model::Words::of(&state, now())).unwrap();
    let mut restored = ControllerState::fresh(&plant, now());
    serde_json::from_str::<crate::model::Words>(&words)
        .unwrap()
        .lay(&mut restored, true);
    assert_eq!(restored.away, state.away);

    let end = PeopleInput::EndAway { said_at: None };
    let said = tell(&plant, &mut state, &end);
    assert_eq!((said.in_force, state.away), (InForce::NotAway, None));
    assert!(
        people::apply(&plant, &mut state, &end, now()).is_err(),
        "nobody is away any more"
    );
    tell(&plant, &mut state, &away(2));
    assert!(!people::expire(&mut state, now() + TimeDelta::hours(47)));
    assert!(
        people::expire(&mut state, now() + TimeDelta::hours(48)),
        "a new plan is due"
    );
    assert_eq!((state.away, state.absences.len()), (None, 2));
    assert!(
        people::apply(&plant, &mut state, &away(-1), now())
            .unwrap_err()
            .contains("already past")
    );
}
