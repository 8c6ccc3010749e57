//! Somebody else's register map (CSV with a header, or JSON in the manner of MBMap) as a profile of ours.
//!
//! In: text. Out: profile TOML that passes the linter, and what was left out and why. Only what is read comes over: a map says
//! nothing of how a device is commanded. Nothing is guessed silently: what the map leaves open becomes a note.

mod rows;
mod words;

use super::{ProfileFault, RegisterType, parse};
use rows::{csv_rows, json_rows};
use std::collections::{BTreeMap, BTreeSet};
use words::{order, slug, table, type_name, type_of, unit, whole};

/// A map is no larger than this.
const MOST_ROWS: usize = 5_000;
/// Longest block of one request.
const MOST_REGISTERS: u32 = 120;

/// Columns by what they may be called, in lower case without blanks, `-` and `_`.
const NAME: [&str; 6] = ["name", "point", "id", "key", "label", "description"];
const ADDRESS: [&str; 6] = ["address", "addr", "register", "registeraddress", "offset", "start"];
const TABLE: [&str; 7] = [
    "table",
    "registertype",
    "function",
    "functioncode",
    "fc",
    "space",
    "kind",
];
const TYPE: [&str; 4] = ["type", "datatype", "format", "valuetype"];
const WORDS: [&str; 5] = ["words", "wordorder", "endianness", "byteorder", "order"];
const SCALE: [&str; 4] = ["scale", "factor", "multiplier", "scalefactor"];
const DIVISOR: [&str; 2] = ["divisor", "gain"];
const UNIT: [&str; 2] = ["unit", "units"];
const COUNT: [&str; 5] = ["count", "length", "size", "quantity", "registers"];
const SENTINEL: [&str; 5] = ["nan", "sentinel", "sentinels", "invalid", "notavailable"];

#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    pub toml: String,
    /// Rows left out, and what to look at.
    pub notes: Vec<String>,
}

type Row = BTreeMap<String, String>;

/// Makes profile `id` from a map.
pub fn import(id: &str, text: &str) -> Result<Imported, String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let rows = match text.starts_with(['{', '[']) {
        true => json_rows(text)?,
        false => csv_rows(text)?,
    };
    if rows.len() > MOST_ROWS {
        return Err(format!(
            "it has {} rows; a map has no more than {MOST_ROWS}",
            rows.len()
        ));
    }
    let (mut points, mut notes) = (Vec::new(), Vec::new());
    let mut taken = BTreeSet::new();
    for (i, row) in rows.iter().enumerate() {
        match point(row).and_then(|p| fresh(p, &mut taken)) {
            Ok(p) => points.push(p),
            Err(why) => notes.push(format!("row {}: {why}", i + 1)),
        }
    }
    if points.is_empty() {
        let first = notes.first().map_or("it has no rows", String::as_str);
        return Err(format!(
            "no register was understood ({first}); columns needed are name and address, and table, type, words, scale, unit as known"
        ));
    }
    let open = |what: &str, is: &dyn Fn(&Point) -> bool| {
        let n = points.iter().filter(|p| is(p)).count();
        (n > 0).then(|| format!("{n} of {} points: {what}", points.len()))
    };
    notes.extend(open("the map says no table; holding registers are assumed", &|p| {
        p.table.is_none()
    }));
    notes.extend(open(
        "the map says no word order; the high word first is assumed",
        &|p| p.words.is_none() && p.type_.registers().is_some_and(|n| n > 1),
    ));
    let toml = write(id, &mut points);
    match parse(&toml) {
        Ok(_) => Ok(Imported { toml, notes }),
        Err(faults) => Err(said(&faults)),
    }
}

fn said(faults: &[ProfileFault]) -> String {
    let list: Vec<String> = faults.iter().map(|f| format!("{}: {}", f.key, f.message)).collect();
    format!("the map does not fit together: {}", list.join("; "))
}

#[derive(Debug, Clone, PartialEq)]
struct Point {
    name: String,
    table: Option<&'static str>,
    addr: u16,
    type_: RegisterType,
    count: u16,
    words: Option<&'static str>,
    scale: f64,
    unit: &'static str,
    nan: Vec<i64>,
}

impl Point {
    fn table(&self) -> &'static str {
        self.table.unwrap_or("holding")
    }
    fn end(&self) -> u32 {
        u32::from(self.addr) + u32::from(self.count)
    }
}

/// The first of these columns that is filled.
fn cell<'r>(row: &'r Row, names: &[&str]) -> Option<&'r str> {
    names
        .iter()
        .find_map(|n| row.get(*n))
        .map(|v| v.trim())
        .filter(|v| !v.is_empty())
}

