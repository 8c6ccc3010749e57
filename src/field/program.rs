//! A command turned into register writes: arm, set, release, and what must be seen afterwards.
//!
//! In: the command's data, a value (engineering units, passive sign) or a word, what the device showed last, the options of
//! the installation. Out: requests in order. A value outside the limits is clamped, never wrapped; what cannot be known is
//! an error, never a guess.

use super::codec::encode;
use super::control::Effect;
use crate::profile::{Command, KeepAlive, Profile, Table, Variant, Verify, Wear, When, Write, WriteValue};
use std::collections::BTreeMap;

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterWrite {
    pub unit: Option<u8>,
    pub fc: u8,
    pub addr: u16,
    pub words: Vec<u16>,
    pub how: How,
}

impl RegisterWrite {
    /// A plain write to the device's own unit.
    pub fn new(fc: u8, addr: u16, words: Vec<u16>) -> Self {
        Self {
            unit: None,
            fc,
            addr,
            words,
            how: How::Always,
        }
    }
}

/// Whether the register is read before it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    Always,
    /// Left out where the register holds the words already.
    IfDifferent,
    /// These bits of the register are set and cleared, the others stay; `words` is what an empty register becomes.
    Bits {
        set: u16,
        clear: u16,
    },
}

/// What a read-back must show.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// A point of the map shows this value.
    Point {
        name: String,
        value: f64,
        tolerance: f64,
        within_s: f64,
    },
    Registers(Span),
    Nothing,
}

/// A span of registers read in one request, parts of which must show something; the rest may be anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub unit: Option<u8>,
    pub table: Table,
    pub addr: u16,
    pub count: u16,
    pub checks: Vec<Check>,
}

/// What a part of a span must show; `at` counts from the span's first.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    Holds {
        at: u16,
        words: Vec<u16>,
    },
    /// A timer of one or two registers runs from no more than this; all ones (not shown by this device) will do.
    Runs {
        at: u16,
        size: u16,
        from: u32,
    },
}

impl Span {
    /// What is wrong with the registers read back.
    pub fn judge(&self, shown: &[u16]) -> Result<(), String> {
        self.checks.iter().try_for_each(|c| c.judge(shown))
    }

    /// Registers that must hold a value as long as the command is in force.
    pub fn held(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        let parts = self.checks.iter().filter_map(|c| match c {
            Check::Holds { at, words } => Some((self.addr.checked_add(*at)?, words)),
            Check::Runs { .. } => None,
        });
        parts.flat_map(|(first, words)| (first..=u16::MAX).zip(words.iter().copied()))
    }
}

