//! Rows by season, kind of day and local hours; a table with a gap or an overlap is a fault.

use super::parse_ratings::{price, price_or_none};
use super::reader::Section;
use super::shape::Holds;
use super::values::{text, whole};
use crate::tariff::{DailyLimit, Hours, Period, TimeOfUse};
use crate::time::DayKind;
use crate::units::Energy;

const DAYS: [(&str, &[DayKind]); 4] = [
    ("work", &[DayKind::Work]),
    ("saturday", &[DayKind::Saturday]),
    ("sunday", &[DayKind::Sunday]),
    ("all", &ALL_DAYS),
];
const ALL_DAYS: [DayKind; 3] = [DayKind::Work, DayKind::Saturday, DayKind::Sunday];

/// The `period` rows of a table; those of the import price have a name, which people see.
pub fn time_of_use(s: &Section, currency: &str, named: bool) -> Option<TimeOfUse> {
    let rows = s.rows("period", true, "rows that together cover every hour exactly once");
    let read: Vec<(Option<Hours>, Option<Period>)> = rows.iter().map(|r| period(r, currency, named)).collect();
    let (covers, periods): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    // A row whose hours are not known leaves a gap of its own making; a row whose price is not known does not.
    let covers: Option<Vec<Hours>> = covers.into_iter().collect();
    if let Some(why) = gap_or_overlap(&covers?) {
        s.fault("period", why);
        return None;
    }
    let periods = periods.into_iter().collect::<Option<Vec<Period>>>()?;
    if let Some(other) = second_limit(&periods) {
        let why = "only one row of a month and kind of day may have `up_to`; list its hours in one row";
        rows.get(other)?.fault("up_to", why);
    }
    Some(TimeOfUse { periods })
}

/// The first row whose quantity a day would be counted together with that of a row before it.
fn second_limit(periods: &[Period]) -> Option<usize> {
    let meet = |a: &Period, b: &Period| {
        let month = a.hours.months.iter().any(|m| b.hours.months.contains(m));
        month && a.hours.days.iter().any(|d| b.hours.days.contains(d))
    };
    let limited = |p: &Period| p.limit.is_some();
    periods
        .iter()
        .enumerate()
        .position(|(i, p)| limited(p) && periods.iter().take(i).any(|before| limited(before) && meet(before, p)))
}

fn period(row: &Section, currency: &str, named: bool) -> (Option<Hours>, Option<Period>) {
    let name = match named {
        true => row.text("name", "shown to people: peak, mid, off-peak"),
        false => Some(String::new()),
    };
    let hours = hours(row, true);
    let price = price(row, "price", currency, None, "price per kWh");
    let limit = if named { daily_limit(row, currency) } else { Some(None) };
    row.finish();
    let period = hours.clone().zip(name).zip(price).zip(limit);
    let period = period.map(|(((hours, name), price), limit)| Period {
        name,
        hours,
        price,
        limit,
    });
    (hours, period)
}

/// A quantity a day for which the price holds; outer `None`: faulty.
fn daily_limit(row: &Section, currency: &str) -> Option<Option<DailyLimit>> {
    let up_to = row.quantity_opt("up_to", "50 kWh", "the price holds for so much a day", Energy::parse);
    let beyond = price_or_none(row, "beyond", currency, "price per kWh after `up_to`");
    match (row.is_absent("up_to"), row.is_absent("beyond")) {
        (true, true) => return Some(None),
        (false, false) => {}
        (true, false) => row.fault("beyond", "says nothing without `up_to`, the quantity a day"),
        (false, true) => row.fault("up_to", "needs `beyond`, the price of what is imported after it"),
    }
    let limit = up_to.zip(beyond).map(|(up_to, beyond)| DailyLimit { up_to, beyond })?;
    if limit.up_to <= Energy::ZERO {
        row.fault("up_to", "must be above 0");
    }
    Some(Some(limit))
}

/// Months, days and hours that a table may leave out: `Some(None)` where it has none of them, `None` where one is faulty.
pub fn hours_opt(s: &Section) -> Option<Option<Hours>> {
    let read = hours(s, false);
    let none = ["months", "days", "hours"].iter().all(|key| s.is_absent(key));
    if none { Some(None) } else { read.map(Some) }
}

/// Months that a row holds in.
pub fn months(row: &Section) -> Option<Vec<u32>> {
    let doc = "months it holds in; absent: all";
    let months = row.list("months", Holds::Whole(1, 12), false, doc, |v| whole(v, (1, 12)));
    match row.is_absent("months") {
        true => Some((1..=12).collect()),
        false => Some(months?.into_iter().map(|n| n as u32).collect()),
    }
}

