//! Takes what people say into the state, or says why not. What is in force then is told by [`super::reply`].

use crate::model::{ControllerState, Direction, ExternalLimit, Override, PeopleInput, Rung, Source, Target, Trigger};
use crate::site::{Battery, Generator, HeatPump, Id, Kind, Mode, Plant, nearest};
use crate::time::Timestamp;
use crate::units::{Current, Power};
use chrono::TimeDelta;

/// Why a person is not told "done".
#[derive(Debug, Clone, PartialEq)]
pub enum NotDone {
    /// Nothing was changed; a sentence for the person.
    Refused(String),
    /// It is in force now, but not on the disk: a restart forgets it. The reason.
    NotKept(String),
}

/// Overrides and limits of people end after this time at the latest: nobody remembers an older one.
pub const LONGEST: TimeDelta = TimeDelta::days(7);

/// An absence ends after this time at the latest: what is usual is remembered for as long.
pub const LONGEST_AWAY: TimeDelta = TimeDelta::days(56);

/// What of an input is taken, and journaled: cut to what the component can do, ended within [`LONGEST`], stamped.
pub fn taken(plant: &Plant, input: &PeopleInput, now: Timestamp) -> PeopleInput {
    let end = now + LONGEST;
    let mut input = input.clone();
    match &mut input {
        PeopleInput::Override {
            component,
            target,
            until,
        } => {
            let kind = plant.components.get(component).map(|c| &c.kind);
            // what does not fit is refused as it was said
            if let Some(kind) = kind.filter(|k| fits(component, k, target).is_ok()) {
                *target = carried(kind, *target);
            }
            *until = end.min(*until);
        }
        PeopleInput::Limit { until, said_at, .. } => (*until, *said_at) = (end.min(*until), Some(now)),
        PeopleInput::Away { until, said_at } => (*until, *said_at) = ((now + LONGEST_AWAY).min(*until), Some(now)),
        PeopleInput::EndAway { said_at } => *said_at = Some(now),
        _ => {}
    }
    input
}

/// Applies one input as it was [`taken`]. `Ok` carries the trigger for a new plan; `Err` a sentence for the person, and
/// nothing was changed.
pub fn apply(
    plant: &Plant,
    state: &mut ControllerState,
    input: &PeopleInput,
    now: Timestamp,
) -> Result<Trigger, String> {
    check(plant, state, input, now)?;
    lay(state, input)?;
    Ok(match input {
        PeopleInput::Limit { .. } | PeopleInput::EndLimit { .. } => Trigger::LimitChanged,
        PeopleInput::Mode { .. } | PeopleInput::Release => Trigger::OnRequest,
        PeopleInput::Ev { .. }
        | PeopleInput::Override { .. }
        | PeopleInput::EndOverride { .. }
        | PeopleInput::Away { .. }
        | PeopleInput::EndAway { .. } => Trigger::WishChanged,
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
            fits(component, kind(plant, component)?, target)?;
            in_future(*until, now)
        }
        PeopleInput::EndOverride { component } if !state.overrides.contains_key(component) => {
            Err(format!("`{component}` has no override"))
        }
        PeopleInput::Limit { .. } | PeopleInput::EndLimit { .. } if plant.connection.is_none() => {
            Err("this site is an island: there is no connection point whose power could be limited".into())
        }
        PeopleInput::Limit { power, until, .. } => {
            in_future(*until, now)?;
            match *power >= Power::ZERO && power.is_finite() {
                true => Ok(()),
                false => Err(format!("a limit is a magnitude (0 kW or more), not {power}")),
            }
        }
        PeopleInput::EndLimit { source, direction } => {
            let mut own = state.limits.iter().filter(|l| l.direction == *direction);
            match own.any(|l| l.source == *source) {
                true => Ok(()),
                false => Err(no_limit(state, source, *direction)),
            }
        }
        PeopleInput::Away { until, .. } => in_future(*until, now),
        PeopleInput::EndAway { .. } if state.away.is_none() => Err("nobody is away".into()),
        PeopleInput::EndOverride { .. }
        | PeopleInput::EndAway { .. }
        | PeopleInput::Mode { .. }
        | PeopleInput::Release => Ok(()),
    }
}

