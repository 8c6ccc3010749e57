//! Prices by season, kind of day and local hours.

use super::Tariff;
use crate::time::{DayKind, Timestamp, day_kind, floor_to};
use crate::units::{Energy, Price};
use chrono::{Datelike, TimeDelta, Timelike};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeOfUse {
    pub periods: Vec<Period>,
}

/// One row of a time-of-use table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Period {
    /// Shown to people: `peak`, `mid`, `off-peak`.
    pub name: String,
    pub hours: Hours,
    pub price: Price,
    /// The price holds for so much a day, then the other one.
    pub limit: Option<DailyLimit>,
}

/// What a kWh costs in a period when the day's quantity is used up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DailyLimit {
    pub up_to: Energy,
    pub beyond: Price,
}

/// Local hours of some kinds of day in some months.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hours {
    /// 1..=12.
    pub months: Vec<u32>,
    pub days: Vec<DayKind>,
    /// Local minutes of day `[from, to)`; 1440 ends the day. A period over midnight is two entries.
    pub minutes: Vec<(u32, u32)>,
}

impl Hours {
    fn hold(&self, month: u32, kind: DayKind, minute: u32) -> bool {
        self.months.contains(&month)
            && self.days.contains(&kind)
            && self.minutes.iter().any(|(from, to)| (*from..*to).contains(&minute))
    }
}

impl Tariff {
    /// The row of a table in force at `t`.
    pub(super) fn row<'t>(&self, table: &'t TimeOfUse, t: Timestamp) -> Option<&'t Period> {
        table.periods.iter().find(|p| self.is_in(&p.hours, t))
    }

    /// Whether `t` lies in these hours.
    pub(super) fn is_in(&self, hours: &Hours, t: Timestamp) -> bool {
        let local = t.with_timezone(&self.time_zone);
        let kind = day_kind(local.date_naive(), &self.country, &self.holidays);
        hours.hold(local.month(), kind, local.hour() * 60 + local.minute())
    }

    /// End of the minutes that share a row of the table with `t`; looked at anew at each half hour of UTC, so that a change
    /// of the clocks moves no boundary.
    pub(super) fn row_ends(&self, table: &TimeOfUse, t: Timestamp) -> Timestamp {
        let half_hour = TimeDelta::minutes(30);
        let again = floor_to(t, half_hour) + half_hour;
        let local = t.with_timezone(&self.time_zone);
        let second = local.num_seconds_from_midnight();
        let bounds = table
            .periods
            .iter()
            .flat_map(|p| &p.hours.minutes)
            .flat_map(|(from, to)| [*from, *to]);
        let next = bounds
            .map(|minute| minute.saturating_mul(60))
            .filter(|s| *s > second)
            .min();
        let whole = t - TimeDelta::nanoseconds(i64::from(t.timestamp_subsec_nanos()));
        next.map_or(again, |s| again.min(whole + TimeDelta::seconds(i64::from(s - second))))
    }
}
