//! Walks a spanned TOML tree key by key: reads quantities with their units, remembers every fault with its line, and every
//! key that was asked for (see `shape`).

use super::parse::{Fault, Severity};
use super::shape::{Holds, KeySpec, Keys, Shape, describe};
use super::values::{nearest, quantity, shown, text, whole};
use crate::units::UnitError;
use std::cell::RefCell;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Of each severity; more than this nobody reads before the first are mended.
const MOST_FAULTS: usize = 200;
/// A sentence with what the file says in it; a file may say megabytes.
const LONGEST_TEXT: usize = 600;

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
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
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|b| **b == b'\n').count() + 1
    }
    pub fn fault(&self, span: &Range<usize>, key: &str, message: impl Into<String>) {
        self.push(span, key, message.into(), Severity::Error);
    }
    pub fn warn(&self, span: &Range<usize>, key: &str, message: impl Into<String>) {
        self.push(span, key, message.into(), Severity::Warning);
    }
    fn push(&self, span: &Range<usize>, key: &str, message: String, severity: Severity) {
        let of_its_kind = self.faults.borrow().iter().filter(|f| f.severity == severity).count();
        if of_its_kind >= MOST_FAULTS {
            return;
        }
        let fault = Fault {
            file: self.file.into(),
            line: self.line(span.start),
            key: short(key),
            message: short(&message),
            severity,
        };
        self.faults.borrow_mut().push(fault);
    }
    /// All faults, in the order of their lines, each once.
    pub fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort_by(|a, b| (a.line, &a.key, &a.message).cmp(&(b.line, &b.key, &b.message)));
        faults.dedup();
        faults
    }
}

/// Whether a key must be there, and what is read where it is not.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wanted<'d> {
    Needed,
    Optional,
    Default(&'d str),
}

fn needed(required: bool) -> Wanted<'static> {
    if required { Wanted::Needed } else { Wanted::Optional }
}

/// One table of the file. Absent tables read like empty ones.
pub struct Section<'a, 't> {
    reader: &'a Reader<'t>,
    pub path: String,
    table: Option<&'a DeTable<'t>>,
    span: Range<usize>,
    /// Every key asked for so far.
    keys: Keys,
    /// Nothing is read: only the questions matter.
    blank: bool,
}

