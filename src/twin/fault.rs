//! Faults of devices, as people write them: `battery:dead`, `meter:slow=300ms`, `ev:drop=2%`.

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
    /// Answers late.
    Slow(Duration),
    /// Share of answers that never come.
    Drop(f64),
    /// Share of answers that come after any patience.
    Late(f64),
    /// Share of answers that carry fewer registers than asked.
    Short(f64),
    /// Share of requests answered with exception 6 (busy).
    Exception(f64),
    /// Values stand still.
    Frozen,
    /// Share of answers that are noise.
    Garbage(f64),
    /// A second client is refused.
    OneClient,
}

const KINDS: &str = "dead, frozen, one-client, slow=300ms, drop=2%, late=1%, short=1%, exception=0.5%, garbage=1%";

impl Fault {
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

impl FaultKind {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
        let share = |default: f64| match value {
            None => Ok(default),
            Some(v) => match v.strip_suffix('%').and_then(|n| n.trim().parse::<f64>().ok()) {
                Some(p) if (0.0..=100.0).contains(&p) => Ok(p / 100.0),
                _ => Err(format!("`{v}` is not a share such as 2%")),
            },
        };
        match name {
            "dead" => Ok(Self::Dead),
            "frozen" => Ok(Self::Frozen),
            "one-client" => Ok(Self::OneClient),
            "slow" => {
                let d = crate::units::parse_duration(value.unwrap_or("300ms")).map_err(|e| e.to_string())?;
                d.to_std()
                    .map(Self::Slow)
                    .map_err(|_| "a delay is not negative".to_owned())
            }
            "drop" => share(0.02).map(Self::Drop),
            "late" => share(1.0).map(Self::Late),
            "short" => share(1.0).map(Self::Short),
            "exception" => share(0.005).map(Self::Exception),
            "garbage" => share(0.01).map(Self::Garbage),
            _ => Err(format!("`{name}` is no fault; there are {KINDS}")),
        }
    }
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
        for (bad, part) in [
            ("battery", "COMPONENT:KIND"),
            ("bat:dead", "components:"),
            ("ev:dea", "there are dead"),
            ("ev:drop=2", "share"),
        ] {
            assert!(parse(bad).unwrap_err().contains(part), "{bad}");
        }
    }
}
