//! What power costs: demand charge and subscribed power.

use super::parse_periods::hours_opt;
use super::parse_ratings::is_in;
use super::reader::Section;
use super::shape::Holds;
use super::values::{share, whole};
use crate::tariff::{CapacityCharge, DemandCharge, Overrun, Ratchet};
use crate::units::{Money, Power, Price, parse_duration, parse_money_per};
use chrono::TimeDelta;

/// Most windows whose mean is billed.
const MOST_PEAKS: i64 = 31;

pub fn demand(s: &Section, currency: &str) -> Option<DemandCharge> {
    let per_kw = s.quantity("price", "6490 KRW/kW", "per kW and month", |t| {
        parse_money_per(t, "kW", "6490 KRW/kW")
    });
    let window = window(s);
    let doc = "the mean of so many highest windows of the month is billed";
    let peaks = s.whole("peaks", (1, MOST_PEAKS), Some(1), doc);
    let one_a_day = s.flag_or("one_a_day", false, "of each day only its highest window counts");
    let hours = hours_opt(s);
    let minimum = s.quantity_or(
        "minimum",
        "2.5 kW",
        "0 kW",
        "billed at least in every month",
        Power::parse,
    );
    let peak = peak_so_far(s);
    let ratchet = ratchet(s);
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
    if minimum.is_some_and(|m| m < Power::ZERO) {
        s.fault("minimum", "must not be negative");
    }
    Some(DemandCharge {
        per_kw: Money::of(value),
        window: window?,
        peaks: usize::try_from(peaks?).ok()?,
        one_a_day,
        hours: hours?,
        minimum: minimum?,
        ratchet: ratchet?,
        peak_so_far: peak?,
        contract,
    })
}

/// A share of the highest window of the last twelve months; outer `None`: faulty.
fn ratchet(s: &Section) -> Option<Option<Ratchet>> {
    let doc = "share of the highest window of the last twelve months that is billed at least";
    let part = s.quantity_opt("ratchet", "80 %", doc, share);
    let doc = "months whose peaks the ratchet counts; absent: all";
    let months = s.list("ratchet_months", Holds::Whole(1, 12), false, doc, |v| whole(v, (1, 12)));
    let doc = "highest window of those when the site starts";
    let peak = s.quantity_or("ratchet_peak", "110 kW", "0 kW", doc, Power::parse);
    let faulty = s.is_absent("ratchet_months") != months.is_none() || s.is_absent("ratchet") != part.is_none();
    let Some(part) = part.filter(|_| !faulty) else {
        for key in ["ratchet_months", "ratchet_peak"] {
            if s.is_absent("ratchet") && !s.is_absent(key) {
                s.fault(key, "says nothing without `ratchet`, the share that is billed");
            }
        }
        return (!faulty).then_some(None);
    };
    if !(0.0..=1.0).contains(&part) {
        s.fault("ratchet", "must lie between 0 % and 100 %");
    }
    let all = || (1..=12).collect();
    Some(Some(Ratchet {
        share: part,
        months: months.map_or_else(all, |m| m.into_iter().map(|n| n as u32).collect()),
        peak_so_far: peak?,
    }))
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

pub fn capacity(s: &Section, currency: &str) -> Option<CapacityCharge> {
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
