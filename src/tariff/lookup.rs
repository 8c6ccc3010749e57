//! What a kWh costs at some instant, as known.

use super::{Block, ExportPrice, ImportPrice, KnownPrice, MonthUse, Period, PriceSeries, Tariff};
use crate::time::{Timestamp, day_kind, local_midnight};
use crate::units::{Energy, Price};
use chrono::{Datelike, TimeDelta, Timelike};

/// Longest stretch that a mean price is formed over: a leap year.
const MOST_QUARTERS: i64 = 366 * 96;

impl Tariff {
    /// All-in price of an imported kWh at `t`: (price + fee) × (1 + tax). Hours not yet published are filled from the
    /// latest known day and marked; `None` if nothing is known.
    pub fn buy(&self, t: Timestamp, prices: Option<&PriceSeries>, month: &MonthUse) -> Option<KnownPrice> {
        let (bare, estimated) = self.bare_import(t, prices, month)?;
        let price = Price::per_kwh((bare.as_per_kwh() + self.import_fee.as_per_kwh()) * (1.0 + self.tax));
        Some(KnownPrice { price, estimated })
    }

    /// Mean all-in import price over `[from, to)`, sampled each quarter of an hour: the plain mean, so that no way of using
    /// energy can move the price that stored energy is valued at. `None` if no price of that time is known.
    pub fn mean_buy(
        &self,
        from: Timestamp,
        to: Timestamp,
        prices: Option<&PriceSeries>,
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
    pub fn sell(&self, t: Timestamp, prices: Option<&PriceSeries>) -> Option<Price> {
        match &self.export {
            ExportPrice::Flat(price) => Some(*price),
            ExportPrice::Dynamic { share, adder } => {
                let (day_ahead, _) = day_ahead(prices?, t)?;
                Some(Price::per_kwh(day_ahead.as_per_kwh() * share + adder.as_per_kwh()))
            }
        }
    }

    /// The row of the time-of-use table in force at `t`.
    pub fn period(&self, t: Timestamp) -> Option<&Period> {
        let ImportPrice::TimeOfUse(table) = &self.import else {
            return None;
        };
        let local = t.with_timezone(&self.time_zone);
        let kind = day_kind(local.date_naive(), &self.country, &self.holidays);
        let minute = local.hour() * 60 + local.minute();
        table.periods.iter().find(|p| {
            p.months.contains(&local.month())
                && p.days.contains(&kind)
                && p.minutes.iter().any(|(from, to)| (*from..*to).contains(&minute))
        })
    }

    /// First instant of the local billing month that holds `t`.
    pub fn month_start(&self, t: Timestamp) -> Timestamp {
        let date = t.with_timezone(&self.time_zone).date_naive();
        local_midnight(self.time_zone, date.with_day(1).unwrap_or(date))
    }

    fn bare_import(&self, t: Timestamp, prices: Option<&PriceSeries>, month: &MonthUse) -> Option<(Price, bool)> {
        match &self.import {
            ImportPrice::Flat(price) => Some((*price, false)),
            ImportPrice::TimeOfUse(_) => self.period(t).map(|p| (p.price, false)),
            ImportPrice::Dynamic { .. } => day_ahead(prices?, t),
            ImportPrice::Blocks(blocks) => block_price(blocks, month.imported).map(|p| (p, false)),
        }
    }
}

/// Price of the next kWh after `used` this month.
pub(super) fn block_price(blocks: &[Block], used: Energy) -> Option<Price> {
    blocks
        .iter()
        .find(|b| b.up_to.is_none_or(|end| used < end))
        .map(|b| b.price)
}

/// The published price, or the same hour of the latest day on which it is known (marked as estimated).
fn day_ahead(prices: &PriceSeries, t: Timestamp) -> Option<(Price, bool)> {
    if let Some(p) = prices.at(t) {
        return Some((p, false));
    }
    (1..=7)
        .find_map(|d| prices.at(t - TimeDelta::days(d)))
        .map(|p| (p, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tariff::TimeOfUse;
    use crate::time::DayKind;
    use chrono::{TimeZone, Utc};

    fn tariff(import: ImportPrice) -> Tariff {
        Tariff {
            currency: "EUR".into(),
            time_zone: chrono_tz::Asia::Seoul,
            country: "KR".into(),
            holidays: vec![],
            import,
            import_fee: Price::per_kwh(0.1),
            tax: 0.21,
            export: ExportPrice::Dynamic {
                share: 1.0,
                adder: Price::per_kwh(-0.01),
            },
            demand: None,
            capacity: None,
            grid_carbon: 0.4,
            grid_renewable: 0.0,
        }
    }

    fn month() -> MonthUse {
        MonthUse {
            month_start: chrono::DateTime::UNIX_EPOCH,
            imported: Energy::kwh(250.0),
            peak: crate::units::Power::ZERO,
        }
    }

    #[test]
    fn an_unknown_price_is_unknown_and_a_filled_one_is_marked() {
        let t = tariff(ImportPrice::Dynamic { file: "p.csv".into() });
        let series = PriceSeries::parse("ts_utc,price\n1970-01-01T00:00:00Z,0.1\n1970-01-01T01:00:00Z,-0.3\n").unwrap();
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
            months: (1..=12).collect(),
            days: days.to_vec(),
            minutes: minutes.to_vec(),
            price: Price::per_kwh(price),
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
    fn progressive_blocks_price_the_next_kwh() {
        let b = |up_to, price| Block {
            up_to,
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
