//! Dynamic prices by time: each row holds for its own length, gaps stay gaps.

use super::price_file;
use crate::time::{Timestamp, local_instant, local_midnight};
use crate::units::Price;
use chrono::{NaiveTime, TimeDelta};
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// Day-ahead prices as published, keyed by the start of each row.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceSeries {
    rows: BTreeMap<Timestamp, Row>,
}

/// One published price and the instant until which it holds; never beyond the start of the next row.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    price: Price,
    end: Timestamp,
}

impl PriceSeries {
    /// Reads CSV (header, first column `ts_utc`, the second or the first column whose name begins with `price` per kWh)
    /// or JSON (`[{"ts_utc":…,"price":…}]`). An empty cell is a gap. Rows may change their step (hours, then quarters).
    /// Prices that no market of `currency` (ISO 4217) can have are refused. The error names line, fault and what to write.
    pub fn parse(text: &str, currency: &str) -> Result<Self, String> {
        let rows = price_file::read(text, currency)?;
        let rows = rows.into_iter().filter_map(|r| {
            let price = r.price?;
            Some((r.start, Row { price, end: r.end }))
        });
        Ok(Self { rows: rows.collect() })
    }

    fn row(&self, t: Timestamp) -> Option<&Row> {
        let (_, row) = self.rows.range(..=t).next_back()?;
        (t < row.end).then_some(row)
    }

    /// Published price at `t`, without fees and tax.
    pub fn at(&self, t: Timestamp) -> Option<Price> {
        self.row(t).map(|r| r.price)
    }

    /// First instant after `t` at which the answer of [`Self::at`] may be another; `None` where it never is.
    pub fn changes_after(&self, t: Timestamp) -> Option<Timestamp> {
        match self.row(t) {
            Some(row) => Some(row.end),
            None => self.rows.range(t..).next().map(|(start, _)| *start),
        }
    }

    /// Only what starts before `end`: what is published at some moment.
    pub fn until(&self, end: Timestamp) -> Self {
        Self {
            rows: self.rows.range(..end).map(|(t, r)| (*t, *r)).collect(),
        }
    }

    /// What a day-ahead market has published at `now`, see [`published_until`].
    pub fn published_at(&self, now: Timestamp, tz: Tz) -> Self {
        self.until(published_until(now, tz))
    }

    /// The series repeated every 364 days (weekdays keep their place) until `end`: for simulated markets only.
    pub fn repeated_to(&self, end: Timestamp) -> Self {
        let year = TimeDelta::days(364);
        let mut rows = self.rows.clone();
        let Some(last) = self.rows.last_key_value().map(|(t, _)| *t) else {
            return self.clone();
        };
        let newest: Vec<_> = self
            .rows
            .range(last - year..)
            .filter(|(t, _)| **t > last - year)
            .collect();
        let mut shift = year;
        while last - year + shift < end {
            let moved = newest.iter().map(|(t, r)| {
                (
                    **t + shift,
                    Row {
                        end: r.end + shift,
                        ..**r
                    },
                )
            });
            rows.extend(moved.filter(|(t, _)| *t < end));
            shift += year;
        }
        Self { rows }
    }

    /// Start and price of each published row, oldest first.
    pub fn published(&self) -> impl Iterator<Item = (Timestamp, Price)> {
        self.rows.iter().map(|(t, r)| (*t, r.price))
    }

    /// First instant after everything known.
    pub fn end(&self) -> Option<Timestamp> {
        self.rows.last_key_value().map(|(_, r)| r.end)
    }
}

