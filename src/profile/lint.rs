//! Everything in a profile that must fit together, all at once.

use super::{
    Block, Command, Derivation, Identify, KeepAlive, Point, Profile, ProfileFault, RegisterType, Role, Table, Variant,
    Verify, Wear, Write, WriteValue,
};
use std::collections::{BTreeMap, BTreeSet};

const KINDS: [&str; 11] = [
    "meter",
    "pv",
    "battery",
    "battery_inverter",
    "hybrid",
    "ess_gateway",
    "evse",
    "heatpump",
    "genset",
    "load",
    "sunspec",
];
const TRANSPORTS: [&str; 4] = ["tcp", "rtu", "rtu_over_tcp", "tls"];
const UNITS: [&str; 15] = [
    "", "kW", "kvar", "kVA", "V", "A", "Hz", "kWh", "%", "°C", "s", "ms", "kPa", "rpm", "K",
];
const COMMAND_UNITS: [&str; 7] = ["kW", "A", "%", "s", "on", "word", ""];

/// Lines of the file's parts.
#[derive(Debug, Default)]
pub struct Lines {
    lists: BTreeMap<&'static str, Vec<usize>>,
    named: BTreeMap<(&'static str, String), usize>,
}

impl Lines {
    pub fn head(&mut self, key: &'static str, line: Option<usize>) {
        self.push(key, line.unwrap_or(1));
    }
    pub fn push(&mut self, key: &'static str, line: usize) {
        self.lists.entry(key).or_default().push(line);
    }
    pub fn put(&mut self, key: &'static str, name: &str, line: usize) {
        self.named.insert((key, name.to_owned()), line);
    }
    /// Builds every item of a list and remembers its line.
    pub fn list<R, T>(&mut self, key: &'static str, raw: Vec<(usize, R)>, build: impl Fn(R) -> T) -> Vec<T> {
        let mut all = Vec::new();
        for (line, item) in raw {
            self.push(key, line);
            all.push(build(item));
        }
        all
    }
    fn of(&self, key: &'static str, index: usize) -> usize {
        self.lists.get(key).and_then(|l| l.get(index)).copied().unwrap_or(1)
    }
    fn of_name(&self, key: &'static str, name: &str) -> usize {
        self.named.get(&(key, name.to_owned())).copied().unwrap_or(1)
    }
}

/// Collects faults of one place of the file.
struct Place<'f> {
    faults: &'f mut Vec<ProfileFault>,
    line: usize,
    key: String,
}

impl Place<'_> {
    fn add(&mut self, message: String) {
        self.faults.push(ProfileFault {
            line: self.line,
            key: self.key.clone(),
            message,
        });
    }
    fn when(&mut self, wrong: bool, message: impl FnOnce() -> String) {
        if wrong {
            self.add(message());
        }
    }
}

/// Faults of meaning.
pub fn lint(p: &Profile, lines: &Lines) -> Vec<ProfileFault> {
    let mut faults = Vec::new();
    let mut at = |line: usize, key: &str, check: &mut dyn FnMut(&mut Place)| {
        check(&mut Place {
            faults: &mut faults,
            line,
            key: key.to_owned(),
        });
    };
    at(lines.of("id", 0), "id", &mut |x| id(x, p));
    at(lines.of("kind", 0), "kind", &mut |x| {
        x.when(!KINDS.contains(&p.kind.as_str()), || {
            format!("`{}` is no kind; one of {}", p.kind, KINDS.join(", "))
        });
    });
    at(lines.of("link", 0), "link", &mut |x| link(x, p));
    at(lines.of("id", 0), "maker", &mut |x| {
        x.when(p.maker.is_some() && !p.sunspec, || {
            "`maker` is what a SunSpec device says of itself: it needs `sunspec = true`".to_owned()
        });
    });
    for (key, message) in p.quirks.faults(p.sunspec) {
        at(lines.of("quirks", 0), key, &mut |x| x.add(message.clone()));
    }
    for (i, probe) in p.identify.iter().enumerate() {
        at(lines.of("identify", i), &probe.name, &mut |x| identify(x, p, probe));
    }
    for (i, b) in p.blocks.iter().enumerate() {
        at(lines.of("blocks", i), &b.name, &mut |x| block(x, p, i, b));
    }
    for (i, point) in p.points.iter().enumerate() {
        at(lines.of("points", i), &point.name, &mut |x| {
            self::point(x, p, i, point);
            uptime(x, p, point);
        });
    }
    for (i, d) in p.derived.iter().enumerate() {
        at(lines.of("derived", i), &d.name, &mut |x| derived(x, p, i));
    }
    for (name, o) in &p.options {
        at(lines.of_name("options", name), name, &mut |x| {
            x.when(
                o.min > o.max || o.default.is_some_and(|d| d < o.min || d > o.max),
                || format!("option `{name}` is not within its own range {} to {}", o.min, o.max),
            );
        });
    }
    for (name, c) in &p.commands {
        at(lines.of_name("commands", name), name, &mut |x| command(x, p, name, c));
    }
    faults
}

