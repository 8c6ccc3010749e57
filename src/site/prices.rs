//! What is odd about the prices of a file that can be read: another unit than the tariff's, nothing for now, nothing at all.

use crate::tariff::PriceSeries;
use crate::time::Timestamp;

/// What a kWh roughly costs on a wholesale market, by currency.
///
/// Sources: yearly means of the day-ahead markets 2021-2025 (ENTSO-E for Europe, KPX for KR, JEPX for JP, AEMO for AU), to one
/// figure; only the order of magnitude matters.
const USUAL: [(&str, f64); 16] = [
    ("AUD", 0.1),
    ("BGN", 0.2),
    ("CAD", 0.1),
    ("CHF", 0.1),
    ("CZK", 3.0),
    ("DKK", 0.7),
    ("EUR", 0.1),
    ("GBP", 0.1),
    ("HUF", 40.0),
    ("JPY", 15.0),
    ("KRW", 150.0),
    ("NOK", 0.7),
    ("PLN", 0.5),
    ("RON", 0.5),
    ("SEK", 0.7),
    ("USD", 0.05),
];
/// The middle of a file's prices beyond so many times the usual price is another unit: ct/kWh is 100 times, EUR/MWh 1000 times
/// as much, and the dearest month of 2022 was 5 times as much.
const TOO_MUCH: f64 = 20.0;
/// EUR/Wh.
const TOO_LITTLE: f64 = 0.005;

/// The prices seem to be in another unit than `currency` per kWh.
pub(super) fn wrong_unit(series: &PriceSeries, currency: &str) -> Option<String> {
    let (_, usual) = USUAL.iter().find(|(c, _)| *c == currency)?;
    let mut sizes: Vec<f64> = series
        .published()
        .map(|(_, p)| p.as_per_kwh().abs())
        .filter(|p| *p > 0.0)
        .collect();
    sizes.sort_by(f64::total_cmp);
    let middle = *sizes.get(sizes.len() / 2)?;
    let times = middle / usual;
    let meant = match times {
        t if t > 300.0 => format!("{currency}/MWh: divide by 1000"),
        t if t > TOO_MUCH => "a hundredth of the currency (ct, p, øre) per kWh: divide by 100".to_owned(),
        t if t < TOO_LITTLE => format!("{currency}/Wh: multiply by 1000"),
        _ => return None,
    };
    Some(format!(
        "its middle price is {middle} {currency}/kWh, which power never costs; it looks like {meant}"
    ))
}

/// Nothing is known of now: where the file ends, or where it goes on.
pub(super) fn nothing_now(series: &PriceSeries, now: Timestamp) -> Option<String> {
    if series.at(now).is_some() {
        return None;
    }
    let shown = |t: &Timestamp| t.format("%Y-%m-%d %H:%M UTC").to_string();
    let estimated = "prices are estimated from the days it has, until it is renewed";
    let first = series.published().map(|(t, _)| t).next()?;
    let end = series.end()?;
    Some(if end <= now {
        format!("it ends at {}, in the past: {estimated}", shown(&end))
    } else if first > now {
        format!(
            "it begins at {}, later than now: until then nothing is known",
            shown(&first)
        )
    } else {
        let mut later = series.published().filter(|(t, _)| *t >= now);
        let next = later.next().map(|(t, _)| shown(&t)).unwrap_or_default();
        format!("it has a gap now, until {next}: {estimated}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(prices: &[&str], currency: &str) -> Result<PriceSeries, String> {
        let rows = prices
            .iter()
            .enumerate()
            .map(|(h, p)| format!("2026-05-12T{h:02}:00:00Z,{p}\n"));
        PriceSeries::parse(&format!("ts_utc,price\n{}", rows.collect::<String>()), currency)
    }

    #[test]
    fn prices_per_mwh_and_in_cents_are_told_from_dear_cheap_and_negative_ones() {
        for (currency, prices, part) in [
            (
                "EUR",
                &["88.1", "-5", "120"][..],
                Some("per MWh is written divided by 1000"),
            ),
            ("EUR", &["3.8", "2.9", "0"], Some("divide by 100")),
            ("EUR", &["0.00008", "0.0001"], Some("multiply by 1000")),
            ("EUR", &["0.088", "-0.5", "3.2"], None),
            ("EUR", &["0", "0"], None),
            ("KRW", &["110", "150"], None),
            ("KRW", &["120000", "150000"], Some("per MWh is written divided by 1000")),
            ("NOK", &["35", "42"], Some("øre")),
            ("XYZ", &["88"], None),
        ] {
            let rows = if prices.len() == 1 { &["88", "88"] } else { prices };
            let told = match parsed(rows, currency) {
                Ok(series) => wrong_unit(&series, currency),
                Err(refused) => Some(refused),
            };
            match part {
                Some(part) => assert!(told.as_ref().is_some_and(|t| t.contains(part)), "{prices:?}: {told:?}"),
                None => assert_eq!(told, None, "{prices:?}"),
            }
        }
    }

    #[test]
    fn a_file_without_a_price_for_now_says_why() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let known = parsed(&["0.1", "", "", "0.2"], "EUR").unwrap();
        for (now, part) in [
            ("2026-05-12T00:30:00Z", None),
            ("2026-05-12T01:30:00Z", Some("gap now, until 2026-05-12 03:00")),
            ("2026-05-12T04:00:00Z", Some("in the past")),
            ("2026-05-11T23:00:00Z", Some("later than now")),
        ] {
            let told = nothing_now(&known, at(now));
            match part {
                Some(part) => assert!(told.as_ref().is_some_and(|t| t.contains(part)), "{now}: {told:?}"),
                None => assert_eq!(told, None, "{now}"),
            }
        }
    }
}
