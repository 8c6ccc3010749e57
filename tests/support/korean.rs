//! Finds what is not Korean in a Korean text.

/// What is written the same way in Korean.
const SAME: [&str; 11] = [
    "CO",
    "JSON",
    "Prometheus",
    "kWh",
    "kW",
    "EUR",
    "api",
    "json",
    "ESS",
    "ms",
    "UTC",
];

/// The first English word in a Korean text, but for names without a title and what a device said itself (in backquotes).
pub fn english_in(text: &str, names: &[&str]) -> Option<String> {
    let said: String = text.split('`').step_by(2).collect();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut words = said.split(|c: char| !is_part(c));
    let is_english = |w: &&str| {
        let letters = w.chars().filter(char::is_ascii_alphabetic).count();
        letters > 2 && !SAME.contains(w) && !names.contains(w)
    };
    words.find(is_english).map(str::to_owned)
}
