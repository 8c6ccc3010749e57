//! Heat pumps with their tank and building.

use super::parse_ratings::{not_negative, positive, power};
use super::plant::*;
use super::reader::Section;
use crate::units::{Power, Temperature};

pub fn heat_pump(s: &Section) -> Option<HeatPump> {
    let electric_max = power(s, "electric_max", "highest electric power");
    let minimum = s.quantity_or(
        "electric_min",
        "800 W",
        "0 W",
        "lowest electric power while running",
        Power::parse,
    );
    let electric_min = not_negative(s, "electric_min", minimum, |p| p.as_kw());
    let cop_cold = cop(
        s,
        "cop_cold",
        "COP and outdoor temperature of a cold point, e.g. \"2.4 at -7 °C\"",
    );
    let cop_mild = cop(
        s,
        "cop_mild",
        "COP and outdoor temperature of a mild point, e.g. \"4.2 at 10 °C\"",
    );
    let tank = tank(&s.section("tank", true, "the buffer or hot water tank"));
    let building = building(&s.section("building", true, "the heated building"));
    if let (Some(low), Some(high)) = (electric_min, electric_max)
        && low > high
    {
        s.fault("electric_min", "is above electric_max");
    }
    let (cold, mild) = (cop_cold?, cop_mild?);
    if cold.0 >= mild.0 {
        s.fault("cop_cold", "its temperature must lie below that of cop_mild");
        return None;
    }
    Some(HeatPump {
        electric_max: electric_max?,
        electric_min: electric_min?,
        cop: [cold, mild],
        tank: tank?,
        building: building?,
    })
}

fn cop(s: &Section, key: &str, doc: &'static str) -> Option<(Temperature, f64)> {
    s.parsed(key, doc, |text| {
        let wrong = || format!("`{text}` is not a COP at a temperature such as \"2.4 at -7 °C\"");
        let (cop, at) = text.split_once(" at ").ok_or_else(wrong)?;
        let cop: f64 = cop.trim().parse().map_err(|_| wrong())?;
        let at = Temperature::parse(at).map_err(|why| why.to_string())?;
        if (1.0..=10.0).contains(&cop) {
            Ok((at, cop))
        } else {
            Err("a COP lies between 1 and 10".into())
        }
    })
}

fn per_kelvin(s: &Section, key: &str, unit: &'static str, example: &'static str, doc: &'static str) -> Option<f64> {
    let read = s.parsed(key, doc, |text| {
        let wrong = || format!("`{text}` is not a quantity such as \"{example}\"");
        let number = text.strip_suffix(unit).ok_or_else(wrong)?;
        number.trim().parse::<f64>().map_err(|_| wrong())
    });
    positive(s, key, read, |v| v)
}

fn tank(s: &Section) -> Option<Tank> {
    let kwh_per_k = per_kelvin(
        s,
        "capacity",
        "kWh/K",
        "0.35 kWh/K",
        "heat capacity (300 l of water: 0.35 kWh/K)",
    );
    let degrees = |key, doc| s.quantity(key, "40 °C", doc, Temperature::parse);
    let (min, max) = (degrees("min", "coldest useful"), degrees("max", "hottest allowed"));
    let loss = per_kelvin(s, "loss", "W/K", "2 W/K", "loss per kelvin above the room");
    ordered(s, "max", min, max);
    if s.is_there() {
        s.finish();
    }
    Some(Tank {
        kwh_per_k: kwh_per_k?,
        min: min?,
        max: max?,
        loss_kw_per_k: loss? / 1e3,
    })
}

fn building(s: &Section) -> Option<Building> {
    let loss = per_kelvin(
        s,
        "loss",
        "W/K",
        "150 W/K",
        "heat loss per kelvin between room and outdoors",
    );
    let kwh_per_k = per_kelvin(s, "capacity", "kWh/K", "8 kWh/K", "heat capacity");
    let degrees = |key, doc| s.quantity(key, "20 °C", doc, Temperature::parse);
    let (min, max) = (
        degrees("comfort_min", "coldest comfortable"),
        degrees("comfort_max", "warmest comfortable"),
    );
    ordered(s, "comfort_max", min, max);
    if s.is_there() {
        s.finish();
    }
    Some(Building {
        loss_kw_per_k: loss? / 1e3,
        kwh_per_k: kwh_per_k?,
        comfort_min: min?,
        comfort_max: max?,
    })
}

fn ordered(s: &Section, key: &str, low: Option<Temperature>, high: Option<Temperature>) {
    if let (Some(low), Some(high)) = (low, high)
        && low >= high
    {
        s.fault(key, "must be above the lower temperature");
    }
}
