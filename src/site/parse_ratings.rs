//! Ratings, shares and prices as every family of components reads them, with the ranges they can have.

use super::reader::Section;
use super::values::{share, time_of_day};
use crate::units::{Power, Price, parse_money_per};
use chrono::NaiveTime;

/// A positive power, at most a gigawatt.
pub fn power(s: &Section, key: &str, doc: &'static str) -> Option<Power> {
    positive(s, key, s.quantity(key, "11 kW", doc, Power::parse), |p| p.as_kw())
}

/// Above 0 and at most a million, in the unit of `number`.
pub fn positive<T: Copy>(s: &Section, key: &str, value: Option<T>, number: impl Fn(T) -> f64) -> Option<T> {
    let v = value?;
    if number(v) > 0.0 && number(v) <= 1e6 {
        return Some(v);
    }
    s.fault(
        key,
        "is not a possible rating: it must be above 0 and at most a million",
    );
    None
}

/// At least 0 and at most a million, in the unit of `number`.
pub fn not_negative<T: Copy>(s: &Section, key: &str, value: Option<T>, number: impl Fn(T) -> f64) -> Option<T> {
    let v = value?;
    if number(v) >= 0.0 && number(v) <= 1e6 {
        return Some(v);
    }
    s.fault(key, "must not be negative (or beyond a million)");
    None
}

/// One way, 0..=1.
pub fn efficiency(s: &Section, key: &str, default: &str, doc: &'static str) -> Option<f64> {
    let v = s.quantity_or(key, "95 %", default, doc, share)?;
    if v > 0.3 && v <= 1.0 {
        return Some(v);
    }
    s.fault(
        key,
        format!("{:.0} % is not a possible efficiency (30 to 100 %)", v * 100.0),
    );
    None
}

/// Whether a price in `unit` fits the tariff's currency; where that is unknown (empty) its own fault is told, and no other.
pub fn is_in(unit: &str, currency: &str) -> bool {
    currency.is_empty() || unit == currency
}

/// The currency of a default: any where the tariff's is unknown.
pub fn or_any(currency: &str) -> &str {
    if currency.is_empty() { "EUR" } else { currency }
}

/// A price per kWh in the site's currency.
pub fn price(s: &Section, key: &str, currency: &str, default: Option<&str>, doc: &'static str) -> Option<Price> {
    let read = match default {
        None => s.quantity(key, "0.32 EUR/kWh", doc, |t| parse_money_per(t, "kWh", "0.32 EUR/kWh")),
        Some(v) => s.quantity_or(
            key,
            "0.32 EUR/kWh",
            &format!("{v} {}/kWh", or_any(currency)),
            doc,
            |t| parse_money_per(t, "kWh", "0.32 EUR/kWh"),
        ),
    };
    let (value, unit) = read?;
    if !is_in(&unit, currency) {
        s.fault(key, format!("is in {unit}, but the tariff's currency is {currency}"));
        return None;
    }
    Some(Price::per_kwh(value))
}

/// A price per kWh of any sign; `None` where the key is absent, or faulty (then it is reported).
pub fn price_or_none(s: &Section, key: &str, currency: &str, doc: &'static str) -> Option<Price> {
    let example = "0.32 EUR/kWh";
    let (value, unit) = s.quantity_opt(key, example, doc, |t| parse_money_per(t, "kWh", example))?;
    if !is_in(&unit, currency) {
        s.fault(key, format!("is in {unit}, but the tariff's currency is {currency}"));
        return None;
    }
    Some(Price::per_kwh(value))
}

/// A price per kWh above 0 that may be absent; outer `None`: faulty.
pub fn price_opt(s: &Section, key: &str, currency: &str, doc: &'static str) -> Option<Option<Price>> {
    price_per(s, key, currency, "kWh", "0.32 EUR/kWh", doc).map(|price| price.map(Price::per_kwh))
}

/// Money above 0 per `unit`, which may be absent; outer `None`: faulty.
pub fn price_per(
    s: &Section,
    key: &str,
    currency: &str,
    unit: &'static str,
    example: &'static str,
    doc: &'static str,
) -> Option<Option<f64>> {
    let read = s.quantity_opt(key, example, doc, |t| parse_money_per(t, unit, example));
    let Some((value, money)) = read else {
        return s.is_absent(key).then_some(None);
    };
    if !is_in(&money, currency) {
        s.fault(key, format!("is in {money}, but the tariff's currency is {currency}"));
        return None;
    }
    if value <= 0.0 {
        s.fault(key, "must be above 0");
        return None;
    }
    Some(Some(value))
}

/// A local time of day.
pub fn time(s: &Section, key: &str, default: &str, doc: &'static str) -> Option<NaiveTime> {
    s.parsed_or(key, default, doc, time_of_day)
}

/// `"0.42 kg/kWh"` or `"420 g/kWh"`.
pub fn carbon_per_kwh(text: &str) -> Result<f64, crate::units::UnitError> {
    let bare = text.trim().strip_suffix("/kWh").unwrap_or(text);
    crate::units::Carbon::parse(bare).map(|c| c.as_kg())
}
