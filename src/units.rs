//! Physical quantities and money as types, so that arithmetic type-checks.
//!
//! Inside: kW, kWh, A, V, °C, kg CO₂ and the site's currency, each a newtype over `f64`.
//! In files people write quantities as text with a unit (`"11 kW"`); [`Power::parse`] and friends read them.
//! No quantity has a `Default`: missing is never zero.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// Why a text is not a quantity; says what would be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UnitError {
    #[error("`{text}` has no unit; write for example \"{example}\"")]
    NoUnit { text: String, example: &'static str },
    #[error("`{unit}` is not a unit of {what}; use {allowed}")]
    WrongUnit {
        unit: String,
        what: &'static str,
        allowed: String,
    },
    #[error("`{text}` is not a number with a unit; write for example \"{example}\"")]
    NotANumber { text: String, example: &'static str },
    #[error("`{text}` has a comma; write {write}")]
    Comma { text: String, write: String },
    #[error("`{text}` is not finite")]
    NotFinite { text: String },
}

/// Splits `"11 kW"` into `(11.0, "kW")`.
fn split<'a>(text: &'a str, example: &'static str) -> Result<(f64, &'a str), UnitError> {
    let text = text.trim();
    let end = text
        .char_indices()
        .find(|(i, c)| {
            let exponent = (*c == 'e' || *c == 'E')
                && text
                    .get(i + 1..)
                    .is_some_and(|rest| rest.starts_with(|n: char| n.is_ascii_digit() || n == '-' || n == '+'));
            !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+') || exponent)
        })
        .map_or(text.len(), |(i, _)| i);
    let (number, unit) = text.split_at(end);
    if unit.starts_with(',') {
        return Err(UnitError::Comma {
            text: text.into(),
            write: with_point(text),
        });
    }
    let number: f64 = number.parse().map_err(|_| UnitError::NotANumber {
        text: text.into(),
        example,
    })?;
    if !number.is_finite() {
        return Err(UnitError::NotFinite { text: text.into() });
    }
    let unit = unit.trim();
    if unit.is_empty() {
        return Err(UnitError::NoUnit {
            text: text.into(),
            example,
        });
    }
    Ok((number, unit))
}

/// A number with commas, as it is to be written: `11,5 kW` is 11.5 kW, `1.234,5 kW` is 1234.5 kW. Three figures behind the one
/// comma are thousands in some countries and decimals in others: both are offered.
fn with_point(text: &str) -> String {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, ',' | '.' | '-' | '+')));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let (before, after) = number.rsplit_once(',').unwrap_or((number, ""));
    let whole: String = before.chars().filter(|c| !matches!(c, '.' | ',')).collect();
    if after.contains('.') || before.contains(',') {
        return format!("\"{whole}{after}{unit}\"");
    }
    let decimal = format!("\"{whole}.{after}{unit}\"");
    let thousands = after.len() == 3 && !before.contains('.');
    if thousands {
        format!("{decimal}, or \"{whole}{after}{unit}\" where thousands are meant")
    } else {
        decimal
    }
}

/// Reads `text` by a table of `(unit, factor)`.
fn parse_with(text: &str, what: &'static str, example: &'static str, units: &[(&str, f64)]) -> Result<f64, UnitError> {
    let (number, unit) = split(text, example)?;
    let known = units.iter().find(|(name, _)| *name == unit);
    let (_, factor) = known.ok_or_else(|| UnitError::WrongUnit {
        unit: unit.into(),
        what,
        allowed: units.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", "),
    })?;
    let value = number * factor;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(UnitError::NotFinite { text: text.into() })
    }
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $ctor:ident, $getter:ident, $what:literal, $unit:literal, $example:literal, [$(($u:literal, $f:expr)),+]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            pub const ZERO: Self = Self(0.0);
            #[doc = concat!("A value given in ", $unit, ".")]
            pub const fn $ctor(value: f64) -> Self {
                Self(value)
            }
            #[doc = concat!("The value in ", $unit, ".")]
            pub const fn $getter(self) -> f64 {
                self.0
            }
            #[doc = concat!("Reads text such as `\"", $example, "\"`.")]
            pub fn parse(text: &str) -> Result<Self, UnitError> {
                parse_with(text, $what, $example, &[$(($u, $f)),+]).map(Self)
            }
            pub fn abs(self) -> Self {
                Self(self.0.abs())
            }
            pub fn min(self, other: Self) -> Self {
                Self(self.0.min(other.0))
            }
            pub fn max(self, other: Self) -> Self {
                Self(self.0.max(other.0))
            }
            /// Like `f64::clamp`, but crossed bounds give the lower one instead of a panic.
            pub fn clamp(self, low: Self, high: Self) -> Self {
                Self(self.0.min(high.0).max(low.0))
            }
            pub fn is_finite(self) -> bool {
                self.0.is_finite()
            }
        }
        impl Add for $name {
            type Output = Self;
            fn add(self, o: Self) -> Self { Self(self.0 + o.0) }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, o: Self) -> Self { Self(self.0 - o.0) }
        }
        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self { Self(-self.0) }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, o: Self) { self.0 += o.0 }
        }
        impl SubAssign for $name {
            fn sub_assign(&mut self, o: Self) { self.0 -= o.0 }
        }
        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, k: f64) -> Self { Self(self.0 * k) }
        }
        impl Div<f64> for $name {
            type Output = Self;
            fn div(self, k: f64) -> Self { Self(self.0 / k) }
        }
        impl Div for $name {
            type Output = f64;
            fn div(self, o: Self) -> f64 { self.0 / o.0 }
        }
        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self { iter.fold(Self(0.0), Add::add) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let places = f.precision().unwrap_or(if self.0.abs() < 10.0 { 2 } else { 1 });
                write!(f, "{:.*} {}", places, self.0, $unit)
            }
        }
    };
}

