//! The file: tables, opening, what to do with a broken one.

use crate::cycle::aside;
use crate::time::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
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
pub fn open_to_write(path: &Path) -> Result<Connection, Fault> {
    let said = |e: std::io::Error| Fault {
        kind: e.kind(),
        text: format!("history {}: {e}", path.display()),
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(said)?;
    }
    // A pipe of this name would be waited for.
    let other = std::fs::metadata(path).is_ok_and(|m| !m.is_file());
    if !other {
        match try_open(path) {
            Ok(conn) => return Ok(conn),
            Err(why) if is_broken(&why) => tracing::error!("history {}: cannot be read ({why})", path.display()),
            Err(why) => return Err(why.into()),
        }
    }
    set_aside(path).map_err(said)?;
    Ok(try_open(path)?)
}

/// Moves a file that cannot be used beside, with what SQLite keeps for it.
pub fn set_aside(path: &Path) -> std::io::Result<()> {
    let kept = aside(path, "broken");
    std::fs::rename(path, &kept)?;
    tracing::error!("history {}: kept as {}", path.display(), kept.display());
    for tail in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(tail);
        // Belongs to the broken file; there may be none.
        let _absent = std::fs::remove_file(name);
    }
    Ok(())
}

/// Why the history does not take something, with what kind of trouble a disk has.
#[derive(Debug, Clone)]
pub struct Fault {
    pub kind: ErrorKind,
    pub text: String,
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let kind = match e.sqlite_error_code() {
            Some(Code::DiskFull) => ErrorKind::StorageFull,
            Some(Code::ReadOnly) => ErrorKind::ReadOnlyFilesystem,
            Some(Code::PermissionDenied) => ErrorKind::PermissionDenied,
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => ErrorKind::InvalidData,
            _ => ErrorKind::Other,
        };
        Self {
            kind,
            text: super::seal::text(e),
        }
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self {
            kind: ErrorKind::Other,
            text,
        }
    }
}

fn is_broken(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

fn try_open(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    // The file stays whole through a power cut; what is younger than the last checkpoint may be gone, see the writer.
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    let version: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if version == 0 {
        conn.execute_batch(&format!(
            "PRAGMA auto_vacuum = INCREMENTAL; BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
    }
    conn.query_row("SELECT count(*) FROM series", [], |r| r.get::<_, i64>(0))?;
    Ok(conn)
}

/// A second connection to a file that a writer has open. On a disk that is read-only the file is read as it lies.
pub fn open_to_read(path: &Path) -> Result<Connection, String> {
    let said = |e: rusqlite::Error| format!("history {}: {e}", path.display());
    if !std::fs::metadata(path).is_ok_and(|m| m.is_file()) {
        return Err(format!("history {}: there is no such file yet", path.display()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(said)?;
    conn.busy_timeout(Duration::from_secs(5)).map_err(said)?;
    let readable = |c: &Connection| c.query_row("SELECT count(*) FROM series", [], |r| r.get::<_, i64>(0));
    let Err(why) = readable(&conn) else { return Ok(conn) };
    let as_it_lies = format!("file:{}?immutable=1", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(as_it_lies, flags).map_err(said)?;
    readable(&conn).map(|_| conn).map_err(|_| said(why))
}

/// Device and number of the file that a path leads to.
pub fn file_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}
