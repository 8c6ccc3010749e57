//! Charge on power: the mean of the highest metering windows of a billing month, and what counts towards it.

use super::{CapacityCharge, Hours, MonthUse, Overrun, Tariff};
use crate::time::Timestamp;
use crate::units::{Energy, Money, Power};
use chrono::{Days, NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

/// Charge on the highest means of metering windows in the billing month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DemandCharge {
    /// Money per kW and month.
    pub per_kw: Money,
    pub window: TimeDelta,
    /// The mean of so many highest windows is billed; missing ones count as 0.
    pub peaks: usize,
    /// Of a day only the highest window counts.
    pub one_a_day: bool,
    /// Windows that begin in these hours count; `None`: all.
    pub hours: Option<Hours>,
    /// Billed at least.
    pub minimum: Power,
    pub ratchet: Option<Ratchet>,
    /// What is billed so far for this month when the site starts.
    pub peak_so_far: Power,
    /// Contracted power, shown as a target; `None` where there is none.
    pub contract: Option<Power>,
}

/// At least this share of the highest window of the last twelve months is billed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ratchet {
    /// 0..=1.
    pub share: f64,
    /// Months (1..=12, in which a billing month begins) whose peaks count.
    pub months: Vec<u32>,
    /// Highest window of those when the site starts.
    pub peak_so_far: Power,
}

/// The highest counted window of a day, or of any time (`day` is `None`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DayPeak {
    pub day: Option<NaiveDate>,
    pub peak: Power,
}

/// Highest window of a billing month that is over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PastPeak {
    pub month_start: Timestamp,
    pub peak: Power,
}

/// Highest metering windows of a billing month and of those before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    /// The highest window mean of the month that counts.
    pub peak: Power,
    /// The highest ones that are billed, from the highest down.
    #[serde(default)]
    highest: Vec<DayPeak>,
    /// Of the last twelve months, as far as a ratchet counts them.
    #[serde(default)]
    past: Vec<PastPeak>,
}

impl Peaks {
    pub fn of(peak: Power) -> Self {
        Self {
            peak,
            highest: Vec::new(),
            past: Vec::new(),
        }
    }

    /// Highest windows so far, from the highest down.
    pub fn highest(&self) -> Vec<DayPeak> {
        match self.highest.is_empty() && self.peak > Power::ZERO {
            true => vec![DayPeak {
                day: None,
                peak: self.peak,
            }],
            false => self.highest.clone(),
        }
    }

    /// Takes a window of `day` in; of the highest ones `most` are kept.
    fn note(&mut self, most: usize, day: Option<NaiveDate>, peak: Power) {
        let mut all = self.highest();
        let same = all.iter_mut().find(|p| day.is_some() && p.day == day);
        match same {
            Some(same) => same.peak = same.peak.max(peak),
            None => all.push(DayPeak { day, peak }),
        }
        all.sort_by(|a, b| b.peak.as_kw().total_cmp(&a.peak.as_kw()));
        all.truncate(most);
        self.highest = all;
        self.peak = self.peak.max(peak);
    }
}

impl MonthUse {
    /// Use of a month that nothing is known of but what the site file says.
    pub fn first(tariff: &Tariff, t: Timestamp) -> Self {
        let month_start = tariff.month_start(t);
        let mut peaks = Peaks::of(tariff.peak_so_far());
        if let Some(d) = &tariff.demand {
            let billed = DayPeak {
                day: None,
                peak: d.peak_so_far,
            };
            peaks.highest = vec![billed; if d.peak_so_far > Power::ZERO { d.peaks } else { 0 }];
            let before = d.ratchet.iter().map(|r| PastPeak {
                month_start: month_start - TimeDelta::days(1),
                peak: r.peak_so_far,
            });
            peaks.past = before.filter(|p| p.peak > Power::ZERO).collect();
        }
        Self {
            month_start,
            imported: Energy::ZERO,
            daily: None,
            peaks,
        }
    }