impl Check {
    fn judge(&self, shown: &[u16]) -> Result<(), String> {
        let part = |at: u16, size: usize| shown.get(usize::from(at)..usize::from(at) + size);
        match self {
            Self::Holds { at, words } => match part(*at, words.len()) {
                Some(part) if part == words.as_slice() => Ok(()),
                part => Err(format!("reads back {part:?} instead of {words:?}")),
            },
            Self::Runs { at, size, from } => {
                let timer = part(*at, usize::from(*size)).ok_or("the reversion timer cannot be read back")?;
                let left = timer.iter().fold(0, |sum, w| (sum << 16) | u32::from(*w));
                if (1..=*from).contains(&left) || timer.iter().all(|w| *w == 0xFFFF) {
                    Ok(())
                } else {
                    Err(format!("the reversion timer shows {left} s instead of up to {from} s"))
                }
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    pub arm: Vec<RegisterWrite>,
    pub set: Vec<RegisterWrite>,
    pub expect: Expect,
    /// What the device's power must show besides; a profile's own commands say it by their `expect`.
    pub effect: Option<Effect>,
    /// Seconds after which `set` is written again though nothing changed; infinite = on change only.
    pub refresh_s: f64,
    pub wear: Wear,
}

/// What is known of the device and its installation when a command is made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// Last number of each point that commands need.
    pub points: BTreeMap<String, f64>,
    /// Options: the site's, else the profile's defaults.
    pub options: BTreeMap<String, f64>,
}

impl Known {
    /// The profile's defaults under what the site file says.
    pub fn options_of(profile: &Profile, site: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
        let defaults = profile
            .options
            .iter()
            .filter_map(|(n, o)| Some((n.clone(), o.default?)));
        defaults.chain(site.iter().map(|(n, v)| (n.clone(), *v))).collect()
    }

    fn point(&self, name: &str) -> Result<f64, String> {
        let shown = self.points.get(name).copied();
        shown.ok_or_else(|| format!("the device does not show its `{name}`, which the command needs"))
    }

    fn option(&self, name: &str) -> Result<f64, String> {
        let told = self.options.get(name).copied();
        told.ok_or_else(|| format!("option `{name}` is needed: it differs between installations"))
    }
}

/// The program of a profile's command for `value` (the command's unit; of a command that takes words the place of the word
/// in its list), clamped to its limits.
pub fn program(command: &Command, value: f64, known: &Known) -> Result<Program, String> {
    for r in &command.requires {
        let shown = known.point(&r.point)?;
        if (shown - r.expect).abs() > 1e-9 {
            return Err(format!("`{}` shows {shown}, not {}: {}", r.point, r.expect, r.hint));
        }
    }
    let (variant, value) = choose(command, value, known)?;
    if let Some(why) = &variant.unknown {
        return Err(why.clone());
    }
    let verify = variant.verify.as_ref().or(command.verify.as_ref());
    Ok(Program {
        arm: writes(&command.arm, value, known)?,
        set: writes(&variant.set, value, known)?,
        expect: verify.map_or(Ok(Expect::Nothing), |v| expect(v, value))?,
        effect: None,
        refresh_s: refresh(command, known),
        wear: command.wear,
    })
}

/// The variant for what is asked, and the value it is given.
fn choose<'c>(command: &'c Command, value: f64, known: &Known) -> Result<(&'c Variant, f64), String> {
    if !value.is_finite() {
        return Err(format!("{value} is not a number"));
    }
    if command.unit == "word" {
        let found = command.variants.iter().enumerate().find(|(i, _)| *i as f64 == value);
        let words = command.words().join(", ");
        let told = found.map(|(_, v)| (v, 0.0));
        return told.ok_or_else(|| format!("it takes a word: {words}"));
    }
    let on_this_device = |v: &&Variant| v.when.as_ref().is_none_or(|w| shows(w, known));
    let value = value
        .max(command.min.unwrap_or(value))
        .min(command.max.unwrap_or(f64::INFINITY));
    let candidates: Vec<&Variant> = command.variants.iter().filter(on_this_device).collect();
    let (variant, value) =
        nearest(&candidates, value).ok_or_else(|| format!("no variant of the command fits {value}"))?;
    let Some(limit) = &variant.max_point else {
        return Ok((variant, value));
    };
    let most = known.point(limit)?.abs();
    Ok((variant, value.clamp(-most, most)))
}

/// The value that a command would really be told: cut to its limits, and to what the device shows as its most.
pub fn used(command: &Command, value: f64, known: &Known) -> Result<f64, String> {
    choose(command, value, known).map(|(_, value)| value)
}

fn shows(when: &When, known: &Known) -> bool {
    let shown = known.points.get(&when.point).copied();
    shown.is_some_and(|n| when.from.is_none_or(|f| n >= f) && when.to.is_none_or(|t| n <= t))
}

/// The first variant whose range holds the value; a value between ranges goes to the nearest bound towards zero, so that
/// never more is written than was asked for.
fn nearest<'c>(variants: &[&'c Variant], value: f64) -> Option<(&'c Variant, f64)> {
    let holds = |v: &&&Variant| v.from.is_none_or(|f| value >= f) && v.to.is_none_or(|t| value <= t);
    if let Some(v) = variants.iter().find(holds) {
        return Some((v, value));
    }
    let bound = |v: &&'c Variant| match (v.from, v.to) {
        (_, Some(to)) if value > 0.0 && (0.0..value).contains(&to) => Some((*v, to)),
        (Some(from), _) if value < 0.0 && from > value && from <= 0.0 => Some((*v, from)),
        _ => None,
    };
    let bounds = variants.iter().filter_map(bound);
    bounds.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
}

