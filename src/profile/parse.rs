//! Reads and lints a profile file.

use super::Profile;

/// A fault of a profile file.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileFault {
    pub line: usize,
    pub key: String,
    pub message: String,
}

/// Parses a profile, reporting every fault at once.
pub fn parse(_text: &str) -> Result<Profile, Vec<ProfileFault>> {
    todo!()
}

/// Names of the profiles inside the binary.
pub fn builtin_names() -> Vec<&'static str> {
    todo!()
}

/// A built-in profile.
pub fn builtin(_name: &str) -> Option<Profile> {
    todo!()
}
