//! Wiring: devices, addresses, and which device feeds which component. The planner never sees it.

use super::plant::Id;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wiring {
    pub devices: BTreeMap<Id, Device>,
}

/// Writes a day to a register that wears, unless the owner says otherwise.
pub const WRITES_PER_DAY: u32 = 24;

/// A Modbus device; several components may be fed by one, and one component by several.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    pub address: Address,
    /// Name of a built-in profile or of a file in the site folder's `profiles/`.
    pub profile: String,
    pub unit: u8,
    /// Components it feeds, by the canonical names of its points.
    pub components: Vec<Id>,
    /// Points that feed something else than their canonical name says: `"pv.active_power" = "mppt[1].dc_power"`.
    pub points: BTreeMap<String, String>,
    /// The owner's consent to write to this device although its commands are not verified on that very model.
    pub control: bool,
    /// The owner says that this is the right device although it carries no identity.
    pub identity_confirmed: bool,
    /// Writes a day to each register that wears, or may.
    pub writes_per_day: u32,
}

/// `tcp://host:port`, `tls://host:port`, `rtu+tcp://host:port`, `rtu:///dev/ttyUSB0?baud=9600`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub enum Address {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16 },
    RtuOverTcp { host: String, port: u16 },
    Rtu { path: String, baud: u32 },
}

impl Address {
    /// Reads an address; the message says what forms are allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = "use tcp://host:port, tls://host:port, rtu+tcp://host:port or rtu:///dev/ttyUSB0?baud=9600";
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("`{text}` is not an address; {allowed}"))?;
        if scheme == "rtu" {
            let (path, query) = rest.split_once('?').unwrap_or((rest, "baud=9600"));
            let baud = query.strip_prefix("baud=").and_then(|b| b.parse().ok());
            return match baud {
                Some(baud) if path.starts_with('/') => Ok(Self::Rtu {
                    path: path.into(),
                    baud,
                }),
                _ => Err(format!(
                    "`{text}` is not a serial address; use rtu:///dev/ttyUSB0?baud=9600"
                )),
            };
        }
        let (host, port) = rest
            .rsplit_once(':')
            .unwrap_or((rest, if scheme == "tls" { "802" } else { "502" }));
        let port = port
            .parse()
            .map_err(|_| format!("`{port}` is not a port (1-65535) in `{text}`"))?;
        let host = host.to_owned();
        if host.is_empty() {
            return Err(format!("`{text}` names no host; {allowed}"));
        }
        match scheme {
            "tcp" => Ok(Self::Tcp { host, port }),
            "tls" => Ok(Self::Tls { host, port }),
            "rtu+tcp" => Ok(Self::RtuOverTcp { host, port }),
            _ => Err(format!("`{scheme}` is not a transport; {allowed}")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Tls { host, port } => write!(f, "tls://{host}:{port}"),
            Self::RtuOverTcp { host, port } => write!(f, "rtu+tcp://{host}:{port}"),
            Self::Rtu { path, baud } => write!(f, "rtu://{path}?baud={baud}"),
        }
    }
}

impl From<Address> for String {
    fn from(a: Address) -> Self {
        a.to_string()
    }
}
