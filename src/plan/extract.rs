//! A point of the program back into the terms of the problem.

use super::formulation::{HeatVars, Model, Slack, Switched, response};
use super::program::{Expr, Var};
use super::solver::Answer;
use crate::model::{
    BoilerPlan, BuildingPlan, BuildingProblem, Duals, ElectricPlan, EvPlan, GensetPlan, HeatPlan, HydroPlan,
    PlanValues, StayPlan, StoragePlan, Violation,
};
use std::collections::BTreeMap;

/// Amounts below this (kW, kWh) are solver noise.
const NOISE: f64 = 1e-9;
/// A broken wish is named from this size on, below the checker's tolerance.
const NAMED: f64 = 1e-6;
/// And makes the whole plan a relaxed one from this size on.
const BROKEN: f64 = 1e-5;

/// Values of columns, without noise.
fn values(x: &[f64], vars: &[Var]) -> Vec<f64> {
    vars.iter()
        .map(|v| if x[v.0].abs() < NOISE { 0.0 } else { x[v.0] })
        .collect()
}

/// Brings the columns that follow from others to where they belong: parts into their order, deviations to what they make up
/// for. A solver that works beside large penalties leaves them off by its tolerance, and the money with them.
pub fn tidy(m: &Model<'_>, x: &mut [f64]) {
    for parts in &m.ordered {
        let mut left: f64 = parts.iter().map(|v| x[v.0]).sum();
        for (k, v) in parts.iter().enumerate() {
            // what rounding leaves over stays in the last
            let most = if k + 1 < parts.len() {
                m.program.high[v.0]
            } else {
                f64::INFINITY
            };
            x[v.0] = left.min(most);
            left -= x[v.0];
        }
    }
    for s in &m.slacks {
        if let Some(beyond) = &s.beyond {
            x[s.var.0] = value(beyond, x).max(0.0);
        }
    }
}

fn value(e: &Expr, x: &[f64]) -> f64 {
    e.constant + e.terms.iter().map(|(v, k)| k * x[v.0]).sum::<f64>()
}

pub fn plan(m: &Model<'_>, x: &[f64]) -> PlanValues {
    let none = vec![0.0; m.dt.len()];
    let or_none = |vars: &[Var]| if vars.is_empty() { none.clone() } else { values(x, vars) };
    PlanValues {
        import_kw: m.grid.as_ref().map_or(none.clone(), |g| values(x, &g.import)),
        export_kw: m.grid.as_ref().map_or(none.clone(), |g| values(x, &g.export)),
        unserved_kw: values(x, &m.unserved),
        spill_kw: or_none(&m.spill),
        pv_kw: m
            .p
            .pv
            .iter()
            .zip(&m.pv)
            .map(|(p, v)| (p.id.clone(), values(x, v)))
            .collect(),
        batteries: batteries(m, x),
        evs: evs(m, x),
        gensets: gensets(m, x),
        heat: m.heat.as_ref().map(|h| heat(m, h, x)),
        hydro: hydro(m, x),
        shed_kw: m
            .p
            .sheddable
            .iter()
            .zip(&m.shed)
            .map(|(s, v)| (s.id.clone(), values(x, v)))
            .collect(),
        shiftable_kw: shiftable(m, x),
        deferrable: m
            .p
            .deferrable
            .iter()
            .zip(&m.deferrable)
            .map(|(d, v)| (d.id.clone(), switched(x, &v.power, v.switched.as_ref())))
            .collect(),
    }
}

/// Energy is integrated from the powers, so that the plan is consistent in itself.
fn storage(
    m: &Model<'_>,
    charge_kw: Vec<f64>,
    discharge_kw: Vec<f64>,
    start: f64,
    keep: f64,
    eta: (f64, f64),
    drain: f64,
) -> StoragePlan {
    let mut e = start;
    let energy_kwh = m
        .steps()
        .map(|t| {
            e = (1.0 - keep * m.dt[t]) * e + m.dt[t] * (eta.0 * charge_kw[t] - discharge_kw[t] / eta.1 - drain);
            e
        })
        .collect();
    StoragePlan {
        charge_kw,
        discharge_kw,
        energy_kwh,
    }
}

fn batteries(m: &Model<'_>, x: &[f64]) -> BTreeMap<String, StoragePlan> {
    let one = |(b, v): (&crate::model::BatteryProblem, &super::formulation::BatteryVars)| {
        let (c, d) = (values(x, &v.charge), values(x, &v.discharge));
        let eta = (b.charge_eff, b.discharge_eff);
        (
            b.id.clone(),
            storage(m, c, d, b.soc_start_kwh, b.loss_per_hour, eta, b.standby_kw),
        )
    };
    m.p.batteries.iter().zip(&m.batteries).map(one).collect()
}

