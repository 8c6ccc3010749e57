//! Walks a spanned TOML tree key by key: reads quantities with their units, remembers every fault with its line, and knows
//! every key that was asked for — which is also what the JSON Schema is made from.

use super::parse::{Fault, Severity};
use crate::units::{self, UnitError};
use std::cell::RefCell;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a key may hold, for messages and for the schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Holds {
    /// Text with a unit, e.g. `"11 kW"`.
    Quantity(&'static str),
    Text,
    Words(Vec<String>),
    Flag,
    Whole(i64, i64),
    List(Box<Holds>),
    Table,
    /// Names chosen by the author, each a table.
    Named,
}

/// A key the parser knows.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySpec {
    pub key: String,
    pub holds: Holds,
    pub required: bool,
    pub doc: &'static str,
}

/// Collects faults of one file.
pub struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
}

impl<'t> Reader<'t> {
    pub fn new(file: &'t str, text: &'t str) -> Self {
        Self {
            file,
            text,
            faults: RefCell::new(Vec::new()),
        }
    }
    /// 1-based line of a byte offset.
    pub fn line(&self, offset: usize) -> usize {
        self.text
            .as_bytes()
            .iter()
            .take(offset)
            .filter(|b| **b == b'\n')
            .count()
            + 1
    }
    pub fn fault(&self, span: &Range<usize>, key: &str, message: impl Into<String>) {
        self.push(span, key, message.into(), Severity::Error);
    }
    pub fn warn(&self, span: &Range<usize>, key: &str, message: impl Into<String>) {
        self.push(span, key, message.into(), Severity::Warning);
    }
    fn push(&self, span: &Range<usize>, key: &str, message: String, severity: Severity) {
        let fault = Fault {
            file: self.file.into(),
            line: self.line(span.start),
            key: key.into(),
            message,
            severity,
        };
        self.faults.borrow_mut().push(fault);
    }
    /// All faults, in the order of their lines.
    pub fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort_by(|a, b| (a.line, &a.key).cmp(&(b.line, &b.key)));
        faults.dedup();
        faults
    }
}

/// One table of the file. Absent tables read like empty ones.
pub struct Section<'a, 't> {
    reader: &'a Reader<'t>,
    pub path: String,
    table: Option<&'a DeTable<'t>>,
    span: Range<usize>,
    seen: RefCell<Vec<KeySpec>>,
}

