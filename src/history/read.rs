//! The reading side: its own connection, so that it never waits for the writer.

use super::chunk::{decompress, unpack_tick};
use super::seal::{DAY_MS, HOUR_MS, MEAN_MS, for_each_chunk, text};
use super::store::{file_of, instant, millis, open_to_read};
use crate::cycle::{HistoryFeed, HistoryRead, Tick};
use crate::time::Timestamp;
use chrono::TimeDelta;
use rusqlite::{Connection, OptionalExtension, params};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Steps of one answer; a finer question over a longer time is refused.
const STEPS_MAX: i64 = 20_000;

/// A reader of the file a [`super::Historian`] writes; it opens the file when it is first asked, and again when another file
/// has taken its name.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    conn: Connection,
    file: Option<(u64, u64)>,
    names: RefCell<HashMap<u32, Arc<str>>>,
}

impl History {
    /// Opens an existing file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let history = Self::when_there(path);
        history.with(|_| Ok(()))?;
        Ok(history)
    }

    /// A file that may come later; until then every question is answered with why not.
    pub fn when_there(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            open: Mutex::new(None),
        }
    }

    fn with<T>(&self, ask: impl FnOnce(&Open) -> Result<T, String>) -> Result<T, String> {
        // A question that panicked left no half answer behind: the connection is opened anew.
        let mut open = self.open.lock().unwrap_or_else(|e| {
            let mut open = e.into_inner();
            *open = None;
            open
        });
        let file = file_of(&self.path);
        let open = match &mut *open {
            Some(open) if open.file == file => open,
            other => other.insert(Open {
                conn: open_to_read(&self.path)?,
                file,
                names: RefCell::default(),
            }),
        };
        ask(open)
    }
}

impl Open {
    fn name(&self, id: u32) -> Result<Arc<str>, String> {
        if let Some(name) = self.names.borrow().get(&id) {
            return Ok(name.clone());
        }
        let find = "SELECT key FROM series WHERE id = ?1";
        let key: String = self.conn.query_row(find, [id], |r| r.get(0)).map_err(text)?;
        let name: Arc<str> = key.into();
        self.names.borrow_mut().insert(id, name.clone());
        Ok(name)
    }
}

/// Means over steps.
struct Steps {
    from: i64,
    step: i64,
    sums: BTreeMap<i64, (f64, u32)>,
}

impl Steps {
    fn add(&mut self, at: i64, value: f64) {
        if value.is_finite() {
            let sum = self
                .sums
                .entry((at - self.from).div_euclid(self.step))
                .or_insert((0.0, 0));
            *sum = (sum.0 + value, sum.1 + 1);
        }
    }
    fn means(self) -> Vec<(Timestamp, f64)> {
        let at = |i: i64| instant(self.from + i * self.step);
        self.sums
            .iter()
            .map(|(i, (sum, n))| (at(*i), sum / f64::from(*n)))
            .collect()
    }
}

impl HistoryRead for History {
    fn keys(&self) -> Result<Vec<String>, String> {
        self.with(|open| {
            let mut rows = open
                .conn
                .prepare_cached("SELECT key FROM series ORDER BY key")
                .map_err(text)?;
            let keys = rows.query_map([], |r| r.get(0)).map_err(text)?;
            keys.collect::<Result<_, _>>().map_err(text)
        })
    }

    fn read(
        &self,
        key: &str,
        from: Timestamp,
        to: Timestamp,
        step: TimeDelta,
    ) -> Result<Vec<(Timestamp, f64)>, String> {
        let (from, to, step) = (millis(from), millis(to), step.num_milliseconds());
        if step <= 0 || from >= to || (to - from) / step > STEPS_MAX {
            return Err(format!("ask for at most {STEPS_MAX} steps, each longer than nothing"));
        }
        self.with(|Open { conn, .. }| {
            let find = "SELECT id FROM series WHERE key = ?1";
            let id: Option<u32> = conn.query_row(find, [key], |r| r.get(0)).optional().map_err(text)?;
            let Some(id) = id else { return Ok(Vec::new()) };
            let mut steps = Steps {
                from,
                step,
                sums: BTreeMap::new(),
            };
            read_means(conn, id, from, to, &mut steps)?;
            read_chunks(conn, id, from, to, &mut steps)?;
            read_ticks(conn, id, from, to, &mut steps)?;
            Ok(steps.means())
        })
    }
}

fn read_means(conn: &Connection, id: u32, from: i64, to: i64, steps: &mut Steps) -> Result<(), String> {
    let sql = "SELECT day, body FROM mean WHERE series = ?1 AND day >= ?2 AND day <= ?3";
    let mut rows = conn.prepare_cached(sql).map_err(text)?;
    let days = params![id, from.div_euclid(DAY_MS), to.div_euclid(DAY_MS)];
    let mut rows = rows.query(days).map_err(text)?;
    while let Some(row) = rows.next().map_err(text)? {
        let (day, body): (i64, Vec<u8>) = (row.get(0).map_err(text)?, row.get(1).map_err(text)?);
        for (i, mean) in decompress::<f64>(&body)?.into_iter().enumerate() {
            let at = day * DAY_MS + i as i64 * MEAN_MS;
            if (from..to).contains(&at) {
                steps.add(at, mean);
            }
        }
    }
    Ok(())
}

