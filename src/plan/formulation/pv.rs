//! PV with curtailment.

use super::Model;

/// `0 ≤ p ≤ available`, or `p = available` where it must be taken.
pub fn variable_pv_power(m: &mut Model<'_>) {
    for pv in &m.p.pv {
        let power = m.per_step(|t| pv.available_kw[t]);
        for t in m.steps() {
            if !pv.curtailable {
                m.program.low[power[t].0] = pv.available_kw[t];
            }
            m.draws(&pv.id, t, -1.0 * power[t]);
        }
        m.pv.push(power);
    }
}
