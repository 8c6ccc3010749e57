//! Dynamic prices from a CSV or JSON file: equal steps, gaps stay gaps.

use super::PriceTable;
use crate::time::{Timestamp, local_instant, local_midnight};
use crate::units::Price;
use chrono::{NaiveTime, TimeDelta};
use chrono_tz::Tz;

/// Day-ahead prices as published, keyed by start of step.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceSeries {
    pub step: TimeDelta,
    pub prices: PriceTable,
}

/// One row of a JSON price file.
#[derive(serde::Deserialize)]
struct Row {
    ts_utc: String,
    price: Option<f64>,
}

impl PriceSeries {
    /// Reads CSV (header, first column `ts_utc`, the second or the first column whose name begins with `price` per kWh)
    /// or JSON (`[{"ts_utc":…,"price":…}]`). An empty cell is a gap. The error names line and fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rows = if text.trim_start().starts_with('[') {
            json_rows(text)?
        } else {
            csv_rows(text)?
        };
        let mut prices = PriceTable::new();
        for (line, at, price) in &rows {
            if let Some(p) = price {
                if !p.is_finite() {
                    return Err(format!("line {line}: {p} is not a price"));
                }
                if prices.insert(*at, Price::per_kwh(*p)).is_some() {
                    return Err(format!("line {line}: {at} stands twice"));
                }
            }
        }
        let step = step_of(&rows)?;
        Ok(Self { step, prices })
    }

    /// Published price at `t`, without fees and tax.
    pub fn at(&self, t: Timestamp) -> Option<Price> {
        let (start, price) = self.prices.range(..=t).next_back()?;
        (t < *start + self.step).then_some(*price)
    }

    /// Only what starts before `end`: what is published at some moment.
    pub fn until(&self, end: Timestamp) -> Self {
        Self {
            step: self.step,
            prices: self.prices.range(..end).map(|(t, p)| (*t, *p)).collect(),
        }
    }

    /// What a day-ahead market has published at `now`, see [`published_until`].
    pub fn published_at(&self, now: Timestamp, tz: Tz) -> Self {
        self.until(published_until(now, tz))
    }

    /// The series repeated every 364 days (weekdays keep their place) until `end`: for simulated markets only.
    pub fn repeated_to(&self, end: Timestamp) -> Self {
        let year = TimeDelta::days(364);
        let mut prices = self.prices.clone();
        let Some(last) = prices.last_key_value().map(|(t, _)| *t) else {
            return self.clone();
        };
        let mut t = last + self.step;
        while t < end {
            if let Some(p) = prices.get(&(t - year)).copied() {
                prices.insert(t, p);
            }
            t += self.step;
        }
        Self {
            step: self.step,
            prices,
        }
    }

    /// First instant after everything known.
    pub fn end(&self) -> Option<Timestamp> {
        self.prices.last_key_value().map(|(t, _)| *t + self.step)
    }
}

/// End of what a day-ahead market has published at `now`: of the local day, and from 13:00 local of tomorrow.
pub fn published_until(now: Timestamp, tz: Tz) -> Timestamp {
    let today = now.with_timezone(&tz).date_naive();
    let noon = NaiveTime::from_hms_opt(13, 0, 0).expect("13:00 is a time");
    let days = if now < local_instant(tz, today.and_time(noon)) {
        1
    } else {
        2
    };
    local_midnight(tz, today + TimeDelta::days(days))
}

type Rows = Vec<(usize, Timestamp, Option<f64>)>;

fn csv_rows(text: &str) -> Result<Rows, String> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(i, l)| (i + 1, l.trim()))
        .filter(|(_, l)| !l.is_empty());
    let (_, header) = lines
        .next()
        .ok_or("the file is empty; its first line should be `ts_utc,price`")?;
    let columns: Vec<&str> = header.split(',').map(str::trim).collect();
    if columns.first() != Some(&"ts_utc") {
        return Err(format!(
            "line 1: the first column is `{}`; it should be `ts_utc`",
            columns[0]
        ));
    }
    let column = columns.iter().position(|c| c.starts_with("price")).unwrap_or(1);
    let mut rows = Rows::new();
    for (line, text) in lines {
        let cells: Vec<&str> = text.split(',').map(str::trim).collect();
        let cell = cells
            .get(column)
            .ok_or(format!("line {line}: there is no column {}", column + 1))?;
        let price = match *cell {
            "" => None,
            number => Some(
                number
                    .parse()
                    .map_err(|_| format!("line {line}: `{number}` is not a price"))?,
            ),
        };
        rows.push((line, instant(cells[0], line)?, price));
    }
    Ok(rows)
}