fn uptime(x: &mut Place, p: &Profile, point: &Point) {
    let is_uptime = point.role == Some(Role::Uptime);
    x.when(is_uptime && point.unit != "s", || {
        "an uptime counts seconds: unit = \"s\"".to_owned()
    });
    let others = p.points.iter().filter(|o| o.role == Some(Role::Uptime)).count();
    x.when(is_uptime && others > 1, || {
        "two points have the role `uptime`".to_owned()
    });
}

fn id(x: &mut Place, p: &Profile) {
    let plain =
        p.id.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    x.when(p.id.is_empty() || !plain, || {
        format!("`{}` is no name of a profile: small letters, digits and `-`", p.id)
    });
    x.when(p.points.is_empty() && !p.sunspec, || "has no points".to_owned());
}

fn link(x: &mut Place, p: &Profile) {
    x.when(p.link.transport.is_empty(), || {
        format!("`transport` is empty; one or more of {}", TRANSPORTS.join(", "))
    });
    for t in p.link.transport.iter().filter(|t| !TRANSPORTS.contains(&t.as_str())) {
        x.add(format!("`{t}` is no transport; one of {}", TRANSPORTS.join(", ")));
    }
    for (key, n, most) in [
        ("max_regs_read", p.link.max_regs_read, 125),
        ("max_regs_write", p.link.max_regs_write, 123),
    ] {
        x.when(n.is_some_and(|n| n == 0 || n > most), || {
            format!("`{key}` is not between 1 and {most}")
        });
    }
    x.when(p.link.port == Some(0), || "port 0 is no port".to_owned());
    let framing = p.link.framing.as_deref();
    x.when(
        framing.is_some_and(|f| !["8N1", "8E1", "8O1", "8N2"].contains(&f)),
        || "`framing` is one of 8N1, 8E1, 8O1, 8N2".to_owned(),
    );
}

fn most(p: &Profile, table: Table) -> u16 {
    match table {
        Table::Coil | Table::Discrete => 2000,
        _ => p.link.max_regs_read.unwrap_or(125),
    }
}

fn past_end(addr: u16, count: u16) -> bool {
    u32::from(addr) + u32::from(count) > 0x1_0000
}

fn identify(x: &mut Place, p: &Profile, probe: &Identify) {
    let most = most(p, probe.table);
    x.when(
        probe.count == 0 || probe.count > most || past_end(probe.addr, probe.count),
        || {
            format!(
                "the probe reads {} registers from {}; 1 to {most} are possible",
                probe.count, probe.addr
            )
        },
    );
}