impl<'a, 't> Section<'a, 't> {
    pub fn root(reader: &'a Reader<'t>, table: &'a DeTable<'t>) -> Self {
        Self {
            reader,
            path: String::new(),
            table: Some(table),
            span: 0..0,
            seen: RefCell::default(),
        }
    }
    /// A table that is not there, for asking which keys would be read.
    pub fn blank(reader: &'a Reader<'t>) -> Self {
        Self {
            reader,
            path: String::new(),
            table: None,
            span: 0..0,
            seen: RefCell::default(),
        }
    }
    pub fn reader(&self) -> &'a Reader<'t> {
        self.reader
    }
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }
    pub fn is_there(&self) -> bool {
        self.table.is_some()
    }
    pub fn specs(&self) -> Vec<KeySpec> {
        self.seen.borrow().clone()
    }
    fn name(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
    fn get(&self, key: &str) -> Option<(&'a Spanned<DeValue<'t>>, Range<usize>)> {
        let (_, value) = self.table?.iter().find(|(k, _)| k.get_ref().as_ref() == key)?;
        Some((value, value.span()))
    }
    fn know(&self, key: &str, holds: Holds, required: bool, doc: &'static str) {
        let mut seen = self.seen.borrow_mut();
        if !seen.iter().any(|s| s.key == key) {
            seen.push(KeySpec {
                key: key.into(),
                holds,
                required,
                doc,
            });
        }
    }
    /// Reports a fault at a key of this table (or at the table).
    pub fn fault(&self, key: &str, message: impl Into<String>) {
        let span = self.get(key).map_or_else(|| self.span(), |(_, s)| s);
        self.reader.fault(&span, &self.name(key), message);
    }
    pub fn warn(&self, key: &str, message: impl Into<String>) {
        let span = self.get(key).map_or_else(|| self.span(), |(_, s)| s);
        self.reader.warn(&span, &self.name(key), message);
    }

    /// Reads a value with `read`; a fault of `read` is reported at the value. Missing and required: reported at the table.
    fn value<T>(
        &self,
        key: &str,
        holds: Holds,
        required: bool,
        doc: &'static str,
        read: impl Fn(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        let wants = describe(&holds);
        self.know(key, holds, required, doc);
        let Some((value, span)) = self.get(key) else {
            if required && self.is_there() {
                self.reader
                    .fault(&self.span, &self.name(key), format!("missing: {doc}; {wants}"));
            }
            return None;
        };
        match read(value.get_ref()) {
            Ok(v) => Some(v),
            Err(why) => {
                self.reader.fault(&span, &self.name(key), why);
                None
            }
        }
    }

    /// A quantity read by `parse` (e.g. [`units::Power::parse`]), within `range` of its number where one is given.
    pub fn quantity<T>(
        &self,
        key: &str,
        example: &'static str,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        self.value(key, Holds::Quantity(example), true, doc, |v| {
            quantity(v, example, &parse)
        })
    }
    /// Like [`Self::quantity`], `default` where the key is absent.
    pub fn quantity_or<T>(
        &self,
        key: &str,
        example: &'static str,
        default: T,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        let read = self.value(key, Holds::Quantity(example), false, doc, |v| {
            quantity(v, example, &parse)
        });
        if self.get(key).is_none() { Some(default) } else { read }
    }
    /// `None` where the key is absent; `Some(None)` never: faults are reported and read as absent.
    pub fn quantity_opt<T>(
        &self,
        key: &str,
        example: &'static str,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        self.value(key, Holds::Quantity(example), false, doc, |v| {
            quantity(v, example, &parse)
        })
    }
    pub fn text(&self, key: &str, doc: &'static str) -> Option<String> {
        self.value(key, Holds::Text, true, doc, text)
    }
    pub fn text_opt(&self, key: &str, doc: &'static str) -> Option<String> {
        self.value(key, Holds::Text, false, doc, text)
    }
    /// Text turned into something by `parse`.
    pub fn parsed<T>(&self, key: &str, doc: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.value(key, Holds::Text, true, doc, |v| parse(&text(v)?))
    }
    pub fn parsed_or<T>(
        &self,
        key: &str,
        default: T,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let read = self.value(key, Holds::Text, false, doc, |v| parse(&text(v)?));
        if self.get(key).is_none() { Some(default) } else { read }
    }
    /// One of a few words.
    pub fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], default: Option<T>, doc: &'static str) -> Option<T> {
        let names: Vec<String> = words.iter().map(|(n, _)| (*n).to_owned()).collect();
        let read = self.value(key, Holds::Words(names.clone()), default.is_none(), doc, |v| {
            let found = text(v)?;
            let hit = words.iter().find(|(n, _)| *n == found).map(|(_, t)| *t);
            hit.ok_or_else(|| format!("`{found}` is not known here; allowed: {}", names.join(", ")))
        });
        if self.get(key).is_none() { default } else { read }
    }
    pub fn flag_or(&self, key: &str, default: bool, doc: &'static str) -> bool {
        let read = self.value(key, Holds::Flag, false, doc, |v| {
            v.as_bool().ok_or_else(|| format!("{} is not true or false", shown(v)))
        });
        read.unwrap_or(default)
    }
    pub fn whole(&self, key: &str, range: (i64, i64), default: Option<i64>, doc: &'static str) -> Option<i64> {
        let read = self.value(key, Holds::Whole(range.0, range.1), default.is_none(), doc, |v| {
            whole(v, range)
        });
        if self.get(key).is_none() { default } else { read }
    }
    /// A list; absent reads as `None`.
    pub fn list<T>(
        &self,
        key: &str,
        holds: Holds,
        required: bool,
        doc: &'static str,
        read: impl Fn(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.value(key, Holds::List(Box::new(holds)), required, doc, |v| {
            let items = v.as_array().ok_or_else(|| format!("{} is not a list", shown(v)))?;
            items.iter().map(|i| read(i.get_ref())).collect()
        })
    }
    pub fn texts(&self, key: &str, doc: &'static str) -> Option<Vec<String>> {
        self.list(key, Holds::Text, false, doc, text)
    }

    /// A nested table; reads like an empty one where absent (check [`Self::is_there`]).
    pub fn section(&self, key: &str, required: bool, doc: &'static str) -> Section<'a, 't> {
        self.know(key, Holds::Table, required, doc);
        let found = self.get(key);
        if let Some((value, span)) = &found {
            if value.get_ref().as_table().is_none() {
                self.reader.fault(
                    span,
                    &self.name(key),
                    format!("{} is not a table", shown(value.get_ref())),
                );
            }
        } else if required && self.is_there() {
            self.reader
                .fault(&self.span, &self.name(key), format!("missing table: {doc}"));
        }
        let table = found.as_ref().and_then(|(v, _)| v.get_ref().as_table());
        let span = self.key_span(key);
        Section {
            reader: self.reader,
            path: self.name(key),
            table,
            span,
            seen: RefCell::default(),
        }
    }
    fn key_span(&self, key: &str) -> Range<usize> {
        let found = self
            .table
            .and_then(|t| t.iter().find(|(k, _)| k.get_ref().as_ref() == key));
        found.map_or_else(|| self.span(), |(k, _)| k.span())
    }
    /// Tables under names of the author's choice (`[components.<name>]`).
    pub fn named(&self, key: &str, doc: &'static str) -> Vec<(String, Section<'a, 't>)> {
        let outer = self.section(key, false, doc);
        self.know(key, Holds::Named, false, doc);
        let Some(table) = outer.table else { return Vec::new() };
        let mut all = Vec::new();
        for (name, value) in table {
            let path = format!("{key}.{}", name.get_ref());
            let path = if self.path.is_empty() {
                path
            } else {
                format!("{}.{path}", self.path)
            };
            if let Some(table) = value.get_ref().as_table() {
                let span = name.span();
                let section = Section {
                    reader: self.reader,
                    path,
                    table: Some(table),
                    span,
                    seen: RefCell::default(),
                };
                all.push((name.get_ref().to_string(), section));
            } else {
                self.reader.fault(
                    &value.span(),
                    &path,
                    format!("{} is not a table", shown(value.get_ref())),
                );
            }
        }
        all
    }
    /// Tables of an array of tables (`[[tariff.import.period]]`).
    pub fn rows(&self, key: &str, required: bool, doc: &'static str) -> Vec<Section<'a, 't>> {
        self.know(key, Holds::List(Box::new(Holds::Table)), required, doc);
        let Some((value, span)) = self.get(key) else {
            if required && self.is_there() {
                self.reader
                    .fault(&self.span, &self.name(key), format!("missing: {doc}"));
            }
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.reader
                .fault(&span, &self.name(key), "is not a list of tables".to_owned());
            return Vec::new();
        };
        let mut all = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let path = format!("{}[{i}]", self.name(key));
            match item.get_ref().as_table() {
                Some(table) => all.push(Section {
                    reader: self.reader,
                    path,
                    table: Some(table),
                    span: item.span(),
                    seen: RefCell::default(),
                }),
                None => self.reader.fault(&item.span(), &path, "is not a table".to_owned()),
            }
        }
        all
    }
    /// Key → text of a free table (`[devices.x.points]`).
    pub fn texts_by_name(&self, key: &str, doc: &'static str) -> Vec<(String, String)> {
        let outer = self.section(key, false, doc);
        let Some(table) = outer.table else { return Vec::new() };
        let mut all = Vec::new();
        for (name, value) in table {
            match value.get_ref().as_str() {
                Some(v) => all.push((name.get_ref().to_string(), v.to_owned())),
                None => self
                    .reader
                    .fault(&value.span(), &outer.name(name.get_ref()), "is not text".to_owned()),
            }
        }
        all
    }
    /// Reports every key that nobody asked for. Call last.
    pub fn finish(&self) {
        let Some(table) = self.table else { return };
        let seen = self.seen.borrow();
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if seen.iter().any(|s| s.key == name) {
                continue;
            }
            let near = seen.iter().map(|s| s.key.as_str()).min_by_key(|k| distance(k, name));
            let hint = match near.filter(|k| distance(k, name) <= 2) {
                Some(k) => format!("unknown key; did you mean `{k}`?"),
                None => {
                    let keys: Vec<&str> = seen.iter().map(|s| s.key.as_str()).collect();
                    format!("unknown key; allowed: {}", keys.join(", "))
                }
            };
            self.reader.fault(&key.span(), &self.name(name), hint);
        }
    }
}

