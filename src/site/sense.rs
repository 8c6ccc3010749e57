//! What each key by itself allows and the file as a whole makes no sense of: a fuse that no car can charge behind, a time zone
//! on the other side of the world, a wish that reaches further than the plan.
//!
//! Works on the words of the file, like `validate`. An error where something can never work, else a warning.

use super::reader::Section;
use super::validate::{Outline, find};
use crate::time::COUNTRIES;
use crate::units::{Angle, Current, Power, Voltage, parse_duration};
use chrono::{NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;

/// Direct current of modules above what their inverter gives: up to half more is usual, twice as much rare.
const PEAK_ODD: f64 = 2.5;
/// Nobody builds this: a unit is wrong.
const PEAK_IMPOSSIBLE: f64 = 10.0;
/// Zones follow borders, not the sun: western China is 3 h off, the west of Spain 2.5 h in summer.
const ZONE_OFF_H: f64 = 3.5;

pub(super) fn check(root: &Section, outline: &Outline) {
    let connection = root.section("connection_point", false, "");
    import(&connection);
    for (name, section) in &outline.components {
        match section.peek("kind") {
            Some("charge-point") => charger(name, section, &connection, outline),
            Some("pv") => peak(section),
            _ => {}
        }
    }
    location(root);
    lifeline(root);
}

/// Conductors that share a current: 1 or 3.
fn phases(connection: &Section) -> f64 {
    connection.peek_whole("phases").unwrap_or(3) as f64
}

fn volts(connection: &Section) -> Option<f64> {
    let voltage = connection.peek_quantity("voltage", Some("230 V"), Voltage::parse)?;
    Some(voltage.as_volts()).filter(|v| *v > 0.0)
}

fn import(connection: &Section) {
    let fuse = connection
        .peek_quantity("fuse", None, Current::parse)
        .map(Current::as_amps);
    let (Some(fuse), Some(volts)) = (fuse, volts(connection)) else {
        return;
    };
    let carries = phases(connection) * volts * fuse / 1e3;
    for key in ["import_max", "export_max"] {
        let most = connection.peek_quantity(key, None, Power::parse).map(Power::as_kw);
        // A rounded rating (17.3 kW for 3 × 25 A) is no mistake.
        if let Some(most) = most.filter(|kw| *kw > 1.05 * carries) {
            connection.warn(
                key,
                format!(
                    "{most} kW is more than the fuse carries ({} × {fuse} A at {volts} V: {carries:.1} kW); the fuse is kept to",
                    phases(connection)
                ),
            );
        }
    }
}

/// A charger that no current it can take fits behind its fuses.
fn charger(name: &str, section: &Section, connection: &Section, outline: &Outline) {
    let least = section
        .peek_quantity("current_min", Some("6 A"), Current::parse)
        .map(Current::as_amps);
    let Some(least) = least else { return };
    let below = |fuse: Option<Current>| fuse.map(Current::as_amps).filter(|a| *a > 0.0 && *a < least);
    let never = |what: &str| {
        format!("{what} is below the {least} A that `{name}` needs at least: no car can ever charge there")
    };
    if let Some(fuse) = below(connection.peek_quantity("fuse", None, Current::parse)) {
        connection.fault("fuse", never(&format!("{fuse} A")));
    }
    let used = match section.peek("phases") {
        None | Some("3") => phases(connection),
        Some(list) => list.split_whitespace().count() as f64,
    };
    let needed = volts(connection).map(|v| used * v * least / 1e3);
    let mut seen = Vec::new();
    let mut at = section.peek("circuit");
    while let Some((up, circuit)) = at.and_then(|c| Some((c, find(&outline.circuits, c)?))) {
        if seen.contains(&up) {
            break;
        }
        seen.push(up);
        if let Some(fuse) = below(circuit.peek_quantity("fuse", None, Current::parse)) {
            circuit.fault("fuse", never(&format!("{fuse} A")));
        }
        let most = circuit.peek_quantity("power_max", None, Power::parse).map(Power::as_kw);
        if let Some((most, needed)) = most.zip(needed).filter(|(most, needed)| *most > 0.0 && most < needed) {
            let what = format!("{most} kW is below {needed:.1} kW, and so");
            circuit.fault("power_max", never(&what));
        }
        at = circuit.peek("parent");
    }
}

fn peak(section: &Section) {
    let read = |key| {
        section
            .peek_quantity(key, None, Power::parse)
            .map(Power::as_kw)
            .filter(|kw| *kw > 0.0)
    };
    let (Some(peak), Some(inverter)) = (read("peak"), read("inverter_max")) else {
        return;
    };
    let ratio = peak / inverter;
    let why =
        format!("{peak} kW of modules behind an inverter of {inverter} kW, {ratio:.0} times as much: is a unit wrong?");
    if ratio >= PEAK_IMPOSSIBLE {
        section.fault("peak", why);
    } else if ratio > PEAK_ODD {
        section.warn("peak", why);
    }
}

fn location(root: &Section) {
    let place = root.section("location", false, "");
    let holidays = !root.section("tariff", false, "").peek_list("holidays").is_empty();
    if let Some(country) = place.peek("country") {
        self::country(&place, country, holidays);
    }
    let degrees = |key| place.peek_quantity(key, None, Angle::parse).map(Angle::as_degrees);
    let zone = place.peek("time_zone").and_then(|z| z.parse::<Tz>().ok());
    let (Some(latitude), Some(longitude)) = (degrees("latitude"), degrees("longitude")) else {
        return;
    };
    if let Some(home) = HOMES.iter().find(|h| Some(h.country) == place.peek("country")) {
        if let Some(zone) = zone.filter(|z| !home.zones.contains(&z.name())) {
            place.warn(
                "time_zone",
                format!(
                    "{zone} is no time zone of {}: {}; times of day and days of the tariff would be another place's",
                    home.country,
                    home.zones.join(", ")
                ),
            );
            return;
        }
        if !home.holds(latitude, longitude) {
            place.warn(
                "latitude",
                format!(
                    "{latitude}° north, {longitude}° east is not in {}: the sun would be another place's",
                    home.country
                ),
            );
            return;
        }
    }
    if let Some(off) = zone.map(|z| off(z, longitude)).filter(|h| *h > ZONE_OFF_H) {
        place.warn(
            "time_zone",
            format!("it is {off:.0} h from the sun's time at {longitude}° east: are the zone and the coordinates of one place (east is positive)?"),
        );
    }
}

fn country(place: &Section, country: &str, holidays: bool) {
    let code = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
    if !code {
        place.fault(
            "country",
            format!("`{country}` is no ISO 3166 code of two capital letters, such as NL, DE or KR"),
        );
    } else if !COUNTRIES.contains(&country) && !holidays {
        place.warn(
            "country",
            format!(
                "no public holidays are known of {country} (only of {}): each is billed and forecast as the weekday it falls on; \
                 list them in tariff.holidays",
                COUNTRIES.join(", ")
            ),
        );
    }
}

/// Hours between a zone's standard time and the sun's at a longitude, round the clock.
fn off(zone: Tz, longitude: f64) -> f64 {
    let offset = |month| {
        let noon = NaiveDate::from_ymd_opt(2026, month, 1).and_then(|d| d.and_hms_opt(12, 0, 0));
        noon.map_or(0.0, |t| {
            f64::from(zone.offset_from_utc_datetime(&t).fix().local_minus_utc()) / 3600.0
        })
    };
    let standard = offset(1).min(offset(7));
    let apart = (standard - longitude / 15.0).rem_euclid(24.0);
    apart.min(24.0 - apart)
}

/// Zones of a country and the box it lies in.
struct Home {
    country: &'static str,
    zones: &'static [&'static str],
    /// South, north, west, east, degrees; islands of the mainland's sea included.
    bounds: [f64; 4],
}

