//! `[tariff]`: what the site pays and is paid; a table with a gap or an overlap is a fault.

use super::parse_ratings::{carbon_per_kwh, is_in, price};
use super::reader::Section;
use super::shape::Holds;
use super::values::{share, text, whole};
use crate::tariff::{
    Block, CapacityCharge, DemandCharge, ExportPrice, ImportPrice, Overrun, Period, Tariff, TimeOfUse,
};
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

/// The currency that a file's tariff names; empty where it names none that is one, and the example's where there is no tariff.
pub fn currency_of<'a>(root: &Section<'a, '_>) -> &'a str {
    let named = root.peek_in("tariff", "currency").filter(|t| is_currency(t));
    named.unwrap_or(if root.is_absent("tariff") { "EUR" } else { "" })
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase())
}

/// Reads the tariff of a site in `tz`.
pub fn tariff(s: &Section, tz: Tz, country: &str) -> Option<Tariff> {
    let currency = s.parsed("currency", "ISO 4217 code of all prices", |t| {
        if is_currency(t) {
            Ok(t.to_owned())
        } else {
            Err(format!("`{t}` is not a currency code such as EUR or KRW"))
        }
    });
    let unknown = if s.is_there() { "" } else { "EUR" };
    let currency = currency.unwrap_or_else(|| unknown.to_owned());
    let import_fee = price(
        s,
        "import_fee",
        &currency,
        Some("0"),
        "fees and levies on each imported kWh, before tax",
    );
    let tax = s.quantity_or("tax", "21 %", "0 %", "tax on price and fees", share);
    let grid_carbon = s.quantity_or(
        "grid_carbon",
        "0.42 kg/kWh",
        "0 kg/kWh",
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
    let grid_renewable = s.quantity_or("grid_renewable", "40 %", "0 %", "share of it that is renewable", share);
    let demand = demand(
        &s.section("demand", false, "charge on the highest mean of a metering window"),
        &currency,
    );
    let capacity = capacity(
        &s.section("capacity", false, "subscribed power, and what going beyond it costs"),
        &currency,
    );
    s.finish();
    if grid_renewable.is_some_and(|r| !(0.0..=1.0).contains(&r)) {
        s.fault("grid_renewable", "must lie between 0 % and 100 %");
    }
    if let (Some(d), Some(c)) = (&demand, &capacity)
        && d.window != c.window
    {
        s.fault(
            "capacity",
            "its window must be that of [tariff.demand]: there is one meter",
        );
    }
    if tax.is_some_and(|t| !(0.0..=5.0).contains(&t)) {
        s.fault("tax", "must lie between 0 % and 500 %");
    }
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
        holidays: holidays.unwrap_or_default(),
        import: import?,
        import_fee: import_fee?,
        tax: tax?,
        export: export?,
        demand,
        capacity,
        grid_carbon: grid_carbon?,
        grid_renewable: grid_renewable?,
    })
}

const IMPORTS: [&str; 4] = ["flat", "time-of-use", "dynamic", "blocks"];
const EXPORTS: [&str; 2] = ["flat", "dynamic"];

/// The word under `kind`.
fn kind<'w>(s: &Section, words: &[&'w str]) -> Option<&'w str> {
    let pairs: Vec<(&str, &str)> = words.iter().map(|w| (*w, *w)).collect();
    s.word("kind", &pairs, None, "form of the price")
}

fn import(s: &Section, currency: &str) -> Option<ImportPrice> {
    s.forms(&IMPORTS, |form, s| import_as(form, s, currency));
    let read = import_as(kind(s, &IMPORTS)?, s, currency);
    s.finish();
    read
}

fn import_as(form: &str, s: &Section, currency: &str) -> Option<ImportPrice> {
    match form {
        "flat" => price(s, "price", currency, None, "price per kWh").map(ImportPrice::Flat),
        "dynamic" => s
            .text("file", "CSV or JSON in the site folder, watched: ts_utc, price")
            .map(|file| ImportPrice::Dynamic { file }),
        "time-of-use" => time_of_use(s, currency).map(ImportPrice::TimeOfUse),
        _ => blocks(s, currency).map(ImportPrice::Blocks),
    }
}

fn export(s: &Section, currency: &str) -> Option<ExportPrice> {
    s.forms(&EXPORTS, |form, s| export_as(form, s, currency));
    let form = kind(s, &EXPORTS);
    if !s.is_there() {
        return Some(ExportPrice::Flat(Price::ZERO));
    }
    let read = export_as(form?, s, currency);
    s.finish();
    read
}

fn export_as(form: &str, s: &Section, currency: &str) -> Option<ExportPrice> {
    if form == "flat" {
        return price(s, "price", currency, None, "price per kWh").map(ExportPrice::Flat);
    }
    let share = s.quantity_or("share", "100 %", "100 %", "share of the day-ahead price", share);
    let adder = price(s, "adder", currency, Some("0"), "added to it per kWh; may be negative");
    share
        .zip(adder)
        .map(|(share, adder)| ExportPrice::Dynamic { share, adder })
}