fn expect(v: &Verify, value: f64) -> Result<Expect, String> {
    let wanted = v.expect.unwrap_or(value * v.scale);
    match (&v.point, &v.register) {
        (Some(name), _) => Ok(Expect::Point {
            name: name.clone(),
            value: wanted,
            tolerance: v.tolerance + wanted.abs() * v.tolerance_percent / 100.0,
            within_s: v.within_s,
        }),
        (None, Some(r)) => {
            let words = encode(r.type_, r.words, wanted)?;
            Ok(Expect::Registers(Span {
                unit: None,
                table: r.table,
                addr: r.addr,
                count: words.len() as u16,
                checks: vec![Check::Holds { at: 0, words }],
            }))
        }
        (None, None) => Ok(Expect::Nothing),
    }
}

/// As the profile says, and at least twice within the device's own timeout; what never falls back is not refreshed, so
/// that nothing wears for nothing.
pub fn refresh(command: &Command, known: &Known) -> f64 {
    let shown = command
        .timeout_point
        .as_ref()
        .and_then(|p| known.points.get(p).copied());
    let half = shown.filter(|t| *t > 0.0).map(|t| t / 2.0);
    let soonest = command
        .refresh_s()
        .into_iter()
        .chain(half)
        .fold(f64::INFINITY, f64::min);
    if command.wear == Wear::Nonvolatile {
        f64::INFINITY
    } else {
        soonest
    }
}

/// What a keep-alive sends now; `None` where the device does not show what to send.
pub fn keep_alive(command: &Command, known: &Known) -> Option<Vec<RegisterWrite>> {
    let value = match command.keep_alive.as_ref()? {
        KeepAlive::Value(v) => *v,
        KeepAlive::Point(name) => *known.points.get(name)?,
    };
    Some(program(command, value, known).ok()?.set)
}

/// Writes that give control back. What cannot be computed is left out: giving back must not fail for a missing rating.
pub fn release(command: &Command, known: &Known) -> Result<Vec<RegisterWrite>, String> {
    let computable = |w: &&Write| match &w.value {
        WriteValue::Point { name, .. } => known.points.contains_key(name),
        WriteValue::Option { name, .. } => known.options.contains_key(name),
        _ => true,
    };
    let list: Vec<Write> = command.release.iter().filter(computable).cloned().collect();
    writes(&list, 0.0, known)
}

/// Encodes writes in order; what is marked `together` shares a request with the write before it.
fn writes(list: &[Write], value: f64, known: &Known) -> Result<Vec<RegisterWrite>, String> {
    let phases = known.options.get("phases").copied().unwrap_or(1.0);
    let mut requests: Vec<RegisterWrite> = Vec::new();
    for w in list {
        if w.phase.is_some_and(|n| f64::from(n) > phases) {
            continue;
        }
        let share = if w.phase.is_some() {
            value / phases.max(1.0)
        } else {
            value
        };
        let (words, how) = encoded(w, share, known)?;
        let next = |last: &RegisterWrite| usize::from(last.addr) + last.words.len() == usize::from(w.addr);
        match requests.last_mut() {
            Some(last) if w.together && next(last) => last.words.extend(words),
            _ => requests.push(RegisterWrite {
                unit: unit_of(w, known)?,
                fc: w.fc,
                addr: w.addr,
                words,
                how,
            }),
        }
    }
    Ok(requests)
}

fn unit_of(w: &Write, known: &Known) -> Result<Option<u8>, String> {
    let Some(option) = &w.unit_option else {
        return Ok(w.unit);
    };
    let unit = known.option(option)?;
    if (0.0..=255.0).contains(&unit) && unit.fract() == 0.0 {
        Ok(Some(unit as u8))
    } else {
        Err(format!("option `{option}` is {unit}, which is no unit id"))
    }
}

