//! A map's text as rows: column name (bare, lower case) → cell.

use super::words::bare;
use super::{ADDRESS, Row};

/// An array of objects, alone or as the longest one inside an object.
pub(super) fn json_rows(text: &str) -> Result<Vec<Row>, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| format!("it is no JSON: {e}"))?;
    let list = match &value {
        serde_json::Value::Array(list) => Some(list),
        serde_json::Value::Object(o) => o.values().filter_map(|v| v.as_array()).max_by_key(|l| l.len()),
        _ => None,
    };
    let objects = list.into_iter().flatten().filter_map(|v| v.as_object());
    let text_of = |v: &serde_json::Value| match v {
        serde_json::Value::String(s) => s.clone(),
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    };
    Ok(objects
        .map(|o| o.iter().map(|(k, v)| (bare(k), text_of(v))).collect())
        .collect())
}

/// Lines with a header; `,`, `;` or tabs, whichever the header has most of.
pub(super) fn csv_rows(text: &str) -> Result<Vec<Row>, String> {
    let mut lines = text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
    let head = lines.next().ok_or("it is empty")?;
    let separator = [',', ';', '\t']
        .into_iter()
        .max_by_key(|s| head.matches(*s).count())
        .unwrap_or(',');
    let names: Vec<String> = fields(head, separator).iter().map(|n| bare(n)).collect();
    if !names.iter().any(|n| ADDRESS.contains(&n.as_str())) {
        return Err(format!(
            "its first line names no address column (one of {})",
            ADDRESS.join(", ")
        ));
    }
    let row = |l: &str| names.iter().cloned().zip(fields(l, separator)).collect();
    Ok(lines.map(row).collect())
}

/// Fields of a line; a quoted one may hold the separator, and two quotes for one.
fn fields(line: &str, separator: char) -> Vec<String> {
    let (mut all, mut current, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => current.extend(chars.next()),
            '"' => quoted = !quoted,
            c if c == separator && !quoted => all.push(std::mem::take(&mut current)),
            c => current.push(c),
        }
    }
    all.push(current);
    all
}
