//! What makes electricity: PV and generators.

use super::parse_ratings::{carbon_per_kwh, is_in, not_negative, or_any, power, price};
use super::plant::*;
use super::reader::Section;
use crate::units::{Angle, Power, Soc, parse_duration, parse_litres_per_hour, parse_litres_per_kwh, parse_money_per};
use chrono::TimeDelta;

pub fn pv(s: &Section) -> Option<Pv> {
    let peak = power(s, "peak", "DC peak power of the modules");
    let inverter_max = s.quantity_opt(
        "inverter_max",
        "6 kW",
        "AC limit of the inverter; default the peak",
        Power::parse,
    );
    let tilt = s.quantity_or("tilt", "35 deg", "30 deg", "tilt from horizontal", Angle::parse);
    let azimuth = s.quantity_or("azimuth", "180 deg", "180 deg", "clockwise from north", Angle::parse);
    let curtailable = s.flag_or("curtailable", true, "may be limited");
    if tilt.is_some_and(|t| !(0.0..=90.0).contains(&t.as_degrees())) {
        s.fault("tilt", "must lie between 0 and 90 deg");
    }
    if azimuth.is_some_and(|a| !(0.0..=360.0).contains(&a.as_degrees())) {
        s.fault("azimuth", "must lie between 0 and 360 deg, clockwise from north");
    }
    if inverter_max.is_some_and(|p| !(p.as_kw() > 0.0 && p.as_kw() <= 1e6)) {
        s.fault("inverter_max", "is not a possible rating: it must be above 0");
    }
    let peak = peak?;
    Some(Pv {
        peak,
        inverter_max: inverter_max.unwrap_or(peak),
        tilt: tilt?,
        azimuth: azimuth?,
        curtailable,
    })
}

pub fn generator(s: &Section, currency: &str) -> Option<Generator> {
    let power_max = power(s, "power_max", "highest power");
    let minimum = s.quantity_or("power_min", "12 kW", "0 kW", "lowest power while running", Power::parse);
    let power_min = not_negative(s, "power_min", minimum, |p| p.as_kw());
    let fuel = price(s, "fuel", currency, None, "fuel per electric kWh");
    let money = |key, unit: &'static str, example: &'static str, doc| {
        let read = s.quantity_or(key, example, &format!("0 {}/{unit}", or_any(currency)), doc, |t| {
            parse_money_per(t, unit, example)
        });
        if let Some((_, money)) = read.as_ref().filter(|(_, money)| !is_in(money, currency)) {
            s.fault(key, format!("is in {money}, but the tariff's currency is {currency}"));
        }
        not_negative(s, key, read.map(|(v, _)| v), |v| v)
    };
    let start_cost = money("start_cost", "start", "2 EUR/start", "cost of each start");
    let no_load_per_hour = money(
        "no_load_cost",
        "h",
        "1 EUR/h",
        "cost of each hour running, besides fuel",
    );
    let fuel_use = fuel_use(s);
    let span = |key, default, doc| s.quantity_or(key, "30 min", default, doc, parse_duration);
    let min_up = span("min_up", "0 min", "shortest run");
    let min_down = span("min_down", "0 min", "shortest rest");
    let start_time = span("start_time", "0 s", "from command to power");
    let carbon = s.quantity_or(
        "carbon",
        "0.75 kg/kWh",
        "0 kg/kWh",
        "CO₂ per electric kWh",
        carbon_per_kwh,
    );
    let soc = |key, default, doc| s.quantity_or(key, "30 %", default, doc, Soc::parse);
    let start_below = soc("start_below", "30 %", "rule: starts when the battery is below");
    let stop_above = soc("stop_above", "80 %", "rule: stops when the battery is above");
    if let (Some(low), Some(high)) = (power_min, power_max)
        && low > high
    {
        s.fault("power_min", "is above power_max");
    }
    for (key, value) in [("min_up", min_up), ("min_down", min_down), ("start_time", start_time)] {
        if value.is_some_and(|v| !(TimeDelta::zero()..=TimeDelta::days(2)).contains(&v)) {
            s.fault(key, "must lie between 0 s and 2 d");
        }
    }
    if let (Some(low), Some(high)) = (start_below, stop_above)
        && !(0.0 <= low.as_ratio() && low < high && high.as_ratio() <= 1.0)
    {
        s.fault("start_below", "must satisfy 0 % ≤ start_below < stop_above ≤ 100 %");
    }
    Some(Generator {
        power_min: power_min?,
        power_max: power_max?,
        fuel: fuel?,
        start_cost: start_cost?,
        no_load_per_hour: no_load_per_hour?,
        fuel_use,
        min_up: min_up?,
        min_down: min_down?,
        start_time: start_time?,
        carbon: carbon?,
        start_below: start_below?,
        stop_above: stop_above?,
    })
}

/// Litres are counted only where the file says how many a kWh takes.
fn fuel_use(s: &Section) -> Option<FuelUse> {
    let per_kwh = s.quantity_opt(
        "fuel_use",
        "0.28 L/kWh",
        "litres of fuel per electric kWh; absent: litres are not counted",
        parse_litres_per_kwh,
    );
    let per_hour = s.quantity_opt(
        "no_load_fuel_use",
        "1.7 L/h",
        "litres of each hour running, besides fuel_use",
        parse_litres_per_hour,
    );
    if per_kwh.is_none() && per_hour.is_some() {
        s.fault("no_load_fuel_use", "needs fuel_use, the litres per electric kWh");
    }
    let per_kwh = not_negative(s, "fuel_use", per_kwh, |v| v)?;
    let per_hour = not_negative(s, "no_load_fuel_use", Some(per_hour.unwrap_or(0.0)), |v| v)?;
    Some(FuelUse { per_kwh, per_hour })
}