fn json_rows(text: &str) -> Result<Rows, String> {
    let rows: Vec<Row> = serde_json::from_str(text).map_err(|why| format!("line {}: {why}", why.line()))?;
    rows.into_iter()
        .enumerate()
        .map(|(i, r)| Ok((i + 1, instant(&r.ts_utc, i + 1)?, r.price)))
        .collect()
}

fn instant(text: &str, line: usize) -> Result<Timestamp, String> {
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|t| t.to_utc())
        .map_err(|_| format!("line {line}: `{text}` is not a UTC instant such as 2026-05-12T00:00:00Z"))
}

/// The one length of all steps (multiples of it are gaps).
fn step_of(rows: &Rows) -> Result<TimeDelta, String> {
    let mut step: Option<TimeDelta> = None;
    for pair in rows.windows(2) {
        let d = pair[1].1 - pair[0].1;
        if d <= TimeDelta::zero() {
            return Err(format!(
                "line {}: {} is not after the line before",
                pair[1].0, pair[1].1
            ));
        }
        step = Some(step.map_or(d, |s| s.min(d)));
    }
    let step = step.ok_or("a price file needs at least two rows")?;
    for pair in rows.windows(2) {
        if (pair[1].1 - pair[0].1).num_milliseconds() % step.num_milliseconds() != 0 {
            return Err(format!(
                "line {}: the steps are not equal ({} min expected)",
                pair[1].0,
                step.num_minutes()
            ));
        }
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn t(h: i64) -> Timestamp {
        chrono::DateTime::UNIX_EPOCH + TimeDelta::hours(h)
    }

    #[test]
    fn csv_and_json_say_the_same_and_gaps_stay_gaps() {
        let csv = PriceSeries::parse(
            "ts_utc,price_eur_kwh\n1970-01-01T00:00:00Z,0.10\n1970-01-01T01:00:00Z,\n1970-01-01T02:00:00Z,-0.05\n",
        )
        .unwrap();
        let json = PriceSeries::parse(
            r#"[{"ts_utc":"1970-01-01T00:00:00Z","price":0.1},{"ts_utc":"1970-01-01T01:00:00Z","price":null},
                {"ts_utc":"1970-01-01T02:00:00Z","price":-0.05}]"#,
        )
        .unwrap();
        assert_eq!(csv, json);
        assert_eq!(csv.at(t(0)), Some(Price::per_kwh(0.1)));
        assert_eq!((csv.at(t(1)), csv.at(t(3)), csv.at(t(-1))), (None, None, None));
        assert_eq!(csv.until(t(2)).end(), Some(t(1)));
    }

    #[test]
    fn faults_name_their_line() {
        let rows = [
            ("", "empty"),
            ("time,price\n", "ts_utc"),
            ("ts_utc,price\n1970-01-01T00:00:00Z,free\n", "line 2"),
            ("ts_utc,price\nnow,1\n", "line 2"),
            (
                "ts_utc,price\n1970-01-01T01:00:00Z,1\n1970-01-01T00:00:00Z,1\n",
                "line 3",
            ),
            (
                "ts_utc,price\n1970-01-01T00:00:00Z,1\n1970-01-01T00:00:00Z,1\n",
                "line 3",
            ),
        ];
        for (text, part) in rows {
            let why = PriceSeries::parse(text).unwrap_err();
            assert!(why.contains(part), "{text:?}: {why}");
        }
    }

    #[test]
    fn tomorrow_is_published_at_13_local_also_on_days_of_23_hours() {
        let tz = chrono_tz::Europe::Amsterdam;
        let at = |s: &str| s.parse::<Timestamp>().unwrap();
        let rows = [
            ("2026-05-12T10:59:59Z", "2026-05-12T22:00:00Z"),
            ("2026-05-12T11:00:00Z", "2026-05-13T22:00:00Z"),
            ("2026-05-12T22:00:00Z", "2026-05-13T22:00:00Z"),
            ("2026-03-28T12:00:00Z", "2026-03-29T22:00:00Z"),
        ];
        for (now, end) in rows {
            assert_eq!(published_until(at(now), tz), at(end), "{now}");
        }
    }

    #[test]
    fn a_simulated_market_repeats_its_year_by_weekday() {
        let text: String = (0..400)
            .map(|d| format!("{},{d}\n", (t(0) + TimeDelta::days(d)).format("%Y-%m-%dT00:00:00Z")))
            .collect();
        let year = PriceSeries::parse(&format!("ts_utc,price\n{text}")).unwrap();
        let long = year.repeated_to(t(24 * 500));
        assert_eq!(long.at(t(24 * 450)), Some(Price::per_kwh(86.0)));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|(ts_utc,price\n)?([0-9TZ:,.\\-]*\n)*") {
            let _outcome = PriceSeries::parse(&text);
        }
    }
}
