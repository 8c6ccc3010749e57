//! What people read: every word in both languages, no placeholder, no key, and no English on the Korean page.

use crate::support::day::day_of;
use crate::support::get;
use crate::support::korean::english_in;
use crate::support::server::{Server, published};
use chrono::{TimeDelta, TimeZone, Utc};
use madang::backtest::{RunSpec, run_watched};
use madang::cycle::CycleReport;
use madang::site::{Mode, Site};
use madang::twin::{FAULTS, Fault};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

fn ui() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/web/ui")
}

fn scripts() -> Vec<(String, String)> {
    let files = std::fs::read_dir(ui()).unwrap().map(|f| f.unwrap().path());
    let scripts = files.filter(|p| p.extension().is_some_and(|e| e == "js"));
    scripts
        .map(|p| {
            (
                p.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&p).unwrap(),
            )
        })
        .collect()
}

/// What stands between `start` and `end`, everywhere in a text.
fn between<'t>(text: &'t str, start: &'t str, end: char) -> impl Iterator<Item = &'t str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
}

#[test]
fn vendored_files_are_those_that_were_reviewed() {
    let vendor = ui().join("vendor");
    let list = std::fs::read_to_string(vendor.join("SHA256SUMS")).unwrap();
    let mut listed = BTreeSet::new();
    for line in list.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let found = Sha256::digest(std::fs::read(vendor.join(name)).unwrap());
        let found: String = found.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(found, sum, "{name}");
        listed.insert(name.to_owned());
    }
    let files = std::fs::read_dir(&vendor).unwrap().map(|f| f.unwrap().file_name());
    let names: BTreeSet<String> = files.map(|n| n.to_string_lossy().into_owned()).collect();
    let own = ["README.md", "SHA256SUMS"].map(str::to_owned);
    assert_eq!(names, listed.into_iter().chain(own).collect());
}

/// The page's words: key, and the text in each language.
fn table() -> Vec<(String, [String; 2])> {
    let text = std::fs::read_to_string(ui().join("words.js")).unwrap();
    let table = text
        .split("const WORDS = {")
        .nth(1)
        .unwrap()
        .split("\n};")
        .next()
        .unwrap();
    let entry = |line: &str| {
        let (key, texts) = line
            .trim()
            .split_once(": ['")
            .unwrap_or_else(|| panic!("not a word: {line}"));
        let (en, ko) = texts
            .trim_end_matches("'],")
            .split_once("', '")
            .unwrap_or_else(|| panic!("one language only: {line}"));
        (key.trim_matches('\'').to_owned(), [en.to_owned(), ko.to_owned()])
    };
    table.lines().filter(|l| !l.trim().is_empty()).map(entry).collect()
}

/// How many values a text wants: one more than its highest placeholder.
fn wants(text: &str) -> usize {
    let number = |n: &str| n.parse::<usize>().unwrap_or_else(|_| panic!("`{{{n}}}` in {text}"));
    between(text, "{", '}').map(|n| number(n) + 1).max().unwrap_or(0)
}

fn placeholders(text: &str) -> BTreeSet<&str> {
    between(text, "{", '}').collect()
}

/// Calls `t('key', value, …)` of a script, with how many values they give.
fn calls(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("t('") {
        let before = text[..at].chars().next_back().unwrap_or(' ');
        if before.is_alphanumeric() || before == '_' || before == '.' {
            continue;
        }
        let rest = &text[at + 3..];
        let (key, rest) = rest.split_once('\'').unwrap();
        let (mut depth, mut values) = (1, 0);
        for c in rest.chars() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                ',' if depth == 1 => values += 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        found.push((key.to_owned(), values));
    }
    found
}

#[test]
fn no_word_stands_twice_or_in_one_language_or_with_other_placeholders() {
    let mut seen = BTreeMap::new();
    for (key, [en, ko]) in table() {
        assert!(seen.insert(key.clone(), wants(&en)).is_none(), "`{key}` stands twice");
        assert_eq!(placeholders(&en), placeholders(&ko), "{key}");
        assert_eq!(placeholders(&en).len(), wants(&en), "{key}: a placeholder is left out");
        assert!(!en.is_empty() && english_in(&ko, &[]).is_none(), "{key}: {ko}");
    }
    for (name, text) in scripts() {
        for (key, values) in calls(&text) {
            let wanted = seen.get(&key).unwrap_or_else(|| panic!("{name}: no word for `{key}`"));
            assert_eq!(values, *wanted, "{name}: values of `{key}`");
        }
        for module in between(&text, "from '/", '\'') {
            assert!(ui().join(module).is_file(), "{name}: no module {module}");
        }
    }
}