impl<'a, 't> Section<'a, 't> {
    pub fn root(reader: &'a Reader<'t>, table: &'a DeTable<'t>) -> Self {
        Self {
            reader,
            path: String::new(),
            table: Some(table),
            span: 0..0,
            keys: Keys::default(),
            blank: false,
        }
    }
    /// A table that is not there, for asking which keys would be read.
    pub fn blank(reader: &'a Reader<'t>) -> Self {
        Self {
            reader,
            path: String::new(),
            table: None,
            span: 0..0,
            keys: Keys::default(),
            blank: true,
        }
    }
    /// An inner table made of these parts.
    fn inner(&self, path: String, table: Option<&'a DeTable<'t>>, span: Range<usize>) -> Self {
        Self {
            reader: self.reader,
            path,
            table,
            span,
            keys: Keys::default(),
            blank: self.blank,
        }
    }
    /// In a blank table: asks for the keys of each form (the words of `kind`), each on its own.
    pub fn forms<T>(&self, names: &[&str], read: impl Fn(&str, &Self) -> Option<T>) {
        if !self.blank {
            return;
        }
        for name in names {
            let form = Self::blank(self.reader);
            // The answer of a blank table says nothing.
            let _nothing = read(name, &form);
            self.keys.borrow_mut().forms.push(((*name).to_owned(), form.shape()));
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
    /// All keys asked for, with those of inner tables.
    pub fn shape(&self) -> Shape {
        self.keys.borrow().clone()
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
    pub fn is_absent(&self, key: &str) -> bool {
        self.get(key).is_none()
    }
    fn know(&self, key: &str, holds: Holds, wanted: Wanted, doc: &'static str) {
        let default = match wanted {
            Wanted::Default(text) => Some(text.to_owned()),
            Wanted::Needed | Wanted::Optional => None,
        };
        self.keys.borrow_mut().know(KeySpec {
            key: key.into(),
            holds,
            required: wanted == Wanted::Needed,
            default,
            doc,
            inner: None,
        });
    }

    /// Text of a key without judging it, for references between tables.
    pub fn peek(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.0.get_ref().as_str()
    }
    /// A quantity of a key without judging it; `default` where the key is absent, nothing where it is faulty.
    pub fn peek_quantity<T>(
        &self,
        key: &str,
        default: Option<&str>,
        parse: impl Fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        let text = if self.is_absent(key) { default? } else { self.peek(key)? };
        parse(text).ok()
    }
    /// Text of a key of an inner table without judging it.
    pub fn peek_in(&self, table: &str, key: &str) -> Option<&'a str> {
        let inner = self.get(table)?.0.get_ref().as_table()?;
        let (_, value) = inner.iter().find(|(k, _)| k.get_ref().as_ref() == key)?;
        value.get_ref().as_str()
    }
    /// Texts of a list without judging it.
    pub fn peek_list(&self, key: &str) -> Vec<&'a str> {
        let items = self.get(key).and_then(|(v, _)| v.get_ref().as_array());
        items.map_or_else(Vec::new, |all| {
            all.iter().filter_map(|i| i.get_ref().as_str()).collect()
        })
    }
    /// Key and text of a free table, without judging it.
    pub fn peek_texts(&self, key: &str) -> Vec<(&'a str, &'a str)> {
        let table = self.get(key).and_then(|(v, _)| v.get_ref().as_table());
        let texts = table.map(|t| {
            t.iter()
                .filter_map(|(k, v)| Some((k.get_ref().as_ref(), v.get_ref().as_str()?)))
        });
        texts.map_or_else(Vec::new, Iterator::collect)
    }
    pub fn peek_flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.0.get_ref().as_bool()
    }
    pub fn peek_whole(&self, key: &str) -> Option<i64> {
        whole(self.get(key)?.0.get_ref(), (i64::MIN, i64::MAX)).ok()
    }
    /// Names of the keys that are there.
    pub fn names(&self) -> Vec<&'a str> {
        let keys = self.table.map(|t| t.iter().map(|(k, _)| k.get_ref().as_ref()));
        keys.map_or_else(Vec::new, Iterator::collect)
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

