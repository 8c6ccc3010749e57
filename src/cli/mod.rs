//! One file per subcommand. Exit status: 0 done, 1 the thing asked about is bad, 2 wrong usage, 3 could not reach what it needs.

/// Prints a line, as the standard one does, but a reader that went away (`madang read … | head -1`) is no reason to panic,
/// least of all while a device is under control: what nobody hears is not told.
macro_rules! println {
    () => { $crate::cli::told(format_args!("\n")) };
    ($($text:tt)*) => { $crate::cli::told(format_args!("{}\n", format_args!($($text)*))) };
}
macro_rules! print {
    ($($text:tt)*) => { $crate::cli::told(format_args!($($text)*)) };
}
/// To standard error in the same way: a live controller does not wait for it.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::cli::warned(format_args!("{}\n", format_args!($($text)*))) };
}

mod access;
pub mod bench;
pub mod bench_field;
pub mod bench_live;
mod bench_plan;
mod bench_problems;
mod bench_stability;
mod bench_whole;
mod c_program;
pub mod check;
pub mod commission;
pub mod demo;
pub mod demo_live;
pub mod devices;
pub mod exits;
mod falls;
mod folder;
pub mod live;
pub mod output;
mod page;
mod panics;
mod place;
pub mod plan;
pub mod prices;
pub mod profiles;
pub mod proxy;
pub mod read;
pub mod record;
pub mod run;
pub mod scan;
pub mod schema;
pub mod service;
pub mod set;
pub mod solve;
pub mod tls;
pub mod twin;
mod watch;
pub mod write;

use crate::site::{Fault, LoadError, Site};
use std::path::{Path, PathBuf};

pub const DONE: u8 = 0;
pub const BAD: u8 = 1;
pub const USAGE: u8 = 2;
pub const UNREACHABLE: u8 = 3;

/// Writes to standard output; whether anybody still reads it does not matter.
fn told(text: std::fmt::Arguments<'_>) {
    let _unheard = output::out(&text.to_string());
}

fn warned(text: std::fmt::Arguments<'_>) {
    let _unheard = output::err(&text.to_string());
}

/// Logs go to stderr; `MADANG_LOG` sets the level (default `warn`).
pub fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MADANG_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| output::Log)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .init();
}

/// A line on stdout, whether anybody reads it or not: a device in our hands is given back all the same.
pub fn say(line: &str) {
    println!("{line}");
}

/// A site by folder, by file, or by the name of one inside the binary.
pub fn find_site(name: &str) -> Result<(Site, Vec<Fault>), LoadError> {
    let path = Path::new(name);
    if !path.exists()
        && !name.contains('/')
        && let Some(site) = crate::site::builtin(name)
    {
        return Ok((site, Vec::new()));
    }
    crate::site::load(path)
}

/// [`find_site`], with every fault told on stderr; the status is the process's.
pub fn site_or_exit(name: &str) -> Result<Site, u8> {
    match find_site(name) {
        Ok((site, warnings)) => {
            for w in warnings {
                tracing::warn!("{}:{}: {}: {}", w.file, w.line, w.key, w.message);
            }
            Ok(site)
        }
        Err(LoadError::Faults(faults)) => {
            for f in faults.iter().filter(|f| f.severity == crate::site::Severity::Error) {
                eprintln!("{}:{}: {}: {}", f.file, f.line, f.key, f.message);
            }
            eprintln!("the site file has faults; `madang check {name}` shows them in place");
            Err(BAD)
        }
        Err(error @ LoadError::Io { .. }) => {
            eprintln!(
                "{error}\nsites inside the binary: {}",
                crate::site::builtin_names().join(", ")
            );
            Err(BAD)
        }
    }
}

/// Folder of a controller's state: told, or systemd's, or the user's.
pub fn state_dir(told: Option<&Path>, site: &str) -> PathBuf {
    if let Some(dir) = told {
        return dir.to_owned();
    }
    if let Some(dir) = std::env::var_os("STATE_DIRECTORY") {
        return PathBuf::from(dir);
    }
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    home.join(".local/state/madang").join(site)
}
