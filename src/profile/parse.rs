//! Reads a profile file: every fault of form and of meaning at once, each with its line.

use super::lint::{Lines, lint};
use super::raw::{Defaults, RawBlock, RawCommand, RawDerived, RawIdentify, RawPoint};
use super::{Link, Profile, ProfileOption, Quirks};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A fault of a profile file.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ProfileFault {
    pub line: usize,
    pub key: String,
    pub message: String,
}

/// Keys of the file still to be read, and what is wrong so far.
struct File<'t> {
    text: &'t str,
    rest: BTreeMap<String, (usize, Spanned<DeValue<'t>>)>,
    faults: Vec<ProfileFault>,
}

/// Parses a profile, or says all that is wrong with it.
pub fn parse(text: &str) -> Result<Profile, Vec<ProfileFault>> {
    let mut file = File::open(text);
    let (profile, lines) = file.profile();
    if let Some(p) = &profile {
        file.faults.extend(lint(p, &lines));
    }
    match profile {
        Some(p) if file.faults.is_empty() => Ok(p),
        _ => Err(file.sorted()),
    }
}

impl<'t> File<'t> {
    fn open(text: &'t str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut file = Self {
            text,
            rest: BTreeMap::new(),
            faults: Vec::new(),
        };
        for e in errors {
            let line = e.span().map_or(1, |s| file.line(s.start));
            file.fault(line, "", format!("not TOML: {}", e.message()));
        }
        for (key, value) in table.into_inner() {
            let line = file.line(key.span().start);
            file.rest.insert(key.into_inner().into_owned(), (line, value));
        }
        file
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|b| **b == b'\n').count() + 1
    }

    fn fault(&mut self, line: usize, key: &str, message: impl Into<String>) {
        self.faults.push(ProfileFault {
            line,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    fn sorted(mut self) -> Vec<ProfileFault> {
        if self.faults.is_empty() {
            self.fault(1, "", "is no profile");
        }
        self.faults
            .sort_by(|a, b| (a.line, &a.key, &a.message).cmp(&(b.line, &b.key, &b.message)));
        self.faults.dedup();
        self.faults
    }

    /// One value as `T`; what is wrong with it is remembered with the line nearest to it.
    fn read<T: DeserializeOwned>(&mut self, key: &str, line: usize, value: Spanned<DeValue<'t>>) -> Option<T> {
        let span = value.span();
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(read) => Some(read),
            Err(error) => {
                let at = error.span().filter(|s| s.start >= span.start && s.start > 0);
                let line = at.map_or(line, |s| self.line(s.start));
                self.fault(line, key, error.message().to_owned());
                None
            }
        }
    }

    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let (line, value) = self.rest.remove(key)?;
        self.read(key, line, value)
    }

    fn needed<T: DeserializeOwned>(&mut self, key: &str, what: &str) -> Option<T> {
        if !self.rest.contains_key(key) {
            self.fault(1, key, format!("`{key}` is missing: {what}"));
        }
        self.take(key)
    }

    /// `[[key]]`: the good ones, with their lines.
    fn list<T: DeserializeOwned>(&mut self, key: &str) -> Vec<(usize, T)> {
        let Some((line, value)) = self.rest.remove(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.into_inner() else {
            self.fault(line, key, format!("`{key}` is a list of tables: [[{key}]]"));
            return Vec::new();
        };
        let mut all = Vec::new();
        for item in items {
            let line = self.line(item.span().start);
            all.extend(self.read(key, line, item).map(|t| (line, t)));
        }
        all
    }

    /// `[key.name]`: the good ones, with their lines.
    fn named<T: DeserializeOwned>(&mut self, key: &str) -> Vec<(String, usize, T)> {
        let Some((line, value)) = self.rest.remove(key) else {
            return Vec::new();
        };
        let DeValue::Table(table) = value.into_inner() else {
            self.fault(line, key, format!("`{key}` is a table of tables: [{key}.name]"));
            return Vec::new();
        };
        let mut all = Vec::new();
        for (name, item) in table {
            let line = self.line(name.span().start);
            let name = name.into_inner().into_owned();
            let read = self.read(&format!("{key}.{name}"), line, item);
            all.extend(read.map(|t| (name, line, t)));
        }
        all
    }

    fn profile(&mut self) -> (Option<Profile>, Lines) {
        let mut lines = Lines::default();
        self.schema();
        let d = self.take::<Defaults>("defaults").unwrap_or_else(Defaults::none);
        lines.head("link", self.rest.get("link").map(|(l, _)| *l));
        lines.head("id", self.rest.get("id").map(|(l, _)| *l));
        lines.head("kind", self.rest.get("kind").map(|(l, _)| *l));
        lines.head("quirks", self.rest.get("quirks").map(|(l, _)| *l));
        let id = self.needed::<String>("id", "the name of the profile, as its file is called");
        let kind = self.needed::<String>("kind", "meter, pv, hybrid, evse, …");
        let link = self.needed::<Link>("link", "transport, port, unit, …");
        let identify = lines.list("identify", self.list::<RawIdentify>("identify"), |i| i.build(&d));
        let blocks = lines.list("blocks", self.list::<RawBlock>("blocks"), |b| b.build(&d));
        let points = lines.list("points", self.list::<RawPoint>("points"), |p| p.build(&d));
        let profile = Profile {
            id: id.clone().unwrap_or_default(),
            kind: kind.clone().unwrap_or_default(),
            models: self.take("models").unwrap_or_default(),
            confidence: self.take("confidence"),
            sources: self.take("sources").unwrap_or_default(),
            sunspec: self.take("sunspec").unwrap_or(false),
            quirks: self.take("quirks").unwrap_or(Quirks::standard()),
            options: self.options(&mut lines),
            maker: self.take("maker"),
            derived: self.derived(&mut lines),
            commands: self.commands(&mut lines, &d),
            notes: self.take("notes").unwrap_or_default(),
            link: link.clone().unwrap_or_else(no_link),
            identify,
            blocks,
            points,
        };
        self.leftover();
        let whole = id.is_some() && kind.is_some() && link.is_some();
        (whole.then_some(profile), lines)
    }

    fn schema(&mut self) {
        let line = self.rest.get("schema").map_or(1, |(l, _)| *l);
        let schema = self.needed::<String>("schema", "write schema = \"profile/1\"");
        if schema.is_some_and(|s| s != "profile/1") {
            self.fault(line, "schema", "this Madang reads schema = \"profile/1\"");
        }
    }

    fn options(&mut self, lines: &mut Lines) -> BTreeMap<String, ProfileOption> {
        let mut all = BTreeMap::new();
        for (name, line, option) in self.named("options") {
            lines.put("options", &name, line);
            all.insert(name, option);
        }
        all
    }

    fn derived(&mut self, lines: &mut Lines) -> Vec<super::Derived> {
        let mut all = Vec::new();
        for (line, raw) in self.list::<RawDerived>("derived") {
            match raw.build() {
                Ok(d) => {
                    lines.push("derived", line);
                    all.push(d);
                }
                Err(why) => self.fault(line, "derived", why),
            }
        }
        all
    }

    fn commands(&mut self, lines: &mut Lines, d: &Defaults) -> BTreeMap<String, super::Command> {
        let mut all = BTreeMap::new();
        for (name, line, raw) in self.named::<RawCommand>("commands") {
            lines.put("commands", &name, line);
            match raw.build(d) {
                Ok(c) => {
                    all.insert(name, c);
                }
                Err(why) => self.fault(line, &format!("commands.{name}"), why),
            }
        }
        all
    }

    fn leftover(&mut self) {
        for (key, (line, _)) in std::mem::take(&mut self.rest) {
            self.fault(line, &key, format!("`{key}` is no key of a profile"));
        }
    }
}

fn no_link() -> Link {
    Link {
        transport: vec![],
        port: None,
        unit: None,
        unit_accept: vec![],
        max_clients: None,
        connect_delay_ms: None,
        gap_ms: None,
        timeout_ms: None,
        min_read_ms: None,
        min_write_ms: None,
        max_regs_read: None,
        max_regs_write: None,
        max_gap: None,
        echo_tid: None,
        baud: vec![],
        framing: None,
        note: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::builtin::text;
    use proptest::prelude::*;

    fn faults(text: &str) -> Vec<ProfileFault> {
        parse(text).unwrap_err()
    }

    #[test]
    fn faults_are_named_with_the_line_they_stand_on() {
        let good = text("generic-relay").unwrap();
        for (from, to, part) in [
            ("addr = 0\n", "addr = 9000\n", "lies in no block"),
            ("refresh_s = 20", "refresh_s = 50", "more than half"),
            ("point = \"running_command\"", "point = \"walking\"", "`walking`"),
            ("kind =", "kynd =", "kynd"),
            ("schema = \"profile/1\"", "schema = \"profile/9\"", "profile/1"),
            ("count = 12", "count = 126", "126"),
            ("type = \"i32\"", "type = \"i33\"", "i33"),
            ("wear = \"ram\"", "wear = \"tear\"", "tear"),
            ("scale = 1 }, {", "value = 70000 }, {", "does not fit"),
        ] {
            assert!(good.contains(from), "{from}");
            let bad = good.replacen(from, to, 1);
            let found = faults(&bad);
            let hit = found.iter().find(|f| f.message.contains(part));
            let hit = hit.unwrap_or_else(|| panic!("{to}: {found:#?}"));
            let changed = bad.find(to).map_or(0, |at| bad[..at].lines().count());
            assert!(
                hit.line >= 1 && hit.line.abs_diff(changed) <= 12,
                "{to}: {hit:?} but changed {changed}"
            );
        }
    }

    #[test]
    fn all_faults_come_at_once() {
        let bad = text("generic-relay")
            .unwrap()
            .replace("every = \"fast\"", "every = \"often\"")
            .replace("kind = \"load\"", "kind = \"thing\"")
            .replace("wear = \"ram\"", "wear = \"ram\"\nspeed = 3");
        let found = faults(&bad);
        for part in ["often", "thing", "speed"] {
            assert!(found.iter().any(|f| f.message.contains(part)), "{part}: {found:#?}");
        }
        assert!(found.windows(2).all(|w| w[0].line <= w[1].line));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_every_fault_has_a_line(text in "\\PC{0,200}") {
            if let Err(faults) = parse(&text) {
                let last = text.lines().count().max(1) + 1;
                prop_assert!(!faults.is_empty() && faults.iter().all(|f| (1..=last).contains(&f.line)), "{faults:?}");
            }
        }

        #[test]
        fn no_damage_to_a_good_file_makes_it_panic(at in 0usize..4000, cut in 0usize..40, put in "[\\[\\]{}=\"'#,a-z0-9.\n-]{0,12}") {
            let good = text("alfen-eve").unwrap();
            let from = (0..=at.min(good.len())).rev().find(|i| good.is_char_boundary(*i)).unwrap();
            let to = (from..=(from + cut).min(good.len())).rev().find(|i| good.is_char_boundary(*i)).unwrap();
            let bad = format!("{}{put}{}", &good[..from], &good[to..]);
            if let Err(faults) = parse(&bad) {
                prop_assert!(faults.iter().all(|f| f.line >= 1 && f.line <= bad.lines().count() + 1), "{faults:?}");
            }
        }
    }
}
