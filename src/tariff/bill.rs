//! The one function that turns metered energy into money.

use super::{MonthUse, PriceFiles, Tariff, quantity};
use crate::time::{Interval, Timestamp, floor_to};
use crate::units::{Energy, Money};
use serde::{Deserialize, Serialize};

/// Energy through the connection point in one metering interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeterInterval {
    pub interval: Interval,
    pub import: Energy,
    pub export: Energy,
}

/// What the metered energy costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Import minus export, with fees and tax.
    pub energy: Money,
    /// Demand charge and overruns of subscribed power added by these intervals beyond the peak already paid (with tax).
    pub demand: Money,
    /// Intervals whose price was not known; they are not in `energy`.
    pub unpriced: usize,
    /// Month use afterwards.
    pub month: MonthUse,
}

/// Bills consecutive metering intervals, starting from the month's use so far. A new local month starts its use at zero
/// and its peak at zero.
pub fn bill(tariff: &Tariff, prices: Option<&PriceFiles>, month: MonthUse, metered: &[MeterInterval]) -> Bill {
    let mut bill = Bill {
        energy: Money::ZERO,
        demand: Money::ZERO,
        unpriced: 0,
        month,
    };
    let mut window: Option<(Timestamp, Energy)> = None;
    for m in metered {
        let start = tariff.month_start(m.interval.start);
        if start > bill.month.month_start {
            close_window(tariff, &mut bill, window.take());
            bill.month = bill.month.next(tariff, start);
        }
        match energy_cost(tariff, prices, &bill.month, m) {
            Some(cost) => bill.energy += cost,
            None => bill.unpriced += 1,
        }
        tariff.count(&mut bill.month, m.interval.start, m.import);
        if let Some(length) = tariff.power_window() {
            let at = floor_to(m.interval.start, length);
            match &mut window {
                Some((open, sum)) if *open == at => *sum += m.import,
                _ => {
                    close_window(tariff, &mut bill, window.take());
                    window = Some((at, m.import));
                }
            }
        }
    }
    close_window(tariff, &mut bill, window);
    bill
}

fn energy_cost(tariff: &Tariff, prices: Option<&PriceFiles>, month: &MonthUse, m: &MeterInterval) -> Option<Money> {
    let steps = tariff.steps(m.interval.start, month);
    let import = if m.import == Energy::ZERO {
        Money::ZERO
    } else if steps.is_empty() {
        let known = tariff.buy_over(m.interval, prices, month)?;
        m.import * known.price
    } else {
        let fee = tariff.fee_over(m.interval)?;
        quantity::cost(&steps, m.import, |price| tariff.all_in(price, fee))?
    };
    let export = if m.export == Energy::ZERO {
        Money::ZERO
    } else {
        m.export * tariff.sell_over(m.interval, prices)?
    };
    Some(import - export)
}

