//! How each command shows: the point it moves, in which sense, how exactly.

/// How a command shows: the point it moves, the factor from its value to that point, and what kind of command it is.
pub(super) struct Sheet {
    pub(super) points: &'static [&'static str],
    pub(super) factor: f64,
    /// Takes negative values as well.
    pub(super) both_ways: bool,
    /// Moves nothing by itself, only bounds it.
    pub(super) is_limit: bool,
    pub(super) unit: &'static str,
    /// The smallest value that is not zero, as a share of the rating.
    pub(super) smallest: f64,
    /// Absolute tolerance, in the command's unit.
    pub(super) near: f64,
}

/// Commands the assistant knows.
pub const COMMANDS: [&str; 5] = [
    "battery_power",
    "pv_limit",
    "evse_current_limit",
    "heatpump_power",
    "genset_power",
];

pub(super) fn sheet(command: &str) -> Option<Sheet> {
    let power = Sheet {
        points: &["battery_power", "active_power"],
        factor: 1.0,
        both_ways: true,
        is_limit: false,
        unit: "kW",
        smallest: 0.01,
        near: 0.05,
    };
    Some(match command {
        "battery_power" => power,
        "pv_limit" => Sheet {
            points: &["pv_power", "ac_power", "active_power"],
            factor: -1.0,
            both_ways: false,
            is_limit: true,
            ..power
        },
        "evse_current_limit" => Sheet {
            points: &["applied_limit", "current_limit"],
            both_ways: false,
            unit: "A",
            smallest: 0.0,
            near: 0.6,
            ..power
        },
        "heatpump_power" => Sheet {
            points: &["heatpump_power"],
            both_ways: false,
            smallest: 0.3,
            ..power
        },
        "genset_power" => Sheet {
            points: &["genset_power"],
            factor: -1.0,
            both_ways: false,
            smallest: 0.3,
            ..power
        },
        _ => return None,
    })
}
