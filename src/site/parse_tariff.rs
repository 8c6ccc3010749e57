//! `[tariff]`: what the site pays and is paid; a table with a gap or an overlap is a fault.

use super::parse_components::{carbon_per_kwh, price};
use super::reader::{Holds, Section, share, text, whole};
use crate::tariff::{Block, DemandCharge, ExportPrice, ImportPrice, Period, Tariff, TimeOfUse};
use crate::time::DayKind;
use crate::units::{Energy, Money, Power, Price, parse_duration, parse_money_per};
use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;

const DAYS: [(&str, &[DayKind]); 4] = [
    ("work", &[DayKind::Work]),
    ("saturday", &[DayKind::Saturday]),
    ("sunday", &[DayKind::Sunday]),
    ("all", &[DayKind::Work, DayKind::Saturday, DayKind::Sunday]),
];

/// Reads the tariff of a site in `tz`.
pub fn tariff(s: &Section, tz: Tz, country: &str) -> Option<Tariff> {
    let currency = s.parsed("currency", "ISO 4217 code of all prices", |t| {
        let good = t.len() == 3 && t.bytes().all(|b| b.is_ascii_uppercase());
        if good {
            Ok(t.to_owned())
        } else {
            Err(format!("`{t}` is not a currency code such as EUR or KRW"))
        }
    });
    let currency = currency.unwrap_or_else(|| "EUR".to_owned());
    let import_fee = price(
        s,
        "import_fee",
        &currency,
        Some(0.0),
        "fees and levies on each imported kWh, before tax",
    );
    let tax = s.quantity_or("tax", "21 %", 0.0, "tax on price and fees", share);
    let grid_carbon = s.quantity_or(
        "grid_carbon",
        "0.42 kg/kWh",
        0.0,
        "CO₂ of an imported kWh",
        carbon_per_kwh,
    );
    let holidays = s.list(
        "holidays",
        Holds::Text,
        false,
        "days billed like Sundays besides the country's own",
        |v| {
            let t = text(v)?;
            NaiveDate::parse_from_str(&t, "%Y-%m-%d").map_err(|_| format!("`{t}` is not a date such as 2026-05-01"))
        },
    );
    let import = import(&s.section("import", true, "price of imported energy"), &currency);
    let export = export(
        &s.section("export", false, "what exported energy is paid; absent: nothing"),
        &currency,
    );
    let demand = demand(
        &s.section("demand", false, "charge on the highest mean of a metering window"),
        &currency,
    );
    s.finish();
    if matches!(export, Some(ExportPrice::Dynamic { .. })) && !matches!(import, Some(ImportPrice::Dynamic { .. })) {
        s.fault(
            "export",
            "a dynamic export price needs a dynamic import price (it follows the same file)",
        );
    }
    Some(Tariff {
        currency,
        time_zone: tz,
        country: country.to_owned(),
        holidays: holidays.unwrap_or_else(Vec::new),
        import: import?,
        import_fee: import_fee?,
        tax: tax?,
        export: export?,
        demand,
        grid_carbon: grid_carbon?,
    })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Flat,
    TimeOfUse,
    Dynamic,
    Blocks,
}

fn import(s: &Section, currency: &str) -> Option<ImportPrice> {
    let forms = [
        ("flat", Form::Flat),
        ("time-of-use", Form::TimeOfUse),
        ("dynamic", Form::Dynamic),
        ("blocks", Form::Blocks),
    ];
    let read = match s.word("kind", &forms, None, "form of the price")? {
        Form::Flat => price(s, "price", currency, None, "per kWh").map(ImportPrice::Flat),
        Form::Dynamic => s
            .text("file", "CSV or JSON in the site folder: ts_utc, price")
            .map(|file| ImportPrice::Dynamic { file }),
        Form::TimeOfUse => time_of_use(s, currency).map(ImportPrice::TimeOfUse),
        Form::Blocks => blocks(s, currency).map(ImportPrice::Blocks),
    };
    s.finish();
    read
}

fn export(s: &Section, currency: &str) -> Option<ExportPrice> {
    if !s.is_there() {
        return Some(ExportPrice::Flat(Price::ZERO));
    }
    let forms = [("flat", Form::Flat), ("dynamic", Form::Dynamic)];
    let read = match s.word("kind", &forms, None, "form of the price")? {
        Form::Dynamic => {
            let share_of = s.quantity_or("share", "100 %", 1.0, "share of the day-ahead price", share);
            let adder = price(s, "adder", currency, Some(0.0), "added to it; may be negative");
            share_of
                .zip(adder)
                .map(|(share, adder)| ExportPrice::Dynamic { share, adder })
        }
        _ => price(s, "price", currency, None, "per kWh").map(ExportPrice::Flat),
    };
    s.finish();
    read
}