fn evs(m: &Model<'_>, x: &[f64]) -> BTreeMap<String, EvPlan> {
    let mut all = BTreeMap::new();
    for (ev, v) in m.p.evs.iter().zip(&m.evs) {
        let series = |vars: &[Var]| {
            let mut kw = vec![0.0; m.dt.len()];
            for (k, value) in values(x, vars).into_iter().enumerate() {
                kw[v.arrive + k] = value;
            }
            kw
        };
        let shortfall = |n: usize| values(x, &[v.stays[n].shortfall])[0];
        let extra = |n: usize| v.stays[n].extra.map(|extra| values(x, &[extra])[0]);
        let later = (1..v.stays.len()).map(|n| StayPlan {
            shortfall_kwh: shortfall(n),
            extra_kwh: extra(n).unwrap_or(0.0),
        });
        let plan = EvPlan {
            charge_kw: series(&v.charge),
            shortfall_kwh: shortfall(0),
            discharge_kw: ev.store.map(|_| series(&v.discharge)),
            extra_kwh: extra(0),
            later: later.collect(),
        };
        all.insert(ev.id.clone(), plan);
    }
    all
}

fn gensets(m: &Model<'_>, x: &[f64]) -> BTreeMap<String, GensetPlan> {
    let mut all = BTreeMap::new();
    for (g, v) in m.p.gensets.iter().zip(&m.gensets) {
        let power_kw = values(x, &v.power);
        let running = |t: usize| match v.on.get(t) {
            Some(z) => x[z.0].round(),
            None => f64::from(u8::from(power_kw[t] > 0.0)),
        };
        let on = m.steps().map(running).collect();
        all.insert(g.id.clone(), GensetPlan { power_kw, on });
    }
    all
}

fn switched(x: &[f64], power: &[Var], s: Option<&Switched>) -> ElectricPlan {
    ElectricPlan {
        electric_kw: values(x, power),
        on: s.map(|s| s.on.iter().map(|z| x[z.0].round()).collect()),
    }
}

fn heat(m: &Model<'_>, v: &HeatVars, x: &[f64]) -> HeatPlan {
    let Some(h) = &m.p.heat else {
        unreachable!("heat variables are made from the heat part of the problem")
    };
    let electric = |v: &Vec<Var>| ElectricPlan {
        electric_kw: values(x, v),
        on: None,
    };
    let tanks = h.tanks.iter().zip(&v.tanks).map(|(k, v)| {
        let net = values(x, &v.net);
        let c = net.iter().map(|kw| kw.max(0.0)).collect();
        let d = net.iter().map(|kw| (-kw).max(0.0)).collect();
        (
            k.id.clone(),
            storage(m, c, d, k.start_kwh, k.loss_per_hour, (1.0, 1.0), 0.0),
        )
    });
    HeatPlan {
        chps: h
            .chps
            .iter()
            .zip(&v.chps)
            .map(|(c, v)| (c.id.clone(), switched(x, &v.electric, v.switched.as_ref())))
            .collect(),
        boilers: h
            .boilers
            .iter()
            .zip(&v.boilers)
            .map(|(b, v)| (b.id.clone(), BoilerPlan { heat_kw: values(x, v) }))
            .collect(),
        heat_pumps: h
            .heat_pumps
            .iter()
            .zip(&v.heat_pumps)
            .map(|(p, v)| (p.id.clone(), electric(v)))
            .collect(),
        tanks: tanks.collect(),
        buildings: h
            .buildings
            .iter()
            .zip(&v.buildings)
            .map(|(b, v)| (b.id.clone(), building(m, b, &values(x, &v.heat))))
            .collect(),
        unserved_kw: values(x, &v.unserved),
        dump_kw: if v.dump.is_empty() {
            vec![0.0; m.dt.len()]
        } else {
            values(x, &v.dump)
        },
    }
}

/// Temperatures follow from the heat, so that the plan is consistent in itself.
fn building(m: &Model<'_>, b: &BuildingProblem, heat_kw: &[f64]) -> BuildingPlan {
    let mut indoor = b.start_c;
    let mut step = |t: usize| {
        indoor = response(b, m.dt[t]).next(b, t, indoor, heat_kw[t]);
        indoor
    };
    BuildingPlan {
        indoor_c: m.steps().map(&mut step).collect(),
        heat_kw: heat_kw.to_vec(),
    }
}

fn hydro(m: &Model<'_>, x: &[f64]) -> BTreeMap<String, HydroPlan> {
    let mut all = BTreeMap::new();
    for (h, v) in m.p.hydro.iter().zip(&m.hydro) {
        let (turbine_m3s, spill_m3s) = (values(x, &v.turbine), values(x, &v.spill));
        let mut volume = h.volume_start_m3;
        let step = |t: usize| {
            volume += 3600.0 * m.dt[t] * (h.inflow_m3s[t] - turbine_m3s[t] - spill_m3s[t]);
            volume
        };
        let volume_m3 = m.steps().map(step).collect();
        all.insert(
            h.id.clone(),
            HydroPlan {
                turbine_m3s,
                spill_m3s,
                volume_m3,
            },
        );
    }
    all
}