/// Lays an input over the state without asking whether it is sensible. What belongs to a car that is not there is left
/// out.
pub fn lay(state: &mut ControllerState, input: &PeopleInput) -> Result<(), String> {
    match input {
        PeopleInput::Ev {
            component,
            departure,
            energy,
            mode,
        } => {
            if let Some(session) = state.sessions.get_mut(component) {
                session.departure = departure.unwrap_or(session.departure);
                session.energy = energy.unwrap_or(session.energy);
                session.mode = mode.unwrap_or(session.mode);
                session.told = true;
            }
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
        PeopleInput::Limit {
            source,
            direction,
            power,
            until,
            said_at,
        } => state.limits.tell(ExternalLimit {
            source: source.clone(),
            direction: *direction,
            power: *power,
            until: *until,
            said_at: *said_at,
        })?,
        PeopleInput::EndLimit { source, direction } => {
            state.limits.end(source, *direction);
        }
        PeopleInput::Away { until, said_at } => state.leave(said_at.unwrap_or(*until), *until),
        PeopleInput::EndAway { said_at } => {
            let ends = state.away.map(|a| a.until);
            if let Some(at) = said_at.or(ends) {
                state.come_back(at);
            }
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
    Ok(())
}

/// Ends overrides, limits and an absence whose time is over; true if a new plan is due.
pub fn expire(state: &mut ControllerState, now: Timestamp) -> bool {
    let before = state.overrides.len();
    state.overrides.retain(|_, o| o.until > now);
    let ended = state.limits.expire(now);
    let back = state.away.is_some_and(|a| a.until <= now) && state.come_back(now);
    ended || back || before != state.overrides.len()
}

fn kind<'a>(plant: &'a Plant, component: &Id) -> Result<&'a Kind, String> {
    let found = plant.components.get(component).map(|c| &c.kind);
    found.ok_or_else(|| unknown(plant, component.as_str()))
}

/// "there is no component `batery`; did you mean `battery`?"
pub fn unknown(plant: &Plant, component: &str) -> String {
    let names = || plant.components.keys().map(Id::as_str);
    let hint = match nearest(component, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("this site has {}", names().collect::<Vec<_>>().join(", ")),
    };
    format!("there is no component `{component}`; {hint}")
}

fn no_limit(state: &ControllerState, source: &Source, direction: Direction) -> String {
    let own = state.limits.iter().filter(|l| l.direction == direction);
    let others: Vec<&str> = own.map(|l| l.source.as_str()).collect();
    let hint = match others.is_empty() {
        true => "nobody has told one".to_owned(),
        false => format!("limits were told by {}", others.join(", ")),
    };
    format!("`{}` has no {} limit; {hint}", source.as_str(), direction.name())
}

/// What the component can be told at all.
fn fits(component: &Id, kind: &Kind, target: &Target) -> Result<(), String> {
    let can = match (kind, target) {
        (_, Target::Release) => true,
        (Kind::Battery(_) | Kind::Generator(_), Target::Power(_)) => true,
        (Kind::HeatPump(_), Target::Power(p)) => *p >= Power::ZERO,
        (Kind::Pv(_), Target::PowerLimit(p)) => *p >= Power::ZERO,
        (Kind::ChargePoint(_), Target::Current(a)) => a.as_amps() >= 0.0,
        (Kind::ShiftableLoad(_) | Kind::SheddableLoad(_), Target::On(_)) => true,
        _ => false,
    };
    let understood = match kind {
        Kind::Battery(_) => "3 kW (charging), -3 kW (discharging) or release",
        Kind::HeatPump(_) | Kind::Generator(_) => "3 kW, off or release",
        Kind::Pv(_) => "3 kW (at most) or release",
        Kind::ChargePoint(_) => "16 A, off or release",
        Kind::ShiftableLoad(_) | Kind::SheddableLoad(_) => "on, off or release",
        Kind::Meter(_) | Kind::Load(_) => return Err(format!("`{component}` takes no orders: nothing can switch it")),
    };
    match can {
        true => Ok(()),
        false => Err(format!(
            "`{component}` cannot be told that; it understands {understood}"
        )),
    }
}

/// What of a target the component's own ratings let through.
pub fn carried(kind: &Kind, target: Target) -> Target {
    match (kind, target) {
        (Kind::Battery(b), Target::Power(p)) => Target::Power(storage(b, p)),
        (Kind::HeatPump(h), Target::Power(p)) => Target::Power(pump(h, p)),
        (Kind::Generator(g), Target::Power(p)) => Target::Power(engine(g, p)),
        (Kind::Pv(v), Target::PowerLimit(p)) => Target::PowerLimit(p.min(v.inverter_max)),
        (Kind::ChargePoint(c), Target::Current(a)) if a < c.current_min => Target::Current(Current::ZERO),
        (Kind::ChargePoint(c), Target::Current(a)) => Target::Current(a.min(c.current_max)),
        (_, other) => other,
    }
}

fn storage(b: &Battery, p: Power) -> Power {
    p.clamp(Power::ZERO - b.discharge_max, b.charge_max)
}

/// Below half its least power a heat pump is off, as dispatch has it.
fn pump(h: &HeatPump, p: Power) -> Power {
    match p.as_kw() < 0.5 * h.electric_min.as_kw() {
        true => Power::ZERO,
        false => p.clamp(h.electric_min, h.electric_max),
    }
}

fn engine(g: &Generator, p: Power) -> Power {
    match p.abs() > Power::ZERO {
        true => p.abs().clamp(g.power_min, g.power_max),
        false => Power::ZERO,
    }
}

fn in_future(until: Timestamp, now: Timestamp) -> Result<(), String> {
    if until <= now {
        Err(format!(
            "{} UTC is already past (site time is {} UTC)",
            until.format("%Y-%m-%d %H:%M"),
            now.format("%Y-%m-%d %H:%M")
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
        in_future(*t, now)?;
        if *t - now > LONGEST {
            return Err(format!(
                "{} UTC is more than a week away (site time is {} UTC)",
                t.format("%Y-%m-%d %H:%M"),
                now.format("%Y-%m-%d %H:%M")
            ));
        }
    }
    match energy {
        Some(e) if !(e.as_kwh() > 0.0 && e.as_kwh() <= 300.0) => {
            Err(format!("{e} is not an energy a car can take (0 to 300 kWh)"))
        }
        _ => Ok(()),
    }
}
