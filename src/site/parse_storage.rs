//! What stores electricity: batteries and cars at their charge points.

use super::parse_ratings::{efficiency, not_negative, positive, power, price, price_opt, time};
use super::plant::*;
use super::reader::Section;
use super::values::time_of_day;
use crate::units::{Current, Energy, Power, Soc};

pub fn battery(s: &Section, currency: &str) -> Option<Battery> {
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
    let goals = goals(s, currency, soc_min.zip(soc_max));
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
        goals: goals?,
    })
}

/// Charges wished at times of the day, inside the band where that is known.
fn goals(s: &Section, currency: &str, band: Option<(Soc, Soc)>) -> Option<Vec<DailyGoal>> {
    let rows = s.rows(
        "goal",
        false,
        "charge that it should hold at a time of each day; the plan may miss it at a price",
    );
    let all: Vec<Option<DailyGoal>> = rows.iter().map(|row| goal(row, currency)).collect();
    for (row, goal) in rows.iter().zip(&all) {
        let Some(goal) = goal else { continue };
        if band.is_some_and(|(low, high)| goal.soc < low || goal.soc > high) {
            row.fault("soc", "must lie between soc_min and soc_max");
        }
        if all.iter().flatten().filter(|other| other.at == goal.at).count() > 1 {
            row.fault("at", "there is another goal at this time");
        }
    }
    all.into_iter().collect()
}

fn goal(row: &Section, currency: &str) -> Option<DailyGoal> {
    let at = row.parsed("at", "local time of day, e.g. \"06:30\"", time_of_day);
    let soc = row.quantity("soc", "80 %", "state of charge wished then", Soc::parse);
    let doc = "worth of each kWh that is there; absent: twice the highest price";
    let worth = price_opt(row, "worth", currency, doc);
    row.finish();
    Some(DailyGoal {
        at: at?,
        soc: soc?,
        worth: worth?,
    })
}

pub fn charge_point(s: &Section) -> Option<ChargePoint> {
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
    if let (Some(low), Some(high)) = (current_min, current_max)
        && !(low.as_amps() > 0.0 && low <= high && high.as_amps() <= 500.0)
    {
        s.fault(
            "current_max",
            "currents must satisfy 0 A < current_min ≤ current_max ≤ 500 A",
        );
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
    })
}