fn block(x: &mut Place, p: &Profile, index: usize, b: &Block) {
    let most = most(p, b.table);
    x.when(b.count == 0 || b.count > most || past_end(b.addr, b.count), || {
        format!(
            "block `{}` reads {} registers from {}; 1 to {most} are possible",
            b.name, b.count, b.addr
        )
    });
    let earlier = p.blocks.iter().take(index);
    for o in earlier.filter(|o| (o.table, o.unit) == (b.table, b.unit)) {
        let apart = u32::from(o.addr) + u32::from(o.count) <= u32::from(b.addr)
            || u32::from(b.addr) + u32::from(b.count) <= u32::from(o.addr);
        x.when(!apart, || {
            format!("block `{}` reads again what `{}` reads", b.name, o.name)
        });
    }
    x.when(p.blocks.iter().take(index).any(|o| o.name == b.name), || {
        format!("block `{}` stands twice", b.name)
    });
}

fn point(x: &mut Place, p: &Profile, index: usize, point: &Point) {
    let name = &point.name;
    let inside = |b: &Block| {
        b.table == point.table
            && point.addr >= b.addr
            && u32::from(point.addr) + u32::from(point.count) <= u32::from(b.addr) + u32::from(b.count)
    };
    x.when(!p.blocks.iter().any(inside), || {
        format!("point `{name}` lies in no block")
    });
    x.when(p.points.iter().take(index).any(|o| o.name == *name), || {
        format!("point `{name}` stands twice")
    });
    x.when(point.scale == 0.0 || !point.scale.is_finite(), || {
        format!("point `{name}` has scale {}", point.scale)
    });
    unit(x, name, &point.unit);
    let registers = point.type_.registers();
    x.when(registers.is_some_and(|n| n != point.count), || {
        format!(
            "point `{name}` takes {} registers, its type {}",
            point.count,
            registers.unwrap_or(0)
        )
    });
    x.when(point.type_ == RegisterType::Str && point.count == 0, || {
        format!("text `{name}` needs `count`, its registers")
    });
    x.when(point.bit.is_some_and(|b| b > 15), || {
        format!("point `{name}`: bits are 0 to 15")
    });
    x.when(point.shift > 63, || format!("point `{name}`: shift is 0 to 63"));
    x.when(matches!((point.min, point.max), (Some(a), Some(b)) if a > b), || {
        format!("point `{name}`: min is above max")
    });
    x.when(!point.text_map.is_empty() && point.type_ != RegisterType::Str, || {
        format!("point `{name}` maps texts, but is a number")
    });
}

fn unit(x: &mut Place, name: &str, unit: &str) {
    x.when(!UNITS.contains(&unit), || {
        format!("`{unit}` of `{name}` is no unit; one of {}", UNITS[1..].join(", "))
    });
}

fn known(p: &Profile, name: &str) -> bool {
    // What a SunSpec device shows is known only after discovery.
    p.sunspec || p.points.iter().any(|o| o.name == name) || p.derived.iter().any(|d| d.name == name)
}

fn derived(x: &mut Place, p: &Profile, index: usize) {
    let d = &p.derived[index];
    unit(x, &d.name, &d.unit);
    let twice = p.points.iter().any(|o| o.name == d.name) || p.derived.iter().take(index).any(|o| o.name == d.name);
    x.when(twice, || format!("`{}` stands twice", d.name));
    let sources: Vec<&str> = match &d.how {
        Derivation::Sum { parts, .. } => parts.iter().map(|(_, n)| n.as_str()).collect(),
        Derivation::Rules { rules, .. } => rules.iter().map(|r| r.point.as_str()).collect(),
    };
    for s in sources {
        let earlier = p.points.iter().any(|o| o.name == s) || p.derived.iter().take(index).any(|o| o.name == s);
        x.when(!p.sunspec && !earlier, || {
            format!("`{}` is derived from `{s}`, which is no point", d.name)
        });
    }
}

