//! `[devices.<name>]` and `[twin]`.

use super::plant::Id;
use super::reader::Section;
use super::shape::Holds;
use super::twin::{TwinConfig, Visits};
use super::values::{number, share, time_of_day};
use super::wiring::{Address, Device, Proxy, TlsFiles, WRITES_PER_DAY};
use crate::units::{Energy, Soc, parse_duration};
use std::collections::BTreeMap;

/// Reads one device.
pub fn device(s: &Section) -> Option<Device> {
    let address = s.parsed(
        "address",
        "where it listens, e.g. \"tcp://192.168.1.20:502\"",
        Address::parse,
    );
    let profile = s.text(
        "profile",
        "a built-in profile (`madang devices`) or a file in the site's profiles folder",
    );
    // A built-in profile knows the unit id its device usually has.
    let usual = profile.as_deref().and_then(crate::profile::builtin);
    let usual = usual.and_then(|p| p.link.unit).unwrap_or(1);
    let unit = s.whole("unit", (0, 255), Some(i64::from(usual)), "Modbus unit id");
    let components = s.texts(
        "components",
        "components it feeds, by the canonical names of its points",
    );
    let points = s.texts_by_name(
        "points",
        "points that feed something else; `-` turns the sign: \"pv.active_power\" = \"-mppt[1].dc_power\"",
    );
    let control = s.flag_or("control", false, "the owner's consent to control this device");
    let identity_confirmed = s.flag_or(
        "identity_confirmed",
        false,
        "the owner says this is the right device although it carries no identity",
    );
    let writes_per_day = s.whole(
        "writes_per_day",
        (1, 100_000),
        Some(i64::from(WRITES_PER_DAY)),
        "writes a day to each register that keeps its value in memory that wears, or may",
    );
    let tls = tls(&s.section("tls", false, "files of Modbus/TCP Security, for tls:// addresses"));
    if tls.is_some() && address.as_ref().is_some_and(|a| !matches!(a, Address::Tls { .. })) {
        s.fault("tls", "only a tls:// address takes these files");
    }
    if tls.is_none() && matches!(address, Some(Address::Tls { .. })) {
        s.fault("address", "a tls:// address needs a `tls` table with ca, cert and key");
    }
    let options = s.texts_by_name(
        "options",
        "numbers of this installation that the profile asks for: phases = \"1\" (see `madang devices <profile>`)",
    );
    let options = numbers(s, options.into_iter());
    s.finish();
    let address = match (address, tls) {
        (Some(address), Some(files)) => Some(address.with_tls(files)),
        (address, _) => address,
    };
    Some(Device {
        options,
        address: address?,
        profile: profile?,
        unit: u8::try_from(unit?).ok()?,
        components: components.unwrap_or_default().iter().map(|c| Id::new(c)).collect(),
        points: points.into_iter().collect(),
        control,
        identity_confirmed,
        writes_per_day: u32::try_from(writes_per_day?).ok()?,
    })
}

/// Reads `tls = { ca, cert, key }` of a device; paths are relative to the site folder.
fn tls(s: &Section) -> Option<TlsFiles> {
    let ca = s.text("ca", "PEM of the authority that signed the device's certificate");
    let cert = s.text("cert", "PEM of our certificate");
    let key = s.text("key", "PEM of its private key");
    let name = s.text_opt("name", "name in the device's certificate; default: the address's host");
    if !s.is_there() {
        return None;
    }
    s.finish();
    Some(TlsFiles {
        ca: ca.map(Into::into),
        cert: cert.map(Into::into),
        key: key.map(Into::into),
        name,
    })
}

/// Options are numbers, in the unit the profile states.
fn numbers(s: &Section, given: impl Iterator<Item = (String, String)>) -> BTreeMap<String, f64> {
    let mut read = BTreeMap::new();
    for (name, text) in given {
        match text.split_whitespace().next().map(str::parse::<f64>) {
            Some(Ok(n)) if n.is_finite() => {
                read.insert(name, n);
            }
            _ => s.fault("options", format!("`{text}` of {name} is not a number such as \"3\"")),
        }
    }
    read
}

/// Reads one `[[proxy]]`.
pub fn proxy(s: &Section) -> Option<Proxy> {
    let device = s.text("device", "device of this site that other masters may read");
    let listen = s.parsed("listen", "where they connect, e.g. \"127.0.0.1:5020\"", |text| {
        let wrong = |_| format!("`{text}` is not an address and port such as 127.0.0.1:5020");
        text.parse::<std::net::SocketAddr>().map_err(wrong)
    });
    let max_age = s.quantity_opt(
        "max_age",
        "2 s",
        "answers younger than this are given again; absent: every read goes to the device",
        parse_duration,
    );
    s.finish();
    Some(Proxy {
        device: Id::new(&device?),
        listen: listen?,
        max_age: max_age.and_then(|d| d.to_std().ok()),
    })
}

/// Reads `[twin]`; `None` where the file has none.
pub fn twin(s: &Section) -> Option<TwinConfig> {
    let load = s.text_opt("load", "CSV in the site folder that replaces the twin's own load");
    let load_column = s.text_opt("load_column", "its column; default load_kw");
    let pv = s.text_opt("pv", "CSV whose column replaces the twin's own PV");
    let pv_column = s.text_opt("pv_column", "its column; default pv_kw");
    let twelve = |key, low, high, doc| {
        let list = s.list(key, Holds::Number(low, high), false, doc, number)?;
        if list.len() != 12 || list.iter().any(|v| !(low..=high).contains(v)) {
            s.fault(key, format!("needs 12 numbers from {low} to {high}, January first"));
        }
        Some(list)
    };
    let cloudiness = twelve("cloudiness", 0.0, 1.0, "mean cloudiness by month");
    let temperature = twelve("temperature", -60.0, 60.0, "mean outdoor temperature by month, °C");
    let visits: BTreeMap<Id, Visits> = s
        .named("visits", "how cars come and go, by charge point")
        .iter()
        .filter_map(|(name, v)| Some((Id::new(name), visits(v)?)))
        .collect();
    let mut soc_start = BTreeMap::new();
    for (name, text) in s.texts_by_name("soc_start", "state of charge at the start, by battery") {
        match Soc::parse(&text) {
            Ok(soc) if (0.0..=1.0).contains(&soc.as_ratio()) => {
                soc_start.insert(Id::new(&name), soc);
            }
            _ => s.fault(
                "soc_start",
                format!("`{text}` of {name} is not a state of charge such as \"50 %\""),
            ),
        }
    }
    if !s.is_there() {
        return None;
    }
    s.finish();
    Some(TwinConfig {
        load,
        load_column,
        pv,
        pv_column,
        cloudiness,
        temperature,
        visits,
        soc_start,
    })
}

fn visits(s: &Section) -> Option<Visits> {
    let arrival = s.parsed("arrival", "typical local arrival", time_of_day);
    let departure = s.parsed("departure", "typical local departure", time_of_day);
    let scatter = s.quantity_or("scatter", "45 min", "45 min", "spread of both", parse_duration);
    let probability = s.quantity_or("probability", "80 %", "80 %", "share of days with a visit", share);
    let energy = s.quantity("energy", "14 kWh", "mean energy needed, into the car", Energy::parse);
    s.finish();
    Some(Visits {
        arrival: arrival?,
        departure: departure?,
        scatter_minutes: scatter?.num_seconds() as f64 / 60.0,
        probability: probability?.clamp(0.0, 1.0),
        energy: energy?,
    })
}
