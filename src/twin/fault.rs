//! Faults of devices, as people write them: `battery:dead`, `meter:slow=300ms`, `ev:drop=2%`. Chance comes from the seed, times
//! from the site's clock: the same run has the same faults.

use crate::site::{Id, Site};
use std::time::Duration;

/// A fault at one device's wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub device: Id,
    pub kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultKind {
    /// Accepts, never answers.
    Dead,
    /// Answers nothing while there is no sun for it.
    Asleep,
    /// Answers late.
    Slow(Duration),
    /// Share of answers that never come.
    Drop(f64),
    /// Share of answers that come after any patience.
    Late(f64),
    /// Share of answers that come twice.
    Duplicate(f64),
    /// Share of answers that carry fewer registers than asked.
    Short(f64),
    /// Share of requests answered with exception 5 or 6 (acknowledge, busy).
    Exception(f64),
    /// Storms: of ten such times one is spent refusing everything with exceptions 5 and 6.
    Busy(Duration),
    /// Share of answers that are noise.
    Garbage(f64),
    /// A second client is refused.
    OneClient,
    /// Values stand still.
    Frozen,
    /// Share of answers in which one power shows an absurd value.
    Spike(f64),
    /// Share of answers in which powers and counters show zero.
    Zero(f64),
    /// Share of answers in which voltages show zero, beside powers that are right.
    ZeroVolt(f64),
    /// Powers are shown times this factor: a wrong current transformer, a wrong scale.
    Scale(f64),
    /// Powers are shown larger by so much, kW.
    Offset(f64),
    /// Reads that touch a measured value are refused as if nothing were there (exception 2).
    LostPoints,
    /// Share of answers in which a register that was written shows something else.
    Readback(f64),
    /// Share of answers in which wide values have their words the wrong way round.
    Swap(f64),
    /// After each connect, values are "not available" for so long.
    Sentinel(Duration),
    /// The scale factor of powers changes this often (SunSpec).
    Rescale(Duration),
    /// Writes are accepted and not obeyed.
    Unobeyed,
    /// Writes are obeyed only after this time.
    Delayed(Duration),
    /// No more than this share of the rating is carried out.
    Clipped(f64),
    /// Another master writes over our setpoint this often.
    Foreign(Duration),
    /// The device restarts this often and forgets what it was told; its connections stay.
    Restart(Duration),
    /// A register written this often takes no more writes.
    Worn(u64),
}

/// Kinds as people write them, with a typical value and what they do; the list `--help` shows.
pub const FAULTS: &str = "\
Faults (--fault COMPONENT:KIND[=VALUE], repeated at will; times are the site's, and pass faster with --speed):
  dead              accepts connections, never answers
  asleep            an inverter that is switched off while the sun is down
  slow=300ms        answers late by so much
  drop=2%           share of answers that never come
  late=1%           share of answers that come after any patience
  duplicate=1%      share of answers that come twice
  short=1%          share of answers with fewer registers than asked
  exception=0.5%    share of requests refused with exception 5 or 6
  busy=30s          one such time in ten, everything is refused with exceptions 5 and 6
  garbage=1%        share of answers that are noise
  one-client        a second connection is refused
  frozen            values stand still
  spike=1%          share of answers in which one power is absurd
  zero=1%           share of answers in which powers and counters are zero
  zero-volt=1%      share of answers in which voltages are zero and powers are right
  scale=0.2         powers are shown times this factor (a wrong current transformer)
  offset=2kW        powers are shown larger by so much
  lost-points       measured values are not there any more (exception 2); the rest answers
  readback-glitch=1% share of answers in which a register that was written shows something else
  word-swap=1%      share of answers with the words of wide values swapped
  sentinel=40s      values are \"not available\" for so long after each connect
  rescale=5min      the scale factor of powers changes this often (SunSpec devices)
  unobeyed          writes are accepted and not obeyed
  delayed=5s        writes are obeyed after so long
  clipped=50%       no more than this share of the rating is carried out
  foreign=10min     another master writes over the setpoint this often
  restart=10min     the device restarts this often, forgets what it was told and keeps its connections
  worn=1000         a register that was written so often takes no more writes";

impl Fault {
    /// Reads `COMPONENT:KIND[=VALUE]`; `all:` means every device of the site.
    pub fn parse_all(text: &str, site: &Site) -> Result<Vec<Self>, String> {
        let every = text.strip_prefix("all:").or(text.strip_prefix("*:"));
        let Some(what) = every else {
            return Ok(vec![Self::parse(text, site)?]);
        };
        let kind = FaultKind::parse(what)?;
        let each = |device: &Id| Self {
            device: device.clone(),
            kind,
        };
        Ok(site.wiring.devices.keys().map(each).collect())
    }

    /// Reads `COMPONENT:KIND[=VALUE]`; a device's own name is understood too.
    pub fn parse(text: &str, site: &Site) -> Result<Self, String> {
        let (who, what) = text
            .split_once(':')
            .ok_or("write COMPONENT:KIND, for example battery:dead")?;
        let devices = &site.wiring.devices;
        let by_component = devices
            .iter()
            .find(|(_, d)| d.components.iter().any(|c| c.as_str() == who));
        let device = by_component
            .map(|(id, _)| id)
            .or_else(|| devices.keys().find(|id| id.as_str() == who));
        let known: Vec<&str> = site.plant.components.keys().map(Id::as_str).collect();
        let device = device.ok_or_else(|| format!("`{who}` has no device; components: {}", known.join(", ")))?;
        Ok(Self {
            device: device.clone(),
            kind: FaultKind::parse(what)?,
        })
    }
}

