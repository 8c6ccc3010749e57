//! Full hours become chunks, old days become means.

use super::chunk::{compress, decompress, unpack_tick};
use super::store::Fault;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// Step of the means that outlive `keep_days`.
pub const MEAN_MS: i64 = 900_000;
/// A late instant may still come this long after its hour.
const PATIENCE_MS: i64 = 60_000;

/// Seals every full hour that is over at `now`, then thins out what is older than `keep_days`.
pub fn seal(conn: &mut Connection, now_ms: i64, keep_days: u32) -> Result<(), Fault> {
    while let Some(hour) = oldest_full_hour(conn, now_ms)? {
        seal_hour(conn, hour)?;
    }
    thin(conn, now_ms, keep_days)
}

fn oldest_full_hour(conn: &Connection, now_ms: i64) -> Result<Option<i64>, Fault> {
    let oldest: Option<i64> = conn.query_row("SELECT min(at) FROM tick", [], |r| r.get(0))?;
    let hour = oldest.map(|t| t.div_euclid(HOUR_MS) * HOUR_MS);
    Ok(hour.filter(|h| h.saturating_add(HOUR_MS + PATIENCE_MS) <= now_ms))
}

type Column = (Vec<i64>, Vec<f64>);

fn seal_hour(conn: &mut Connection, hour: i64) -> Result<(), Fault> {
    let columns = columns(conn, hour)?;
    let tx = conn.transaction()?;
    for (series, (stamps, values)) in columns {
        let (Some(first), Some(last)) = (stamps.first(), stamps.last()) else {
            continue;
        };
        tx.execute(
            "INSERT OR REPLACE INTO chunk (first, series, last, stamps, body) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![first, series, last, compress(&stamps)?, compress(&values)?],
        )?;
    }
    tx.execute("DELETE FROM tick WHERE at < ?1", [hour + HOUR_MS])?;
    Ok(tx.commit()?)
}

fn columns(conn: &Connection, hour: i64) -> Result<BTreeMap<u32, Column>, Fault> {
    let mut columns: BTreeMap<u32, Column> = BTreeMap::new();
    let mut rows = conn.prepare_cached("SELECT at, body FROM tick WHERE at < ?1 ORDER BY at")?;
    let mut rows = rows.query([hour + HOUR_MS])?;
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(0)?;
        let body: Vec<u8> = row.get(1)?;
        for (series, value) in unpack_tick(&body) {
            let (stamps, values) = columns.entry(series).or_default();
            stamps.push(at);
            values.push(value);
        }
    }
    Ok(columns)
}

/// Whole days older than `keep_days` become 15-minute means.
fn thin(conn: &mut Connection, now_ms: i64, keep_days: u32) -> Result<(), Fault> {
    let end = now_ms.div_euclid(DAY_MS) - i64::from(keep_days);
    loop {
        let oldest: Option<i64> = conn.query_row("SELECT min(first) FROM chunk", [], |r| r.get(0))?;
        match oldest.map(|t| t.div_euclid(DAY_MS)) {
            Some(day) if day < end => thin_day(conn, day)?,
            _ => return Ok(()),
        }
    }
}

fn thin_day(conn: &mut Connection, day: i64) -> Result<(), Fault> {
    let mut sums: BTreeMap<u32, Vec<(f64, u32)>> = BTreeMap::new();
    for_each_chunk(conn, day * DAY_MS, (day + 1) * DAY_MS, |series, stamps, values| {
        let slots = sums
            .entry(series)
            .or_insert_with(|| vec![(0.0, 0); (DAY_MS / MEAN_MS) as usize]);
        for (at, value) in stamps.iter().zip(values) {
            if let Some(slot) = slots.get_mut((at.rem_euclid(DAY_MS) / MEAN_MS) as usize) {
                *slot = (slot.0 + value, slot.1 + 1);
            }
        }
    })?;
    let tx = conn.transaction()?;
    for (series, slots) in sums {
        let mean = |(sum, n): (f64, u32)| if n == 0 { f64::NAN } else { sum / f64::from(n) };
        let means: Vec<f64> = slots.into_iter().map(mean).collect();
        tx.execute(
            "INSERT OR REPLACE INTO mean (day, series, body) VALUES (?1, ?2, ?3)",
            params![day, series, compress(&means)?],
        )?;
    }
    let range = params![day * DAY_MS, (day + 1) * DAY_MS];
    tx.execute("DELETE FROM chunk WHERE first >= ?1 AND first < ?2", range)?;
    tx.commit()?;
    Ok(conn.execute_batch("PRAGMA incremental_vacuum(1000)")?)
}

/// Calls `each` with every chunk that starts in `[from, to)`.
pub fn for_each_chunk(
    conn: &Connection,
    from: i64,
    to: i64,
    mut each: impl FnMut(u32, &[i64], &[f64]),
) -> Result<(), String> {
    let sql = "SELECT series, stamps, body FROM chunk WHERE first >= ?1 AND first < ?2 ORDER BY first, series";
    let mut rows = conn.prepare_cached(sql).map_err(text)?;
    let mut rows = rows.query([from, to]).map_err(text)?;
    while let Some(row) = rows.next().map_err(text)? {
        let series: u32 = row.get(0).map_err(text)?;
        let stamps: Vec<u8> = row.get(1).map_err(text)?;
        let body: Vec<u8> = row.get(2).map_err(text)?;
        each(series, &decompress::<i64>(&stamps)?, &decompress::<f64>(&body)?);
    }
    Ok(())
}

pub fn text(e: rusqlite::Error) -> String {
    format!("history: {e}")
}