fn demand(s: &Section, currency: &str) -> Option<DemandCharge> {
    let per_kw = s.quantity("price", "6490 KRW/kW", "per kW and month", |t| {
        parse_money_per(t, "kW", "6490 KRW/kW")
    });
    let window = s.quantity_or(
        "window",
        "15 min",
        TimeDelta::minutes(15),
        "metering window",
        parse_duration,
    );
    let peak = s.quantity_or(
        "peak_so_far",
        "70 kW",
        Power::ZERO,
        "highest mean already paid this month",
        Power::parse,
    );
    let contract = s.quantity_opt("contract", "120 kW", "contracted power", Power::parse);
    if !s.is_there() {
        return None;
    }
    s.finish();
    let (value, unit) = per_kw?;
    if unit != currency {
        s.fault(
            "price",
            format!("is in {unit}, but the tariff's currency is {currency}"),
        );
    }
    let window = window?;
    if !(TimeDelta::minutes(1)..=TimeDelta::hours(1)).contains(&window) {
        s.fault("window", "must lie between 1 min and 60 min");
    }
    Some(DemandCharge {
        per_kw: Money::of(value),
        window,
        peak_so_far: peak?,
        contract,
    })
}

fn blocks(s: &Section, currency: &str) -> Option<Vec<Block>> {
    let mut blocks = Vec::new();
    for row in s.rows(
        "block",
        true,
        "[[tariff.import.block]] rows, cheapest first; the last without `up_to`",
    ) {
        let up_to = row.quantity_opt("up_to", "200 kWh", "upper end in the month's kWh", Energy::parse);
        let price = price(&row, "price", currency, None, "per kWh in this block");
        row.finish();
        blocks.push(Block { up_to, price: price? });
    }
    let ends: Vec<f64> = blocks.iter().filter_map(|b| b.up_to).map(|e| e.as_kwh()).collect();
    let open = blocks.last().is_some_and(|b| b.up_to.is_none());
    if !open || ends.len() + 1 != blocks.len() || ends.windows(2).any(|w| w[0] >= w[1]) {
        s.fault("block", "blocks must rise, and only the last one is without `up_to`");
        return None;
    }
    Some(blocks)
}

fn time_of_use(s: &Section, currency: &str) -> Option<TimeOfUse> {
    let rows = s.rows(
        "period",
        true,
        "[[tariff.import.period]] rows; together they cover every hour exactly once",
    );
    let periods: Option<Vec<Period>> = rows.iter().map(|r| period(r, currency)).collect();
    let table = TimeOfUse { periods: periods? };
    match gap_or_overlap(&table) {
        None => Some(table),
        Some(why) => {
            s.fault("period", why);
            None
        }
    }
}

fn period(row: &Section, currency: &str) -> Option<Period> {
    let name = row.text("name", "shown to people: peak, mid, off-peak");
    let months = row.list(
        "months",
        Holds::Whole(1, 12),
        false,
        "months it holds in; absent: all",
        |v| whole(v, (1, 12)),
    );
    let days = row.list(
        "days",
        Holds::Words(DAYS.iter().map(|(n, _)| (*n).into()).collect()),
        true,
        "kinds of day",
        |v| {
            let word = text(v)?;
            let found = DAYS.iter().find(|(n, _)| *n == word);
            found
                .map(|(_, k)| *k)
                .ok_or_else(|| format!("`{word}` is no kind of day; allowed: work, saturday, sunday, all"))
        },
    );
    let hours = row.list(
        "hours",
        Holds::Text,
        true,
        "local hours such as \"09:00-12:00\"; may pass midnight",
        |v| minutes(&text(v)?),
    );
    let price = price(row, "price", currency, None, "per kWh");
    row.finish();
    Some(Period {
        name: name?,
        months: months.map_or_else(|| (1..=12).collect(), |m| m.into_iter().map(|n| n as u32).collect()),
        days: days?.concat(),
        minutes: hours?.concat(),
        price: price?,
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
fn gap_or_overlap(table: &TimeOfUse) -> Option<String> {
    let kinds = [
        (DayKind::Work, "working days"),
        (DayKind::Saturday, "Saturdays"),
        (DayKind::Sunday, "Sundays"),
    ];
    for month in 1..=12 {
        for (kind, name) in kinds {
            let mut cover = [0u8; 1440];
            let rows = table
                .periods
                .iter()
                .filter(|p| p.months.contains(&month) && p.days.contains(&kind));
            for (from, to) in rows.flat_map(|p| &p.minutes) {
                cover[*from as usize..*to as usize]
                    .iter_mut()
                    .for_each(|c| *c = c.saturating_add(1));
            }
            if let Some(minute) = cover.iter().position(|c| *c != 1) {
                let what = if cover[minute] == 0 {
                    "no price"
                } else {
                    "more than one price"
                };
                return Some(format!(
                    "{what} for month {month}, {name}, {:02}:{:02}",
                    minute / 60,
                    minute % 60
                ));
            }
        }
    }
    None
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
