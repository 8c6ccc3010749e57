//! The price file: CSV or JSON in, rows with start, end and price out; whatever cannot be read right is refused with its line.

use crate::time::{Timestamp, is_believable};
use crate::units::Price;
use chrono::TimeDelta;

/// One row as it holds; `price` is `None` where the cell is empty.
pub(super) struct Held {
    pub start: Timestamp,
    pub end: Timestamp,
    pub price: Option<Price>,
}

/// One row as written.
struct Written {
    line: usize,
    start: Timestamp,
    price: Option<f64>,
}

/// One row of a JSON price file.
#[derive(serde::Deserialize)]
struct JsonRow {
    ts_utc: String,
    price: Option<f64>,
}

/// Lengths of rows that markets use, in minutes: a file may change from one to another.
const MARKET_STEPS: [i64; 6] = [5, 10, 15, 20, 30, 60];
/// A row holds for a day at most; two rows further apart say nothing about their length.
const LONGEST_MIN: i64 = 24 * 60;

/// Largest magnitude of a price per kWh that is believed, by currency. What it must find is the factor of 1,000 between a
/// price per MWh and one per kWh. EUR: the harmonised maximum of the European day-ahead market, 4,000 EUR/MWh, and one of
/// its automatic raises (ACER decision 01/2023). GBP: value of lost load in the imbalance price, 6,000 GBP/MWh (BSC).
/// USD: system-wide offer cap of ERCOT, 5,000 USD/MWh. AUD: market price cap of the NEM, 20,300 AUD/MWh in 2025–26,
/// raised each year (AEMC). JPY: highest bid of JEPX, 999 JPY/kWh. Others: 5 EUR at the exchange rate, rounded up.
const MOST_PER_KWH: [(&str, f64); 15] = [
    ("EUR", 5.0),
    ("CHF", 5.0),
    ("GBP", 6.0),
    ("USD", 5.0),
    ("AUD", 25.0),
    ("NZD", 25.0),
    ("JPY", 1000.0),
    ("KRW", 10_000.0),
    ("DKK", 40.0),
    ("SEK", 60.0),
    ("NOK", 60.0),
    ("PLN", 25.0),
    ("CZK", 150.0),
    ("HUF", 2500.0),
    ("RON", 30.0),
];
/// For other currencies: even the smallest (VND, IDR, IRR) have no such price of a kWh.
const MOST_ELSEWHERE: f64 = 1e6;

fn most_per_kwh(currency: &str) -> f64 {
    let known = MOST_PER_KWH.iter().find(|(code, _)| *code == currency);
    known.map_or(MOST_ELSEWHERE, |(_, most)| *most)
}

/// Reads the file; the error is one sentence with the line.
pub(super) fn read(text: &str, currency: &str) -> Result<Vec<Held>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let rows = if text.trim_start().starts_with('[') {
        json_rows(text)?
    } else {
        csv_rows(text)?
    };
    let minutes = lengths(&rows)?;
    rows.into_iter()
        .zip(minutes)
        .map(|(row, minutes)| {
            Ok(Held {
                start: row.start,
                end: row.start + TimeDelta::minutes(minutes),
                price: row.price.map(|p| believed(p, row.line, currency)).transpose()?,
            })
        })
        .collect()
}

fn believed(price: f64, line: usize, currency: &str) -> Result<Price, String> {
    let most = most_per_kwh(currency);
    if !price.is_finite() {
        return Err(format!(
            "line {line}: {price} is not a price; leave the cell empty where none is known"
        ));
    }
    if price.abs() > most {
        let divided = price / 1000.0;
        return Err(format!(
            "line {line}: {price:?} {currency}/kWh is not believed (at most {most}); a price per MWh is written divided by \
             1000 ({divided:?})"
        ));
    }
    Ok(Price::per_kwh(price))
}

fn csv_rows(text: &str) -> Result<Vec<Written>, String> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(i, l)| (i + 1, l.trim()))
        .filter(|(_, l)| !l.is_empty());
    let (_, header) = lines
        .next()
        .ok_or("the file is empty; its first line should be `ts_utc,price`")?;
    let columns: Vec<&str> = header.split(',').map(str::trim).collect();
    let first = columns.first().copied().unwrap_or_default();
    if first != "ts_utc" {
        return Err(format!(
            "line 1: the first column is `{}`; it should be `ts_utc`, and commas separate the columns",
            shown(first)
        ));
    }
    let column = columns.iter().position(|c| c.starts_with("price")).unwrap_or(1);
    let name = columns.get(column).copied().unwrap_or_default();
    if name.to_ascii_lowercase().contains("mwh") {
        return Err(format!(
            "line 1: `{}` is per MWh; write prices per kWh (divided by 1000) in a column `price`",
            shown(name)
        ));
    }
    lines
        .map(|(line, text)| csv_row(line, text, &columns, column))
        .collect()
}