/// Every text of a language within an answer, wherever it stands.
fn texts<'v>(value: &'v Value, language: &str, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == language || key.ends_with(&format!("_{language}")) => {
                        found.insert(text);
                    }
                    other => texts(other, language, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|v| texts(v, language, found)),
        _ => {}
    }
}

fn is_hangul(c: char) -> bool {
    ('가'..='힣').contains(&c)
}

/// Everything the API shows of a report, in both languages.
fn judge(server: &Server, site: &Site, report: &CycleReport, what: &str) {
    let devices: Vec<&str> = site.wiring.devices.keys().map(|id| id.as_str()).collect();
    server.hub.publish(report);
    for path in ["now", "devices", "alarms", "decisions", "plan"] {
        let Some(body) = get(server.port, &format!("/api/v1/{path}")) else {
            continue;
        };
        let value: Value = serde_json::from_str(&body).unwrap();
        let mut found = BTreeSet::new();
        texts(&value, "ko", &mut found);
        for text in &found {
            let english = english_in(text, &devices);
            assert_eq!(english, None, "{what}: {path}: English in `{text}`");
            assert!(!text.contains(['{', '}']), "{what}: {path}: {text}");
        }
        let mut found = BTreeSet::new();
        texts(&value, "en", &mut found);
        for text in &found {
            assert!(
                !text.contains(is_hangul) && !text.contains(['{', '}']),
                "{what}: {path}: {text}"
            );
        }
    }
}

/// A day with faults; `also` sees the state as JSON of each moment that is judged.
fn lived(site: &Arc<Site>, faults: Vec<Fault>, what: &str, also: &dyn Fn(&Value)) {
    lived_as(&|report| report.clone(), site, faults, what, also);
}

/// The same of reports that were changed beforehand.
fn lived_as(
    changed: &dyn Fn(&CycleReport) -> CycleReport,
    site: &Arc<Site>,
    faults: Vec<Fault>,
    what: &str,
    also: &dyn Fn(&Value),
) {
    let server = published();
    let spec = RunSpec {
        start: Utc.with_ymd_and_hms(2026, 5, 11, 22, 0, 0).unwrap(),
        cycle: TimeDelta::minutes(1),
        wire: true,
        faults,
        ..day_of(site, "2026-05-12")
    };
    let told = RefCell::new(BTreeSet::new());
    let watch = |report: &CycleReport| {
        // A new alarm, trouble or reason; and every hour whatever there is.
        let alarms = report.alarms.iter().map(|a| a.text_ko.clone());
        let troubles = report.snapshot.devices.iter().filter_map(|d| d.trouble.clone());
        let reasons = report.setpoints.iter().map(|s| s.reason.code.ko().to_owned());
        let is_new = alarms
            .chain(troubles)
            .chain(reasons)
            .fold(false, |new, t| told.borrow_mut().insert(digitless(&t)) | new);
        if is_new || report.snapshot.at.timestamp() % 3600 < 60 {
            judge(&server, site, &changed(report), what);
            also(&serde_json::from_str(&get(server.port, "/api/v1/now").unwrap()).unwrap());
        }
    };
    run_watched(&spec, &watch).unwrap();
}

