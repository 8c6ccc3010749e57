//! What keys a site file may hold: collected from the very questions the parser asks; the JSON Schema and the reference
//! table of docs/site-file.md are made from it, so that none of the three can drift from the others.

use std::cell::RefCell;
use std::rc::Rc;

/// What a key may hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Holds {
    /// Text with a unit, e.g. `"11 kW"`.
    Quantity(&'static str),
    Text,
    Words(Vec<String>),
    Flag,
    Whole(i64, i64),
    Number(f64, f64),
    List(Box<Holds>),
    Table,
    /// Names chosen by the author, each a table.
    Named,
    /// `[[key]]` rows.
    Rows,
    /// Names chosen by the author, each with a text.
    Texts,
}

/// A key the parser knows.
#[derive(Debug, Clone)]
pub struct KeySpec {
    pub key: String,
    pub holds: Holds,
    pub required: bool,
    /// What is read where the key is absent, as one would write it.
    pub default: Option<String>,
    pub doc: &'static str,
    /// Keys of the inner table (of each one, for named tables and rows).
    pub inner: Option<Keys>,
}

/// All keys of a table.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    pub keys: Vec<KeySpec>,
    /// Further keys by the word under `kind`.
    pub forms: Vec<(String, Shape)>,
}

pub type Keys = Rc<RefCell<Shape>>;

impl Shape {
    pub fn know(&mut self, spec: KeySpec) {
        if !self.keys.iter().any(|s| s.key == spec.key) {
            self.keys.push(spec);
        }
    }
    /// The keys of an inner table, once they are asked for.
    pub fn adopt(&mut self, key: &str, inner: &Keys) {
        if let Some(spec) = self.keys.iter_mut().find(|s| s.key == key) {
            spec.inner = Some(inner.clone());
        }
    }
}

impl KeySpec {
    pub fn inner(&self) -> Shape {
        self.inner.as_ref().map_or_else(Shape::default, |i| i.borrow().clone())
    }
}

/// What to write, for messages and for the reference.
pub fn describe(holds: &Holds) -> String {
    match holds {
        Holds::Quantity(example) => format!("write for example \"{example}\""),
        Holds::Text => "write text".into(),
        Holds::Words(words) => format!("allowed: {}", words.join(", ")),
        Holds::Flag => "write true or false".into(),
        Holds::Whole(low, high) => format!("write a whole number from {low} to {high}"),
        Holds::Number(low, high) => format!("write a number from {low} to {high}"),
        Holds::List(of) => format!("a list; {}", describe(of)),
        Holds::Table | Holds::Named => "a table".into(),
        Holds::Rows => "a list of tables".into(),
        Holds::Texts => "a table of texts".into(),
    }
}
