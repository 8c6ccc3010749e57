//! Takes what people say into the state; the answer says what was done, or why not.

use crate::model::{ControllerState, Direction, ExternalLimit, Override, PeopleInput, Rung, Target, Trigger};
use crate::site::{Id, Kind, Mode, Plant};
use crate::time::Timestamp;
use crate::units::Power;

/// Applies one input. `Ok` carries the trigger for a new plan; `Err` a sentence for the person.
pub fn apply(
    plant: &Plant,
    state: &mut ControllerState,
    input: &PeopleInput,
    now: Timestamp,
) -> Result<Trigger, String> {
    match input {
        PeopleInput::Ev { component, .. } => ev(plant, state, component, input, now),
        PeopleInput::Override {
            component,
            target,
            until,
        } => {
            let kind = kind(plant, component)?;
            if !fits(kind, target) {
                return Err(format!(
                    "`{component}` is a {}; it cannot be told {target:?}",
                    kind.name()
                ));
            }
            in_future(*until, now)?;
            state.overrides.insert(
                component.clone(),
                Override {
                    target: *target,
                    until: *until,
                },
            );
            Ok(Trigger::WishChanged)
        }
        PeopleInput::EndOverride { component } => match state.overrides.remove(component) {
            Some(_) => Ok(Trigger::WishChanged),
            None => Err(format!("`{component}` has no override")),
        },
        PeopleInput::Limit {
            direction,
            power,
            until,
        } => limit(state, *direction, *power, *until, now),
        PeopleInput::Mode { mode } => {
            state.mode = *mode;
            if *mode == Mode::Control && state.rung == Rung::Released {
                state.rung = Rung::Safe;
                state.good_cycles = 0;
            }
            Ok(Trigger::OnRequest)
        }
        PeopleInput::Release => {
            state.mode = Mode::Observe;
            state.rung = Rung::Released;
            // Who hands back does not want to find an order in force when control begins anew.
            state.overrides.clear();
            Ok(Trigger::OnRequest)
        }
    }
}

/// Ends overrides and limits whose time is over; true if a new plan is due.
pub fn expire(state: &mut ControllerState, now: Timestamp) -> bool {
    let before = state.overrides.len() + state.limits.len();
    state.overrides.retain(|_, o| o.until > now);
    state.limits.retain(|_, l| l.until > now);
    before != state.overrides.len() + state.limits.len()
}

fn kind<'a>(plant: &'a Plant, component: &Id) -> Result<&'a Kind, String> {
    plant.components.get(component).map(|c| &c.kind).ok_or_else(|| {
        let known: Vec<_> = plant.components.keys().map(Id::as_str).collect();
        format!(
            "there is no component `{component}`; this site has {}",
            known.join(", ")
        )
    })
}

fn fits(kind: &Kind, target: &Target) -> bool {
    match target {
        Target::Power(_) => matches!(kind, Kind::Battery(_) | Kind::HeatPump(_) | Kind::Generator(_)),
        Target::PowerLimit(p) => matches!(kind, Kind::Pv(_)) && *p >= Power::ZERO,
        Target::Current(a) => matches!(kind, Kind::ChargePoint(_)) && a.as_amps() >= 0.0,
        Target::On(_) => matches!(kind, Kind::ShiftableLoad(_) | Kind::SheddableLoad(_)),
        Target::Release => true,
    }
}

fn in_future(until: Timestamp, now: Timestamp) -> Result<(), String> {
    if until <= now {
        Err(format!("{until} is already past (site time is {now})"))
    } else {
        Ok(())
    }
}

fn ev(
    plant: &Plant,
    state: &mut ControllerState,
    component: &Id,
    input: &PeopleInput,
    now: Timestamp,
) -> Result<Trigger, String> {
    let PeopleInput::Ev {
        departure,
        energy,
        mode,
        ..
    } = input
    else {
        return Ok(Trigger::WishChanged);
    };
    if !matches!(kind(plant, component)?, Kind::ChargePoint(_)) {
        return Err(format!("`{component}` is not a charge point"));
    }
    let session = state
        .sessions
        .get_mut(component)
        .ok_or_else(|| format!("no car is plugged in at `{component}`; say it again when one is"))?;
    if let Some(t) = departure {
        in_future(*t, now)?;
        session.departure = *t;
    }
    if let Some(e) = energy {
        if !(e.as_kwh() > 0.0 && e.as_kwh() <= 300.0) {
            return Err(format!("{e} is not an energy a car can take (0 to 300 kWh)"));
        }
        session.energy = *e;
    }
    if let Some(m) = mode {
        session.mode = *m;
    }
    session.told = true;
    Ok(Trigger::WishChanged)
}

/// An external limit only tightens: dispatch intersects it with the site's own.
fn limit(
    state: &mut ControllerState,
    direction: Direction,
    power: Power,
    until: Timestamp,
    now: Timestamp,
) -> Result<Trigger, String> {
    in_future(until, now)?;
    if !(power >= Power::ZERO && power.is_finite()) {
        return Err(format!("a limit is a magnitude (0 kW or more), not {power}"));
    }
    state.limits.insert(direction, ExternalLimit { power, until });
    Ok(Trigger::LimitChanged)
}