fn encoded(w: &Write, value: f64, known: &Known) -> Result<(Vec<u16>, How), String> {
    let raw = match &w.value {
        WriteValue::Constant(v) => *v,
        WriteValue::Scaled { scale, offset } => value * scale + offset,
        WriteValue::Point { name, scale } => known.point(name)? * scale,
        WriteValue::Option { name, scale } => known.option(name)? * scale,
        WriteValue::Bits { set, clear } => {
            let how = How::Bits {
                set: *set,
                clear: *clear,
            };
            return Ok((vec![*set], how));
        }
    };
    let how = if w.if_different { How::IfDifferent } else { How::Always };
    Ok((encode(w.type_, w.words, raw)?, how))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(profile: &str, command: &str, value: f64) -> Program {
        let profile = crate::profile::builtin(profile).unwrap();
        program(&profile.commands[command], value, &Known::default()).unwrap()
    }

    #[test]
    fn what_belongs_together_goes_out_as_one_request_and_limits_hold() {
        let p = built("generic-relay", "switch", 7.0);
        assert_eq!(p.set, [RegisterWrite::new(16, 10, vec![1, 60])]);
        let p = built("generic-heat-pump", "heatpump_power", 2.5);
        assert_eq!(p.set, [RegisterWrite::new(16, 10, vec![0, 2500, 60])]);
    }

    fn command(text: &str) -> Command {
        let head = "schema = \"profile/1\"\nid = \"x\"\nkind = \"evse\"\n[link]\ntransport = [\"tcp\"]\n\
                    [[blocks]]\nname = \"a\"\naddr = 0\ncount = 9\nevery = \"fast\"\n[[points]]\nname = \"most\"\naddr = 0\n\
                    [options.phases]\ndefault = 3\nmin = 1\nmax = 3\nnote = \"\"\n[commands.c]\nwear = \"ram\"\n";
        let p = crate::profile::parse(&format!("{head}{text}")).unwrap();
        p.commands["c"].clone()
    }

    #[test]
    fn a_value_between_two_ranges_goes_towards_zero() {
        let c = command(
            "unit = \"A\"\nmin = 0\nmax = 32\nvariants = [{ from = 6, set = [{ addr = 1, scale = 1 }] }, { from = 0, to = 0, set = [{ addr = 1, value = 0 }] }]",
        );
        let words = |v: f64| program(&c, v, &Known::default()).unwrap().set[0].words[0];
        assert_eq!([16.0, 40.0, 6.0, 5.9, 0.0, -3.0].map(words), [16, 32, 6, 0, 0, 0]);
        assert!(program(&c, f64::NAN, &Known::default()).is_err());
    }

    #[test]
    fn a_limit_of_the_device_clamps_and_an_unknown_one_refuses() {
        let c = command("unit = \"kW\"\nmax_point = \"most\"\nset = [{ addr = 1, type = \"i16\", scale = 1000 }]");
        let mut known = Known::default();
        let error = program(&c, 3.0, &known).unwrap_err();
        assert!(error.contains("`most`"), "{error}");
        known.points.insert("most".into(), 2.0);
        let words = |v: f64| program(&c, v, &known).unwrap().set[0].words[0] as i16;
        assert_eq!([1.0, 3.0, -5.0].map(words), [1000, 2000, -2000]);
    }

    #[test]
    fn phases_share_equally_and_those_that_are_not_there_are_left_out() {
        let c = command(
            "unit = \"kW\"\nset = [{ addr = 1, type = \"i16\", scale = 1000, phase = 1 }, { addr = 2, type = \"i16\", scale = 1000, phase = 2 }]",
        );
        let at = |phases: f64| {
            let mut known = Known::default();
            known.options.insert("phases".into(), phases);
            let p = program(&c, -3.0, &known).unwrap();
            p.set.iter().map(|w| w.words[0] as i16).collect::<Vec<_>>()
        };
        assert_eq!((at(1.0), at(3.0)), (vec![-3000], vec![-1000, -1000]));
    }

    #[test]
    fn the_refresh_comes_twice_within_the_shortest_timeout_known_and_never_where_flash_wears() {
        let text = "unit = \"A\"\nrefresh_s = 20\ndevice_timeout_s = 60\ntimeout_point = \"most\"\nset = [{ addr = 1, scale = 1 }]";
        let c = command(text);
        let mut known = Known::default();
        assert_eq!(refresh(&c, &known), 20.0);
        known.points.insert("most".into(), 10.0);
        assert_eq!(refresh(&c, &known), 5.0);
        let stored = Command {
            wear: Wear::Nonvolatile,
            ..c
        };
        assert_eq!(refresh(&stored, &known), f64::INFINITY);
    }
}