fn command(x: &mut Place, p: &Profile, name: &str, c: &Command) {
    x.when(!COMMAND_UNITS.contains(&c.unit.as_str()), || {
        format!(
            "`{}` is no unit of a command; one of {}",
            c.unit,
            COMMAND_UNITS.join(", ")
        )
    });
    x.when(c.variants.is_empty(), || format!("command `{name}` writes nothing"));
    x.when(matches!((c.min, c.max), (Some(a), Some(b)) if a > b), || {
        format!("command `{name}`: min is above max")
    });
    timing(x, name, c);
    for v in &c.variants {
        variant(x, p, name, c, v);
    }
    steps(x, p, name, c, "arm", &c.arm);
    steps(x, p, name, c, "release", &c.release);
    if let Some(v) = &c.verify {
        verify(x, p, name, v);
    }
    for point in c.points().into_iter().chain(c.countdown_point.as_deref()) {
        x.when(!known(p, point), || {
            format!("command `{name}` needs `{point}`, which is no point")
        });
    }
    if let Some(KeepAlive::Value(_) | KeepAlive::Point(_)) = &c.keep_alive {
        x.when(c.refresh_s.is_none(), || {
            format!("command `{name}` keeps alive, but has no `refresh_s`")
        });
    }
}

fn timing(x: &mut Place, name: &str, c: &Command) {
    if let (Some(refresh), Some(timeout)) = (c.refresh_s, c.device_timeout_s) {
        x.when(timeout > 0.0 && refresh > timeout / 2.0, || {
            format!("command `{name}` refreshes every {refresh} s, more than half of its {timeout} s")
        });
    }
    let positive = |v: Option<f64>| v.is_none_or(|v| v.is_finite() && v > 0.0);
    x.when(!positive(c.refresh_s), || {
        format!("command `{name}`: refresh_s must be above 0")
    });
    x.when(c.device_timeout_s.is_some_and(|t| !t.is_finite() || t < 0.0), || {
        format!("command `{name}`: device_timeout_s must be 0 (never) or above")
    });
    x.when(c.wear == Wear::Nonvolatile && c.refresh_s.is_some(), || {
        format!("command `{name}` wears flash: it is written on change only, without `refresh_s`")
    });
}

fn variant(x: &mut Place, p: &Profile, name: &str, c: &Command, v: &Variant) {
    x.when(v.set.is_empty() && v.unknown.is_none(), || {
        format!("a variant of command `{name}` writes nothing")
    });
    x.when(!v.set.is_empty() && v.unknown.is_some(), || {
        format!("a variant of command `{name}` writes although it is unknown")
    });
    x.when(matches!((v.from, v.to), (Some(a), Some(b)) if a > b), || {
        format!("a variant of command `{name}` begins above its end")
    });
    x.when((c.unit == "word") != v.word.is_some(), || {
        format!("command `{name}`: variants have a `word` where its unit is \"word\", and only there")
    });
    steps(x, p, name, c, "set", &v.set);
    let low = v.from.or(c.min);
    let high = v.to.or(c.max);
    for w in &v.set {
        for bound in [low, high].into_iter().flatten() {
            fits(x, name, w, bound / phases(p, w));
        }
    }
    if let Some(check) = &v.verify {
        verify(x, p, name, check);
    }
}

/// Phases that share a value, where the site file says nothing.
fn phases(p: &Profile, w: &Write) -> f64 {
    let told = p.options.get("phases").and_then(|o| o.default);
    told.filter(|_| w.phase.is_some()).unwrap_or(1.0)
}

/// The value at an end of the range must fit into the register.
fn fits(x: &mut Place, name: &str, w: &Write, bound: f64) {
    if let WriteValue::Scaled { scale, offset } = w.value {
        x.when(!(1e-9..=1e9).contains(&scale.abs()) || !offset.is_finite(), || {
            format!(
                "command `{name}`: no value becomes one of register {} by scale {scale} and offset {offset}",
                w.addr
            )
        });
        let raw = (bound * scale + offset).round();
        x.when(!holds(w.type_, raw), || {
            format!("command `{name}`: {raw} does not fit into register {}", w.addr)
        });
    }
}