/// Of the countries whose holidays are known.
const HOMES: [Home; 4] = [
    Home {
        country: "BE",
        zones: &["Europe/Brussels"],
        bounds: [49.4, 51.6, 2.4, 6.5],
    },
    Home {
        country: "DE",
        zones: &["Europe/Berlin", "Europe/Busingen"],
        bounds: [47.2, 55.2, 5.8, 15.1],
    },
    Home {
        country: "KR",
        zones: &["Asia/Seoul"],
        bounds: [33.0, 38.8, 124.5, 132.0],
    },
    Home {
        country: "NL",
        zones: &["Europe/Amsterdam"],
        bounds: [50.7, 53.8, 3.0, 7.3],
    },
];

impl Home {
    fn holds(&self, latitude: f64, longitude: f64) -> bool {
        let [south, north, west, east] = self.bounds;
        (south..=north).contains(&latitude) && (west..=east).contains(&longitude)
    }
}

/// The plan sees no further than its horizon.
fn lifeline(root: &Section) {
    let lifeline = root.section("objective", false, "").section("lifeline", false, "");
    let time = lifeline.peek_quantity("time", None, parse_duration);
    let horizon = root
        .section("timing", false, "")
        .peek_quantity("horizon", Some("24 h"), parse_duration);
    if let Some((time, horizon)) = time.zip(horizon).filter(|(time, horizon)| time > horizon) {
        let (time, horizon) = (time.num_minutes() as f64 / 60.0, horizon.num_minutes() as f64 / 60.0);
        lifeline.warn(
            "time",
            format!("{time} h reach beyond the plan, which looks {horizon} h ahead (timing.horizon): what comes later is not kept for"),
        );
    }
}
