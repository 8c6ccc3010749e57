//! Connection point: limits, prices, demand charge, subscribed power, blocks, outages.

use super::{PerStep, is_zero, zero};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridProblem {
    pub import_max_kw: PerStep,
    pub export_max_kw: PerStep,
    pub buy: Vec<f64>,
    pub sell: Vec<f64>,
    #[serde(default = "zero")]
    pub co2_kg_per_kwh: PerStep,
    #[serde(default)]
    pub demand_charge_per_kw: f64,
    #[serde(default)]
    pub peak_so_far_kw: f64,
    #[serde(default)]
    pub exclusive: bool,
    /// Superset: steps that belong to one metering window share a number; the demand charge is on the mean of a window.
    /// Absent: every step is its own window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand_window: Option<Vec<usize>>,
    /// Superset: energy already imported in the first window, kWh, and hours of it already past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_window: Option<FirstWindow>,
    /// Superset: extra worth of each kWh not imported.
    #[serde(default)]
    pub self_sufficiency_per_kwh: f64,
    /// Superset: monthly blocks on the energy imported over the horizon, cheapest first; price is added to `buy`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<BlockProblem>,
    /// Superset: blocks that count the import of some steps only: of a billing month, of a period and day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantities: Vec<QuantityProblem>,
    /// Superset: demand charges beyond `demand_charge_per_kw`, one for each billing month in the horizon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demand: Vec<DemandProblem>,
    /// Superset: subscribed power and the price of going beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacityProblem>,
    /// Superset: steps without a grid: import and export are 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outages: Vec<OutageProblem>,
    /// Superset: share of an imported kWh that counts as renewable, 0..=1.
    #[serde(default = "zero", skip_serializing_if = "is_zero")]
    pub renewable_share: PerStep,
}

impl GridProblem {
    /// Metering window of step `t`.
    pub fn window(&self, t: usize) -> usize {
        self.demand_window.as_ref().and_then(|w| w.get(t).copied()).unwrap_or(t)
    }
    /// Every set of blocks of `steps` steps in one form: that of the whole horizon, and those of some steps.
    pub fn block_sets(&self, steps: usize) -> Vec<QuantityProblem> {
        let plain = QuantityProblem {
            counts: vec![true; steps],
            blocks: self.blocks.clone(),
        };
        let all = std::iter::once(plain).chain(self.quantities.iter().cloned());
        all.filter(|q| !q.blocks.is_empty()).collect()
    }
    /// Whether the price of an imported kWh in step `t` depends on how much is imported.
    pub fn is_in_blocks(&self, t: usize) -> bool {
        let some = || self.quantities.iter().any(|q| q.counts.get(t) == Some(&true));
        !self.blocks.is_empty() || some()
    }
    /// Every demand charge of `steps` steps in one form: that of the highest window of all, and those of billing months.
    pub fn demands(&self, steps: usize) -> Vec<DemandProblem> {
        let plain = DemandProblem {
            charge_per_kw: self.demand_charge_per_kw,
            peaks: 1,
            minimum_kw: self.peak_so_far_kw,
            known: Vec::new(),
            groups: (0..steps).map(|t| Some(self.window(t))).collect(),
        };
        let all = std::iter::once(plain).chain(self.demand.iter().cloned());
        all.filter(|d| d.charge_per_kw > 0.0).collect()
    }
    /// Whether step `t` lies in an outage.
    pub fn is_out(&self, t: usize) -> bool {
        self.outages.iter().any(|o| (o.from_step..o.to_step).contains(&t))
    }
    /// Highest import in step `t`, kW; 0 in an outage, `None` beyond the end.
    pub fn import_limit(&self, t: usize) -> Option<f64> {
        self.import_max_kw.at(t).map(|kw| if self.is_out(t) { 0.0 } else { kw })
    }
    /// Highest export in step `t`, kW; 0 in an outage, `None` beyond the end.
    pub fn export_limit(&self, t: usize) -> Option<f64> {
        self.export_max_kw.at(t).map(|kw| if self.is_out(t) { 0.0 } else { kw })
    }
}

/// Charge on the mean of the highest metering windows of a billing month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemandProblem {
    pub charge_per_kw: f64,
    /// The mean of so many highest groups is billed; missing ones count as 0.
    #[serde(default = "one")]
    pub peaks: usize,
    /// Billed at least, kW.
    #[serde(default)]
    pub minimum_kw: f64,
    /// What the month has seen already.
    #[serde(default)]
    pub known: Vec<KnownPeak>,
    /// By step: the group of its metering window, of which only the highest window counts (a day; or the window's own
    /// number). `null`: the window does not count.
    pub groups: Vec<Option<usize>>,
}

fn one() -> usize {
    1
}

impl DemandProblem {
    /// Power that is billed where the groups of the horizon (not those that are known already) reach `kw`.
    pub fn billed(&self, kw: impl IntoIterator<Item = (usize, f64)>) -> f64 {
        let mut groups = std::collections::BTreeMap::new();
        let known = self.known.iter().filter_map(|k| Some((k.group?, k.kw)));
        for (group, kw) in known.chain(kw) {
            let highest = groups.entry(group).or_insert(0.0_f64);
            *highest = highest.max(kw);
        }
        let others = self.known.iter().filter(|k| k.group.is_none()).map(|k| k.kw);
        let mut all: Vec<f64> = groups.into_values().chain(others).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        let sum: f64 = all.iter().take(self.peaks).sum();
        (sum / self.peaks.max(1) as f64).max(self.minimum_kw)
    }
}

/// A window that was measured before the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KnownPeak {
    pub kw: f64,
    /// The group that it belongs to; `null`: one of its own.
    #[serde(default)]
    pub group: Option<usize>,
}

/// Capacity tariff: power above the subscribed one costs extra. Power is the mean of a metering window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CapacityProblem {
    pub subscribed_kw: f64,
    /// On the highest window mean above the subscription.
    #[serde(default)]
    pub overrun_per_kw: f64,
    /// On each kWh above the subscription.
    #[serde(default)]
    pub overrun_per_kwh: f64,
    /// Highest window mean of the month so far, kW: of that overrun the price a kW is paid.
    #[serde(default)]
    pub peak_so_far_kw: f64,
    /// First step of the next billing month, in which no overrun is paid yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_month_step: Option<usize>,
}

impl CapacityProblem {
    /// Power that costs nothing more a kW in step `t`.
    pub fn free_kw(&self, t: usize) -> f64 {
        match self.next_month_step.is_some_and(|next| t >= next) {
            true => self.subscribed_kw,
            false => self.subscribed_kw.max(self.peak_so_far_kw),
        }
    }
}

/// No grid from step `from_step` until before `to_step`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OutageProblem {
    pub from_step: usize,
    pub to_step: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FirstWindow {
    pub imported_kwh: f64,
    pub past_hours: f64,
}

/// Blocks on the import of some steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantityProblem {
    /// By step: whether its import counts.
    pub counts: Vec<bool>,
    pub blocks: Vec<BlockProblem>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockProblem {
    /// kWh left in this block this month; `None` = no end.
    pub size_kwh: Option<f64>,
    pub price: f64,
}
