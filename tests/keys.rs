//! No field of a site is idle: each one that the parser fills is read somewhere outside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            *into += &std::fs::read_to_string(path).unwrap();
        }
    }
}

#[test]
fn every_field_of_a_site_is_read_outside_the_parser() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut readers = String::new();
    for entry in std::fs::read_dir(&src).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("site") {
            sources(&path, &mut readers);
        }
    }
    // What feeds what is decided there, of the parsed site.
    readers += &std::fs::read_to_string(src.join("site/feeds.rs")).unwrap();
    let words: BTreeSet<&str> = readers.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let mut unread = BTreeMap::new();
    for file in ["plant.rs", "wiring.rs", "twin.rs"] {
        let text = std::fs::read_to_string(src.join("site").join(file)).unwrap();
        for line in text
            .lines()
            .filter(|l| l.starts_with("    pub ") && l.trim_end().ends_with(','))
        {
            let Some((name, _)) = line.trim().trim_start_matches("pub ").split_once(':') else {
                continue;
            };
            if !words.contains(name) {
                unread.insert(name.to_owned(), file);
            }
        }
    }
    assert!(unread.is_empty(), "nothing reads {unread:?}");
}
