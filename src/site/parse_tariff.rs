//! `[tariff]`: what the site pays and is paid; a table with a gap or an overlap is a fault.

use super::parse_periods::{months, time_of_use};
use super::parse_power::{capacity, demand};
use super::parse_ratings::{carbon_per_kwh, price, price_or_none};
use super::reader::Section;
use super::shape::Holds;
use super::values::{share, text};
use crate::tariff::{Block, Bounds, DemandCharge, Export, ExportPrice, Fee, ImportPrice, Overrun, Tariff};
use crate::units::{Energy, Price};
use chrono::NaiveDate;
use chrono_tz::Tz;

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
    let currency = currency(s);
    let import_fee = import_fee(s, &currency);
    let tax = tax(s);
    let doc = "whether price and fees below zero are taxed too (NL, SE: yes; DE, FI: no)";
    let tax_on_negative = s.flag_or("tax_on_negative", true, doc);
    let import_bounds = bounds(s, &currency, ALL_IN);
    let doc = "CO₂ of an imported kWh";
    let grid_carbon = s.quantity_or("grid_carbon", "0.42 kg/kWh", "0 kg/kWh", doc, carbon_per_kwh);
    let holidays = holidays(s);
    let import = import(&s.section("import", true, "price of imported energy"), &currency);
    let followed = match &import {
        Some(ImportPrice::Dynamic { file, .. }) => Some(file.as_str()),
        _ => None,
    };
    let export = s.section("export", false, "what exported energy is paid; absent: nothing");
    let export = export_of(&export, &currency, followed);
    let grid_renewable = grid_renewable(s);
    let doc = "day on which each billing month begins";
    let billing_day = s.whole("billing_day", (1, 28), Some(1), doc);
    let doc = "charge on the highest means of a metering window";
    let demand = demand(&s.section("demand", false, doc), &currency);
    let doc = "subscribed power, and what going beyond it costs";
    let capacity = capacity(&s.section("capacity", false, doc), &currency);
    s.finish();
    let read = Tariff {
        currency,
        time_zone: tz,
        country: country.to_owned(),
        billing_day: u32::try_from(billing_day?).ok()?,
        holidays: holidays.unwrap_or_default(),
        import: import?,
        import_fee: import_fee?,
        tax: tax?,
        tax_on_negative,
        import_bounds,
        export: export?,
        demand,
        capacity,
        grid_carbon: grid_carbon?,
        grid_renewable: grid_renewable?,
    };
    together(s, &read);
    Some(read)
}

/// Faults of what does not hold together.
fn together(s: &Section, t: &Tariff) {
    if let (Some(d), Some(c)) = (&t.demand, &t.capacity)
        && d.window != c.window
    {
        s.fault(
            "capacity",
            "its window must be that of [tariff.demand]: there is one meter",
        );
    }
    let counts_all = |d: &DemandCharge| d.hours.is_none();
    if matches!(t.capacity, Some(c) if matches!(c.overrun, Overrun::Highest(_)))
        && !t.demand.as_ref().is_none_or(counts_all)
    {
        s.fault(
            "capacity",
            "an overrun a kW counts every window, but [tariff.demand] has `days`, `hours` or `months`",
        );
    }
    if matches!(t.import, ImportPrice::Blocks(_)) && !t.import_bounds.is_none() {
        s.fault("import", "blocks take neither `import_floor` nor `import_cap`");
    }
}

/// Keys of a lowest and a highest value, each with what it means.
type BoundKeys = [(&'static str, &'static str); 2];
const ALL_IN: BoundKeys = [
    ("import_floor", "lowest price of an imported kWh with fees and tax"),
    ("import_cap", "highest price of an imported kWh with fees and tax"),
];
const BARE: BoundKeys = [
    ("floor", "lowest value of this price, before fees and tax"),
    ("cap", "highest value of this price, before fees and tax"),
];

/// Lowest and highest value of a price.
fn bounds(s: &Section, currency: &str, [floor, cap]: BoundKeys) -> Bounds {
    let bounds = Bounds {
        floor: price_or_none(s, floor.0, currency, floor.1),
        cap: price_or_none(s, cap.0, currency, cap.1),
    };
    if bounds.floor.zip(bounds.cap).is_some_and(|(floor, cap)| floor > cap) {
        s.fault(floor.0, format!("must not be above `{}`", cap.0));
    }
    bounds
}

/// The tariff's currency; empty where the file names none that is one.
fn currency(s: &Section) -> String {
    let named = s.parsed("currency", "ISO 4217 code of all prices", |t| {
        if is_currency(t) {
            Ok(t.to_owned())
        } else {
            Err(format!("`{t}` is not a currency code such as EUR or KRW"))
        }
    });
    let unknown = if s.is_there() { "" } else { "EUR" };
    named.unwrap_or_else(|| unknown.to_owned())
}

/// One price a kWh, or a table of prices by time.
fn import_fee(s: &Section, currency: &str) -> Option<Fee> {
    let doc = "fees and levies on each imported kWh, before tax; or by time: `[[tariff.import_fee.period]]` rows";
    let by_time = s.table_instead("import_fee", doc, |s| price(s, "import_fee", currency, Some("0"), doc));
    match by_time {
        Err(price) => price.map(Fee::Flat),
        Ok(table) => {
            let read = time_of_use(&table, currency, false).map(Fee::TimeOfUse);
            table.finish();
            read
        }
    }
}