quantity!(
    /// Active power; positive flows *into* the component (passive sign convention).
    Power, kw, as_kw, "power", "kW", "11 kW", [("kW", 1.0), ("W", 1e-3), ("MW", 1e3)]
);
quantity!(
    /// Energy.
    Energy, kwh, as_kwh, "energy", "kWh", "10 kWh", [("kWh", 1.0), ("Wh", 1e-3), ("MWh", 1e3)]
);
quantity!(
    /// Current of one phase conductor.
    Current, amps, as_amps, "current", "A", "16 A", [("A", 1.0), ("mA", 1e-3), ("kA", 1e3)]
);
quantity!(
    /// Voltage, phase to neutral unless said otherwise.
    Voltage, volts, as_volts, "voltage", "V", "230 V", [("V", 1.0), ("kV", 1e3)]
);
quantity!(
    /// Temperature.
    Temperature, celsius, as_celsius, "temperature", "°C", "21 °C", [("°C", 1.0), ("C", 1.0), ("degC", 1.0)]
);
quantity!(
    /// Mass of CO₂ (equivalent).
    Carbon, kg, as_kg, "carbon", "kg", "120 kg", [("kg", 1.0), ("g", 1e-3), ("t", 1e3)]
);
quantity!(
    /// An angle in degrees (latitude, tilt, azimuth clockwise from north).
    Angle, degrees, as_degrees, "angle", "deg", "35 deg", [("deg", 1.0), ("°", 1.0)]
);
quantity!(
    /// State of charge, 0..=1 of the usable nominal capacity; distinct from stored [`Energy`].
    Soc, ratio, as_ratio, "state of charge", "", "50 %", [("%", 0.01)]
);
quantity!(
    /// Money in the site's currency.
    Money, of, amount, "money", "", "5 EUR", [("EUR", 1.0), ("KRW", 1.0), ("USD", 1.0), ("GBP", 1.0)]
);
quantity!(
    /// Money per kWh in the site's currency.
    Price, per_kwh, as_per_kwh, "price", "/kWh", "0.32 EUR/kWh", [("EUR/kWh", 1.0), ("KRW/kWh", 1.0), ("USD/kWh", 1.0), ("GBP/kWh", 1.0)]
);

/// A share without a unit, written `"97 %"` (efficiencies, taxes); 0..=1 where it is an efficiency.
pub fn parse_share(text: &str) -> Result<f64, UnitError> {
    parse_with(text, "a share", "97 %", &[("%", 0.01)])
}

/// Reads `"0.32 EUR/kWh"` for any currency and any of the given denominators: `(value, currency)`.
pub fn parse_money_per(
    text: &str,
    denominator: &'static str,
    example: &'static str,
) -> Result<(f64, String), UnitError> {
    let (number, unit) = split(text, example)?;
    let wrong = || UnitError::WrongUnit {
        unit: unit.into(),
        what: "a price",
        allowed: format!("<currency>/{denominator}, for example \"{example}\""),
    };
    let (currency, per) = unit.split_once('/').ok_or_else(wrong)?;
    if per != denominator || currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(wrong());
    }
    Ok((number, currency.to_owned()))
}

/// Reads litres of fuel per electric kWh: `"0.28 L/kWh"`.
pub fn parse_litres_per_kwh(text: &str) -> Result<f64, UnitError> {
    parse_with(text, "fuel use", "0.28 L/kWh", &[("L/kWh", 1.0)])
}