    /// The billing month that begins at `start`, after this one: its use and its peaks start at zero.
    pub fn next(&self, tariff: &Tariff, start: Timestamp) -> Self {
        let mut past = self.peaks.past.clone();
        if tariff
            .ratchet()
            .is_some_and(|r| r.months.contains(&tariff.month_of(self.month_start)))
        {
            past.push(PastPeak {
                month_start: self.month_start,
                peak: self.peaks.peak,
            });
        }
        // what began a year and a day ago lies before the last twelve months
        past.retain(|p| p.month_start >= start - Days::new(366));
        Self {
            month_start: start,
            imported: Energy::ZERO,
            daily: None,
            peaks: Peaks {
                peak: Power::ZERO,
                highest: Vec::new(),
                past,
            },
        }
    }
}

impl DemandCharge {
    /// Power that is billed whatever the month's windows are.
    pub fn floor(&self, peaks: &Peaks) -> Power {
        let past = peaks.past.iter().map(|p| p.peak).fold(Power::ZERO, Power::max);
        let share = self.ratchet.as_ref().map_or(0.0, |r| r.share);
        self.minimum.max(past * share)
    }

    /// Power that the month is billed on so far.
    pub fn billed(&self, peaks: &Peaks) -> Power {
        let sum = peaks
            .highest()
            .iter()
            .take(self.peaks)
            .map(|p| p.peak.as_kw())
            .sum::<f64>();
        Power::kw(sum / self.peaks as f64).max(self.floor(peaks))
    }

    /// Mean that a window of `day` may reach without raising what is billed.
    pub fn free(&self, peaks: &Peaks, day: NaiveDate) -> Power {
        let today = |p: &DayPeak| self.one_a_day && p.day == Some(day);
        let (own, others): (Vec<DayPeak>, Vec<DayPeak>) = peaks.highest().into_iter().partition(today);
        let lowest = others.get(self.peaks - 1).map_or(0.0, |p| p.peak.as_kw());
        let sum: f64 = others.iter().take(self.peaks - 1).map(|p| p.peak.as_kw()).sum();
        let below_floor = self.floor(peaks).as_kw() * self.peaks as f64 - sum;
        let own = own.first().map_or(0.0, |p| p.peak.as_kw());
        Power::kw(lowest.max(below_floor).max(own))
    }
}

impl Tariff {
    fn ratchet(&self) -> Option<&Ratchet> {
        self.demand.as_ref()?.ratchet.as_ref()
    }

    /// Whether the metering window that begins at `t` counts towards a charge on power.
    pub fn counts(&self, t: Timestamp) -> bool {
        let hours = self.demand.as_ref().and_then(|d| d.hours.as_ref());
        hours.is_none_or(|h| self.is_in(h, t))
    }

    /// Mean that the window beginning at `t` may reach without costing more than is billed already.
    pub fn free_peak(&self, peaks: &Peaks, t: Timestamp) -> Power {
        match &self.demand {
            Some(d) => d.free(peaks, self.date(t)),
            None => peaks.peak,
        }
    }

    /// Takes a complete metering window in, which began at `start` with the imported `energy`. What it adds to the charges on
    /// power, tax included: what it adds to the demand charge, and what lies above the subscribed power. Nothing where the
    /// tariff bills no power.
    pub fn window_charge(&self, peaks: &mut Peaks, start: Timestamp, energy: Energy) -> Money {
        let Some(length) = self.power_window() else {
            return Money::ZERO;
        };
        let (before, mean) = (peaks.clone(), energy / length);
        let mut charge = Money::ZERO;
        if self.counts(start) {
            let day = self.demand.as_ref().filter(|d| d.one_a_day).map(|_| self.date(start));
            peaks.note(self.demand.as_ref().map_or(1, |d| d.peaks), day, mean);
        }
        if let Some(demand) = &self.demand {
            charge += demand.per_kw * (demand.billed(peaks) - demand.billed(&before)).as_kw();
        }
        if let Some(capacity) = &self.capacity {
            charge += capacity.overrun_of(before.peak, mean, length);
        }
        charge * (1.0 + self.tax)
    }
}

impl CapacityCharge {
    /// What a window with this mean adds, before tax, in a month whose highest window was `peak`.
    fn overrun_of(&self, peak: Power, mean: Power, length: TimeDelta) -> Money {
        let above = |floor: Power| (mean - floor).max(Power::ZERO);
        match self.overrun {
            Overrun::Highest(per_kw) => per_kw * above(peak.max(self.subscribed)).as_kw(),
            Overrun::Energy(price) => above(self.subscribed) * length * price,
        }
    }
}
