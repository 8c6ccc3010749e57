//! What people told parts of the problem to do.

use super::Model;
use super::commitment::{Commitment, Side};

/// `told − short ≤ draw ≤ told + beyond` in each told step, both deviations priced a kWh.
pub fn constraint_told_power(m: &mut Model<'_>) {
    for told in &m.p.told {
        let Some(draw) = m.draw.get(told.id.as_str()).cloned() else {
            continue;
        };
        for (t, kw) in told.power_kw.iter().copied().enumerate() {
            let c = Commitment {
                family: "constraint_told_power",
                name: "told_power",
                component: &told.id,
                weight: m.dt[t],
                unit: "kWh",
            };
            let side = |short: bool| match short {
                true => Side::Word(told.short_cost_per_kwh),
                false => Side::Word(told.beyond_cost_per_kwh),
            };
            m.commit(c, &draw[t], kw, side(kw < 0.0), side(kw > 0.0));
        }
    }
}