fn demand(s: &Section, currency: &str) -> Option<DemandCharge> {
    let per_kw = s.quantity("price", "6490 KRW/kW", "per kW and month", |t| {
        parse_money_per(t, "kW", "6490 KRW/kW")
    });
    let (window, peak) = (window(s), peak_so_far(s));
    let contract = s.quantity_opt("contract", "120 kW", "contracted power", Power::parse);
    if !s.is_there() {
        return None;
    }
    s.finish();
    let (value, unit) = per_kw?;
    if !is_in(&unit, currency) {
        s.fault(
            "price",
            format!("is in {unit}, but the tariff's currency is {currency}"),
        );
    }
    if value < 0.0 {
        s.fault("price", "must not be negative");
    }
    Some(DemandCharge {
        per_kw: Money::of(value),
        window: window?,
        peak_so_far: peak?,
        contract,
    })
}

/// Metering window of power.
fn window(s: &Section) -> Option<TimeDelta> {
    let window = s.quantity_or("window", "15 min", "15 min", "metering window", parse_duration)?;
    if !(TimeDelta::minutes(1)..=TimeDelta::hours(1)).contains(&window) {
        s.fault("window", "must lie between 1 min and 60 min");
    }
    Some(window)
}

fn peak_so_far(s: &Section) -> Option<Power> {
    let doc = "highest mean already paid this month";
    let peak = s.quantity_or("peak_so_far", "70 kW", "0 kW", doc, Power::parse)?;
    if peak < Power::ZERO {
        s.fault("peak_so_far", "must not be negative");
    }
    Some(peak)
}

fn capacity(s: &Section, currency: &str) -> Option<CapacityCharge> {
    let subscribed = s.quantity("subscribed", "6 kW", "power that is paid for anyway", Power::parse);
    let overrun = s.parsed(
        "overrun",
        "of the month's highest mean beyond it (\"9 EUR/kW\"), or of every kWh beyond it (\"0.40 EUR/kWh\")",
        |text| overrun(text, currency),
    );
    let (window, peak) = (window(s), peak_so_far(s));
    if !s.is_there() {
        return None;
    }
    s.finish();
    if subscribed.is_some_and(|p| !(p > Power::ZERO && p.as_kw() <= 1e6)) {
        s.fault("subscribed", "must be above 0");
    }
    Some(CapacityCharge {
        subscribed: subscribed?,
        overrun: overrun?,
        window: window?,
        peak_so_far: peak?,
    })
}

/// `"9 EUR/kW"` or `"0.40 EUR/kWh"`.
fn overrun(text: &str, currency: &str) -> Result<Overrun, String> {
    let read = |unit, example| parse_money_per(text, unit, example).map_err(|why| why.to_string());
    let ((value, unit), per_kwh) = match text.trim_end().ends_with("/kWh") {
        true => (read("kWh", "0.40 EUR/kWh")?, true),
        false => (read("kW", "9 EUR/kW")?, false),
    };
    if !is_in(&unit, currency) {
        return Err(format!("is in {unit}, but the tariff's currency is {currency}"));
    }
    match (value >= 0.0, per_kwh) {
        (false, _) => Err("must not be negative".into()),
        (true, true) => Ok(Overrun::Energy(Price::per_kwh(value))),
        (true, false) => Ok(Overrun::Highest(Money::of(value))),
    }
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
    let read: Vec<(Option<Cover>, Option<Period>)> = rows.iter().map(|r| period(r, currency)).collect();
    let (covers, periods): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    // A row whose hours are not known leaves a gap of its own making; a row whose price is not known does not.
    let covers: Option<Vec<Cover>> = covers.into_iter().collect();
    if let Some(why) = gap_or_overlap(&covers?) {
        s.fault("period", why);
        return None;
    }
    let periods: Option<Vec<Period>> = periods.into_iter().collect();
    periods.map(|periods| TimeOfUse { periods })
}

/// When a row holds.
#[derive(Debug, Clone)]
struct Cover {
    months: Vec<u32>,
    days: Vec<DayKind>,
    minutes: Vec<(u32, u32)>,
}

fn period(row: &Section, currency: &str) -> (Option<Cover>, Option<Period>) {
    let name = row.text("name", "shown to people: peak, mid, off-peak");
    let cover = cover(row);
    let price = price(row, "price", currency, None, "price per kWh");
    row.finish();
    let period = cover.clone().zip(name).zip(price).map(|((c, name), price)| Period {
        name,
        months: c.months,
        days: c.days,
        minutes: c.minutes,
        price,
    });
    (cover, period)
}

fn cover(row: &Section) -> Option<Cover> {
    let doc = "months it holds in; absent: all";
    let months = row.list("months", Holds::Whole(1, 12), false, doc, |v| whole(v, (1, 12)));
    let words = DAYS.iter().map(|(n, _)| (*n).into()).collect();
    let days = row.list("days", Holds::Words(words), true, "kinds of day", |v| {
        let word = text(v)?;
        let found = DAYS.iter().find(|(n, _)| *n == word);
        found
            .map(|(_, k)| *k)
            .ok_or_else(|| format!("`{word}` is no kind of day; allowed: work, saturday, sunday, all"))
    });
    let doc = "local hours such as \"09:00-12:00\"; may pass midnight";
    let hours = row.list("hours", Holds::Text, true, doc, |v| minutes(&text(v)?));
    let months = if row.is_absent("months") {
        (1..=12).collect()
    } else {
        months?.into_iter().map(|n| n as u32).collect()
    };
    Some(Cover {
        months,
        days: days?.concat(),
        minutes: hours?.concat(),
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
fn gap_or_overlap(rows: &[Cover]) -> Option<String> {
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
fn miscovered(rows: &[Cover], month: u32, kind: DayKind) -> Option<(usize, u32)> {
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
