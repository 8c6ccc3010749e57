//! `[components.<name>]`: one function a kind.

use super::plant::*;
use super::reader::Section;
use super::shape::Holds;
use super::values::{number, share, time_of_day};
use crate::units::{Angle, Current, Energy, Power, Price, Soc, Temperature, parse_duration, parse_money_per};
use chrono::{NaiveTime, TimeDelta};

/// Words for `kind`, in the order people read them.
pub const KINDS: [&str; 9] = [
    "meter",
    "pv",
    "battery",
    "charge-point",
    "load",
    "shiftable-load",
    "sheddable-load",
    "heat-pump",
    "generator",
];

/// Reads one component; `currency` is the tariff's.
pub fn component(s: &Section, currency: &str) -> Option<Component> {
    let words: Vec<(&str, usize)> = KINDS.iter().enumerate().map(|(i, k)| (*k, i)).collect();
    let kind = s.word("kind", &words, None, "what it is");
    let circuit = s.text_opt(
        "circuit",
        "circuit it hangs on; absent: directly at the connection point",
    );
    let phases = s.parsed_or(
        "phases",
        "3",
        "phases it draws from: `L1`, `L2`, `L3`, `L1 L2`, … or `3`",
        phases,
    );
    let title_en = s.text_opt("title_en", "name shown to people");
    let title_ko = s.text_opt("title_ko", "name shown to people, Korean");
    s.forms(&KINDS, |kind, s| by_kind(kind, s, currency));
    let kind = kind.and_then(|k| by_kind(KINDS[k], s, currency));
    s.finish();
    Some(Component {
        kind: kind?,
        circuit: circuit.map(|c| Id::new(&c)),
        phases: phases?,
        title_en,
        title_ko,
    })
}

/// Reads the keys of one kind.
pub fn by_kind(kind: &str, s: &Section, currency: &str) -> Option<Kind> {
    match kind {
        "meter" => Some(Kind::Meter(Meter {
            ct_reversed: s.flag_or(
                "ct_reversed",
                false,
                "the current transformers are mounted the wrong way round",
            ),
        })),
        "pv" => pv(s).map(Kind::Pv),
        "battery" => battery(s, currency).map(Kind::Battery),
        "charge-point" => charge_point(s).map(Kind::ChargePoint),
        "load" => expected(s).map(|expected| Kind::Load(Load { expected })),
        "shiftable-load" => shiftable(s).map(Kind::ShiftableLoad),
        "sheddable-load" => sheddable(s, currency).map(Kind::SheddableLoad),
        "heat-pump" => heat_pump(s).map(Kind::HeatPump),
        "generator" => generator(s, currency).map(Kind::Generator),
        _ => None,
    }
}

fn phases(text: &str) -> Result<[bool; 3], String> {
    if text == "3" {
        return Ok([true; 3]);
    }
    let mut on = [false; 3];
    for part in text.split_whitespace() {
        match part {
            "L1" => on[0] = true,
            "L2" => on[1] = true,
            "L3" => on[2] = true,
            _ => return Err(format!("`{part}` is not a phase; write `3` or some of `L1 L2 L3`")),
        }
    }
    if on.contains(&true) {
        Ok(on)
    } else {
        Err("names no phase; write `3` or some of `L1 L2 L3`".into())
    }
}

/// A positive power, at most a gigawatt.
fn power(s: &Section, key: &str, doc: &'static str) -> Option<Power> {
    positive(s, key, s.quantity(key, "11 kW", doc, Power::parse), |p| p.as_kw())
}

fn positive<T: Copy>(s: &Section, key: &str, value: Option<T>, number: impl Fn(T) -> f64) -> Option<T> {
    let v = value?;
    if number(v) > 0.0 && number(v) <= 1e6 {
        return Some(v);
    }
    s.fault(
        key,
        "is not a possible rating: it must be above 0 and at most a million",
    );
    None
}

fn not_negative<T: Copy>(s: &Section, key: &str, value: Option<T>, number: impl Fn(T) -> f64) -> Option<T> {
    let v = value?;
    if number(v) >= 0.0 && number(v) <= 1e6 {
        return Some(v);
    }
    s.fault(key, "must not be negative (or beyond a million)");
    None
}

