//! `madang check`: every fault of a site file with its line, for people (the line shown) or as JSON.

use crate::site::{self, Fault, LoadError, Severity};
use crate::time::{Clock, SystemClock};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Validates sites and prints every fault at once.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang check sites/home-amsterdam\n  madang check my-site/site.toml --json\n\n\
                  Exit status: 0 no error (warnings are fine), 1 an error, 3 a file cannot be read."
)]
pub struct Args {
    /// Folders that hold site.toml, paths to one, or names of shipped sites.
    #[arg(required = true, value_name = "SITE")]
    sites: Vec<String>,
    /// One JSON array on stdout: [{"site","ok","faults":[…]}].
    #[arg(long)]
    json: bool,
}

/// What was found in one site.
struct Outcome {
    site: String,
    text: String,
    faults: Vec<Fault>,
}

impl Outcome {
    fn ok(&self) -> bool {
        self.faults.iter().all(|f| f.severity == Severity::Warning)
    }
}

pub fn run(args: Args) -> ExitCode {
    let (mut outcomes, mut unreadable) = (Vec::new(), false);
    for site in &args.sites {
        match check(site) {
            Ok(outcome) => outcomes.push(outcome),
            Err(why) => {
                eprintln!("{site}: {why}");
                unreadable = true;
            }
        }
    }
    let text = if args.json {
        json_of(&outcomes)
    } else {
        outcomes.iter().map(for_people).collect()
    };
    // A reader that has gone away (`| head`) is no fault of the site.
    let _gone = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(match (unreadable, outcomes.iter().all(Outcome::ok)) {
        (true, _) => 3,
        (false, false) => 1,
        (false, true) => 0,
    })
}

fn check(site: &str) -> Result<Outcome, LoadError> {
    let source = site::source(site)?;
    let faults = source.check(SystemClock.now());
    Ok(Outcome {
        site: site.to_owned(),
        text: source.text,
        faults,
    })
}

fn json_of(outcomes: &[Outcome]) -> String {
    let rows: Vec<_> = outcomes
        .iter()
        .map(|o| json!({ "site": o.site, "ok": o.ok(), "faults": o.faults }))
        .collect();
    format!("{:#}\n", json!(rows))
}

fn for_people(outcome: &Outcome) -> String {
    let theme = if std::io::stdout().is_terminal() {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(80)
        .with_links(false)
        .without_syntax_highlighting();
    let mut out = String::new();
    for fault in &outcome.faults {
        out += &format!("{}:{}: {}\n", fault.file, fault.line, word(fault.severity));
        let report = diagnostic(fault, &outcome.text);
        if handler.render_report(&mut out, report.as_ref()).is_err() {
            out += &format!("  {}: {}\n", fault.key, fault.message);
        }
        out.push('\n');
    }
    let errors = outcome.faults.iter().filter(|f| f.severity == Severity::Error).count();
    let verdict = if errors == 0 { "ok" } else { "not usable" };
    let warnings = outcome.faults.len() - errors;
    out += &format!(
        "{}: {verdict} ({errors} error(s), {warnings} warning(s))\n",
        outcome.site
    );
    out
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The fault with the line it stands on.
fn diagnostic(fault: &Fault, text: &str) -> miette::Report {
    let (start, length) = span_of(text, fault.line);
    let severity = match fault.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    };
    let message = if fault.key.is_empty() {
        fault.message.clone()
    } else {
        format!("{}: {}", fault.key, fault.message)
    };
    let diagnostic = MietteDiagnostic::new(message)
        .with_severity(severity)
        .with_label(LabeledSpan::underline((start, length)));
    miette::Report::new(diagnostic).with_source_code(NamedSource::new(&fault.file, text.to_owned()))
}

/// Offset and length of the words of a line (1-based).
fn span_of(text: &str, line: usize) -> (usize, usize) {
    let mut start = 0;
    for (i, l) in text.split_inclusive('\n').enumerate() {
        if i + 1 == line {
            let words = l.trim();
            return (start + (l.len() - l.trim_start().len()), words.len());
        }
        start += l.len();
    }
    (text.len(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> Outcome {
        let faults = site::parse("x/site.toml", text).err().unwrap_or_default();
        Outcome {
            site: "x".into(),
            text: text.into(),
            faults,
        }
    }

    #[test]
    fn people_see_place_line_and_what_is_allowed_in_80_columns() {
        let found = for_people(&outcome("schema = \"site/1\"\nname = \"x\"\nmode = \"drive\"\n"));
        assert!(found.contains("x/site.toml:3: error"), "{found}");
        assert!(
            found.contains("mode = \"drive\"") && found.contains("observe, control"),
            "{found}"
        );
        assert!(found.lines().all(|l| l.chars().count() <= 80), "{found}");
    }

    #[test]
    fn json_has_the_fields_others_rely_on() {
        let value: serde_json::Value = serde_json::from_str(&json_of(&[outcome("mode = 3")])).unwrap();
        assert_eq!((&value[0]["site"], &value[0]["ok"]), (&json!("x"), &json!(false)));
        for key in ["file", "line", "key", "message", "severity"] {
            assert!(value[0]["faults"][0].get(key).is_some(), "{key}");
        }
    }

    #[test]
    fn a_line_is_found_by_its_number_also_behind_wide_letters() {
        let text = "a = 1\n  title = \"마당\"\nb";
        let (start, length) = span_of(text, 2);
        assert_eq!(&text[start..start + length], "title = \"마당\"");
        assert_eq!(span_of(text, 9), (text.len(), 0));
    }
}
