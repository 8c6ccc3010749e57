//! What a kWh costs at some instant, as known.

use super::{ExportPrice, Fee, ImportPrice, KnownPrice, MonthUse, Period, PriceFiles, PriceSeries, Tariff, TimeOfUse};
use crate::time::{Interval, Timestamp, local_midnight};
use crate::units::Price;
use chrono::{Datelike, Months, NaiveDate, TimeDelta};

/// Longest stretch that a mean price is formed over: a leap year.
const MOST_QUARTERS: i64 = 366 * 96;

impl Tariff {
    /// All-in price of an imported kWh at `t`: (price + fee) × (1 + tax), within its bounds. Hours not yet published are filled from the
    /// latest known day and marked; `None` if nothing is known.
    pub fn buy(&self, t: Timestamp, prices: Option<&PriceFiles>, month: &MonthUse) -> Option<KnownPrice> {
        let (bare, estimated) = self.bare_import(t, prices, month)?;
        let price = self.all_in(bare, self.fee(t)?);
        Some(KnownPrice { price, estimated })
    }

    /// Price of an imported kWh with its fee and tax, within its bounds.
    pub fn all_in(&self, bare: Price, fee: Price) -> Price {
        let total = bare.as_per_kwh() + fee.as_per_kwh();
        let taxed = total > 0.0 || self.tax_on_negative;
        let tax = if taxed { self.tax } else { 0.0 };
        self.import_bounds.keep(Price::per_kwh(total * (1.0 + tax)))
    }

    /// Fee on an imported kWh at `t`, before tax.
    pub fn fee(&self, t: Timestamp) -> Option<Price> {
        match &self.import_fee {
            Fee::Flat(price) => Some(*price),
            Fee::TimeOfUse(table) => self.row(table, t).map(|p| p.price),
        }
    }

    /// Mean fee on a kWh over a stretch of time, weighted by how long each holds.
    pub(super) fn fee_over(&self, i: Interval) -> Option<Price> {
        Some(self.mean_over(i, None, |t| self.fee(t).map(published))?.price)
    }

    /// Mean all-in import price over `[from, to)`, sampled each quarter of an hour: the plain mean, so that no way of using
    /// energy can move the price that stored energy is valued at. `None` if no price of that time is known.
    pub fn mean_buy(
        &self,
        from: Timestamp,
        to: Timestamp,
        prices: Option<&PriceFiles>,
        month: &MonthUse,
    ) -> Option<Price> {
        let quarters = (to - from).num_minutes().clamp(0, MOST_QUARTERS * 15) / 15;
        let at = (0..quarters).map(|k| from + TimeDelta::minutes(15 * k));
        let known: Vec<f64> = at
            .filter_map(|t| self.buy(t, prices, month))
            .map(|k| k.price.as_per_kwh())
            .collect();
        (!known.is_empty()).then(|| Price::per_kwh(known.iter().sum::<f64>() / known.len() as f64))
    }

    /// What an exported kWh is paid at `t`; may be negative.
    pub fn sell(&self, t: Timestamp, prices: Option<&PriceFiles>) -> Option<Price> {
        let export = &self.export;
        let day_ahead = || Some(day_ahead(prices?.of(export.file.as_deref()?)?, t)?.0);
        if let Some(below) = export.unpaid_below
            && day_ahead()? < below
        {
            return Some(Price::ZERO);
        }
        let price = match &export.price {
            ExportPrice::Flat(price) => *price,
            ExportPrice::TimeOfUse(table) => self.row(table, t)?.price,
            ExportPrice::Dynamic { share, adder } => {
                Price::per_kwh(day_ahead()?.as_per_kwh() * share + adder.as_per_kwh())
            }
        };
        Some(export.bounds.keep(price))
    }

    /// Mean of [`Self::buy`] over a stretch of time, weighted by how long each price holds; estimated where a part is, and
    /// `None` where a part is unknown. The blocks' price is that of the next kWh throughout.
    pub fn buy_over(&self, i: Interval, prices: Option<&PriceFiles>, month: &MonthUse) -> Option<KnownPrice> {
        self.mean_over(i, prices, |t| self.buy(t, prices, month))
    }