/// End of what a day-ahead market has published at `now`: of the local day, and from 13:00 local of tomorrow.
pub fn published_until(now: Timestamp, tz: Tz) -> Timestamp {
    let today = now.with_timezone(&tz).date_naive();
    let published = NaiveTime::MIN + TimeDelta::hours(13);
    let days = if now < local_instant(tz, today.and_time(published)) {
        1
    } else {
        2
    };
    local_midnight(tz, today + TimeDelta::days(days))
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
            "EUR",
        )
        .unwrap();
        let json = PriceSeries::parse(
            r#"[{"ts_utc":"1970-01-01T00:00:00Z","price":0.1},{"ts_utc":"1970-01-01T01:00:00Z","price":null},
                {"ts_utc":"1970-01-01T02:00:00Z","price":-0.05}]"#,
            "EUR",
        )
        .unwrap();
        assert_eq!(csv, json);
        assert_eq!(csv.at(t(0)), Some(Price::per_kwh(0.1)));
        assert_eq!((csv.at(t(1)), csv.at(t(3)), csv.at(t(-1))), (None, None, None));
        assert_eq!(csv.until(t(2)).end(), Some(t(1)));
    }

    /// Rows at these distances in minutes, all at prices of 1 but for the last.
    fn at_distances(minutes: &[i64]) -> Result<PriceSeries, String> {
        let mut at = t(0);
        let mut text = format!("ts_utc,price\n{},0\n", at.format("%Y-%m-%dT%H:%M:%SZ"));
        for (i, m) in minutes.iter().enumerate() {
            at += TimeDelta::minutes(*m);
            text += &format!("{},{}\n", at.format("%Y-%m-%dT%H:%M:%SZ"), (i + 1) as f64 / 100.0);
        }
        PriceSeries::parse(&text, "EUR")
    }

    #[test]
    fn each_row_holds_for_its_own_step_and_never_beyond_the_next() {
        let known = |d: &[i64]| {
            let series = at_distances(d).unwrap();
            let whole = (series.end().unwrap() - t(0)).num_minutes();
            (0..whole)
                .filter(|m| series.at(t(0) + TimeDelta::minutes(*m)).is_some())
                .count()
        };
        let rows: [(&[i64], usize); 10] = [
            (&[60, 60, 60, 15, 15, 15, 15], 255),
            (&[15, 15, 15, 15, 60, 60, 60], 300),
            (&[5, 5, 5, 15, 30, 30], 15 + 5 + 90),
            (&[5, 5, 5, 5, 5, 5, 30, 30], 120),
            (&[60, 60, 120, 60], 300),
            (&[60, 120, 120, 60, 60], 360),
            (&[15, 15, 60, 15], 75),
            (&[60, 120], 180),
            (&[1440, 1440], 4320),
            (&[30, 30, 15, 15, 15, 15, 60, 60], 60 + 60 + 180),
        ];
        for (distances, minutes) in rows {
            assert_eq!(known(distances), minutes, "{distances:?}");
        }
        let hours = at_distances(&[60, 60, 15, 15]).unwrap();
        let price = |m| hours.at(t(0) + TimeDelta::minutes(m)).map(|p| p.as_per_kwh());
        assert_eq!(
            (price(119), price(120), price(135), price(150)),
            (Some(0.01), Some(0.02), Some(0.03), Some(0.04))
        );
    }

    #[test]
    fn steps_that_cannot_be_read_right_are_refused_with_their_line() {
        let rows: [(&[i64], &str); 5] = [
            (&[60, 60, 45, 60], "line 6"),
            (&[60, 17, 43, 60], "line 3"),
            (&[60, 60, 15, 60, 60], "line 6"),
            (&[1441], "line 3"),
            (&[7, 60], "line 4"),
        ];
        for (distances, line) in rows {
            let why = at_distances(distances).unwrap_err();
            assert!(
                why.contains(line) && why.contains("equal steps"),
                "{distances:?}: {why}"
            );
        }
    }

    #[test]
    fn what_cannot_be_a_price_is_refused_with_what_to_write() {
        let after = |row: &str| format!("ts_utc,price\n2026-05-12T00:00:00Z,0.1\n{row}\n2026-05-12T02:00:00Z,0.1\n");
        let rows = [
            ("2026-05-12T01:00:00Z,0,31", "EUR", "with a point (0.31)"),
            ("2026-05-12T01:00:00Z,85.3", "EUR", "0.0853"),
            ("2026-05-12T01:00:00Z,-85.3", "EUR", "-0.0853"),
            ("2026-05-12T01:00:00Z,150000", "KRW", "150"),
            ("2026-05-12T01:00:00Z,1.7e308", "XXX", "not believed"),
            ("2026-05-12T01:00:00Z,NaN", "EUR", "not a price"),
            ("2026-05-12T01:00:00Z,inf", "EUR", "not a price"),
            ("2026-05-12T00:00:00.000000001Z,0.1", "EUR", "full minute"),
            ("2026-05-12T00:30:30Z,0.1", "EUR", "full minute"),
            ("2200-05-12T01:00:00Z,0.1", "EUR", "1970 to 2199"),
        ];
        for (row, currency, part) in rows {
            let why = PriceSeries::parse(&after(row), currency).unwrap_err();
            assert!(why.starts_with("line 3") && why.contains(part), "{row}: {why}");
        }
        let mwh = PriceSeries::parse("ts_utc,price_eur_mwh\n2026-05-12T00:00:00Z,85\n", "EUR").unwrap_err();
        assert!(mwh.contains("line 1") && mwh.contains("divided by 1000"), "{mwh}");
        let won = PriceSeries::parse(&after("2026-05-12T01:00:00Z,214.6"), "KRW").unwrap();
        assert_eq!(
            won.end().map(|t| t.to_rfc3339()),
            Some("2026-05-12T03:00:00+00:00".into())
        );
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
            let why = PriceSeries::parse(text, "EUR").unwrap_err();
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
        let year = PriceSeries::parse(&format!("ts_utc,price\n{text}"), "").unwrap();
        let long = year.repeated_to(t(24 * 500));
        assert_eq!(long.at(t(24 * 450)), Some(Price::per_kwh(86.0)));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|(ts_utc,price\n)?([0-9TZ:,.\\-]*\n)*") {
            let _outcome = PriceSeries::parse(&text, "EUR");
        }
    }
}