fn holds(type_: RegisterType, raw: f64) -> bool {
    let within = |low: f64, high: f64| (low..=high).contains(&raw);
    match type_ {
        RegisterType::U16 => within(0.0, 65_535.0),
        RegisterType::Bits => within(0.0, 1.0),
        RegisterType::I16 => within(-32_768.0, 32_767.0),
        RegisterType::U32 => within(0.0, 4_294_967_295.0),
        RegisterType::I32 => within(-2_147_483_648.0, 2_147_483_647.0),
        RegisterType::U64 | RegisterType::I64 => within(-9.007e15, 9.007e15),
        RegisterType::F32 | RegisterType::F64 => raw.is_finite(),
        RegisterType::Str => false,
    }
}

fn steps(x: &mut Place, p: &Profile, name: &str, c: &Command, step: &str, list: &[Write]) {
    let mut before: Option<&Write> = None;
    for w in list {
        let at = w.addr;
        x.when(!matches!(w.fc, 5 | 6 | 16), || {
            format!("command `{name}` writes with function {}; 5, 6 and 16 exist", w.fc)
        });
        let single = w.type_.registers() == Some(1);
        x.when(matches!(w.fc, 5 | 6) && !single, || {
            format!(
                "command `{name}`: function {} writes one register, not {:?} at {at}",
                w.fc, w.type_
            )
        });
        x.when(w.fc == 5 && w.type_ != RegisterType::Bits, || {
            format!("command `{name}`: a coil takes `bits` at {at}")
        });
        if let WriteValue::Constant(v) = w.value {
            x.when(!holds(w.type_, v), || {
                format!("command `{name}`: {v} does not fit into register {at}")
            });
        }
        let scaled = matches!(w.value, WriteValue::Scaled { .. });
        x.when(scaled && step != "set", || {
            format!("command `{name}`: `{step}` has no value of its own to write to {at}")
        });
        x.when(scaled && c.unit == "word", || {
            format!("command `{name}`: a word is no number to write to {at}")
        });
        x.when(
            matches!(w.value, WriteValue::Bits { .. }) && (w.fc == 5 || !single),
            || format!("command `{name}`: bits are set and cleared in one register, not at {at}"),
        );
        together(x, p, name, before, w);
        options(x, p, name, w);
        before = Some(w);
    }
}

fn together(x: &mut Place, p: &Profile, name: &str, before: Option<&Write>, w: &Write) {
    if !w.together {
        return;
    }
    let follows = before.is_some_and(|b| {
        let next = u32::from(b.addr) + u32::from(b.type_.registers().unwrap_or(0));
        b.fc == 16 && next == u32::from(w.addr) && (b.unit, &b.unit_option) == (w.unit, &w.unit_option)
    });
    x.when(w.fc != 16 || !follows || w.if_different, || {
        format!(
            "command `{name}`: the write to {} cannot go out together with the one before it",
            w.addr
        )
    });
    x.when(p.link.max_regs_write == Some(1), || {
        format!("command `{name}`: the device takes one register a request")
    });
}

fn options(x: &mut Place, p: &Profile, name: &str, w: &Write) {
    let mut wanted: BTreeSet<&str> = w.unit_option.as_deref().into_iter().collect();
    if let WriteValue::Option { name, .. } = &w.value {
        wanted.insert(name);
    }
    if w.phase.is_some() {
        wanted.insert("phases");
    }
    for option in wanted.into_iter().filter(|o| !p.options.contains_key(*o)) {
        x.add(format!("command `{name}` needs `[options.{option}]`"));
    }
    x.when(w.phase.is_some_and(|n| !(1..=3).contains(&n)), || {
        format!("command `{name}`: phases are 1, 2 and 3")
    });
}

fn verify(x: &mut Place, p: &Profile, name: &str, v: &Verify) {
    if let Some(point) = &v.point {
        x.when(!known(p, point), || {
            format!("command `{name}` is verified by `{point}`, which is no point")
        });
    }
    x.when(!(v.within_s.is_finite() && (0.0..=600.0).contains(&v.within_s)), || {
        format!("command `{name}`: within_s is 0 to 600")
    });
    x.when(v.tolerance < 0.0 || v.tolerance_percent < 0.0, || {
        format!("command `{name}`: a tolerance is not negative")
    });
}