    /// Mean of [`Self::sell`] over a stretch of time; `None` where a part of it is unknown.
    pub fn sell_over(&self, i: Interval, prices: Option<&PriceFiles>) -> Option<Price> {
        Some(
            self.mean_over(i, prices, |t| self.sell(t, prices).map(published))?
                .price,
        )
    }

    fn mean_over(
        &self,
        i: Interval,
        prices: Option<&PriceFiles>,
        at: impl Fn(Timestamp) -> Option<KnownPrice>,
    ) -> Option<KnownPrice> {
        let first = at(i.start)?;
        let (mut t, mut known) = (self.changes_after(i.start, prices).min(i.end), first);
        // One price throughout stays exactly that price.
        let mut sum = first.price.as_per_kwh() * (t - i.start).as_seconds_f64();
        if t >= i.end {
            return Some(first);
        }
        while t < i.end {
            let (part, next) = (at(t)?, self.changes_after(t, prices).min(i.end));
            sum += part.price.as_per_kwh() * (next - t).as_seconds_f64();
            known.estimated |= part.estimated;
            t = next;
        }
        known.price = Price::per_kwh(sum / i.length().as_seconds_f64());
        Some(known)
    }

    /// The next instant at which a price may change.
    fn changes_after(&self, t: Timestamp, prices: Option<&PriceFiles>) -> Timestamp {
        let tables = self.tables().map(|table| self.row_ends(table, t)).min();
        let files = self.price_files();
        let series = files.iter().filter_map(|(_, file)| prices?.of(file));
        let published = series.clone().filter_map(|p| p.changes_after(t)).min();
        // Where an earlier day stands in, its rows change too.
        let estimated = series.filter(|p| p.at(t).is_none()).filter_map(|p| {
            let day = days_back(p, t)?;
            Some(p.changes_after(t - day)? + day)
        });
        let all = [tables, published, estimated.min()];
        all.into_iter().flatten().min().unwrap_or(Timestamp::MAX_UTC)
    }

    /// Every price that follows the time of day.
    fn tables(&self) -> impl Iterator<Item = &TimeOfUse> {
        let import = match &self.import {
            ImportPrice::TimeOfUse(table) => Some(table),
            _ => None,
        };
        let fee = match &self.import_fee {
            Fee::TimeOfUse(table) => Some(table),
            Fee::Flat(_) => None,
        };
        let export = match &self.export.price {
            ExportPrice::TimeOfUse(table) => Some(table),
            _ => None,
        };
        import.into_iter().chain(fee).chain(export)
    }

    /// The row of the time-of-use import price in force at `t`.
    pub fn period(&self, t: Timestamp) -> Option<&Period> {
        match &self.import {
            ImportPrice::TimeOfUse(table) => self.row(table, t),
            _ => None,
        }
    }

    /// First instant of the local billing month that holds `t`.
    pub fn month_start(&self, t: Timestamp) -> Timestamp {
        let date = self.date(t);
        let begun = match date.day() >= self.billing_day {
            true => date,
            false => date - Months::new(1),
        };
        local_midnight(self.time_zone, begun.with_day(self.billing_day).unwrap_or(begun))
    }

    /// Local day of `t`.
    pub fn date(&self, t: Timestamp) -> NaiveDate {
        t.with_timezone(&self.time_zone).date_naive()
    }

    /// Local month of `t`, 1..=12.
    pub fn month_of(&self, t: Timestamp) -> u32 {
        self.date(t).month()
    }

    fn bare_import(&self, t: Timestamp, prices: Option<&PriceFiles>, month: &MonthUse) -> Option<(Price, bool)> {
        match &self.import {
            ImportPrice::Flat(price) => Some((*price, false)),
            ImportPrice::TimeOfUse(_) => {
                let limited = self.steps(t, month).first().map(|s| s.price);
                limited.or_else(|| Some(self.period(t)?.price)).map(|p| (p, false))
            }
            ImportPrice::Dynamic { file, bounds } => {
                let (price, estimated) = day_ahead(prices?.of(file)?, t)?;
                Some((bounds.keep(price), estimated))
            }
            ImportPrice::Blocks(_) => self.steps(t, month).first().map(|s| (s.price, false)),
        }
    }
}