fn close_window(tariff: &Tariff, bill: &mut Bill, window: Option<(Timestamp, Energy)>) {
    let Some((start, energy)) = window else { return };
    bill.demand += tariff.window_charge(&mut bill.month.peaks, start, energy);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tariff::{Block, Bounds, CapacityCharge, DemandCharge, Export, Fee, ImportPrice, Overrun, Peaks};
    use crate::units::{Power, Price};
    use chrono::{TimeDelta, TimeZone, Utc};

    fn tariff(import: ImportPrice, demand: Option<f64>) -> Tariff {
        Tariff {
            currency: "KRW".into(),
            time_zone: chrono_tz::UTC,
            country: "KR".into(),
            billing_day: 1,
            holidays: vec![],
            import,
            import_fee: Fee::Flat(Price::ZERO),
            tax: 0.0,
            tax_on_negative: true,
            import_bounds: Bounds::default(),
            export: Export::flat(Price::per_kwh(0.05)),
            demand: demand.map(|per_kw| DemandCharge {
                per_kw: Money::of(per_kw),
                window: TimeDelta::minutes(15),
                peaks: 1,
                one_a_day: false,
                hours: None,
                minimum: Power::ZERO,
                ratchet: None,
                peak_so_far: Power::kw(10.0),
                contract: None,
            }),
            capacity: None,
            grid_carbon: 0.0,
            grid_renewable: 0.0,
        }
    }

    fn metered(day: u32, rows: &[(f64, f64)]) -> Vec<MeterInterval> {
        let t0 = Utc.with_ymd_and_hms(2026, 5, day, 0, 0, 0).unwrap();
        let step = TimeDelta::minutes(15);
        rows.iter()
            .enumerate()
            .map(|(i, (import, export))| MeterInterval {
                interval: Interval {
                    start: t0 + step * i as i32,
                    end: t0 + step * (i as i32 + 1),
                },
                import: Energy::kwh(*import),
                export: Energy::kwh(*export),
            })
            .collect()
    }

    fn month(imported: f64, peak: f64) -> MonthUse {
        MonthUse {
            month_start: Utc.with_ymd_and_hms(2026, 5, 1, 0, 0, 0).unwrap(),
            imported: Energy::kwh(imported),
            daily: None,
            peaks: Peaks::of(Power::kw(peak)),
        }
    }

    fn check(t: &Tariff, m: MonthUse, rows: &[MeterInterval], energy: f64, demand: f64) -> Bill {
        let b = bill(t, None, m, rows);
        assert!(
            (b.energy.amount() - energy).abs() < 1e-9,
            "energy {:?} not {energy}",
            b.energy
        );
        assert!(
            (b.demand.amount() - demand).abs() < 1e-9,
            "demand {:?} not {demand}",
            b.demand
        );
        b
    }

    #[test]
    fn energy_and_export_are_netted_in_money_not_in_kwh() {
        let t = tariff(ImportPrice::Flat(Price::per_kwh(0.3)), None);
        check(
            &t,
            month(0.0, 0.0),
            &metered(1, &[(2.0, 0.0), (0.0, 4.0)]),
            0.6 - 0.2,
            0.0,
        );
    }

    #[test]
    fn demand_is_paid_only_for_what_lies_above_the_peak_already_paid() {
        let t = tariff(ImportPrice::Flat(Price::ZERO), Some(6490.0));
        // 15-minute means 8, 14, 12 kW above a paid peak of 10: 4 kW more.
        let b = check(
            &t,
            month(0.0, 10.0),
            &metered(1, &[(2.0, 0.0), (3.5, 0.0), (3.0, 0.0)]),
            0.0,
            4.0 * 6490.0,
        );
        assert_eq!(b.month.peaks.peak, Power::kw(14.0));
    }

    #[test]
    fn beyond_the_subscribed_power_the_highest_kw_or_every_kwh_is_paid() {
        let mut t = tariff(ImportPrice::Flat(Price::ZERO), None);
        // 15-minute means 8, 14, 12 kW with 10 subscribed
        let rows = metered(1, &[(2.0, 0.0), (3.5, 0.0), (3.0, 0.0)]);
        let mut with = |overrun| {
            t.capacity = Some(CapacityCharge {
                subscribed: Power::kw(10.0),
                overrun,
                window: TimeDelta::minutes(15),
                peak_so_far: Power::ZERO,
            });
            t.clone()
        };
        let highest = with(Overrun::Highest(Money::of(7.0)));
        let b = check(&highest, month(0.0, 0.0), &rows, 0.0, 4.0 * 7.0);
        assert_eq!(b.month.peaks.peak, Power::kw(14.0));
        // 13 kW were already paid this month
        check(&highest, month(0.0, 13.0), &rows, 0.0, 7.0);
        // (4 + 2) kW for a quarter of an hour each, whatever was paid before
        let energy = with(Overrun::Energy(Price::per_kwh(0.4)));
        check(&energy, month(0.0, 13.0), &rows, 0.0, 6.0 * 0.25 * 0.4);
        // and tax on top
        let taxed = Tariff { tax: 0.5, ..energy };
        check(&taxed, month(0.0, 0.0), &rows, 0.0, 1.5 * 6.0 * 0.25 * 0.4);
    }

    #[test]
    fn an_interval_that_crosses_a_block_is_split() {
        let b = |up_to: Option<f64>, price| Block {
            up_to: up_to.map(Energy::kwh),
            months: (1..=12).collect(),
            price: Price::per_kwh(price),
        };
        let t = tariff(
            ImportPrice::Blocks(vec![b(Some(200.0), 120.0), b(Some(400.0), 214.6), b(None, 307.3)]),
            None,
        );
        check(
            &t,
            month(199.0, 0.0),
            &metered(1, &[(3.0, 0.0)]),
            120.0 + 2.0 * 214.6,
            0.0,
        );
    }

    #[test]
    fn a_new_month_starts_from_zero() {
        let t = tariff(ImportPrice::Flat(Price::ZERO), Some(1.0));
        let mut rows = metered(31, &[(2.0, 0.0)]);
        rows.push(MeterInterval {
            interval: Interval {
                start: Utc.with_ymd_and_hms(2026, 6, 1, 0, 0, 0).unwrap(),
                end: Utc.with_ymd_and_hms(2026, 6, 1, 0, 15, 0).unwrap(),
            },
            import: Energy::kwh(1.0),
            export: Energy::ZERO,
        });
        let b = check(&t, month(5.0, 10.0), &rows, 0.0, 4.0);
        assert_eq!(b.month.imported, Energy::kwh(1.0));
    }

    #[test]
    fn an_unknown_price_is_counted_not_billed_as_free() {
        let dynamic = ImportPrice::Dynamic {
            file: "p".into(),
            bounds: Bounds::default(),
        };
        let t = tariff(dynamic, None);
        assert_eq!(bill(&t, None, month(0.0, 0.0), &metered(1, &[(1.0, 0.0)])).unpriced, 1);
    }
}
