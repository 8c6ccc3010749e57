//! Takes what people say into the state; the answer says what was done, or why not.

use crate::model::{ControllerState, ExternalLimit, Override, PeopleInput, Rung, Target, Trigger};
use crate::site::{Id, Kind, Mode, Plant};
use crate::time::Timestamp;
use crate::units::Power;
use chrono::TimeDelta;

/// Why a person is not told "done".
#[derive(Debug, Clone, PartialEq)]
pub enum NotDone {
    /// Nothing was changed; a sentence for the person.
    Refused(String),
    /// It is in force now, but not on the disk: a restart forgets it. The reason.
    NotKept(String),
}

/// Applies one input. `Ok` carries the trigger for a new plan; `Err` a sentence for the person.
pub fn apply(
    plant: &Plant,
    state: &mut ControllerState,
    input: &PeopleInput,
    now: Timestamp,
) -> Result<Trigger, String> {
    check(plant, state, input, now)?;
    lay(state, input);
    Ok(match input {
        PeopleInput::Limit { .. } => Trigger::LimitChanged,
        PeopleInput::Mode { .. } | PeopleInput::Release => Trigger::OnRequest,
        PeopleInput::Ev { .. } | PeopleInput::Override { .. } | PeopleInput::EndOverride { .. } => Trigger::WishChanged,
    })
}

fn check(plant: &Plant, state: &ControllerState, input: &PeopleInput, now: Timestamp) -> Result<(), String> {
    match input {
        PeopleInput::Ev { component, .. } => check_ev(plant, state, component, input, now),
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
            ahead(*until, now)
        }
        PeopleInput::EndOverride { component } if !state.overrides.contains_key(component) => {
            Err(format!("`{component}` has no override"))
        }
        PeopleInput::Limit { power, until, .. } => {
            ahead(*until, now)?;
            if !(*power >= Power::ZERO && power.is_finite()) {
                return Err(format!("a limit is a magnitude (0 kW or more), not {power}"));
            }
            Ok(())
        }
        PeopleInput::EndOverride { .. } | PeopleInput::Mode { .. } | PeopleInput::Release => Ok(()),
    }
}

/// Lays an input over the state without asking whether it is sensible: it was asked when it was said. What belongs to a car
/// that is not there is left out.
pub fn lay(state: &mut ControllerState, input: &PeopleInput) {
    match input {
        PeopleInput::Ev {
            component,
            departure,
            energy,
            mode,
        } => {
            let Some(session) = state.sessions.get_mut(component) else {
                return;
            };
            session.departure = departure.unwrap_or(session.departure);
            session.energy = energy.unwrap_or(session.energy);
            session.mode = mode.unwrap_or(session.mode);
            session.told = true;
        }
        PeopleInput::Override {
            component,
            target,
            until,
        } => {
            let (target, until) = (*target, *until);
            state.overrides.insert(component.clone(), Override { target, until });
        }
        PeopleInput::EndOverride { component } => {
            state.overrides.remove(component);
        }
        // An external limit only tightens: dispatch intersects it with the site's own.
        PeopleInput::Limit {
            direction,
            power,
            until,
        } => {
            let (power, until) = (*power, *until);
            state.limits.insert(*direction, ExternalLimit { power, until });
        }
        PeopleInput::Mode { mode } => {
            state.mode = *mode;
            if *mode == Mode::Control && state.rung == Rung::Released {
                state.rung = Rung::Safe;
                state.good_cycles = 0;
            }
        }
        PeopleInput::Release => {
            state.mode = Mode::Observe;
            state.rung = Rung::Released;
            // Who hands back does not want to find an order in force when control begins anew.
            state.overrides.clear();
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

/// Beyond a year nobody means it, and far beyond it arithmetic on time would overflow.
const LONGEST: TimeDelta = TimeDelta::days(366);

fn ahead(until: Timestamp, now: Timestamp) -> Result<(), String> {
    if until <= now {
        Err(format!("{until} is already past (site time is {now})"))
    } else if until - now > LONGEST {
        Err(format!(
            "{until} is more than a year ahead (site time is {now}); say a nearer time"
        ))
    } else {
        Ok(())
    }
}

fn check_ev(
    plant: &Plant,
    state: &ControllerState,
    component: &Id,
    input: &PeopleInput,
    now: Timestamp,
) -> Result<(), String> {
    let PeopleInput::Ev { departure, energy, .. } = input else {
        return Ok(());
    };
    if !matches!(kind(plant, component)?, Kind::ChargePoint(_)) {
        return Err(format!("`{component}` is not a charge point"));
    }
    if !state.sessions.contains_key(component) {
        return Err(format!(
            "no car is plugged in at `{component}`; say it again when one is"
        ));
    }
    if let Some(t) = departure {
        ahead(*t, now)?;
    }
    match energy {
        Some(e) if !(e.as_kwh() > 0.0 && e.as_kwh() <= 300.0) => {
            Err(format!("{e} is not an energy a car can take (0 to 300 kWh)"))
        }
        _ => Ok(()),
    }
}
