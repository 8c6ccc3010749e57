//! The file: tables, opening, what to do with a broken one.

use crate::time::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

const VERSION: i64 = 1;

/// `tick.at` and `chunk.first` are milliseconds since 1970; `mean.day` is days since 1970.
const TABLES: &str = "
    CREATE TABLE series (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
    CREATE TABLE tick (at INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE chunk (first INTEGER NOT NULL, series INTEGER NOT NULL, last INTEGER NOT NULL,
        stamps BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (series, first)) WITHOUT ROWID;
    CREATE INDEX chunk_first ON chunk (first);
    CREATE TABLE mean (day INTEGER NOT NULL, series INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (series, day)) WITHOUT ROWID;
    CREATE TABLE cursor (sink TEXT PRIMARY KEY, at INTEGER NOT NULL);
";

pub fn millis(t: Timestamp) -> i64 {
    t.timestamp_millis()
}

pub fn instant(ms: i64) -> Timestamp {
    Timestamp::from_timestamp_millis(ms).unwrap_or(chrono::DateTime::UNIX_EPOCH)
}

/// Opens for writing; a file that SQLite cannot use is moved aside (`.broken`) and a new one begun, so that control and
/// recording go on.
pub fn open_to_write(path: &Path) -> Result<Connection, String> {
    let said = |e: &dyn std::fmt::Display| format!("history {}: {e}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| said(&e))?;
    }
    let why = match try_open(path) {
        Ok(conn) => return Ok(conn),
        Err(why) if path.exists() && is_broken(&why) => why,
        Err(why) => return Err(said(&why)),
    };
    let aside = path.with_extension("broken");
    tracing::error!(
        "history {} cannot be read ({why}); kept as {}",
        path.display(),
        aside.display()
    );
    std::fs::rename(path, &aside).map_err(|e| said(&e))?;
    for tail in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(tail);
        // Belongs to the broken file; there may be none.
        let _absent = std::fs::remove_file(name);
    }
    try_open(path).map_err(|e| said(&e))
}

fn is_broken(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error, rusqlite::Error::SqliteFailure(e, _) if matches!(e.code, DatabaseCorrupt | NotADatabase))
}

fn try_open(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if version == 0 {
        conn.execute_batch(&format!(
            "PRAGMA auto_vacuum = INCREMENTAL; BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
    }
    conn.query_row("SELECT count(*) FROM series", [], |r| r.get::<_, i64>(0))?;
    Ok(conn)
}

/// A second connection to a file that a writer has open.
pub fn open_to_read(path: &Path) -> Result<Connection, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| format!("history {}: {e}", path.display()))?;
    conn.busy_timeout(Duration::from_secs(5)).map_err(|e| e.to_string())?;
    Ok(conn)
}