fn shiftable(m: &Model<'_>, x: &[f64]) -> BTreeMap<String, Vec<f64>> {
    let mut all = BTreeMap::new();
    for (s, v) in m.p.shiftable.iter().zip(&m.shiftable) {
        let mut kw = v.running_kw.clone();
        for (z, run) in &v.starts {
            for (i, power) in run.kw.iter().enumerate() {
                kw[run.first + i] += power * x[z.0].round();
            }
        }
        all.insert(s.id.clone(), kw);
    }
    all
}

/// Wishes that have a price of their own: what they cost is in the objective, beside what broken limits cost.
const MONEY: [&str; 16] = [
    "unserved_load",
    "ev_shortfall",
    "ev_demand",
    "heat_unserved",
    "reserve",
    "soc_goal",
    "soc_dwell",
    "lifeline",
    "capacity_overrun",
    "capacity_energy",
    "missed_run",
    "missed_energy",
    "self_sufficiency",
    "renewable",
    "too_cold",
    "too_warm",
];

/// Whether the cost of a missed wish is money of the case.
pub fn in_objective(name: &str) -> bool {
    MONEY.contains(&name)
}

/// Broken wishes, one entry a name and component; and whether a hard one is among them.
pub fn violations(m: &Model<'_>, x: &[f64]) -> (Vec<Violation>, bool) {
    let mut sums: BTreeMap<(String, String), Violation> = BTreeMap::new();
    let mut add = |name: &str, component: &str, unit: &str, amount: f64, price: f64| {
        if amount > NAMED {
            let key = (name.to_owned(), component.to_owned());
            let entry = sums.entry(key).or_insert_with(|| Violation {
                name: name.into(),
                component: component.into(),
                amount: 0.0,
                unit: unit.into(),
                cost: 0.0,
            });
            entry.amount += amount;
            entry.cost += amount * price;
        }
    };
    for s in &m.slacks {
        add(s.name, &s.component, s.unit, amount(s, x), s.price);
    }
    let hard = any_broken(m, x);
    let unserved = m.steps().map(|t| m.dt[t] * x[m.unserved[t].0]).sum();
    add("unserved_load", "load", "kWh", unserved, m.p.unserved_cost_per_kwh);
    for (ev, v) in m.p.evs.iter().zip(&m.evs) {
        let costs = std::iter::once(ev.shortfall_cost_per_kwh).chain(ev.later.iter().map(|s| s.shortfall_cost_per_kwh));
        for (stay, cost) in v.stays.iter().zip(costs) {
            add("ev_shortfall", &ev.id, "kWh", x[stay.shortfall.0], cost);
        }
    }
    if let (Some(h), Some(v)) = (&m.p.heat, &m.heat) {
        let cold = m.steps().map(|t| m.dt[t] * x[v.unserved[t].0]).sum();
        add("heat_unserved", "heat", "kWh", cold, h.unserved_cost_per_kwh);
    }
    (sums.into_values().collect(), hard)
}

/// Size of a deviation in its own unit.
fn amount(s: &Slack, x: &[f64]) -> f64 {
    s.weight * s.beyond.as_ref().map_or(x[s.var.0], |e| value(e, x)).max(0.0)
}

fn any_broken(m: &Model<'_>, x: &[f64]) -> bool {
    m.slacks.iter().any(|s| !s.money && amount(s, x) > BROKEN)
}

/// Shadow prices; `None` where the solver had none.
pub fn duals(m: &Model<'_>, answer: &Answer) -> Option<Duals> {
    let d = answer.duals.as_ref()?;
    let stored = |rows: &[super::program::RowId]| rows.iter().map(|r| -d[r.0]).collect::<Vec<f64>>();
    let tanks =
        m.p.heat
            .iter()
            .flat_map(|h| &h.tanks)
            .zip(m.heat.iter().flat_map(|h| &h.tanks));
    Some(Duals {
        bus: m.steps().map(|t| d[m.bus_rows[t].0] / m.dt[t]).collect(),
        storage: m
            .p
            .batteries
            .iter()
            .zip(&m.batteries)
            .map(|(b, v)| (b.id.clone(), stored(&v.energy_rows)))
            .collect(),
        tanks: tanks.map(|(k, v)| (k.id.clone(), stored(&v.energy_rows))).collect(),
        evs: m
            .p
            .evs
            .iter()
            .zip(&m.evs)
            .map(|(e, v)| (e.id.clone(), d[v.stays[0].need_row.0]))
            .collect(),
        peak: m
            .grid
            .iter()
            .flat_map(|g| g.peak_rows.values())
            .map(|r| d[r.0].abs())
            .sum(),
        nodes: super::sensitivity::node_adders(m, d),
        wishes: super::sensitivity::wish_adders(m, d),
    })
}
