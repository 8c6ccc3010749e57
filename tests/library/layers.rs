//! Holds the order of rooms (ARCHITECTURE.md): ground may use earlier ground, pure rooms only ground, `cycle` ground and
//! pure rooms, I/O rooms ground and the cycle's ports; nothing uses the outermost rooms but themselves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const GROUND: [&str; 7] = ["units", "time", "reading", "tariff", "profile", "site", "model"];
const PURE: [&str; 5] = ["state", "forecast", "plan", "check", "dispatch"];
const IO: [&str; 6] = ["field", "history", "journal", "telemetry", "twin", "web"];
const OUTER: [&str; 2] = ["backtest", "cli"];

fn allowed(room: &str, used: &str) -> bool {
    let ground = |r: &str| GROUND.iter().position(|g| *g == r);
    match (ground(room), ground(used)) {
        (Some(me), Some(other)) => return other < me,
        (Some(_), None) => return false,
        (None, Some(_)) => return true,
        (None, None) => {}
    }
    if OUTER.contains(&room) {
        return true;
    }
    match room {
        "cycle" => PURE.contains(&used),
        _ if IO.contains(&room) => used == "cycle",
        _ => false,
    }
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    files(folder, &["rs"], into);
}

fn files(folder: &Path, endings: &[&str], into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, endings, into);
        } else if path.extension().is_some_and(|e| endings.iter().any(|end| e == *end)) {
            into.push(path);
        }
    }
}

/// Rooms named as `crate::room` (also in `use crate::{a, b::c}`), tests and comments left out.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let code: String = text
        .lines()
        .filter(|l| !l.trim_start().starts_with("//"))
        .map(|l| format!("{l}\n"))
        .collect();
    let mut used = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => used.extend(first_word(&std::mem::take(&mut name))),
                    c if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            used.extend(first_word(&name));
        } else {
            used.extend(first_word(rest));
        }
    }
    used
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text
        .trim()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

#[test]
fn no_room_uses_a_room_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let known: BTreeSet<&str> = GROUND
        .iter()
        .chain(&PURE)
        .chain(&IO)
        .chain(&OUTER)
        .copied()
        .chain(["cycle"])
        .collect();
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut broken = Vec::new();
    for file in &files {
        if file
            .file_name()
            .is_some_and(|n| n.to_string_lossy().ends_with("tests.rs"))
        {
            continue;
        }
        let inside = file.strip_prefix(&src).unwrap();
        let first = inside
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_string_lossy()
            .into_owned();
        let room = first.trim_end_matches(".rs").to_owned();
        if !known.contains(room.as_str()) {
            continue;
        }
        for used in rooms_used(&std::fs::read_to_string(file).unwrap()) {
            if used != room && known.contains(used.as_str()) && !allowed(&room, &used) {
                broken.push(format!("{} uses {used}", inside.display()));
            }
        }
    }
    assert!(broken.is_empty(), "against the flow:\n{}", broken.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_lists_and_skips_tests() {
    let text = "use crate::{dispatch, model::{Snapshot, X}};\n// crate::web\nlet a = crate::check::check();\n#[cfg(test)]\nmod tests { use crate::cli; }";
    assert_eq!(
        rooms_used(text).into_iter().collect::<Vec<_>>(),
        ["check", "dispatch", "model"]
    );
    assert!(!allowed("plan", "site2") && !allowed("site", "model") && allowed("model", "site"));
    assert!(!allowed("field", "state") && allowed("field", "cycle") && !allowed("twin", "field"));
}

#[test]
fn only_time_reads_a_clock() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let deciding = [
        "state", "forecast", "plan", "check", "dispatch", "tariff", "site", "model", "profile",
    ];
    for file in files {
        let inside = file.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        let room = inside.split(['/', '.']).next().unwrap_or_default().to_owned();
        if !deciding.contains(&room.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for word in ["Utc::now", "Local::now", "SystemTime::now"] {
            assert!(
                !text.contains(word),
                "{inside} reads the clock ({word}); it must be handed its time"
            );
        }
        assert!(
            !text.contains("HashMap"),
            "{inside} uses a HashMap: its order is not deterministic"
        );
    }
}

/// Paths, from the root or the folder of the text, that it names between backticks.
fn paths_named(text: &str) -> impl Iterator<Item = &str> {
    let folders = [
        "src/",
        "tests/",
        "docs/",
        "sites/",
        "grafana/",
        "solver-tests/",
        "highs-kept/",
        "packaging/",
    ];
    let words = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    words.filter(move |w| {
        folders.iter().any(|f| w.starts_with(f))
            && !w.contains([' ', '*', '{', '<', '…'])
            && w.len() > w.find('/').unwrap() + 1
    })
}

#[test]
fn documents_and_comments_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    texts.retain(|p| p.extension().is_some_and(|e| e == "md") && !p.ends_with("CHANGELOG.md"));
    for folder in ["src", "tests", "docs", "grafana", "solver-tests", "sites", "packaging"] {
        files(&root.join(folder), &["md", "rs"], &mut texts);
    }
    let mut named = 0;
    for text in &texts {
        for path in paths_named(&std::fs::read_to_string(text).unwrap()) {
            named += 1;
            let here = text.parent().unwrap().join(path);
            assert!(
                root.join(path).exists() || here.exists(),
                "{}: no file `{path}`",
                text.display()
            );
        }
    }
    assert!(named > 20, "{named}");
}