/// 1-based line of the value at a path of keys; 1 where there is none.
pub fn line_of(text: &str, path: &[&str]) -> usize {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut table = Some(document.get_ref());
    let mut at = 0;
    for key in path {
        let found = table.and_then(|t| t.iter().find(|(k, _)| k.get_ref().as_ref() == *key));
        let Some((_, value)) = found else { break };
        at = value.span().start;
        table = value.get_ref().as_table();
    }
    Reader::new("", text).line(at)
}

fn describe(holds: &Holds) -> String {
    match holds {
        Holds::Quantity(example) => format!("write for example \"{example}\""),
        Holds::Text => "write text".into(),
        Holds::Words(words) => format!("allowed: {}", words.join(", ")),
        Holds::Flag => "write true or false".into(),
        Holds::Whole(low, high) => format!("write a whole number from {low} to {high}"),
        Holds::List(of) => format!("a list; {}", describe(of)),
        Holds::Table | Holds::Named => "a table".into(),
    }
}

fn quantity<T>(v: &DeValue, example: &'static str, parse: impl Fn(&str) -> Result<T, UnitError>) -> Result<T, String> {
    match v.as_str() {
        Some(text) => parse(text).map_err(|why| why.to_string()),
        None => Err(format!("{} has no unit; write for example \"{example}\"", shown(v))),
    }
}