fn published(price: Price) -> KnownPrice {
    KnownPrice {
        price,
        estimated: false,
    }
}

/// The published price, or the same hour of the latest day on which it is known (marked as estimated).
fn day_ahead(prices: &PriceSeries, t: Timestamp) -> Option<(Price, bool)> {
    if let Some(p) = prices.at(t) {
        return Some((p, false));
    }
    prices.at(t - days_back(prices, t)?).map(|p| (p, true))
}

/// How far back the latest day lies that knows a price at this time of day; at most a week.
fn days_back(prices: &PriceSeries, t: Timestamp) -> Option<TimeDelta> {
    (1..=7).map(TimeDelta::days).find(|day| prices.at(t - *day).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tariff::{Block, Bounds, Export, Hours, Peaks};
    use crate::time::DayKind;
    use crate::units::Energy;
    use chrono::{TimeZone, Utc};

    fn tariff(import: ImportPrice) -> Tariff {
        Tariff {
            currency: "EUR".into(),
            time_zone: chrono_tz::Asia::Seoul,
            country: "KR".into(),
            billing_day: 1,
            holidays: vec![],
            import,
            import_fee: Fee::Flat(Price::per_kwh(0.1)),
            tax: 0.21,
            tax_on_negative: true,
            import_bounds: Bounds::default(),
            export: Export {
                price: ExportPrice::Dynamic {
                    share: 1.0,
                    adder: Price::per_kwh(-0.01),
                },
                file: Some("p.csv".into()),
                unpaid_below: None,
                bounds: Bounds::default(),
            },
            demand: None,
            capacity: None,
            grid_carbon: 0.4,
            grid_renewable: 0.0,
        }
    }

    fn dynamic() -> ImportPrice {
        ImportPrice::Dynamic {
            file: "p.csv".into(),
            bounds: Bounds::default(),
        }
    }

    fn known(rows: &str) -> PriceFiles {
        let series = PriceSeries::parse(rows, "EUR").unwrap();
        PriceFiles::from_iter([("p.csv".to_owned(), series.into())])
    }

    fn month() -> MonthUse {
        MonthUse {
            month_start: chrono::DateTime::UNIX_EPOCH,
            imported: Energy::kwh(250.0),
            daily: None,
            peaks: Peaks::of(crate::units::Power::ZERO),
        }
    }

    #[test]
    fn an_unknown_price_is_unknown_and_a_filled_one_is_marked() {
        let t = tariff(dynamic());
        let series = known("ts_utc,price\n1970-01-01T00:00:00Z,0.1\n1970-01-01T01:00:00Z,-0.3\n");
        let at = |h| chrono::DateTime::UNIX_EPOCH + TimeDelta::hours(h);
        let buy = |h| t.buy(at(h), Some(&series), &month());
        assert!((buy(0).unwrap().price.as_per_kwh() - 0.242).abs() < 1e-12);
        assert!(buy(24).unwrap().estimated && !buy(1).unwrap().estimated);
        assert_eq!((buy(2), t.buy(at(0), None, &month())), (None, None));
        assert!((t.sell(at(1), Some(&series)).unwrap().as_per_kwh() + 0.31).abs() < 1e-12);
    }

    #[test]
    fn time_of_use_speaks_local_time_and_knows_holidays() {
        let period = |name: &str, days: &[DayKind], minutes: &[(u32, u32)], price| Period {
            name: name.into(),
            hours: Hours {
                months: (1..=12).collect(),
                days: days.to_vec(),
                minutes: minutes.to_vec(),
            },
            price: Price::per_kwh(price),
            limit: None,
        };
        let t = tariff(ImportPrice::TimeOfUse(TimeOfUse {
            periods: vec![
                period("peak", &[DayKind::Work], &[(660, 720)], 3.0),
                period(
                    "mid",
                    &[DayKind::Work, DayKind::Saturday],
                    &[(480, 660), (720, 1320)],
                    2.0,
                ),
                period("off", &[DayKind::Sunday], &[(0, 1440)], 1.0),
            ],
        }));
        // 02:30 UTC is 11:30 in Seoul.
        let name = |m, d, h, min| {
            t.period(Utc.with_ymd_and_hms(2026, m, d, h, min, 0).unwrap())
                .map(|p| p.name.as_str())
        };
        assert_eq!(name(5, 12, 2, 30), Some("peak"));
        assert_eq!(name(5, 12, 3, 0), Some("mid"));
        assert_eq!(name(9, 25, 2, 30), Some("off"));
        assert_eq!(name(5, 12, 22, 0), None);
    }

    #[test]
    fn a_stretch_costs_the_mean_of_its_rows_weighted_by_time() {
        let t = tariff(dynamic());
        let rows = "ts_utc,price\n1970-01-01T00:00:00Z,0.1\n1970-01-01T00:05:00Z,0.2\n1970-01-01T00:10:00Z,0.9\n\
                    1970-01-01T00:15:00Z,\n1970-01-01T00:20:00Z,0.4\n";
        let series = known(rows);
        let at = |m| chrono::DateTime::UNIX_EPOCH + TimeDelta::minutes(m);
        let buy = |from, to| {
            let i = Interval {
                start: at(from),
                end: at(to),
            };
            t.buy_over(i, Some(&series), &month())
                .map(|k| (k.price.as_per_kwh() / 1.21 - 0.1, k.estimated))
        };
        let near = |found: Option<(f64, bool)>, price: f64, estimated| {
            assert!(
                found.is_some_and(|(p, e)| (p - price).abs() < 1e-12 && e == estimated),
                "{found:?} for {price}"
            );
        };
        near(buy(0, 15), 0.4, false);
        near(buy(0, 5), 0.1, false);
        near(buy(4, 6), 0.15, false);
        assert_eq!(buy(10, 20), None, "a part is unknown");
        // A day later the same rows stand in, each for its own time.
        near(buy(1440, 1455), 0.4, true);
        let i = Interval {
            start: at(0),
            end: at(10),
        };
        assert!((t.sell_over(i, Some(&series)).unwrap().as_per_kwh() - 0.14).abs() < 1e-12);
    }

    #[test]
    fn a_stretch_over_the_end_of_a_period_costs_the_mean_of_both() {
        let period = |name: &str, minutes: &[(u32, u32)], price| Period {
            name: name.into(),
            hours: Hours {
                months: (1..=12).collect(),
                days: vec![DayKind::Work, DayKind::Saturday, DayKind::Sunday],
                minutes: minutes.to_vec(),
            },
            price: Price::per_kwh(price),
            limit: None,
        };
        let mut t = tariff(ImportPrice::TimeOfUse(TimeOfUse {
            periods: vec![
                period("day", &[(375, 1275)], 3.0),
                period("night", &[(0, 375), (1275, 1440)], 1.0),
            ],
        }));
        (t.time_zone, t.import_fee, t.tax) = (chrono_tz::Europe::Berlin, Fee::Flat(Price::ZERO), 0.0);
        let buy = |from: &str, to: &str| {
            let (start, end) = (from.parse().unwrap(), to.parse().unwrap());
            t.buy_over(Interval { start, end }, None, &month())
                .unwrap()
                .price
                .as_per_kwh()
        };
        assert!(
            (buy("2026-05-12T04:00:00Z", "2026-05-12T05:00:00Z") - 2.5).abs() < 1e-12,
            "06:15 local"
        );
        // The clocks change at 01:00 UTC; 06:15 local is 04:15 UTC that day too.
        assert!((buy("2026-03-29T00:00:00Z", "2026-03-29T08:00:00Z") - (4.25 + 3.75 * 3.0) / 8.0).abs() < 1e-12);
    }

    #[test]
    fn progressive_blocks_price_the_next_kwh() {
        let b = |up_to, price| Block {
            up_to,
            months: (1..=12).collect(),
            price: Price::per_kwh(price),
        };
        let t = tariff(ImportPrice::Blocks(vec![
            b(Some(Energy::kwh(200.0)), 120.0),
            b(None, 214.6),
        ]));
        let price = t
            .buy(chrono::DateTime::UNIX_EPOCH, None, &month())
            .unwrap()
            .price
            .as_per_kwh();
        assert!((price - (214.6 + 0.1) * 1.21).abs() < 1e-9);
    }
}
