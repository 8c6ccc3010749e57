//! Where a SunSpec device departs from the models' letter: the `[quirks]` table of a profile with `sunspec = true`.
//!
//! Everything here is data about a vendor's device; absent keys mean what the standard says, or what discovery shows.
//!
//! ```toml
//! sunspec = true
//! [quirks]
//! bases = [40000]                    # where the marker is looked for, in this order
//! probe_units = [126]                # further unit ids tried by a scan and by discovery when the first is silent
//! battery = "124_negative_rates"     # how `battery_power` is told: "704_wset", "124_negative_rates", "none"
//! battery_modules = [3, 4]           # DC modules of model 160 that charge and discharge the battery
//! meter_unit = 200                   # another unit id behind the same address whose models are read along
//! meter_sign = "export_positive"     # the meter counts export as positive, against the standard
//! wmax_kw = 10.0                     # what percentages of WMax mean where the device does not say
//! wear = "unknown"                   # whether its control registers wear: "ram", "nonvolatile"; no model says, so unknown
//! [quirks.names]                     # core name = name that discovery gives (see `field::sunspec`), "-" turns the sign
//! ac_power = "active_power"
//! active_power = "meter[1].active_power"
//! pv1_power = "-mppt[1].dc_power"
//! ```

use super::Wear;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a SunSpec device is commanded falls back this many seconds after the last refresh.
pub const REVERSION_S: u16 = 60;
/// Seconds between refreshes of a SunSpec command: a third of that.
pub const REFRESH_S: f64 = 20.0;

/// How a battery is told its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatteryWay {
    /// Model 704: WSet in watts, with reversion value and timer.
    #[serde(rename = "704_wset")]
    Wset704,
    /// Model 124 as Fronius GEN24 reads it: a negative discharge rate charges, a negative charge rate discharges.
    #[serde(rename = "124_negative_rates")]
    NegativeRates124,
    /// The device takes no battery power.
    #[serde(rename = "none")]
    Nothing,
}

/// Which direction a vendor's meter counts as positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeterSign {
    ImportPositive,
    ExportPositive,
}

/// The `[quirks]` table; without it every field is `None` or empty: the standard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quirks {
    #[serde(default)]
    pub bases: Vec<u16>,
    #[serde(default)]
    pub probe_units: Vec<u8>,
    pub battery: Option<BatteryWay>,
    /// Charging module, discharging module; counted from 1.
    pub battery_modules: Option<[u16; 2]>,
    pub meter_unit: Option<u8>,
    pub meter_sign: Option<MeterSign>,
    pub wmax_kw: Option<f64>,
    wear: Option<Wear>,
    #[serde(default)]
    pub names: BTreeMap<String, String>,
}

impl Quirks {
    /// A device that keeps to the standard.
    pub const fn standard() -> Self {
        Self {
            bases: Vec::new(),
            probe_units: Vec::new(),
            battery: None,
            battery_modules: None,
            meter_unit: None,
            meter_sign: None,
            wmax_kw: None,
            wear: None,
            names: BTreeMap::new(),
        }
    }

    /// Whether the registers of models 123, 124 and 704 wear. The models do not say, and what nobody says counts as if they did.
    pub fn wear(&self) -> Wear {
        self.wear.unwrap_or(Wear::Unknown)
    }

    /// What is wrong with the table: key and message.
    pub fn faults(&self, sunspec: bool) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if !sunspec && *self != Self::standard() {
            faults.push(("quirks", "[quirks] needs `sunspec = true`".to_owned()));
        }
        if let Some([charge, discharge]) = self.battery_modules
            && (charge == 0 || discharge == 0 || charge == discharge)
        {
            faults.push((
                "battery_modules",
                "battery_modules names two different modules, counted from 1".to_owned(),
            ));
        }
        if self.wmax_kw.is_some_and(|w| !(w.is_finite() && w > 0.0)) {
            faults.push(("wmax_kw", "wmax_kw must be above 0".to_owned()));
        }
        for (name, source) in &self.names {
            if source.trim_start_matches('-').is_empty() {
                faults.push(("names", format!("`{name}` is given no name to take its value from")));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_read_and_faults_are_named() {
        let doc: String = include_str!("quirks.rs")
            .lines()
            .filter_map(|l| l.strip_prefix("//! "))
            .skip_while(|l| !l.starts_with("[quirks]"))
            .skip(1)
            .take_while(|l| !l.starts_with("```"))
            .map(|l| format!("{}\n", l.replace("[quirks.names]", "[names]")))
            .collect();
        let quirks: Quirks = toml::from_str(&doc).unwrap();
        assert_eq!(quirks.battery, Some(BatteryWay::NegativeRates124));
        assert_eq!(quirks.meter_sign, Some(MeterSign::ExportPositive));
        assert_eq!(quirks.names["pv1_power"], "-mppt[1].dc_power");
        assert!(quirks.faults(true).is_empty());
        assert!(quirks.faults(false)[0].1.contains("sunspec = true"));
        for (bad, part) in [
            ("battery_modules = [3, 3]", "two different"),
            ("wmax_kw = 0.0", "above 0"),
            ("names = { ac_power = \"-\" }", "no name"),
        ] {
            let quirks: Quirks = toml::from_str(bad).unwrap();
            assert!(quirks.faults(true)[0].1.contains(part), "{bad}");
        }
        assert!(toml::from_str::<Quirks>("battery = \"702\"").is_err());
        assert_eq!(toml::from_str::<Quirks>("").unwrap(), Quirks::standard());
    }
}