/// Text of a value.
pub fn text(v: &DeValue) -> Result<String, String> {
    v.as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("{} is not text in quotes", shown(v)))
}

/// A whole number in `range`.
pub fn whole(v: &DeValue, range: (i64, i64)) -> Result<i64, String> {
    let number = v
        .as_integer()
        .and_then(|i| i64::from_str_radix(i.as_str(), i.radix()).ok());
    match number {
        Some(n) if (range.0..=range.1).contains(&n) => Ok(n),
        _ => Err(format!(
            "{} is not a whole number from {} to {}",
            shown(v),
            range.0,
            range.1
        )),
    }
}

/// A plain number (only where no quantity is meant: weights of a shape).
pub fn number(v: &DeValue) -> Result<f64, String> {
    let text = v
        .as_float()
        .map(|f| f.as_str())
        .or_else(|| v.as_integer().map(|i| i.as_str()));
    let n = text
        .and_then(|t| t.replace('_', "").parse::<f64>().ok())
        .filter(|n| n.is_finite());
    n.ok_or_else(|| format!("{} is not a number", shown(v)))
}

/// A value as the author wrote it, short.
fn shown(v: &DeValue) -> String {
    match v {
        DeValue::String(s) => format!("`{}`", s.chars().take(40).collect::<String>()),
        DeValue::Integer(i) => format!("`{}`", i.as_str()),
        DeValue::Float(f) => format!("`{}`", f.as_str()),
        DeValue::Boolean(b) => format!("`{b}`"),
        other => format!("this {}", other.type_str()),
    }
}

/// Levenshtein distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let next = (diagonal + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

/// Reads a time of day such as `07:30`.
pub fn time_of_day(text: &str) -> Result<chrono::NaiveTime, String> {
    chrono::NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| format!("`{text}` is not a time of day such as 07:30"))
}

/// A share between 0 and 1, written as a percentage.
pub fn share(text: &str) -> Result<f64, UnitError> {
    units::parse_share(text)
}
