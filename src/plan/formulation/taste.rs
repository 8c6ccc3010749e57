//! Preferences that may never cost real money: closeness to the plan in force.

use super::Model;
use crate::model::Stick;

/// `draw − up + down = reference`, `up` and `down` priced: smaller moves from the plan in force are better.
pub fn taste_stick(m: &mut Model<'_>) {
    let p = m.p;
    let Some(stick) = p.taste.as_ref().and_then(|t| t.stick.as_ref()) else {
        return;
    };
    for (part, reference) in &stick.power_kw {
        for t in m.steps() {
            let known = reference.get(t).copied().flatten();
            let (Some(kw), Some(draw)) = (known, m.draw.get(part.as_str())) else {
                continue;
            };
            let draw = draw[t].clone();
            let (low, high) = m.range(&draw);
            if high - low < 1e-9 {
                continue;
            }
            let price = m.dt[t] * price(stick, t);
            let up = m.program.at(t).var(0.0, (high - kw).max(0.0));
            let down = m.program.var(0.0, (kw - low).max(0.0));
            m.prefer(price, up);
            m.prefer(price, down);
            m.program.equal("taste_stick", draw - up + down, kw);
        }
    }
}

fn price(stick: &Stick, t: usize) -> f64 {
    if t == 0 {
        stick.first_per_kwh
    } else {
        stick.later_per_kwh
    }
}
