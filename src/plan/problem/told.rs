//! Overrides: what a person told a component until a time is fixed in the plan for as long, so that everything else is
//! planned around it. What the component cannot do is left out here; what limits do not allow, the plan leaves out at a price.

use super::{Context, component_of, money};
use crate::model::{BatteryProblem, EvProblem, Problem, Target, ToldProblem};
use crate::site::{ChargePoint, Component, Id, Kind};
use crate::units::hours;

/// A kWh of what was told, in prices of unserved load: above wishes, and below what nobody can leave out.
const WORTH: f64 = 0.75;
/// The same in prices of the month's peak, where those are higher: what was told may raise the peak.
const ABOVE_PEAK: f64 = 1.1;

/// Least price of a broken limit, in prices of unserved load.
const LIMITS: f64 = 2.0;

/// kW drawn by a part of the problem in the told steps: as it was told, and what of that the part can do by itself.
struct Word {
    part: String,
    asked_kw: Vec<f64>,
    can_kw: Vec<f64>,
}

impl Word {
    fn new(part: &str, kw: Vec<f64>) -> Self {
        Self {
            part: part.to_owned(),
            can_kw: kw.clone(),
            asked_kw: kw,
        }
    }
}

/// Puts the overrides in force into the problem, and raises the prices of what has to come before them.
pub fn lay(x: &Context<'_>, p: &mut Problem) {
    let mut all: Vec<(Word, f64)> = Vec::new();
    for (id, told) in x.state.overrides.iter().filter(|(_, o)| o.until > x.now()) {
        let (steps, left) = (x.steps_told(told.until), hours(told.until - x.now()));
        if let Some(component) = x.plant.components.get(id).filter(|_| steps > 0) {
            let words = words(x, p, (id, component), told.target, steps);
            all.extend(words.into_iter().map(|word| (word, left)));
        }
    }
    if all.is_empty() {
        return;
    }
    let short = (WORTH * p.unserved_cost_per_kwh).max(ABOVE_PEAK * money::peak_per_kwh(x.plant));
    p.unserved_cost_per_kwh = p.unserved_cost_per_kwh.max(short / WORTH);
    let limit = p.elastic.map_or(0.0, |e| e.limit_per_kwh);
    let beyond = limit.max(LIMITS * p.unserved_cost_per_kwh);
    if let Some(elastic) = &mut p.elastic {
        elastic.limit_per_kwh = beyond;
    }
    for (word, hours) in all {
        // the guard of an island starts a generator whatever it was told
        let guarded = p.gensets.iter().any(|g| g.id == word.part);
        if let Some(ev) = p.evs.iter_mut().find(|ev| ev.id == word.part) {
            let kwh: f64 = word.can_kw.iter().zip(x.step_hours()).map(|(kw, h)| kw * h).sum();
            ev.extra_max_kwh = (ev.charge_eff * kwh - ev.energy_needed_kwh).max(0.0);
        }
        p.told.push(ToldProblem {
            id: word.part,
            asked_kw: word.asked_kw,
            power_kw: word.can_kw,
            hours,
            short_cost_per_kwh: short,
            beyond_cost_per_kwh: if guarded { short } else { beyond },
        });
    }
}

/// What a target means for the parts of a component. What is left to itself does as its kind is known to do: PV gives all, a
/// load runs, a car charges at once, batteries and generators rest; of a heat pump the plan's own heat says most.
fn words(x: &Context<'_>, p: &Problem, (id, component): (&Id, &Component), target: Target, steps: usize) -> Vec<Word> {
    let each = |kw: f64| vec![Word::new(id.as_str(), vec![kw; steps])];
    match (&component.kind, target) {
        // it holds the island's voltage and takes what comes
        (Kind::Battery(b), _) if b.grid_forming => Vec::new(),
        (Kind::Battery(_) | Kind::Generator(_), Target::Release) => each(0.0),
        (Kind::Battery(_), Target::Power(kw)) => battery(x, p, id, vec![kw.as_kw(); steps]),
        (Kind::Generator(_), Target::Power(kw)) => each(-kw.abs().as_kw()),
        (Kind::HeatPump(_), Target::Power(kw)) => each(kw.as_kw()),
        (Kind::Pv(_), Target::PowerLimit(most)) => sun(p, id, steps, most.as_kw()),
        (Kind::Pv(_), Target::Release) => sun(p, id, steps, f64::INFINITY),
        (Kind::ShiftableLoad(l), Target::On(on)) => each(if on { l.power.as_kw() } else { 0.0 }),
        (Kind::SheddableLoad(_), Target::On(false)) => each(0.0),
        (Kind::SheddableLoad(_), Target::On(true) | Target::Release) => served(p, id, steps),
        (Kind::ChargePoint(c), _) => cars(x, p, (id, component, c), target, steps),
        _ => Vec::new(),
    }
}