fn point(row: &Row) -> Result<Point, String> {
    let name = cell(row, &NAME)
        .map(slug)
        .filter(|n| !n.is_empty())
        .ok_or("it has no name")?;
    let shown = cell(row, &ADDRESS).ok_or_else(|| format!("`{name}` has no address"))?;
    let addr = whole(shown).and_then(|n| u16::try_from(n).ok());
    let addr = addr.ok_or_else(|| format!("`{name}`: `{shown}` is no address from 0 to 65535"))?;
    let wrong = |what: &str, v: &str| format!("`{name}`: `{v}` is no {what} that is known");
    let table = cell(row, &TABLE)
        .map(|v| table(v).ok_or_else(|| wrong("table", v)))
        .transpose()?;
    let is_bit = matches!(table, Some("coil" | "discrete"));
    let type_ = match cell(row, &TYPE) {
        Some(v) => type_of(v).ok_or_else(|| wrong("type", v))?,
        None if is_bit => RegisterType::Bits,
        None => RegisterType::U16,
    };
    let words = cell(row, &WORDS)
        .map(|v| order(v).ok_or_else(|| wrong("word order", v)))
        .transpose()?;
    let told = cell(row, &COUNT).and_then(whole).and_then(|n| u16::try_from(n).ok());
    let count = type_.registers().or(told.filter(|n| (1..=60).contains(n)));
    let count = count.ok_or_else(|| format!("`{name}`: a text needs its length (1 to 60 registers)"))?;
    let (unit, factor) = unit(cell(row, &UNIT).unwrap_or_default()).ok_or_else(|| {
        let v = cell(row, &UNIT).unwrap_or_default();
        wrong("unit", v)
    })?;
    let number = |names: &[&str]| match cell(row, names) {
        None => Ok(1.0),
        Some(v) => v
            .parse::<f64>()
            .ok()
            .filter(|n| n.is_finite() && *n != 0.0)
            .ok_or_else(|| wrong("factor", v)),
    };
    let scale = number(&SCALE)? / number(&DIVISOR)? * factor;
    let nan = cell(row, &SENTINEL).unwrap_or_default();
    let nan = nan.split([',', ';', ' ', '[', ']', '|']).filter_map(whole).collect();
    Ok(Point {
        name,
        table,
        addr,
        type_,
        count,
        words,
        scale,
        unit,
        nan,
    })
}

/// The same name or a register inside another value: only the first counts.
fn fresh(p: Point, taken: &mut BTreeSet<(String, u32)>) -> Result<Point, String> {
    let named = (p.name.clone(), u32::MAX);
    if taken.contains(&named) {
        return Err(format!(
            "the name `{}` stands there twice; the first one is kept",
            p.name
        ));
    }
    let cells: Vec<_> = (u32::from(p.addr)..p.end())
        .map(|a| (p.table().to_owned(), a))
        .collect();
    if p.end() > 65_536 || cells.iter().any(|c| taken.contains(c)) {
        return Err(format!("`{}` lies over another value, or past the end", p.name));
    }
    taken.extend(cells);
    taken.insert(named);
    Ok(p)
}

