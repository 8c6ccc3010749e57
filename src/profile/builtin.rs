//! The profiles inside the binary.

use super::{Profile, parse};

macro_rules! builtins {
    ($($name:literal),+ $(,)?) => {
        const BUILTIN: &[(&str, &str)] = &[$(($name, include_str!(concat!("builtin/", $name, ".toml")))),+];
    };
}
builtins![
    "alfen-eve",
    "eastron-sdm630",
    "generic-genset",
    "generic-heat-pump",
    "generic-relay",
    "sunspec"
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