fn battery(x: &Context<'_>, p: &Problem, id: &Id, asked_kw: Vec<f64>) -> Vec<Word> {
    let own = p.batteries.iter().filter(|b| b.id == id.as_str());
    own.map(|b| Word {
        can_kw: within_charge(b, &asked_kw, &x.step_hours()),
        ..Word::new(&b.id, asked_kw.clone())
    })
    .collect()
}

/// kW by step until the battery is full or at its lowest charge, where it takes what its losses need.
fn within_charge(b: &BatteryProblem, asked_kw: &[f64], dt: &[f64]) -> Vec<f64> {
    let (low, high) = (b.soc_min_kwh.min(b.soc_start_kwh), b.soc_max_kwh.max(b.soc_start_kwh));
    let mut energy = b.soc_start_kwh;
    let step = |(asked, dt): (&f64, &f64)| {
        let rest = energy - dt * (b.loss_per_hour * energy + b.standby_kw);
        // AC power that brings it to an end of its band
        let (fill, empty) = ((high - rest) / (b.charge_eff * dt), (rest - low) * b.discharge_eff / dt);
        let losses = (low - rest).max(0.0) / (b.charge_eff * dt);
        let charge = asked.min(b.charge_max_kw).min(fill).max(losses);
        let discharge = (-asked).min(b.discharge_max_kw).min(empty).max(0.0);
        energy = rest + dt * (b.charge_eff * charge - discharge / b.discharge_eff);
        charge - discharge
    };
    asked_kw.iter().zip(dt).map(step).collect()
}

/// All that the sun gives, up to a ceiling.
fn sun(p: &Problem, id: &Id, steps: usize, most: f64) -> Vec<Word> {
    let own = p.pv.iter().filter(|pv| pv.id == id.as_str());
    own.map(|pv| {
        Word::new(
            &pv.id,
            pv.available_kw[..steps].iter().map(|kw| -kw.min(most)).collect(),
        )
    })
    .collect()
}

fn served(p: &Problem, id: &Id, steps: usize) -> Vec<Word> {
    let own = p.sheddable.iter().filter(|s| s.id == id.as_str());
    own.map(|s| Word::new(&s.id, s.load_kw[..steps].to_vec())).collect()
}

/// A current is drawn while a car is there; a charge point left to itself charges at once until the car has what it needs.
fn cars(
    x: &Context<'_>,
    p: &Problem,
    (id, component, point): (&Id, &Component, &ChargePoint),
    target: Target,
    steps: usize,
) -> Vec<Word> {
    let per_amp = x.plant.kw_per_amp(component);
    let most = point.current_max.as_amps() * per_amp;
    let (kw, enough) = match target {
        Target::Current(a) => ((a.as_amps() * per_amp).min(most), false),
        _ => (most, true),
    };
    let dt = x.step_hours();
    let word = |ev: &EvProblem| {
        let here = |t: usize| (ev.arrive_step..ev.depart_step).contains(&t);
        let asked_kw: Vec<f64> = (0..steps).map(|t| if here(t) { kw } else { 0.0 }).collect();
        let mut left = if enough { ev.energy_needed_kwh } else { f64::INFINITY };
        let mut up_to_need = |(kw, dt): (&f64, &f64)| {
            let kw = kw.min(left / (ev.charge_eff * dt));
            left -= ev.charge_eff * dt * kw;
            kw
        };
        Word {
            can_kw: asked_kw.iter().zip(&dt).map(&mut up_to_need).collect(),
            part: ev.id.clone(),
            asked_kw,
        }
    };
    let own = p.evs.iter().filter(|ev| component_of(&ev.id) == id.as_str());
    own.map(word).collect()
}