/// Neighbouring registers of one table share a request; nothing that the map does not name is asked for.
fn write(id: &str, points: &mut [Point]) -> String {
    points.sort_by(|a, b| (a.table(), a.addr).cmp(&(b.table(), b.addr)));
    let mut blocks: Vec<(&'static str, u32, u32)> = Vec::new();
    for p in points.iter() {
        let first = u32::from(p.addr);
        match blocks.last_mut() {
            Some((table, from, to)) if *table == p.table() && *to == first && p.end() - *from <= MOST_REGISTERS => {
                *to = p.end();
            }
            _ => blocks.push((p.table(), first, p.end())),
        }
    }
    let mut out = format!(
        "schema = \"profile/1\"\nid = \"{}\"\nkind = \"meter\"               # CHECK\nmodels = [\"{}\"]\n",
        slug(id).replace('_', "-"),
        slug(id)
    );
    out += "# Names the core knows feed components, signs are passive: docs/write-a-profile.md, step 4.\nblocks = [\n";
    for (i, (table, from, to)) in blocks.iter().enumerate() {
        let count = to - from;
        out += &format!(
            "  {{ name = \"b{}\", table = \"{table}\", addr = {from}, count = {count}, every = \"fast\" }},\n",
            i + 1
        );
    }
    out += "]\npoints = [\n";
    points.iter().for_each(|p| out += &line(p));
    out += "]\n\n[link]\ntransport = [\"tcp\"]          # CHECK\nport = 502\nunit = 1\n\n[defaults]\ntable = \"holding\"\ntype = \"u16\"\nwords = \"hi_first\"\n";
    out
}

fn line(p: &Point) -> String {
    let mut out = format!(
        "  {{ name = \"{}\", table = \"{}\", addr = {}, type = \"{}\"",
        p.name,
        p.table(),
        p.addr,
        type_name(p.type_)
    );
    if p.type_ == RegisterType::Str {
        out += &format!(", count = {}", p.count);
    }
    if p.words == Some("lo_first") {
        out += ", words = \"lo_first\"";
    }
    if p.scale != 1.0 {
        out += &format!(", scale = {:?}", p.scale);
    }
    if !p.unit.is_empty() {
        out += &format!(", unit = \"{}\"", p.unit);
    }
    if !p.nan.is_empty() {
        let list: Vec<String> = p.nan.iter().map(i64::to_string).collect();
        out += &format!(", nan = [{}]", list.join(", "));
    }
    out + " },\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_csv_map_becomes_a_profile_and_what_is_not_understood_a_note() {
        let map = "Name;Address;Register Type;Data Type;Word Order;Scale;Unit;NaN\n\
                   Voltage L1;0x64;input;uint16;;0.1;V;0xFFFF\n\
                   \"Active; power\";101;input;int32;CDAB;1;W;\n\
                   Energy import;200;4;uint32;ABCD;10;Wh;\n\
                   Voltage L1;300;input;uint16;;1;V;\nOdd;301;input;int24;;1;V;\nFar;70000;input;uint16;;1;V;\n";
        let found = import("Acme M3", map).unwrap();
        let p = parse(&found.toml).unwrap();
        let shown: Vec<_> = p
            .points
            .iter()
            .map(|x| (x.name.as_str(), x.addr, x.scale, x.unit.as_str()))
            .collect();
        let expected = [
            ("voltage_l1", 100, 0.1, "V"),
            ("active_power", 101, 0.001, "kW"),
            ("energy_import", 200, 0.01, "kWh"),
        ];
        assert_eq!((p.id.as_str(), shown), ("acme-m3", expected.to_vec()));
        assert_eq!(p.points[1].words, crate::profile::WordOrder::LoFirst);
        assert_eq!(p.points[0].nan, [0xFFFF]);
        let blocks: Vec<_> = p.blocks.iter().map(|b| (b.addr, b.count)).collect();
        assert_eq!(blocks, [(100, 3), (200, 2)]);
        let notes = found.notes.join("\n");
        for part in [
            "row 4: the name `voltage_l1`",
            "row 5: `odd`: `int24`",
            "row 6: `far`: `70000`",
        ] {
            assert!(notes.contains(part), "{notes}");
        }
    }

    #[test]
    fn a_json_map_is_read_by_the_same_names_and_says_what_it_leaves_open() {
        let map = r#"{"device": "x", "registers": [
            {"name": "soc", "address": 7, "data_type": "u16", "gain": 10, "unit": "%"},
            {"id": "Total", "register": "0x0A", "type": "float32", "unit": "kWh"},
            {"name": "serial", "address": 20, "type": "string", "length": 8}]}"#;
        let found = import("x", map).unwrap();
        let p = parse(&found.toml).unwrap();
        assert_eq!((p.points[0].scale, p.points[1].addr, p.points[2].count), (0.1, 10, 8));
        assert!(
            found
                .notes
                .iter()
                .any(|n| n.contains("3 of 3 points: the map says no table")),
            "{:?}",
            found.notes
        );
        for (map, part) in [
            ("{", "no JSON"),
            ("a,b\n1,2", "no address column"),
            ("name,address\nx,y", "no register"),
            ("", "empty"),
        ] {
            let why = import("x", map).unwrap_err();
            assert!(why.contains(part), "{map}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_import(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let text = String::from_utf8_lossy(&bytes);
            let heads = ["", "name,address,type,unit,scale,nan\n", "[{\"name\": \"x\", \"address\": \"", "name;address\nx;"];
            for head in heads {
                if let Ok(found) = import(&text, &format!("{head}{text}")) {
                    prop_assert!(parse(&found.toml).is_ok());
                }
            }
        }

        #[test]
        fn whatever_comes_out_passes_the_linter(
            rows in proptest::collection::vec(("[a-zA-Z0-9 \"_]{0,8}", 0u32..70_000, "(u16|int32|float|string|bool)", "(W|V|kWh|%||x)", -3i32..4), 0..30)
        ) {
            let mut map = String::from("name,address,type,unit,scale,length\n");
            for (name, addr, type_, unit, scale) in rows {
                map += &format!("{name},{addr},{type_},{unit},{scale},4\n");
            }
            if let Ok(found) = import("x", &map) {
                prop_assert!(parse(&found.toml).is_ok());
            }
        }
    }
}