    /// Reads a value with `read`; a fault of `read` is reported at the value. Missing and needed: reported at the table.
    fn value<T>(
        &self,
        key: &str,
        holds: Holds,
        wanted: Wanted,
        doc: &'static str,
        read: impl Fn(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        let wants = describe(&holds);
        self.know(key, holds, wanted, doc);
        let Some((value, span)) = self.get(key) else {
            if wanted == Wanted::Needed && self.is_there() {
                let why = format!("missing: {doc}; {wants}");
                self.reader.fault(&self.span, &self.name(key), why);
            }
            return None;
        };
        let read = read(value.get_ref());
        read.map_err(|why| self.reader.fault(&span, &self.name(key), why)).ok()
    }

    /// A quantity read by `parse` (e.g. [`crate::units::Power::parse`]).
    pub fn quantity<T>(
        &self,
        key: &str,
        example: &'static str,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        self.value(key, Holds::Quantity(example), Wanted::Needed, doc, |v| {
            quantity(v, example, &parse)
        })
    }
    /// Like [`Self::quantity`]; where the key is absent `default` is read instead.
    pub fn quantity_or<T>(
        &self,
        key: &str,
        example: &'static str,
        default: &str,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        let read = self.value(key, Holds::Quantity(example), Wanted::Default(default), doc, |v| {
            quantity(v, example, &parse)
        });
        if self.is_absent(key) { parse(default).ok() } else { read }
    }
    /// `None` where the key is absent, or faulty (then it is reported).
    pub fn quantity_opt<T>(
        &self,
        key: &str,
        example: &'static str,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        self.value(key, Holds::Quantity(example), Wanted::Optional, doc, |v| {
            quantity(v, example, &parse)
        })
    }
    pub fn text(&self, key: &str, doc: &'static str) -> Option<String> {
        self.value(key, Holds::Text, Wanted::Needed, doc, text)
    }
    pub fn text_opt(&self, key: &str, doc: &'static str) -> Option<String> {
        self.value(key, Holds::Text, Wanted::Optional, doc, text)
    }
    /// Text turned into something by `parse`.
    pub fn parsed<T>(&self, key: &str, doc: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.value(key, Holds::Text, Wanted::Needed, doc, |v| parse(&text(v)?))
    }
    pub fn parsed_or<T>(
        &self,
        key: &str,
        default: &str,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let read = self.value(key, Holds::Text, Wanted::Default(default), doc, |v| parse(&text(v)?));
        if self.is_absent(key) { parse(default).ok() } else { read }
    }
    /// One of a few words.
    pub fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], default: Option<&str>, doc: &'static str) -> Option<T> {
        let names: Vec<String> = words.iter().map(|(n, _)| (*n).to_owned()).collect();
        let pick = |word: &str| words.iter().find(|(n, _)| *n == word).map(|(_, t)| *t);
        let wanted = default.map_or(Wanted::Needed, Wanted::Default);
        let read = self.value(key, Holds::Words(names.clone()), wanted, doc, |v| {
            let found = text(v)?;
            pick(&found).ok_or_else(|| format!("`{found}` is not known here; allowed: {}", names.join(", ")))
        });
        if self.is_absent(key) {
            default.and_then(pick)
        } else {
            read
        }
    }
    pub fn flag_or(&self, key: &str, default: bool, doc: &'static str) -> bool {
        let as_text = if default { "true" } else { "false" };
        let read = self.value(key, Holds::Flag, Wanted::Default(as_text), doc, |v| {
            v.as_bool().ok_or_else(|| format!("{} is not true or false", shown(v)))
        });
        read.unwrap_or(default)
    }
    pub fn whole(&self, key: &str, range: (i64, i64), default: Option<i64>, doc: &'static str) -> Option<i64> {
        let as_text = default.map(|d| d.to_string());
        let wanted = as_text.as_deref().map_or(Wanted::Needed, Wanted::Default);
        let read = self.value(key, Holds::Whole(range.0, range.1), wanted, doc, |v| whole(v, range));
        if self.is_absent(key) { default } else { read }
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
        self.value(key, Holds::List(Box::new(holds)), needed(required), doc, |v| {
            let items = v.as_array().ok_or_else(|| format!("{} is not a list", shown(v)))?;
            items.iter().map(|i| read(i.get_ref())).collect()
        })
    }
    pub fn texts(&self, key: &str, doc: &'static str) -> Option<Vec<String>> {
        self.list(key, Holds::Text, false, doc, text)
    }

    /// A nested table; reads like an empty one where absent (check [`Self::is_there`]).
    pub fn section(&self, key: &str, required: bool, doc: &'static str) -> Self {
        self.know(key, Holds::Table, needed(required), doc);
        let found = self.get(key);
        let table = found.as_ref().and_then(|(v, _)| v.get_ref().as_table());
        match &found {
            Some((value, span)) if table.is_none() => {
                let why = format!("{} is not a table", shown(value.get_ref()));
                self.reader.fault(span, &self.name(key), why);
            }
            None if required && self.is_there() => {
                let why = format!("missing table: {doc}");
                self.reader.fault(&self.span, &self.name(key), why);
            }
            _ => {}
        }
        let inner = self.inner(self.name(key), table, self.key_span(key));
        self.keys.borrow_mut().adopt(key, &inner.keys);
        inner
    }
    /// The table under a key that otherwise holds what `value` reads; `Err` with that where the file has no table there.
    pub fn table_instead<T>(&self, key: &str, doc: &'static str, value: impl Fn(&Self) -> T) -> Result<Self, T> {
        let found = self.get(key).and_then(|(v, _)| v.get_ref().as_table());
        if found.is_none() && !self.blank {
            return Err(value(self));
        }
        if self.blank {
            // both forms are asked for; the answer of a blank table says nothing
            let _nothing = value(self);
        }
        self.know(key, Holds::Table, Wanted::Optional, doc);
        let inner = self.inner(self.name(key), found, self.key_span(key));
        self.keys.borrow_mut().adopt(key, &inner.keys);
        Ok(inner)
    }
    fn key_span(&self, key: &str) -> Range<usize> {
        let found = self
            .table
            .and_then(|t| t.iter().find(|(k, _)| k.get_ref().as_ref() == key));
        found.map_or_else(|| self.span(), |(k, _)| k.span())
    }
    /// Tables under names of the author's choice (`[components.<name>]`), in the order of the file, so that of two alike the
    /// later one is at fault.
    pub fn named(&self, key: &str, doc: &'static str) -> Vec<(String, Self)> {
        self.know(key, Holds::Named, Wanted::Optional, doc);
        if self.blank {
            return vec![("any".to_owned(), self.one_blank(key))];
        }
        let outer = self.section(key, false, doc);
        let Some(table) = outer.table else { return Vec::new() };
        let mut all = Vec::new();
        for (name, value) in table {
            let path = outer.name(name.get_ref());
            if let Some(table) = value.get_ref().as_table() {
                all.push((name.get_ref().to_string(), self.inner(path, Some(table), name.span())));
            } else {
                let why = format!("{} is not a table", shown(value.get_ref()));
                self.reader.fault(&value.span(), &path, why);
            }
        }
        all.sort_by_key(|(_, section)| section.span.start);
        all
    }
    /// Stands for all inner tables of a blank one.
    fn one_blank(&self, key: &str) -> Self {
        let one = self.inner(self.name(key), None, 0..0);
        self.keys.borrow_mut().adopt(key, &one.keys);
        one
    }
    /// Tables of an array of tables (`[[tariff.import.period]]`).
    pub fn rows(&self, key: &str, required: bool, doc: &'static str) -> Vec<Self> {
        self.know(key, Holds::Rows, needed(required), doc);
        if self.blank {
            return vec![self.one_blank(key)];
        }
        let Some((value, span)) = self.get(key) else {
            if required && self.is_there() {
                let why = format!("missing: {doc}");
                self.reader.fault(&self.span, &self.name(key), why);
            }
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            let why = format!("{} is not a list of tables", shown(value.get_ref()));
            self.reader.fault(&span, &self.name(key), why);
            return Vec::new();
        };
        let mut all = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let path = format!("{}[{i}]", self.name(key));
            match item.get_ref().as_table() {
                Some(table) => all.push(self.inner(path, Some(table), item.span())),
                None => self.reader.fault(&item.span(), &path, "is not a table".to_owned()),
            }
        }
        all
    }
    /// Key → text of a free table (`[devices.x.points]`).
    pub fn texts_by_name(&self, key: &str, doc: &'static str) -> Vec<(String, String)> {
        self.know(key, Holds::Texts, Wanted::Optional, doc);
        let outer = self.section(key, false, doc);
        let Some(table) = outer.table else { return Vec::new() };
        let mut all = Vec::new();
        for (name, value) in table {
            match text(value.get_ref()) {
                Ok(v) => all.push((name.get_ref().to_string(), v)),
                Err(why) => self.reader.fault(&value.span(), &outer.name(name.get_ref()), why),
            }
        }
        all
    }
    /// Reports every key that nobody asked for. Call last.
    pub fn finish(&self) {
        let Some(table) = self.table else { return };
        let known = self.shape().keys;
        let names: Vec<&str> = known.iter().map(|s| s.key.as_str()).collect();
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if names.contains(&name) {
                continue;
            }
            let hint = match nearest(name, names.iter().copied()) {
                Some(near) => format!("unknown key; did you mean `{near}`?"),
                None => format!("unknown key; allowed: {}", names.join(", ")),
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
