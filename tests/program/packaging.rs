//! What is shipped beside the binary: the service unit.

use crate::support::program;
use std::process::Command;

#[test]
fn systemd_accepts_the_unit_and_finds_it_well_sealed() {
    let Some(analyze) = program("systemd-analyze") else {
        return;
    };
    let unit = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/madang.service")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("madang.service");
    // The binary need not be installed where the test runs.
    std::fs::write(&path, unit.replace("/usr/local/bin/madang", "/bin/true")).unwrap();
    let verified = Command::new(&analyze).arg("verify").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // Other units of the machine may have their own faults.
    let ours: Vec<&str> = said.lines().filter(|l| l.contains("madang")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    let graded = Command::new(&analyze)
        .args(["security", "--offline=true", "--threshold=25"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&graded.stdout).into_owned();
    assert!(graded.status.success(), "exposure above 2.5: {:?}", said.lines().last());
}

#[test]
fn the_unit_starts_a_command_that_exists() {
    let unit = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/madang.service")).unwrap();
    let line = unit.lines().find_map(|l| l.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    assert_eq!(words.first(), Some(&"run"), "{line}");
    let help = Command::new(env!("CARGO_BIN_EXE_madang"))
        .args(["run", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for option in words.iter().filter(|w| w.starts_with("--")) {
        assert!(help.contains(option), "`run` knows no {option}");
    }
}
