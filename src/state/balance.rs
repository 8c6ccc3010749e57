//! The sums of one cycle, and what they say of a part: a load cannot be negative nor far above its most, so a turned sign or
//! a unit a thousand times too small shows there, or against what a component was told. What they say of the grid meter
//! itself stands in [`super::meter`].
//!
//! One cycle proves nothing: measurements are some seconds apart. Evidence is counted for and against.

use super::Image;
use super::plausible::power_range;
use crate::model::{DoubtKind, Quantity, Suspicion};
use crate::reading::Quality;
use crate::site::{Id, Kind};
use chrono::TimeDelta;

/// Evidence that proves, and the most that is kept: as much must speak against it before it is dropped.
const PROOF: u32 = 10;
const LASTING: TimeDelta = TimeDelta::seconds(20);
const MOST: u32 = 20;
/// Loads exceed what the site file expects now and then.
const LOAD_MARGIN: f64 = 1.3;
/// What sums may be off by because of rounding and because devices are read some moments apart, kW and share of all flows.
const SLACK_KW: f64 = 0.3;
const SLACK_SHARE: f64 = 0.03;

/// Readings of up to this age are of one moment: contradictions are told only when they last much longer.
const MOMENTS: TimeDelta = TimeDelta::milliseconds(2_500);

/// What one cycle says of a suspicion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    For,
    Against,
    Nothing,
}

pub fn check(image: &mut Image<'_>) {
    let balance = Balance::of(image);
    let powers = image.powers();
    // What does as it was told is no suspect.
    let suspect = |b: &Balance, id: &Id, v: f64| b.is_mended(id, v, -v, image) && told(image, id, v) != Word::Against;
    let flips = |b: &Balance| powers.iter().filter(|(id, v)| suspect(b, id, *v)).count();
    let one_flip = balance.as_ref().is_some_and(|b| flips(b) == 1);
    for (id, value) in &powers {
        if !image.is_grid(id) {
            let sign = sign(image, balance.as_ref(), one_flip, id, *value);
            weigh(image, id, DoubtKind::Sign, *value, sign);
        }
        let unit = unit(image, id, *value);
        weigh(image, id, DoubtKind::Unit, *value, unit);
    }
}

/// The one load nobody meters, as the measured parts leave it, kW.
pub struct Balance {
    pub load: f64,
    /// What the meter shows (0 on an island), and what the measured parts draw together.
    pub grid: f64,
    pub parts: f64,
    /// Highest power the site file expects of that load, and with its margin.
    pub expected: f64,
    most: f64,
    pub slack: f64,
    /// What parts may have moved by that were not read in this cycle.
    old: f64,
}

impl Balance {
    /// `None` where no load is without a device, or a part is unknown.
    pub fn of(image: &Image<'_>) -> Option<Self> {
        let id = image.unmetered_load()?;
        let Kind::Load(load) = &image.plant.components.get(&id)?.kind else {
            return None;
        };
        let grid = match &image.plant.connection {
            Some(c) => image.usable(&c.meter, Quantity::ActivePower)?,
            None => 0.0,
        };
        let (mut parts, mut size, mut old) = (0.0, grid.abs(), 0.0);
        for id in image.parts() {
            let kw = image.usable(id, Quantity::ActivePower)?;
            parts += kw;
            size += kw.abs();
            if !image.is_fresh(id) {
                // it may have gone anywhere since
                old += power_range(image.plant, id).map_or(0.0, |(low, high)| high - low);
            }
        }
        let expected = load.expected.max.as_kw();
        Some(Self {
            load: grid - parts,
            grid,
            parts,
            expected,
            most: LOAD_MARGIN * expected,
            slack: SLACK_KW + SLACK_SHARE * size,
            old,
        })
    }

    pub fn fits(&self, load: f64) -> bool {
        (-self.slack..=self.most + self.slack).contains(&load)
    }

    /// It does not fit, wherever the parts may have moved to that were not read in this cycle.
    pub fn is_off(&self) -> bool {
        self.load + self.old < -self.slack || self.load - self.old > self.most + self.slack
    }

    /// The load if this component showed another value.
    fn with(&self, id: &Id, value: f64, other: f64, image: &Image<'_>) -> f64 {
        if image.is_grid(id) {
            self.load - value + other
        } else {
            self.load + value - other
        }
    }

    /// It does not add up, and would with the other value, which the component can have.
    fn is_mended(&self, id: &Id, value: f64, other: f64, image: &Image<'_>) -> bool {
        let can = power_range(image.plant, id).is_none_or(|(low, high)| (low..=high).contains(&other));
        can && (value - other).abs() > 2.0 * self.slack
            && !self.fits(self.load)
            && self.fits(self.with(id, value, other, image))
    }

    /// It adds up, and would not with the other value.
    fn is_broken(&self, id: &Id, value: f64, other: f64, image: &Image<'_>) -> bool {
        value.abs() > self.slack && self.fits(self.load) && !self.fits(self.with(id, value, other, image))
    }

