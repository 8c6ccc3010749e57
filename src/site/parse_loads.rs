//! Loads: what is expected of one before there is any history, run-once loads, loads that may be shed.

use super::parse_ratings::{positive, power, price, time};
use super::plant::*;
use super::reader::Section;
use super::shape::Holds;
use super::values::{number, share};
use crate::units::{Energy, Power, parse_duration};
use chrono::TimeDelta;

/// Named shapes of a day, weight of each local hour.
const HOUSEHOLD: [f64; 24] = [
    0.6, 0.55, 0.5, 0.5, 0.5, 0.55, 0.8, 1.2, 1.15, 0.95, 0.85, 0.85, 0.95, 0.9, 0.85, 0.85, 0.95, 1.3, 1.75, 1.8,
    1.65, 1.4, 1.05, 0.75,
];
const COMMON_PLANT: [f64; 24] = [
    0.75, 0.7, 0.68, 0.68, 0.7, 0.8, 1.0, 1.2, 1.15, 1.0, 0.95, 0.95, 1.0, 0.98, 0.95, 0.97, 1.05, 1.2, 1.35, 1.35,
    1.25, 1.15, 1.0, 0.85,
];
const VILLAGE: [f64; 24] = [
    0.6, 0.55, 0.55, 0.55, 0.6, 0.75, 0.95, 1.05, 1.0, 0.95, 0.95, 1.0, 1.05, 1.0, 0.95, 0.95, 1.05, 1.3, 1.65, 1.7,
    1.55, 1.25, 0.95, 0.75,
];

/// `expected` keys: what is known of a load before there is any history.
pub fn expected(s: &Section) -> Option<ExpectedLoad> {
    let daily = positive(
        s,
        "daily",
        s.quantity("daily", "10 kWh", "mean energy a day", Energy::parse),
        |e| e.as_kwh(),
    );
    let shapes = [
        ("household", HOUSEHOLD),
        ("common-plant", COMMON_PLANT),
        ("village", VILLAGE),
        ("flat", [1.0; 24]),
    ];
    let shape = s.word("shape", &shapes, Some("household"), "typical course of a day");
    let hours = s.list(
        "hours",
        Holds::Number(0.0, 1000.0),
        false,
        "own course of a day: 24 weights",
        number,
    );
    let share_of = |key, default, doc| s.quantity_or(key, "110 %", default, doc, share);
    let (saturday, sunday) = (
        share_of("saturday", "100 %", "Saturday against a working day"),
        share_of("sunday", "100 %", "Sunday and holiday against a working day"),
    );
    let max = s.quantity_opt(
        "max",
        "8 kW",
        "highest power ever expected; default 6 × mean",
        Power::parse,
    );
    let shape = match hours {
        Some(h) if h.len() == 24 && h.iter().all(|w| *w >= 0.0) && h.iter().any(|w| *w > 0.0) => h,
        Some(_) => {
            s.fault("hours", "needs 24 weights, none negative, not all zero");
            return None;
        }
        None => shape?.to_vec(),
    };
    let mean = shape.iter().sum::<f64>() / 24.0;
    for (key, factor) in [("saturday", saturday), ("sunday", sunday)] {
        if factor.is_some_and(|f| !(0.0..=10.0).contains(&f)) {
            s.fault(key, "must lie between 0 % and 1000 %");
        }
    }
    let daily = daily?;
    if max.is_some_and(|m| m < daily / TimeDelta::hours(24)) {
        s.fault("max", "is below the mean power that `daily` means");
    }
    Some(ExpectedLoad {
        daily,
        shape: shape.iter().map(|w| w / mean).collect(),
        saturday: saturday?,
        sunday: sunday?,
        max: max.unwrap_or(daily / TimeDelta::hours(24) * 6.0),
    })
}

pub fn shiftable(s: &Section) -> Option<ShiftableLoad> {
    let power = power(s, "power", "power while it runs");
    let duration = s.quantity("duration", "2 h", "length of the daily run", parse_duration);
    let earliest = time(s, "earliest", "08:00", "may start from then on, local");
    let latest = time(s, "latest", "20:00", "must be over by then, local");
    let (duration, earliest, latest) = (duration?, earliest?, latest?);
    let window = latest - earliest;
    if duration <= TimeDelta::zero() || window < duration {
        s.fault(
            "latest",
            "the window from `earliest` to `latest` is shorter than `duration`",
        );
        return None;
    }
    Some(ShiftableLoad {
        power: power?,
        duration,
        earliest,
        latest,
    })
}

pub fn sheddable(s: &Section, currency: &str) -> Option<SheddableLoad> {
    let priority = s.whole("priority", (1, 9), None, "1 is shed last");
    let value = price(
        s,
        "value",
        currency,
        None,
        "worth of a kWh served; below the price of energy the load runs only when energy is cheap, above it the load is shed only for want of energy",
    );
    let expected = expected(s);
    Some(SheddableLoad {
        expected: expected?,
        priority: priority? as u8,
        value: value?,
    })
}
