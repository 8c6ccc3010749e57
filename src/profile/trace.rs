//! Recorded Modbus traffic as a small file: what was asked, what was answered, when. Anyone can contribute one as a fixture.
//!
//! JSON Lines: a head `{"trace":"madang/1", …}`, then one exchange a line. A read:
//! `{"t_ms":12,"unit":1,"table":"holding","addr":40000,"count":2,"words":[21365,28243]}`; instead of `words` a refusal
//! (`"exception":2`) or `"silent":true`. A write: `{"t_ms":80,"unit":1,"write":16,"addr":40232,"words":[5000],"ok":true}`.

use super::Table;
use serde::{Deserialize, Serialize};

/// No trace is longer: a recorder stops here, a reader refuses more.
pub const MOST_EXCHANGES: usize = 100_000;
const FORMAT: &str = "madang/1";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// `madang/1`
    pub trace: String,
    /// `tcp`, `tls`, `rtu`, `rtu+tcp`: not the address, which is nobody's business.
    pub transport: String,
    pub unit: u8,
    pub profile: String,
    /// RFC 3339
    pub recorded: String,
    /// What was made unreadable, e.g. `serial`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blanked: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Head {
    pub fn new(transport: &str, unit: u8, profile: &str, recorded: String) -> Self {
        Self {
            trace: FORMAT.into(),
            transport: transport.into(),
            unit,
            profile: profile.into(),
            recorded,
            blanked: Vec::new(),
            note: None,
        }
    }
}

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Since the recording began.
    pub t_ms: u64,
    pub unit: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// Function code of a write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<u8>,
    pub addr: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u16>,
    /// Answered by a read (bits as 0 and 1), or sent by a write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<u8>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub silent: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub ok: bool,
}

fn is_false(b: &bool) -> bool {
    !*b
}

#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    pub head: Head,
    pub exchanges: Vec<Exchange>,
}

impl Trace {
    /// Reads a trace file; the message names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
        let (_, first) = lines.next().ok_or("the trace is empty")?;
        let head: Head = serde_json::from_str(first).map_err(|e| format!("line 1: {e}"))?;
        if head.trace != FORMAT {
            return Err(format!("line 1: format `{}` is not {FORMAT}", head.trace));
        }
        let mut exchanges = Vec::new();
        for (i, line) in lines {
            let exchange: Exchange = serde_json::from_str(line).map_err(|e| format!("line {}: {e}", i + 1))?;
            exchange.check().map_err(|why| format!("line {}: {why}", i + 1))?;
            exchanges.push(exchange);
            if exchanges.len() > MOST_EXCHANGES {
                return Err(format!("it has more than {MOST_EXCHANGES} exchanges"));
            }
        }
        Ok(Self { head, exchanges })
    }

    pub fn text(&self) -> Result<String, String> {
        let said = |e: serde_json::Error| e.to_string();
        let mut text = serde_json::to_string(&self.head).map_err(said)? + "\n";
        for e in &self.exchanges {
            text += &serde_json::to_string(e).map_err(said)?;
            text.push('\n');
        }
        Ok(text)
    }
}

impl Exchange {
    fn check(&self) -> Result<(), String> {
        match (self.table, self.count, self.write) {
            (Some(_), Some(count), None) if self.words.len() == usize::from(count) => Ok(()),
            (Some(_), Some(_), None) if self.words.is_empty() && (self.silent || self.exception.is_some()) => Ok(()),
            (Some(_), Some(count), None) => Err(format!("{} words where {count} were asked for", self.words.len())),
            (None, _, Some(_)) if !self.words.is_empty() => Ok(()),
            _ => Err("is neither a read (table, count) nor a write (write, words)".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_written_as_it_is_read_and_faults_name_their_line() {
        let head =
            r#"{"trace":"madang/1","transport":"tcp","unit":1,"profile":"sunspec","recorded":"2026-11-25T00:00:00Z"}"#;
        let read = r#"{"t_ms":0,"unit":1,"table":"holding","addr":40000,"count":2,"words":[21365,28243]}"#;
        let refused = r#"{"t_ms":9,"unit":1,"table":"input","addr":7,"count":1,"exception":2}"#;
        let write = r#"{"t_ms":20,"unit":1,"write":6,"addr":7,"words":[1],"ok":true}"#;
        let text = [head, read, refused, write, ""].join("\n");
        let trace = Trace::parse(&text).unwrap();
        assert_eq!(trace.exchanges.len(), 3);
        assert_eq!(trace.text().unwrap(), text);
        for (wrong, line) in [
            (
                r#"{"t_ms":0,"unit":1,"table":"holding","addr":0,"count":3,"words":[1]}"#,
                "line 2",
            ),
            (r#"{"t_ms":0,"unit":1,"addr":0}"#, "line 2"),
            ("{", "line 2"),
        ] {
            let why = Trace::parse(&format!("{head}\n{wrong}\n")).unwrap_err();
            assert!(why.contains(line), "{why}");
        }
        assert!(Trace::parse("").is_err());
    }
}
