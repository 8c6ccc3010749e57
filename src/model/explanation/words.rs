//! Money, powers and times in words; Korean particles by the sound of the word before them.

use crate::model::Language;
use crate::time::Timestamp;
use chrono::{Datelike, Timelike};
use chrono_tz::Tz;

/// Digits behind the point that people use for a currency.
pub fn decimals(currency: &str) -> usize {
    match currency {
        "KRW" | "JPY" => 0,
        _ => 2,
    }
}

/// Amounts below half the smallest coin are none.
pub fn is_nothing(amount: f64, currency: &str) -> bool {
    amount.abs() < 0.5 * 10f64.powi(-(decimals(currency) as i32))
}

/// `1,240` or `0.42`: a magnitude, thousands apart.
pub fn number(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, rest) = text
        .split_once('.')
        .map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let mut grouped = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(c);
    }
    rest.map_or(grouped.clone(), |r| format!("{grouped}.{r}"))
}

/// Powers in kW, one digit below a hundred; tens of watts below a tenth.
pub fn power(kw: f64) -> String {
    if kw.abs() < 0.095 {
        return format!("{:.0} W", (kw.abs() * 100.0).round() * 10.0);
    }
    let digits = usize::from(kw.abs() < 99.95);
    format!("{} kW", number(kw, digits))
}

pub fn energy(kwh: f64) -> String {
    let digits = usize::from(kwh.abs() < 99.95);
    format!("{} kWh", number(kwh, digits))
}

/// Local hour and minute, and whether it is on another local day than `from`.
pub fn clock(t: Timestamp, from: Timestamp, zone: Tz) -> (u32, u32, bool) {
    let local = t.with_timezone(&zone);
    let other_day = local.date_naive() != from.with_timezone(&zone).date_naive();
    (local.hour(), local.minute(), other_day)
}

/// Local date and time in full: `Tue 1 Dec 2026 07:30`, `2026년 12월 1일 7시 30분`.
pub fn moment(t: Timestamp, zone: Tz, language: Language) -> String {
    let local = t.with_timezone(&zone);
    match language {
        Language::En => local.format("%a %-d %b %Y %H:%M").to_string(),
        Language::Ko => {
            let (hour, minute) = (local.hour(), local.minute());
            let minute = if minute == 0 {
                String::new()
            } else {
                format!(" {minute}분")
            };
            format!(
                "{}년 {}월 {}일 {hour}시{minute}",
                local.year(),
                local.month(),
                local.day()
            )
        }
    }
}

/// How the sound before a particle ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Vowel,
    /// ㄹ, which takes 로.
    Rieul,
    Consonant,
}

fn ending(word: &str) -> Ending {
    let last = word.chars().rev().find(|c| c.is_alphanumeric() || *c == '%');
    match last {
        Some(c @ '가'..='힣') => match (c as u32 - '가' as u32) % 28 {
            0 => Ending::Vowel,
            8 => Ending::Rieul,
            _ => Ending::Consonant,
        },
        // 일 칠 팔 엘 알
        Some('1' | '7' | '8' | 'l' | 'L' | 'r' | 'R') => Ending::Rieul,
        // 영 삼 육 엠 엔
        Some('0' | '3' | '6' | 'm' | 'M' | 'n' | 'N') => Ending::Consonant,
        _ => Ending::Vowel,
    }
}

/// The word with the particle that fits: `("배터리", "을", "를")` → `배터리를`. A word that reads as its unit (kW: 와트)
/// ends in a vowel, as its last letter says.
pub fn with(word: &str, after_consonant: &str, after_vowel: &str) -> String {
    let particle = match (ending(word), after_consonant) {
        (Ending::Vowel, _) | (Ending::Rieul, "으로") => after_vowel,
        _ => after_consonant,
    };
    format!("{word}{particle}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn particles_follow_the_sound_before_them() {
        for (word, pair, want) in [
            ("배터리", ("을", "를"), "배터리를"),
            ("발전기", ("이", "가"), "발전기가"),
            ("태양광", ("은", "는"), "태양광은"),
            ("ESS", ("을", "를"), "ESS를"),
            ("충전기 1", ("을", "를"), "충전기 1을"),
            ("충전기 2", ("은", "는"), "충전기 2는"),
            ("충전기 7", ("으로", "로"), "충전기 7로"),
            ("전력", ("으로", "로"), "전력으로"),
            ("1,240원", ("이", "가"), "1,240원이"),
            ("0.42유로", ("이", "가"), "0.42유로가"),
            ("3.2 kW", ("을", "를"), "3.2 kW를"),
            ("건조기(공용)", ("이", "가"), "건조기(공용)이"),
        ] {
            assert_eq!(with(word, pair.0, pair.1), want);
        }
    }

    #[test]
    fn numbers_are_grouped_and_never_signed() {
        assert_eq!(number(-1234567.0, 0), "1,234,567");
        assert_eq!(number(0.425, 2), "0.42");
        assert_eq!(number(999.96, 1), "1,000.0");
        assert_eq!(power(120.0), "120 kW");
        assert_eq!(power(0.0366), "40 W");
    }
}