    /// A part explains what does not add up better than the meter: it does not show what it was told, and the sums would
    /// fit if it did, or with its sign turned, or in another unit.
    pub fn blames_a_part(&self, image: &Image<'_>) -> bool {
        let is_blamed = |(id, v): &(Id, f64)| {
            let rated = power_range(image.plant, id).map_or(0.0, |(low, high)| low.abs().max(high));
            let target = image.target_kw(id).filter(|t| (t - v).abs() > 0.2 * rated);
            target.is_some_and(|t| self.is_mended(id, *v, t, image))
                || (told(image, id, *v) != Word::Against && self.is_mended(id, *v, -v, image))
                || (unit(image, id, *v) == Word::For && self.is_mended(id, *v, v * 1e3, image))
        };
        let mut parts = image.powers().into_iter().filter(|(id, _)| !image.is_grid(id));
        parts.any(|p| is_blamed(&p))
    }
}

impl Image<'_> {
    /// Everything with a power of its own but meters and the load nobody measures.
    pub fn parts(&self) -> impl Iterator<Item = &Id> {
        let all = self.plant.components.iter();
        let own = all.filter(move |(id, c)| !matches!(c.kind, Kind::Meter(_)) && !self.is_unmetered(id));
        own.map(|(id, _)| id)
    }

    /// The power was measured in this cycle, or only moments before.
    pub fn is_fresh(&self, id: &Id) -> bool {
        let span = (self.plant.timing.cycle * 3 / 2).max(MOMENTS);
        let reading = self.reading(id, Quantity::ActivePower);
        reading.is_some_and(|r| r.quality() != Quality::Held && r.age(self.now) <= span)
    }
}

fn sign(image: &Image<'_>, balance: Option<&Balance>, one_flip: bool, id: &Id, value: f64) -> Word {
    let told = told(image, id, value);
    if let Some(b) = balance {
        if b.is_mended(id, value, -value, image) && told != Word::Against && (one_flip || told == Word::For) {
            return Word::For;
        }
        if b.is_broken(id, value, -value, image) {
            return Word::Against;
        }
        // The balance knows better than obedience: what disobeys is measured rightly.
        return if told == Word::Against { told } else { Word::Nothing };
    }
    told
}

/// Charging was told and discharging is shown, or the other way round.
fn told(image: &Image<'_>, id: &Id, value: f64) -> Word {
    let rated = power_range(image.plant, id).map(|(l, h)| l.abs().max(h));
    let (Some(target), Some(rated)) = (image.target_kw(id), rated) else {
        return Word::Nothing;
    };
    if target.abs() < 0.15 * rated || value.abs() < 0.07 * rated {
        Word::Nothing
    } else if target * value < 0.0 {
        Word::For
    } else {
        Word::Against
    }
}

/// A thousandth of what was told, or next to nothing that is not nothing.
fn unit(image: &Image<'_>, id: &Id, value: f64) -> Word {
    let rated = power_range(image.plant, id).map(|(l, h)| l.abs().max(h));
    if value != 0.0 && value.abs() < 1e-9 {
        return Word::For;
    }
    let Some(rated) = rated else { return Word::Nothing };
    if value.abs() > 0.01 * rated {
        return Word::Against;
    }
    let target = image.target_kw(id).filter(|t| t.abs() > 0.15 * rated);
    match target {
        Some(t) if (value * 1e3 - t).abs() < 0.05 * t.abs() => Word::For,
        _ => Word::Nothing,
    }
}

fn weigh(image: &mut Image<'_>, id: &Id, kind: DoubtKind, value: f64, word: Word) {
    let key = format!("{id}/{}", if kind == DoubtKind::Sign { "sign" } else { "unit" });
    let at = image.at(id);
    if word == Word::For && !image.state.suspicions.contains_key(&key) {
        let new = Suspicion::new(kind, value, at);
        image.state.suspicions.insert(key.clone(), new);
    }
    let Some(s) = image.state.suspicions.get_mut(&key) else {
        return;
    };
    if at > s.last || s.polls == 0 {
        s.last = at;
        match word {
            Word::For => s.polls = (s.polls + 1).min(MOST),
            Word::Against => s.polls = s.polls.saturating_sub(1),
            Word::Nothing => {}
        }
    }
    s.proven |= s.polls >= PROOF && s.last - s.since >= LASTING;
    let (dead, proven) = (s.polls == 0, s.proven);
    if dead {
        image.state.suspicions.remove(&key);
    } else if proven {
        let why = match kind {
            DoubtKind::Sign => format!("{value:.3} kW: its sign is turned, by the balance or by what it was told"),
            _ => format!("{value:.6} kW: a thousand times too small, or words in the wrong order"),
        };
        image.refuse(id, kind, why);
    }
}
