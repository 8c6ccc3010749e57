//! `[components.<name>]`: what every component has, and which family reads the rest.

use super::parse_heat::heat_pump;
use super::parse_loads::{expected, sheddable, shiftable};
use super::parse_sources::{generator, pv};
use super::parse_storage::{battery, charge_point};
use super::plant::*;
use super::reader::Section;

/// Words for `kind`, in the order people read them.
pub const KINDS: [&str; 9] = [
    "meter",
    "pv",
    "battery",
    "charge-point",
    "load",
    "shiftable-load",
    "sheddable-load",
    "heat-pump",
    "generator",
];

/// Reads one component; `currency` is the tariff's.
pub fn component(s: &Section, currency: &str) -> Option<Component> {
    let words: Vec<(&str, usize)> = KINDS.iter().enumerate().map(|(i, k)| (*k, i)).collect();
    let kind = s.word("kind", &words, None, "what it is");
    let circuit = s.text_opt(
        "circuit",
        "circuit it hangs on; absent: directly at the connection point",
    );
    let phases = s.parsed_or(
        "phases",
        "3",
        "phases it draws from: `L1`, `L2`, `L3`, `L1 L2`, … or `3`",
        phases,
    );
    let title_en = s.text_opt("title_en", "name shown to people");
    let title_ko = s.text_opt("title_ko", "name shown to people, Korean");
    s.forms(&KINDS, |kind, s| by_kind(kind, s, currency));
    let kind = kind.and_then(|k| by_kind(KINDS[k], s, currency));
    s.finish();
    Some(Component {
        kind: kind?,
        circuit: circuit.map(|c| Id::new(&c)),
        phases: phases?,
        title_en,
        title_ko,
    })
}

/// Reads the keys of one kind.
pub fn by_kind(kind: &str, s: &Section, currency: &str) -> Option<Kind> {
    match kind {
        "meter" => Some(Kind::Meter(Meter {
            ct_reversed: s.flag_or(
                "ct_reversed",
                false,
                "the current transformers are mounted the wrong way round",
            ),
        })),
        "pv" => pv(s).map(Kind::Pv),
        "battery" => battery(s, currency).map(Kind::Battery),
        "charge-point" => charge_point(s).map(Kind::ChargePoint),
        "load" => expected(s).map(|expected| Kind::Load(Load { expected })),
        "shiftable-load" => shiftable(s).map(Kind::ShiftableLoad),
        "sheddable-load" => sheddable(s, currency).map(Kind::SheddableLoad),
        "heat-pump" => heat_pump(s).map(Kind::HeatPump),
        "generator" => generator(s, currency).map(Kind::Generator),
        _ => None,
    }
}

fn phases(text: &str) -> Result<[bool; 3], String> {
    if text == "3" {
        return Ok([true; 3]);
    }
    let mut on = [false; 3];
    for part in text.split_whitespace() {
        match part {
            "L1" => on[0] = true,
            "L2" => on[1] = true,
            "L3" => on[2] = true,
            _ => return Err(format!("`{part}` is not a phase; write `3` or some of `L1 L2 L3`")),
        }
    }
    if on.contains(&true) {
        Ok(on)
    } else {
        Err("names no phase; write `3` or some of `L1 L2 L3`".into())
    }
}