impl Fault {
    /// The fault where the site's time runs at `speed`. Devices read the site's clock; only how late an answer is sent is
    /// measured in real time.
    pub fn at_speed(self, speed: f64) -> Self {
        let kind = match self.kind {
            FaultKind::Slow(d) => FaultKind::Slow(d.div_f64(speed)),
            other => other,
        };
        Self { kind, ..self }
    }
}

impl FaultKind {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
        match name {
            "dead" => Ok(Self::Dead),
            "asleep" => Ok(Self::Asleep),
            "frozen" => Ok(Self::Frozen),
            "one-client" => Ok(Self::OneClient),
            "lost-points" => Ok(Self::LostPoints),
            "zero-volt" => share(value, 0.01).map(Self::ZeroVolt),
            "readback-glitch" => share(value, 0.01).map(Self::Readback),
            "scale" => factor(value, 0.2).map(Self::Scale),
            "offset" => power(value, "2kW").map(Self::Offset),
            "unobeyed" => Ok(Self::Unobeyed),
            "slow" => time(value, "300ms").map(Self::Slow),
            "busy" => time(value, "30s").map(Self::Busy),
            "sentinel" => time(value, "40s").map(Self::Sentinel),
            "rescale" => time(value, "5min").map(Self::Rescale),
            "delayed" => time(value, "5s").map(Self::Delayed),
            "restart" => time(value, "10min").map(Self::Restart),
            "foreign" => time(value, "10min").map(Self::Foreign),
            "drop" => share(value, 0.02).map(Self::Drop),
            "late" => share(value, 1.0).map(Self::Late),
            "duplicate" => share(value, 0.01).map(Self::Duplicate),
            "short" => share(value, 1.0).map(Self::Short),
            "exception" => share(value, 0.005).map(Self::Exception),
            "garbage" => share(value, 0.01).map(Self::Garbage),
            "spike" => share(value, 0.01).map(Self::Spike),
            "zero" => share(value, 0.01).map(Self::Zero),
            "word-swap" => share(value, 0.01).map(Self::Swap),
            "clipped" => share(value, 0.5).map(Self::Clipped),
            "worn" => count(value, 1_000).map(Self::Worn),
            _ => Err(format!("`{name}` is no fault\n{FAULTS}")),
        }
    }
}

fn share(value: Option<&str>, default: f64) -> Result<f64, String> {
    let Some(v) = value else { return Ok(default) };
    match v.strip_suffix('%').and_then(|n| n.trim().parse::<f64>().ok()) {
        Some(p) if (0.0..=100.0).contains(&p) => Ok(p / 100.0),
        _ => Err(format!("`{v}` is not a share such as 2%")),
    }
}

fn factor(value: Option<&str>, default: f64) -> Result<f64, String> {
    let Some(v) = value else { return Ok(default) };
    let number = v.parse().ok().filter(|f: &f64| f.is_finite());
    number.ok_or_else(|| format!("`{v}` is not a factor such as 0.2"))
}

/// kW
fn power(value: Option<&str>, default: &str) -> Result<f64, String> {
    let power = crate::units::Power::parse(value.unwrap_or(default)).map_err(|e| e.to_string())?;
    Ok(power.as_kw())
}

/// A time above zero.
fn time(value: Option<&str>, default: &str) -> Result<Duration, String> {
    let d = crate::units::parse_duration(value.unwrap_or(default)).map_err(|e| e.to_string())?;
    let d = d.to_std().map_err(|_| "a delay is not negative".to_owned())?;
    if d.is_zero() {
        Err("a time of zero is no fault".to_owned())
    } else {
        Ok(d)
    }
}

fn count(value: Option<&str>, default: u64) -> Result<u64, String> {
    let Some(v) = value else { return Ok(default) };
    v.parse().map_err(|_| format!("`{v}` is not a number of writes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_wrong_ones_explained() {
        let site = crate::site::builtin("home-amsterdam").unwrap();
        let parse = |t: &str| Fault::parse(t, &site);
        assert_eq!(
            parse("battery:dead").unwrap(),
            Fault {
                device: Id::new("inverter"),
                kind: FaultKind::Dead
            }
        );
        assert_eq!(
            parse("meter:slow=300ms").unwrap().kind,
            FaultKind::Slow(Duration::from_millis(300))
        );
        assert_eq!(parse("ev:drop=2%").unwrap().kind, FaultKind::Drop(0.02));
        assert_eq!(parse("meter:scale=-1").unwrap().kind, FaultKind::Scale(-1.0));
        assert_eq!(parse("meter:offset=-500W").unwrap().kind, FaultKind::Offset(-0.5));
        let fast = |t: &str| parse(t).unwrap().at_speed(60.0).kind;
        assert_eq!(fast("meter:slow=3s"), FaultKind::Slow(Duration::from_millis(50)));
        assert_eq!(
            fast("meter:restart=10min"),
            FaultKind::Restart(Duration::from_secs(600))
        );
        // What the list names is understood as it stands there.
        let listed = FAULTS.lines().skip(1).filter_map(|l| l.split_whitespace().next());
        assert!(listed.map(|kind| parse(&format!("meter:{kind}")).unwrap()).count() > 15);
        let every = Fault::parse_all("all:drop=2%", &site).unwrap();
        assert_eq!(every.len(), site.wiring.devices.len());
        assert!(every.iter().all(|f| f.kind == FaultKind::Drop(0.02)));
        for (bad, part) in [
            ("battery", "COMPONENT:KIND"),
            ("bat:dead", "components:"),
            ("ev:dea", "dead  "),
            ("ev:slow=0s", "zero"),
            ("ev:worn=x", "number of writes"),
            ("ev:drop=2", "share"),
            ("meter:scale=x", "factor"),
            ("meter:offset=2", "unit"),
        ] {
            assert!(parse(bad).unwrap_err().contains(part), "{bad}");
        }
    }
}
