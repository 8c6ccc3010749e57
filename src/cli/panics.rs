//! Panics of the process: told on standard error without waiting for it, and kept so that an alarm shows them. A part that stops in
//! the middle of its work never ends control.

use super::output;
use crate::cycle::Trouble;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An alarm of a panic stands this long after it.
const SHOWN: Duration = Duration::from_secs(86_400);
/// Parts remembered.
const KEPT: usize = 8;

struct Panic {
    part: String,
    text: String,
    at: Instant,
}

static PANICS: Mutex<Vec<Panic>> = Mutex::new(Vec::new());

/// Replaces the standard hook, which waits for standard error.
pub fn listen() {
    std::panic::set_hook(Box::new(|about| {
        let thread = std::thread::current();
        let part = thread.name().unwrap_or("a thread without a name").to_owned();
        let payload = about.payload();
        let said = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let said = said.or_else(|| payload.downcast_ref::<String>().cloned());
        let place = about.location().map(|l| format!(" at {}:{}", l.file(), l.line()));
        let text = format!("{}{}", said.unwrap_or_default(), place.unwrap_or_default());
        output::err(&format!(
            "ERROR the part `{part}` stopped in the middle of its work: {text}\n"
        ));
        keep(part, text);
    }));
}

fn keep(part: String, text: String) {
    let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    panics.retain(|p| p.part != part && p.at.elapsed() < SHOWN);
    let surplus = (panics.len() + 1).saturating_sub(KEPT);
    panics.drain(..surplus);
    panics.push(Panic {
        part,
        text,
        at: Instant::now(),
    });
}

/// One for each part that stopped lately.
pub fn troubles() -> Vec<Trouble> {
    // Whoever panics just now is shown in the next cycle.
    let Ok(panics) = PANICS.try_lock() else {
        return Vec::new();
    };
    let recent = panics.iter().filter(|p| p.at.elapsed() < SHOWN);
    recent
        .map(|p| Trouble {
            code: "part_stopped",
            part: Some(p.part.clone()),
            en: format!(
                "the part `{}` of the program stopped in the middle of its work: {}; control goes on",
                p.part, p.text
            ),
            ko: format!("프로그램의 {} 부분이 작업 중 중단됨: 제어는 계속됨", p.part),
        })
        .collect()
}