/// When a row holds; where `needed` is not, absent days and hours are all.
fn hours(row: &Section, needed: bool) -> Option<Hours> {
    let months = months(row);
    let words = DAYS.iter().map(|(n, _)| (*n).into()).collect();
    let doc = if needed {
        "kinds of day"
    } else {
        "kinds of day that count; absent: all"
    };
    let days = row.list("days", Holds::Words(words), needed, doc, |v| {
        let word = text(v)?;
        let found = DAYS.iter().find(|(n, _)| *n == word);
        found
            .map(|(_, k)| *k)
            .ok_or_else(|| format!("`{word}` is no kind of day; allowed: work, saturday, sunday, all"))
    });
    let doc = match needed {
        true => "local hours such as \"09:00-12:00\"; may pass midnight",
        false => "local hours of windows that count, such as \"06:00-22:00\"; absent: all",
    };
    let hours = row.list("hours", Holds::Text, needed, doc, |v| minutes(&text(v)?));
    let is_left_out = |key| !needed && row.is_absent(key);
    Some(Hours {
        months: months?,
        days: if is_left_out("days") {
            ALL_DAYS.to_vec()
        } else {
            days?.concat()
        },
        minutes: if is_left_out("hours") {
            vec![(0, 1440)]
        } else {
            hours?.concat()
        },
    })
}

/// `"22:00-08:00"` → minutes of day, split at midnight.
fn minutes(range: &str) -> Result<Vec<(u32, u32)>, String> {
    let wrong = || format!("`{range}` is not a range of hours such as \"09:00-12:00\"");
    let minute = |t: &str| -> Result<u32, String> {
        let (h, m) = t.trim().split_once(':').ok_or_else(wrong)?;
        let (h, m): (u32, u32) = (h.parse().map_err(|_| wrong())?, m.parse().map_err(|_| wrong())?);
        if h <= 24 && m < 60 && h * 60 + m <= 1440 {
            Ok(h * 60 + m)
        } else {
            Err(wrong())
        }
    };
    let (from, to) = range.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (minute(from)?, minute(to)?);
    match from.cmp(&to) {
        std::cmp::Ordering::Less => Ok(vec![(from, to)]),
        std::cmp::Ordering::Equal => Err(format!("`{range}` is empty; a whole day is 00:00-24:00")),
        std::cmp::Ordering::Greater if to == 0 => Ok(vec![(from, 1440)]),
        std::cmp::Ordering::Greater => Ok(vec![(from, 1440), (0, to)]),
    }
}

/// The first minute of a month and kind of day that no row or more than one row covers.
fn gap_or_overlap(rows: &[Hours]) -> Option<String> {
    let kinds = [
        (DayKind::Work, "working days"),
        (DayKind::Saturday, "Saturdays"),
        (DayKind::Sunday, "Sundays"),
    ];
    (1..=12)
        .flat_map(|month| kinds.map(|(kind, name)| (month, kind, name)))
        .find_map(|(month, kind, name)| {
            let (minute, times) = miscovered(rows, month, kind)?;
            let what = if times == 0 { "no price" } else { "more than one price" };
            let (h, m) = (minute / 60, minute % 60);
            Some(format!("{what} for month {month}, {name}, {h:02}:{m:02}"))
        })
}

/// The first minute that is not covered once, and how often it is.
fn miscovered(rows: &[Hours], month: u32, kind: DayKind) -> Option<(usize, u32)> {
    let mut cover = [0u32; 1440];
    // Each mention counts, so that a month or day named twice shows as an overlap.
    for row in rows {
        let times =
            row.months.iter().filter(|m| **m == month).count() * row.days.iter().filter(|d| **d == kind).count();
        for (from, to) in &row.minutes {
            let hours = cover.iter_mut().take(*to as usize).skip(*from as usize);
            hours.for_each(|c| *c += times as u32);
        }
    }
    cover.iter().enumerate().find(|(_, c)| **c != 1).map(|(m, c)| (m, *c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_may_pass_midnight_and_faults_are_named() {
        assert_eq!(minutes("22:00-08:00"), Ok(vec![(1320, 1440), (0, 480)]));
        assert_eq!(minutes("00:00-24:00"), Ok(vec![(0, 1440)]));
        assert!(minutes("9-12").is_err() && minutes("10:00-10:00").is_err() && minutes("25:00-26:00").is_err());
    }
}