/// Texts that differ in their numbers only are the same.
fn digitless(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Days that have every kind of fault: each kind at every device on a day of its own where tests may take long
/// (`MADANG_REQUIRE_PEERS`, as in CI), else as many kinds a day as there are devices, each at one of them.
fn days_of_faults(site: &Site) -> Vec<Vec<Fault>> {
    let kinds = FAULTS.lines().skip(1).map(|l| l.split_whitespace().next().unwrap());
    let kinds: Vec<&str> = kinds.collect();
    assert!(kinds.len() >= 23, "{kinds:?}");
    let parse = |text: String| Fault::parse_all(&text, site).unwrap();
    if std::env::var_os("MADANG_REQUIRE_PEERS").is_some() {
        return kinds.iter().map(|kind| parse(format!("all:{kind}"))).collect();
    }
    let devices: Vec<&str> = site.wiring.devices.keys().map(|id| id.as_str()).collect();
    let dealt = |day: &[&str]| {
        let pairs = devices.iter().zip(day);
        pairs
            .flat_map(|(device, kind)| parse(format!("{device}:{kind}")))
            .collect()
    };
    kinds.chunks(devices.len()).map(dealt).collect()
}

#[test]
fn no_english_reaches_the_korean_page_and_no_korean_the_english_under_any_fault() {
    let mut site = madang::site::builtin("home-amsterdam").unwrap();
    site.plant.mode = Mode::Control;
    let site = Arc::new(site);
    let mut days = days_of_faults(&site);
    days.push(Vec::new());
    let half = days.len().div_ceil(2);
    std::thread::scope(|s| {
        for part in days.chunks(half) {
            let site = &site;
            s.spawn(move || {
                for faults in part {
                    let what = format!("{faults:?}");
                    lived(site, faults.clone(), &what, &nothing_unknown_looks_fine);
                }
            });
        }
    });
}

/// Where a part is not known the whole does not look well.
fn nothing_unknown_looks_fine(now: &Value) {
    let components = now["components"].as_array().unwrap();
    let unknown: Vec<&str> = components
        .iter()
        .filter(|c| !c["unknown_since"].is_null())
        .map(|c| c["id"].as_str().unwrap())
        .collect();
    let missing = now["state"]["missing"].as_array().unwrap();
    let missing: Vec<&str> = missing.iter().map(|m| m["component"].as_str().unwrap()).collect();
    assert_eq!(missing, unknown);
    let tone = now["state"]["tone"].as_str().unwrap();
    assert!(
        unknown.is_empty() || !matches!(tone, "calm" | "quiet"),
        "{tone} without {unknown:?}"
    );
    for c in components {
        // What shows no power is either unknown, or shows something else.
        let shows = ["power_kw", "soc", "plugged", "running", "room_celsius", "tank_celsius"]
            .iter()
            .any(|k| !c[k].is_null());
        assert!(shows || !c["unknown_since"].is_null(), "{c}");
    }
}

#[test]
fn a_site_that_is_only_observed_says_so_and_what_it_would_write() {
    let site = Arc::new(madang::site::builtin("home-amsterdam").unwrap());
    let observed = |report: &CycleReport| {
        let (mut state, mut snapshot) = ((*report.state).clone(), (*report.snapshot).clone());
        state.mode = Mode::Observe;
        snapshot.devices.iter_mut().for_each(|d| d.commands.clear());
        CycleReport {
            state: Arc::new(state),
            snapshot: Arc::new(snapshot),
            ..report.clone()
        }
    };
    let orders = RefCell::new(BTreeSet::new());
    lived_as(&observed, &site, Vec::new(), "observed", &|now| {
        assert_eq!((&now["writes"], &now["holds"]), (&json!(false), &json!(false)));
        let sentence = &now["sentence"];
        assert!(
            sentence["en"]
                .as_str()
                .unwrap()
                .starts_with("Observing: writes nothing"),
            "{sentence}"
        );
        assert!(
            sentence["ko"].as_str().unwrap().starts_with("관찰 중: 쓰기 없음"),
            "{sentence}"
        );
        for c in now["components"].as_array().unwrap() {
            assert_eq!(c["target"].is_null(), c["would_write"].is_null(), "{c}");
            orders
                .borrow_mut()
                .extend(c["would_write"]["en"].as_str().map(str::to_owned));
        }
    });
    let orders = orders.into_inner();
    for verb in ["charge ", "discharge ", "pause"] {
        assert!(orders.iter().any(|o| o.starts_with(verb)), "{verb}: {orders:?}");
    }
}

/// Names that follow `before` in a script, as `export const NAME`.
fn named_after<'t>(text: &'t str, before: &'t str) -> impl Iterator<Item = &'t str> {
    let name = |rest: &'t str| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next();
    text.split(before).skip(1).filter_map(name)
}

/// What a script imports from other scripts.
fn imported(text: &str) -> BTreeSet<&str> {
    let lists = between(text, "import {", '}');
    lists.flat_map(|l| l.split(',')).map(str::trim).collect()
}

#[test]
fn scripts_import_what_they_use_of_each_other() {
    let scripts = scripts();
    let exports = |text| {
        let kinds = [
            "export const ",
            "export function ",
            "export async function ",
            "export class ",
        ];
        kinds
            .into_iter()
            .flat_map(move |k| named_after(text, k))
            .collect::<BTreeSet<&str>>()
    };
    let all: BTreeMap<&String, BTreeSet<&str>> = scripts.iter().map(|(n, text)| (n, exports(text))).collect();
    assert!(all.values().map(BTreeSet::len).sum::<usize>() > 20);
    for (name, text) in &scripts {
        let own = ["const ", "function ", "let "];
        let own: BTreeSet<&str> = own.into_iter().flat_map(|k| named_after(text, k)).collect();
        let imported = imported(text);
        let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.' || c == '\'' || c == '-';
        for word in code.split(|c: char| !is_part(c)) {
            let foreign = all.iter().any(|(other, names)| *other != name && names.contains(word));
            let called = code.contains(&format!("{word}(")) || code.contains(&format!("${{{word}}}"));
            let constant = word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            if foreign && (called || constant) && !own.contains(word) {
                assert!(imported.contains(word), "{name} uses `{word}` and does not import it");
            }
        }
    }
}