fn efficiency(s: &Section, key: &str, default: &str, doc: &'static str) -> Option<f64> {
    let v = s.quantity_or(key, "95 %", default, doc, share)?;
    if v > 0.3 && v <= 1.0 {
        return Some(v);
    }
    s.fault(
        key,
        format!("{:.0} % is not a possible efficiency (30 to 100 %)", v * 100.0),
    );
    None
}

/// A price per kWh in the site's currency.
pub fn price(s: &Section, key: &str, currency: &str, default: Option<&str>, doc: &'static str) -> Option<Price> {
    let read = match default {
        None => s.quantity(key, "0.32 EUR/kWh", doc, |t| parse_money_per(t, "kWh", "0.32 EUR/kWh")),
        Some(v) => s.quantity_or(key, "0.32 EUR/kWh", &format!("{v} {currency}/kWh"), doc, |t| {
            parse_money_per(t, "kWh", "0.32 EUR/kWh")
        }),
    };
    let (value, unit) = read?;
    if unit != currency {
        s.fault(key, format!("is in {unit}, but the tariff's currency is {currency}"));
        return None;
    }
    Some(Price::per_kwh(value))
}

fn pv(s: &Section) -> Option<Pv> {
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

fn battery(s: &Section, currency: &str) -> Option<Battery> {
    let energy = |key, doc| positive(s, key, s.quantity(key, "10 kWh", doc, Energy::parse), |e| e.as_kwh());
    let capacity = energy("capacity", "usable nominal capacity");
    let charge_max = power(s, "charge_max", "highest charging power, AC");
    let discharge_max = power(s, "discharge_max", "highest discharging power, AC");
    let soc = |key, default, doc| s.quantity_or(key, "10 %", default, doc, Soc::parse);
    let soc_min = soc("soc_min", "10 %", "never discharged below");
    let soc_max = soc("soc_max", "100 %", "never charged above");
    let reserve = soc(
        "reserve",
        "0 %",
        "kept for outages; the plan goes below only at a price",
    );
    let charge_efficiency = efficiency(s, "charge_efficiency", "95 %", "AC to cell, one way");
    let discharge_efficiency = efficiency(s, "discharge_efficiency", "95 %", "cell to AC, one way");
    let standby = s.quantity_or("standby_loss", "20 W", "0 W", "constant loss while on", Power::parse);
    let standby_loss = not_negative(s, "standby_loss", standby, |p| p.as_kw());
    let wear = price(
        s,
        "wear",
        currency,
        Some("0"),
        "wear per kWh charged and per kWh discharged",
    );
    let grid_charge = s.flag_or("grid_charge", true, "may charge from the grid");
    let grid_discharge = s.flag_or("grid_discharge", true, "may discharge into the grid");
    let grid_forming = s.flag_or(
        "grid_forming",
        false,
        "balances the island by itself and takes no setpoint",
    );
    if let (Some(low), Some(high)) = (soc_min, soc_max)
        && !(0.0 <= low.as_ratio() && low < high && high.as_ratio() <= 1.0)
    {
        s.fault(
            "soc_min",
            "soc_min and soc_max must satisfy 0 % ≤ soc_min < soc_max ≤ 100 %",
        );
    }
    if let (Some(r), Some(high)) = (reserve, soc_max)
        && !(0.0..=high.as_ratio()).contains(&r.as_ratio())
    {
        s.fault("reserve", "must lie between 0 % and soc_max");
    }
    for (key, power) in [("charge_max", charge_max), ("discharge_max", discharge_max)] {
        if let Some((c, p)) = capacity.zip(power).filter(|(c, p)| p.as_kw() > 20.0 * c.as_kwh()) {
            s.fault(key, format!("{p} would move {c} in under 3 minutes: is a unit wrong?"));
        }
    }
    Some(Battery {
        capacity: capacity?,
        soc_min: soc_min?,
        soc_max: soc_max?,
        reserve: reserve?,
        charge_max: charge_max?,
        discharge_max: discharge_max?,
        charge_efficiency: charge_efficiency?,
        discharge_efficiency: discharge_efficiency?,
        standby_loss: standby_loss?,
        wear: wear?,
        grid_charge,
        grid_discharge,
        grid_forming,
    })
}

fn charge_point(s: &Section) -> Option<ChargePoint> {
    let current = |key, default, doc| s.quantity_or(key, "16 A", default, doc, Current::parse);
    let current_min = current("current_min", "6 A", "lowest current a car accepts (IEC 61851: 6 A)");
    let current_max = current("current_max", "16 A", "highest current per phase");
    let efficiency = efficiency(s, "efficiency", "92 %", "AC to the car's battery");
    let departure = time(
        s,
        "departure",
        "07:30",
        "local departure assumed when nobody said anything",
    );
    let energy = s.quantity_or(
        "energy",
        "12 kWh",
        "12 kWh",
        "energy assumed to be wanted",
        Energy::parse,
    );
    let modes = [
        ("fast", EvMode::Fast),
        ("cheapest", EvMode::Cheapest),
        ("surplus", EvMode::Surplus),
    ];
    let mode = s.word(
        "mode",
        &modes,
        Some("cheapest"),
        "how it charges when nobody said anything",
    );
    let discharge_max = s.quantity_opt(
        "discharge_max",
        "7 kW",
        "discharge to the site, if car and charger can",
        Power::parse,
    );
    if let (Some(low), Some(high)) = (current_min, current_max)
        && !(low.as_amps() > 0.0 && low <= high && high.as_amps() <= 500.0)
    {
        s.fault(
            "current_max",
            "currents must satisfy 0 A < current_min ≤ current_max ≤ 500 A",
        );
    }
    if discharge_max.is_some_and(|p| !(p.as_kw() > 0.0 && p.as_kw() <= 1e6)) {
        s.fault("discharge_max", "is not a possible rating: it must be above 0");
    }
    let energy = positive(s, "energy", energy, |e| e.as_kwh());
    Some(ChargePoint {
        current_min: current_min?,
        current_max: current_max?,
        efficiency: efficiency?,
        default_session: SessionWish {
            departure: departure?,
            energy: energy?,
            mode: mode?,
        },
        discharge_max,
    })
}

fn time(s: &Section, key: &str, default: &str, doc: &'static str) -> Option<NaiveTime> {
    s.parsed_or(key, default, doc, time_of_day)
}

/// Named shapes of a day, weight of each local hour.
const HOUSEHOLD: [f64; 24] = [
    0.6, 0.55, 0.5, 0.5, 0.5, 0.55, 0.8, 1.2, 1.15, 0.95, 0.85, 0.85, 0.95, 0.9, 0.85, 0.85, 0.95, 1.3, 1.75, 1.8,
    1.65, 1.4, 1.05, 0.75,
];
const COMMON_PLANT: [f64; 24] = [
    0.75, 0.7, 0.68, 0.68, 0.7, 0.8, 1.0, 1.2, 1.15, 1.0, 0.95, 0.95, 1.0, 0.98, 0.95, 0.97, 1.05, 1.2, 1.35, 1.35,
    1.25, 1.15, 1.0, 0.85,
];
const VILLAGE: [f64; 24] = [
    0.6, 0.55, 0.55, 0.55, 0.6, 0.75, 0.95, 1.05, 1.0, 0.95, 0.95, 1.0, 1.05, 1.0, 0.95, 0.95, 1.05, 1.3, 1.65, 1.7,
    1.55, 1.25, 0.95, 0.75,
];

/// `expected` keys: what is known of a load before there is any history.
pub fn expected(s: &Section) -> Option<ExpectedLoad> {
    let daily = positive(
        s,
        "daily",
        s.quantity("daily", "10 kWh", "mean energy a day", Energy::parse),
        |e| e.as_kwh(),
    );
    let shapes = [
        ("household", HOUSEHOLD),
        ("common-plant", COMMON_PLANT),
        ("village", VILLAGE),
        ("flat", [1.0; 24]),
    ];
    let shape = s.word("shape", &shapes, Some("household"), "typical course of a day");
    let hours = s.list(
        "hours",
        Holds::Number(0.0, 1000.0),
        false,
        "own course of a day: 24 weights",
        number,
    );
    let share_of = |key, default, doc| s.quantity_or(key, "110 %", default, doc, share);
    let (saturday, sunday) = (
        share_of("saturday", "100 %", "Saturday against a working day"),
        share_of("sunday", "100 %", "Sunday and holiday against a working day"),
    );
    let max = s.quantity_opt(
        "max",
        "8 kW",
        "highest power ever expected; default 6 × mean",
        Power::parse,
    );
    let shape = match hours {
        Some(h) if h.len() == 24 && h.iter().all(|w| *w >= 0.0) && h.iter().any(|w| *w > 0.0) => h,
        Some(_) => {
            s.fault("hours", "needs 24 weights, none negative, not all zero");
            return None;
        }
        None => shape?.to_vec(),
    };
    let mean = shape.iter().sum::<f64>() / 24.0;
    for (key, factor) in [("saturday", saturday), ("sunday", sunday)] {
        if factor.is_some_and(|f| !(0.0..=10.0).contains(&f)) {
            s.fault(key, "must lie between 0 % and 1000 %");
        }
    }
    let daily = daily?;
    if max.is_some_and(|m| m < daily / TimeDelta::hours(24)) {
        s.fault("max", "is below the mean power that `daily` means");
    }
    Some(ExpectedLoad {
        daily,
        shape: shape.iter().map(|w| w / mean).collect(),
        saturday: saturday?,
        sunday: sunday?,
        max: max.unwrap_or(daily / TimeDelta::hours(24) * 6.0),
    })
}

fn shiftable(s: &Section) -> Option<ShiftableLoad> {
    let power = power(s, "power", "power while it runs");
    let duration = s.quantity("duration", "2 h", "length of the daily run", parse_duration);
    let earliest = time(s, "earliest", "08:00", "may start from then on, local");
    let latest = time(s, "latest", "20:00", "must be over by then, local");
    let (duration, earliest, latest) = (duration?, earliest?, latest?);
    let window = latest - earliest;
    if duration <= TimeDelta::zero() || window < duration {
        s.fault(
            "latest",
            "the window from `earliest` to `latest` is shorter than `duration`",
        );
        return None;
    }
    Some(ShiftableLoad {
        power: power?,
        duration,
        earliest,
        latest,
    })
}

fn sheddable(s: &Section, currency: &str) -> Option<SheddableLoad> {
    let priority = s.whole("priority", (1, 9), None, "1 is shed last");
    let value = price(s, "value", currency, None, "worth of a kWh served");
    let expected = expected(s);
    Some(SheddableLoad {
        expected: expected?,
        priority: priority? as u8,
        value: value?,
    })
}

fn heat_pump(s: &Section) -> Option<HeatPump> {
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

fn generator(s: &Section, currency: &str) -> Option<Generator> {
    let power_max = power(s, "power_max", "highest power");
    let minimum = s.quantity_or("power_min", "12 kW", "0 kW", "lowest power while running", Power::parse);
    let power_min = not_negative(s, "power_min", minimum, |p| p.as_kw());
    let fuel = price(s, "fuel", currency, None, "fuel per electric kWh");
    let money = |key, unit: &'static str, example: &'static str, doc| {
        let read = s.quantity_or(key, example, &format!("0 {currency}/{unit}"), doc, |t| {
            parse_money_per(t, unit, example)
        });
        not_negative(s, key, read.map(|(v, _)| v), |v| v)
    };
    let start_cost = money("start_cost", "start", "2 EUR/start", "cost of each start");
    let no_load_per_hour = money(
        "no_load_cost",
        "h",
        "1 EUR/h",
        "cost of each hour running, besides fuel",
    );
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
        min_up: min_up?,
        min_down: min_down?,
        start_time: start_time?,
        carbon: carbon?,
        start_below: start_below?,
        stop_above: stop_above?,
    })
}

/// `"0.42 kg/kWh"` or `"420 g/kWh"`.
pub fn carbon_per_kwh(text: &str) -> Result<f64, crate::units::UnitError> {
    let bare = text.trim().strip_suffix("/kWh").unwrap_or(text);
    crate::units::Carbon::parse(bare).map(|c| c.as_kg())
}
