//! Single values of a TOML tree: text, numbers, quantities with units, and how they are shown in a fault.

use crate::units::{self, UnitError};
use toml::de::DeValue;

/// Text with a unit, read by `parse`.
pub fn quantity<T>(
    v: &DeValue,
    example: &'static str,
    parse: impl Fn(&str) -> Result<T, UnitError>,
) -> Result<T, String> {
    match v.as_str() {
        Some(text) => parse(text).map_err(|why| why.to_string()),
        None => Err(format!("{} has no unit; write for example \"{example}\"", shown(v))),
    }
}

/// Text of a value.
pub fn text(v: &DeValue) -> Result<String, String> {
    v.as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("{} is not text in quotes", shown(v)))
}

/// A whole number in `range`.
pub fn whole(v: &DeValue, range: (i64, i64)) -> Result<i64, String> {
    let number = v
        .as_integer()
        .and_then(|i| i64::from_str_radix(i.as_str(), i.radix()).ok());
    match number {
        Some(n) if (range.0..=range.1).contains(&n) => Ok(n),
        _ => Err(format!(
            "{} is not a whole number from {} to {}",
            shown(v),
            range.0,
            range.1
        )),
    }
}

/// A plain number (only where no quantity is meant: weights of a shape).
pub fn number(v: &DeValue) -> Result<f64, String> {
    let text = v
        .as_float()
        .map(|f| f.as_str())
        .or_else(|| v.as_integer().map(|i| i.as_str()));
    let n = text
        .and_then(|t| t.replace('_', "").parse::<f64>().ok())
        .filter(|n| n.is_finite());
    n.ok_or_else(|| format!("{} is not a number", shown(v)))
}

/// A value as the author wrote it, short.
pub fn shown(v: &DeValue) -> String {
    match v {
        DeValue::String(s) => format!("`{}`", s.chars().take(40).collect::<String>()),
        DeValue::Integer(i) => format!("`{}`", i.as_str()),
        DeValue::Float(f) => format!("`{}`", f.as_str()),
        DeValue::Boolean(b) => format!("`{b}`"),
        other => format!("this {}", other.type_str()),
    }
}

/// What was probably meant: the nearest of `names`, at most two letters away.
pub fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let (far, near) = names.map(|n| (distance(n, word), n)).min_by_key(|(d, _)| *d)?;
    (far <= 2).then_some(near)
}

/// Levenshtein distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let next = (diagonal + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

/// Reads a time of day such as `07:30`.
pub fn time_of_day(text: &str) -> Result<chrono::NaiveTime, String> {
    chrono::NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| format!("`{text}` is not a time of day such as 07:30"))
}

/// A share between 0 and 1, written as a percentage.
pub fn share(text: &str) -> Result<f64, UnitError> {
    units::parse_share(text)
}