fn read_chunks(conn: &Connection, id: u32, from: i64, to: i64, steps: &mut Steps) -> Result<(), String> {
    let sql = "SELECT stamps, body FROM chunk WHERE series = ?1 AND first >= ?2 AND first < ?3 AND last >= ?4";
    let mut rows = conn.prepare_cached(sql).map_err(text)?;
    let mut rows = rows.query(params![id, from - HOUR_MS, to, from]).map_err(text)?;
    while let Some(row) = rows.next().map_err(text)? {
        let (stamps, body): (Vec<u8>, Vec<u8>) = (row.get(0).map_err(text)?, row.get(1).map_err(text)?);
        let values = decompress::<f64>(&body)?;
        for (at, value) in decompress::<i64>(&stamps)?.into_iter().zip(values) {
            if (from..to).contains(&at) {
                steps.add(at, value);
            }
        }
    }
    Ok(())
}

fn read_ticks(conn: &Connection, id: u32, from: i64, to: i64, steps: &mut Steps) -> Result<(), String> {
    let mut rows = conn
        .prepare_cached("SELECT at, body FROM tick WHERE at >= ?1 AND at < ?2")
        .map_err(text)?;
    let mut rows = rows.query([from, to]).map_err(text)?;
    while let Some(row) = rows.next().map_err(text)? {
        let at: i64 = row.get(0).map_err(text)?;
        let body = row.get_ref(1).and_then(|b| Ok(b.as_blob()?)).map_err(text)?;
        if let Some((_, value)) = unpack_tick(body).find(|(series, _)| *series == id) {
            steps.add(at, value);
        }
    }
    Ok(())
}

impl HistoryFeed for History {
    fn after(&self, after: Timestamp, limit: usize) -> Result<Vec<Tick>, String> {
        self.with(|open| {
            let after = millis(after);
            let mut found = open.sealed_after(after)?;
            if found.is_empty() {
                found = open.ticks_after(after, limit)?;
            }
            Ok(found)
        })
    }

    fn cursor(&self, sink: &str) -> Result<Option<Timestamp>, String> {
        let sql = "SELECT at FROM cursor WHERE sink = ?1";
        let find = |open: &Open| open.conn.query_row(sql, [sink], |r| r.get(0)).optional().map_err(text);
        let at: Option<i64> = self.with(find)?;
        Ok(at.map(instant))
    }

    fn set_cursor(&self, sink: &str, at: Timestamp) -> Result<(), String> {
        let sql = "INSERT OR REPLACE INTO cursor (sink, at) VALUES (?1, ?2)";
        self.with(|open| open.conn.execute(sql, params![sink, millis(at)]).map_err(text))?;
        Ok(())
    }
}

impl Open {
    /// The rest of the oldest sealed hour that holds something later than `after`.
    fn sealed_after(&self, after: i64) -> Result<Vec<Tick>, String> {
        let sql = "SELECT min(first) FROM chunk WHERE last > ?1";
        let first: Option<i64> = self.conn.query_row(sql, [after], |r| r.get(0)).map_err(text)?;
        let Some(hour) = first.map(|f| f.div_euclid(HOUR_MS) * HOUR_MS) else {
            return Ok(Vec::new());
        };
        let mut ticks: BTreeMap<i64, Vec<(u32, f64)>> = BTreeMap::new();
        for_each_chunk(&self.conn, hour, hour + HOUR_MS, |series, stamps, values| {
            for (at, value) in stamps.iter().zip(values).filter(|(at, _)| **at > after) {
                ticks.entry(*at).or_default().push((series, *value));
            }
        })?;
        ticks.into_iter().map(|(at, values)| self.named(at, values)).collect()
    }

    fn ticks_after(&self, after: i64, limit: usize) -> Result<Vec<Tick>, String> {
        let mut rows = self
            .conn
            .prepare_cached("SELECT at, body FROM tick WHERE at > ?1 ORDER BY at LIMIT ?2")
            .map_err(text)?;
        let mut rows = rows.query(params![after, limit as i64]).map_err(text)?;
        let mut ticks = Vec::new();
        while let Some(row) = rows.next().map_err(text)? {
            let (at, body): (i64, Vec<u8>) = (row.get(0).map_err(text)?, row.get(1).map_err(text)?);
            ticks.push(self.named(at, unpack_tick(&body).collect())?);
        }
        Ok(ticks)
    }

    fn named(&self, at: i64, values: Vec<(u32, f64)>) -> Result<Tick, String> {
        let named = |(id, value)| Ok((self.name(id)?, value));
        Ok(Tick {
            at: instant(at),
            values: values.into_iter().map(named).collect::<Result<_, String>>()?,
        })
    }
}
