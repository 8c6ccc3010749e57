//! The profiles inside the binary.

use super::{Profile, parse};

macro_rules! builtins {
    ($($name:literal),+ $(,)?) => {
        const BUILTIN: &[(&str, &str)] = &[$(($name, include_str!(concat!("builtin/", $name, ".toml")))),+];
    };
}
builtins![
    "abb-b23-b24",
    "abb-terra-ac",
    "alfen-eve",
    "carlo-gavazzi-em24-rs485",
    "carlo-gavazzi-em340",
    "comap-intelilite4",
    "deif-agc150",
    "dse-genset",
    "eastron-sdm120",
    "eastron-sdm630",
    "fronius-gen24",
    "generic-genset",
    "generic-heat-pump",
    "generic-relay",
    "goodwe-et",
    "heidelberg-energy-control",
    "huawei-sun2000-luna2000",
    "janitza-umg",
    "keba-p30-p40",
    "mennekes-amtron-compact-2s",
    "mennekes-amtron-ecu",
    "phoenix-em-cp-pp-eth",
    "phoenix-ev-cc-wallbe",
    "schneider-evlink-pro",
    "schneider-iem3000",
    "siemens-pac2200",
    "sma-hybrid-se",
    "sma-sunny-island",
    "sma-sunny-tripower",
    "solaredge-storedge",
    "solaredge-sunspec",
    "stiebel-wpm-sg-ready",
    "sungrow-sh",
    "sunspec",
    "vestel-evc04-webasto-unite",
    "victron-gx-ess",
    "webasto-next"
];

/// Names of the profiles inside the binary.
pub fn builtin_names() -> Vec<&'static str> {
    BUILTIN.iter().map(|(name, _)| *name).collect()
}

/// A built-in profile.
pub fn builtin(name: &str) -> Option<Profile> {
    parse(text(name)?).ok()
}

/// Its file, as shipped.
pub fn text(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_parses_without_a_fault() {
        for (name, text) in BUILTIN {
            let p = parse(text).unwrap_or_else(|f| panic!("{name}: {f:#?}"));
            assert_eq!(p.id, *name);
        }
    }
}