/// Reads litres of fuel per hour: `"1.7 L/h"`.
pub fn parse_litres_per_hour(text: &str) -> Result<f64, UnitError> {
    parse_with(text, "fuel use", "1.7 L/h", &[("L/h", 1.0)])
}

/// Reads a length of time: `"15 min"`, `"1 s"`, `"2 h"`, `"3 d"`.
pub fn parse_duration(text: &str) -> Result<TimeDelta, UnitError> {
    let seconds = parse_with(
        text,
        "time",
        "15 min",
        &[
            ("s", 1.0),
            ("ms", 1e-3),
            ("min", 60.0),
            ("m", 60.0),
            ("h", 3600.0),
            ("d", 86400.0),
        ],
    )?;
    // Beyond a century nothing is meant, and far beyond it arithmetic on time would overflow.
    if seconds.abs() > 3.2e9 {
        return Err(UnitError::NotFinite { text: text.into() });
    }
    Ok(TimeDelta::milliseconds((seconds * 1e3).round() as i64))
}

/// Length in hours, the time unit of energy.
pub fn hours(d: TimeDelta) -> f64 {
    d.num_milliseconds() as f64 / 3.6e6
}

impl Mul<TimeDelta> for Power {
    type Output = Energy;
    fn mul(self, d: TimeDelta) -> Energy {
        Energy(self.0 * hours(d))
    }
}
impl Div<TimeDelta> for Energy {
    type Output = Power;
    fn div(self, d: TimeDelta) -> Power {
        Power(self.0 / hours(d))
    }
}
impl Mul<Price> for Energy {
    type Output = Money;
    fn mul(self, p: Price) -> Money {
        Money(self.0 * p.0)
    }
}
impl Mul<Energy> for Price {
    type Output = Money;
    fn mul(self, e: Energy) -> Money {
        Money(self.0 * e.0)
    }
}
impl Mul<Voltage> for Current {
    type Output = Power;
    fn mul(self, v: Voltage) -> Power {
        Power(self.0 * v.0 / 1e3)
    }
}
impl Div<Voltage> for Power {
    type Output = Current;
    fn div(self, v: Voltage) -> Current {
        Current(self.0 * 1e3 / v.0)
    }
}
impl Mul<Energy> for Soc {
    type Output = Energy;
    fn mul(self, capacity: Energy) -> Energy {
        Energy(self.0 * capacity.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_with_their_unit() {
        assert_eq!(Power::parse("11 kW"), Ok(Power::kw(11.0)));
        assert_eq!(Power::parse("500W"), Ok(Power::kw(0.5)));
        assert_eq!(Soc::parse("97 %"), Ok(Soc::ratio(0.97)));
        assert_eq!(
            parse_money_per("6490 KRW/kW", "kW", "5 EUR/kW"),
            Ok((6490.0, "KRW".into()))
        );
        assert_eq!(parse_duration("15 min"), Ok(TimeDelta::minutes(15)));
    }

    #[test]
    fn a_bare_number_or_a_wrong_unit_is_refused_with_what_would_do() {
        assert!(matches!(Power::parse("11"), Err(UnitError::NoUnit { .. })));
        let wrong = Power::parse("11 kWh").unwrap_err().to_string();
        assert!(wrong.contains("kW, W, MW"), "{wrong}");
        assert!(Power::parse("").is_err() && Power::parse("kW").is_err() && Power::parse("1e999 kW").is_err());
    }

    #[test]
    fn a_decimal_comma_is_answered_with_the_number_to_write() {
        for (text, write) in [
            ("11,5 kW", "write \"11.5 kW\""),
            ("-0,25kW", "write \"-0.25kW\""),
            ("1.234,5 kW", "write \"1234.5 kW\""),
            ("1,234.5 kW", "write \"1234.5 kW\""),
            ("1,234,500 W", "write \"1234500 W\""),
            ("1,500 W", "write \"1.500 W\", or \"1500 W\" where thousands are meant"),
        ] {
            let why = Power::parse(text).unwrap_err().to_string();
            assert!(why.ends_with(write), "{why}");
        }
        let price = parse_money_per("0,32 EUR/kWh", "kWh", "0.32 EUR/kWh")
            .unwrap_err()
            .to_string();
        assert!(price.contains("write \"0.32 EUR/kWh\""), "{price}");
        assert!(
            parse_duration("1,5 h").is_err() && parse_share("97,5 %").is_err() && Angle::parse("51,92 deg").is_err()
        );
    }

    #[test]
    fn power_times_time_is_energy() {
        assert_eq!(Power::kw(2.0) * TimeDelta::minutes(15), Energy::kwh(0.5));
        assert_eq!(Current::amps(10.0) * Voltage::volts(230.0), Power::kw(2.3));
    }
}
