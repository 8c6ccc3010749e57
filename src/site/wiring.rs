//! Wiring: devices, addresses, and which device feeds which component. The planner never sees it.

use super::plant::Id;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wiring {
    pub devices: BTreeMap<Id, Device>,
    pub proxies: Vec<Proxy>,
}

/// Lets other masters read what lies behind a device's address over the controller's own connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proxy {
    pub device: Id,
    pub listen: std::net::SocketAddr,
    /// Answers younger than this are given again; `None`: every read goes to the device.
    pub max_age: Option<std::time::Duration>,
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
    /// Numbers of this installation that the profile asks for (`[options]` there): unit ids, phases, ratings.
    pub options: BTreeMap<String, f64>,
}

/// `tcp://host:port`, `tls://host:port`, `rtu+tcp://host:port`, `rtu:///dev/ttyUSB0?baud=9600&parity=even&stop=1`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub enum Address {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16, files: TlsFiles },
    RtuOverTcp { host: String, port: u16 },
    Rtu { path: String, line: SerialLine },
}

/// Files of Modbus/TCP Security (PEM); never shown. Both sides prove who they are, so all three are needed to connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlsFiles {
    /// Authority that signed the device's certificate.
    pub ca: Option<PathBuf>,
    /// Our certificate (chain) and its key.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Name in the device's certificate; default: the host of the address.
    pub name: Option<String>,
}

/// How characters go over a serial line; eight data bits always (Modbus over serial line V1.02, 2.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialLine {
    pub baud: u32,
    pub parity: Parity,
    pub stop_bits: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parity {
    None,
    Even,
    Odd,
}

impl SerialLine {
    /// Seconds that `bytes` take, start, parity and stop bits included.
    pub fn seconds(&self, bytes: usize) -> f64 {
        let parity = u32::from(self.parity != Parity::None);
        let bits = 9 + parity + u32::from(self.stop_bits);
        bytes as f64 * f64::from(bits) / f64::from(self.baud)
    }

    fn parse(query: &str) -> Result<Self, String> {
        let mut line = Self {
            baud: 9600,
            parity: Parity::None,
            stop_bits: 1,
        };
        for part in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match (key, value.to_ascii_lowercase().as_str()) {
                ("baud", _) => line.baud = value.parse().map_err(|_| format!("`{value}` is not a baud rate"))?,
                ("parity", "n" | "none") => line.parity = Parity::None,
                ("parity", "e" | "even") => line.parity = Parity::Even,
                ("parity", "o" | "odd") => line.parity = Parity::Odd,
                ("parity", _) => return Err(format!("`{value}` is not a parity; use none, even or odd")),
                ("stop", "1") => line.stop_bits = 1,
                ("stop", "2") => line.stop_bits = 2,
                ("stop", _) => return Err(format!("`{value}` is not a number of stop bits; use 1 or 2")),
                _ => return Err(format!("`{key}` is not known there; use baud, parity, stop")),
            }
        }
        if !(300..=4_000_000).contains(&line.baud) {
            return Err(format!("{} baud is outside 300 to 4000000", line.baud));
        }
        Ok(line)
    }
}

impl Address {
    /// Reads an address; the message says what forms are allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = "use tcp://host:port, tls://host:port, rtu+tcp://host:port or rtu:///dev/ttyUSB0?baud=9600";
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("`{text}` is not an address; {allowed}"))?;
        if scheme == "rtu" {
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            let wrong = |why: &str| {
                format!("`{text}` is not a serial address: {why}; use rtu:///dev/ttyUSB0?baud=9600&parity=even&stop=1")
            };
            if !path.starts_with('/') {
                return Err(wrong("it needs the full path of the port"));
            }
            let line = SerialLine::parse(query).map_err(|why| wrong(&why))?;
            return Ok(Self::Rtu {
                path: path.into(),
                line,
            });
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
            "tls" => Ok(Self::Tls {
                host,
                port,
                files: TlsFiles::default(),
            }),
            "rtu+tcp" => Ok(Self::RtuOverTcp { host, port }),
            _ => Err(format!("`{scheme}` is not a transport; {allowed}")),
        }
    }

    /// The same with the files of Modbus/TCP Security; other transports have none.
    pub fn with_tls(self, files: TlsFiles) -> Self {
        match self {
            Self::Tls { host, port, .. } => Self::Tls { host, port, files },
            other => other,
        }
    }

    /// The same with paths of files seen from `folder` (the site's).
    pub fn rooted(mut self, folder: Option<&Path>) -> Self {
        if let (Self::Tls { files, .. }, Some(folder)) = (&mut self, folder) {
            for file in [&mut files.ca, &mut files.cert, &mut files.key] {
                *file = file.take().map(|f| folder.join(f));
            }
        }
        self
    }

    /// What only one client may hold at a time: a port of a host, or a serial port.
    pub fn peer(&self) -> String {
        match self {
            Self::Tcp { host, port } | Self::Tls { host, port, .. } | Self::RtuOverTcp { host, port } => {
                format!("{host}:{port}")
            }
            Self::Rtu { path, .. } => path.clone(),
        }
    }

    /// Answers carry no transaction id: a late one looks like the next.
    pub fn is_rtu(&self) -> bool {
        matches!(self, Self::Rtu { .. } | Self::RtuOverTcp { .. })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Tls { host, port, .. } => write!(f, "tls://{host}:{port}"),
            Self::RtuOverTcp { host, port } => write!(f, "rtu+tcp://{host}:{port}"),
            Self::Rtu { path, line } => {
                write!(f, "rtu://{path}?baud={}", line.baud)?;
                match line.parity {
                    Parity::None => {}
                    Parity::Even => write!(f, "&parity=even")?,
                    Parity::Odd => write!(f, "&parity=odd")?,
                }
                if line.stop_bits == 2 {
                    write!(f, "&stop=2")
                } else {
                    Ok(())
                }
            }
        }
    }
}

impl From<Address> for String {
    fn from(a: Address) -> Self {
        a.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_is_written_and_a_wrong_one_says_what_is_allowed() {
        for text in [
            "tcp://10.0.0.7:502",
            "tls://gateway:802",
            "rtu+tcp://10.0.0.7:4001",
            "rtu:///dev/ttyUSB0?baud=9600",
            "rtu:///dev/ttyUSB0?baud=19200&parity=even",
            "rtu:///dev/ttyUSB0?baud=115200&parity=odd&stop=2",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        for (text, why) in [
            ("rtu:///dev/ttyUSB0?baud=fast", "not a baud rate"),
            ("rtu:///dev/ttyUSB0?baud=1", "outside 300"),
            ("rtu:///dev/ttyUSB0?parity=mark", "none, even or odd"),
            ("rtu:///dev/ttyUSB0?speed=9600", "use baud, parity, stop"),
            ("rtu://ttyUSB0", "full path"),
            ("udp://10.0.0.7:502", "not a transport"),
        ] {
            let told = Address::parse(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
        let short = Address::parse("rtu:///dev/ttyS1?parity=N").unwrap();
        assert_eq!(short.to_string(), "rtu:///dev/ttyS1?baud=9600");
    }
}