fn tax(s: &Section) -> Option<f64> {
    let tax = s.quantity_or("tax", "21 %", "0 %", "tax on price and fees", share)?;
    if !(0.0..=5.0).contains(&tax) {
        s.fault("tax", "must lie between 0 % and 500 %");
    }
    Some(tax)
}

fn grid_renewable(s: &Section) -> Option<f64> {
    let share = s.quantity_or("grid_renewable", "40 %", "0 %", "share of it that is renewable", share)?;
    if !(0.0..=1.0).contains(&share) {
        s.fault("grid_renewable", "must lie between 0 % and 100 %");
    }
    Some(share)
}

fn holidays(s: &Section) -> Option<Vec<NaiveDate>> {
    let doc = "days billed like Sundays besides the country's own";
    s.list("holidays", Holds::Text, false, doc, |v| {
        let t = text(v)?;
        NaiveDate::parse_from_str(&t, "%Y-%m-%d").map_err(|_| format!("`{t}` is not a date such as 2026-05-01"))
    })
}

const IMPORTS: [&str; 4] = ["flat", "time-of-use", "dynamic", "blocks"];
const EXPORTS: [&str; 3] = ["flat", "time-of-use", "dynamic"];

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
        "dynamic" => {
            let file = s.text("file", "CSV or JSON in the site folder, watched: ts_utc, price");
            let bounds = bounds(s, currency, BARE);
            file.map(|file| ImportPrice::Dynamic { file, bounds })
        }
        "time-of-use" => time_of_use(s, currency, true).map(ImportPrice::TimeOfUse),
        _ => blocks(s, currency).map(ImportPrice::Blocks),
    }
}

/// `followed`: the file of a dynamic import price, which the export price follows where it names no other.
fn export_of(s: &Section, currency: &str, followed: Option<&str>) -> Option<Export> {
    s.forms(&EXPORTS, |form, s| export_price(form, s, currency));
    let form = kind(s, &EXPORTS);
    let unpaid_below = price_or_none(
        s,
        "unpaid_below",
        currency,
        "day-ahead price below which nothing is paid (DE: \"0 EUR/kWh\")",
    );
    let file = s.text_opt(
        "file",
        "its own day-ahead prices, as in [tariff.import]; absent: the import price's",
    );
    let bounds = bounds(s, currency, BARE);
    if !s.is_there() {
        return Some(Export::flat(Price::ZERO));
    }
    let price = export_price(form?, s, currency);
    s.finish();
    let follows = unpaid_below.is_some() || matches!(price, Some(ExportPrice::Dynamic { .. }));
    if !follows && file.is_some() {
        s.fault(
            "file",
            "a price by `kind = \"dynamic\"` or `unpaid_below` follows a file; this one does not",
        );
    }
    let file = file.or_else(|| followed.map(str::to_owned)).filter(|_| follows);
    if follows && file.is_none() {
        s.fault(
            "kind",
            "follows day-ahead prices: write `file = \"prices.csv\"` (the import price has no file that it could follow)",
        );
    }
    Some(Export {
        price: price?,
        file,
        unpaid_below,
        bounds,
    })
}

fn export_price(form: &str, s: &Section, currency: &str) -> Option<ExportPrice> {
    match form {
        "flat" => price(s, "price", currency, None, "price per kWh").map(ExportPrice::Flat),
        "time-of-use" => time_of_use(s, currency, false).map(ExportPrice::TimeOfUse),
        _ => {
            let share = s.quantity_or("share", "100 %", "100 %", "share of the day-ahead price", share);
            let adder = price(s, "adder", currency, Some("0"), "added to it per kWh; may be negative");
            share
                .zip(adder)
                .map(|(share, adder)| ExportPrice::Dynamic { share, adder })
        }
    }
}

fn blocks(s: &Section, currency: &str) -> Option<Vec<Block>> {
    let mut blocks = Vec::new();
    for row in s.rows("block", true, "rows, cheapest first; the last without `up_to`") {
        let up_to = row.quantity_opt("up_to", "200 kWh", "upper end in the month's kWh", Energy::parse);
        let price = price(&row, "price", currency, None, "per kWh in this block");
        let months = months(&row);
        row.finish();
        blocks.push(Block {
            up_to,
            months: months?,
            price: price?,
        });
    }
    let wrong = (1..=12).find(|month| {
        let held: Vec<&Block> = blocks.iter().filter(|b| b.months.contains(month)).collect();
        let ends: Vec<f64> = held.iter().filter_map(|b| b.up_to).map(|e| e.as_kwh()).collect();
        let open = held.last().is_some_and(|b| b.up_to.is_none());
        !open || ends.len() + 1 != held.len() || ends.windows(2).any(|w| w[0] >= w[1])
    });
    if let Some(month) = wrong {
        let why = "blocks must rise, and only the last one is without `up_to`";
        s.fault("block", format!("{why}, in each month: look at month {month}"));
        return None;
    }
    Some(blocks)
}