fn csv_row(line: usize, text: &str, columns: &[&str], column: usize) -> Result<Written, String> {
    let cells: Vec<&str> = text.split(',').map(str::trim).collect();
    if cells.len() > columns.len() {
        return Err(format!(
            "line {line}: {} cells, but the header names {}; write decimals with a point (0.31), not with a comma",
            cells.len(),
            columns.len()
        ));
    }
    let cell = cells.get(column).ok_or_else(|| {
        format!(
            "line {line}: there is no column {}; an unknown price is an empty cell",
            column + 1
        )
    })?;
    let price = match *cell {
        "" => None,
        number => Some(number.parse().map_err(|_| {
            format!(
                "line {line}: `{}` is not a price; write for example 0.31",
                shown(number)
            )
        })?),
    };
    let start = instant(cells.first().copied().unwrap_or_default(), line)?;
    Ok(Written { line, start, price })
}

fn json_rows(text: &str) -> Result<Vec<Written>, String> {
    let rows: Vec<JsonRow> =
        serde_json::from_str(text).map_err(|why| format!("line {}: {}", why.line(), cut(&why.to_string(), 160)))?;
    rows.into_iter()
        .enumerate()
        .map(|(i, r)| {
            Ok(Written {
                line: i + 1,
                start: instant(&r.ts_utc, i + 1)?,
                price: r.price,
            })
        })
        .collect()
}

fn instant(text: &str, line: usize) -> Result<Timestamp, String> {
    let t = chrono::DateTime::parse_from_rfc3339(text)
        .map(|t| t.to_utc())
        .map_err(|_| {
            let text = shown(text);
            format!("line {line}: `{text}` is not a UTC instant such as 2026-05-12T00:00:00Z")
        })?;
    if !is_believable(t) {
        return Err(format!("line {line}: the year of {t} is not believed (1970 to 2199)"));
    }
    if t.timestamp() % 60 != 0 || t.timestamp_subsec_nanos() != 0 {
        return Err(format!(
            "line {line}: {t} is not a full minute; rows start at full minutes, one minute apart or more"
        ));
    }
    Ok(t)
}

/// What a file says, short enough for a sentence.
fn shown(text: &str) -> String {
    cut(text, 40)
}

fn cut(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

/// Rows at the same distance from each other.
struct Run {
    /// Index of the first row.
    from: usize,
    count: usize,
    minutes: i64,
}

/// How long each row holds, in minutes: its own step, never beyond the next row.
fn lengths(rows: &[Written]) -> Result<Vec<i64>, String> {
    let runs = runs(rows)?;
    let steps: Vec<bool> = (0..runs.len()).map(|i| is_step(rows, &runs, i)).collect();
    let is_step = |i: usize| steps.get(i) == Some(&true);
    // Before a gap the rows hold as long as those before it; a gap at the start is measured by what follows.
    let first = runs
        .iter()
        .enumerate()
        .find(|(i, _)| is_step(*i))
        .map(|(_, r)| r.minutes);
    let mut holds = first.unwrap_or(LONGEST_MIN);
    let mut lengths = Vec::with_capacity(rows.len());
    for (i, run) in runs.iter().enumerate() {
        if is_step(i) {
            holds = run.minutes;
        }
        let off_beat = !is_step(i) && run.count >= 2 && MARKET_STEPS.contains(&run.minutes);
        if off_beat || holds > run.minutes || run.minutes % holds != 0 || holds > LONGEST_MIN {
            let next = rows.get(run.from + 1);
            let (line, start) = next.map_or((0, String::new()), |r| (r.line, r.start.to_string()));
            return Err(format!(
                "line {line}: {start} comes {} min after the row before, where rows hold {} min; write rows at equal steps, \
                 with an empty price where none is known",
                run.minutes,
                holds.min(LONGEST_MIN)
            ));
        }
        lengths.extend(std::iter::repeat_n(holds, run.count));
    }
    lengths.extend(lengths.last().copied());
    Ok(lengths)
}

/// Rows in runs of equal distance; the last row has none.
fn runs(rows: &[Written]) -> Result<Vec<Run>, String> {
    let mut runs: Vec<Run> = Vec::new();
    for (i, (row, next)) in rows.iter().zip(rows.iter().skip(1)).enumerate() {
        let minutes = (next.start - row.start).num_minutes();
        if minutes == 0 {
            return Err(format!("line {}: {} stands twice", next.line, next.start));
        }
        if minutes < 0 {
            return Err(format!(
                "line {}: {} is not after the line before",
                next.line, next.start
            ));
        }
        match runs.last_mut() {
            Some(run) if run.minutes == minutes => run.count += 1,
            _ => runs.push(Run {
                from: i,
                count: 1,
                minutes,
            }),
        }
    }
    if runs.is_empty() {
        return Err("a price file needs at least two rows".into());
    }
    Ok(runs)
}

/// Whether a run is the step of its rows; else rows are missing in it. A distance shorter than those around it is a step.
/// A longer one is a step where a market has such rows: twice or more in a row, of a market's length, on its beat.
fn is_step(rows: &[Written], runs: &[Run], i: usize) -> bool {
    let Some(run) = runs.get(i) else { return false };
    let longer = |j: Option<usize>| j.and_then(|j| runs.get(j)).is_none_or(|r| r.minutes > run.minutes);
    if longer(i.checked_sub(1)) && longer(i.checked_add(1)) {
        return true;
    }
    let on_beat = rows
        .get(run.from)
        .is_some_and(|r| (r.start.timestamp() / 60) % run.minutes == 0);
    run.count >= 2 && MARKET_STEPS.contains(&run.minutes) && on_beat
}
