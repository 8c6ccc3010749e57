//! Problems of `madang bench plan`: reference cases inside the binary, and sites of any length made from a seed.

use crate::model::{Elastic, PerStep, Problem};
use crate::plan;
use serde_json::{Value, json};

/// The reference cases with several independently computed optima.
const CASES: [&str; 13] = [
    include_str!("../../solver-tests/cases/p01_tiny_arbitrage.json"),
    include_str!("../../solver-tests/cases/p02_tiny_negative_feed_in.json"),
    include_str!("../../solver-tests/cases/p03_tiny_ev_shortfall.json"),
    include_str!("../../solver-tests/cases/p04_tiny_peak_shaving.json"),
    include_str!("../../solver-tests/cases/p05_tiny_battery_exclusive.json"),
    include_str!("../../solver-tests/cases/p06_tiny_genset_commitment.json"),
    include_str!("../../solver-tests/cases/p07_home_30min_peer.json"),
    include_str!("../../solver-tests/cases/p08_home_15min_ev.json"),
    include_str!("../../solver-tests/cases/p09_site_day.json"),
    include_str!("../../solver-tests/cases/p10_island_day.json"),
    include_str!("../../solver-tests/cases/p11_chp_heat_day.json"),
    include_str!("../../solver-tests/cases/p12_site_milp.json"),
    include_str!("../../solver-tests/cases/p13_home_feed_in_milp.json"),
];

/// All reference cases as they are.
pub fn cases() -> Result<Vec<Problem>, String> {
    CASES.iter().map(|text| plan::read_case(text)).collect()
}

/// Prices of broken limits, as a site's own problem has them.
pub fn elastic(mut p: Problem) -> Problem {
    p.elastic = Some(Elastic {
        limit_per_kwh: 100.0,
        soc_per_kwh: 20.0,
    });
    p
}

pub fn home_with_car() -> Result<Problem, String> {
    plan::read_case(CASES[7]).map(elastic)
}

pub fn home() -> Result<Problem, String> {
    let mut p = home_with_car()?;
    p.evs.clear();
    Ok(p)
}

pub fn site_day() -> Result<Problem, String> {
    plan::read_case(CASES[8]).map(elastic)
}

/// Small deterministic noise, −1..1 (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
    fn around(&mut self, mean: f64, spread: f64) -> f64 {
        mean + spread * self.next()
    }
}

/// How the grid treats a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Prices {
    Plain,
    /// An import limit that makes the generator run.
    Congested,
    NegativeNoon,
    /// Fixed feed-in above a buy price that is negative at noon: every direction must be held apart.
    FeedInAboveBuy,
}

/// A site with two batteries and four cars a day over `steps` of `hours`.
pub fn site(steps: usize, hours: f64, seed: u64) -> Result<Problem, String> {
    plan::read_case(&site_json(steps, hours, Prices::Plain, seed).to_string()).map(elastic)
}

/// The same day with a generator that is committed, cars that draw nothing or their minimum, and pairs held apart: about
/// 400 columns that may need whole numbers.
pub fn site_with_integers(prices: Prices, seed: u64) -> Result<Problem, String> {
    let mut case = site_json(96, 0.25, prices, seed);
    case["grid"]["exclusive"] = json!(true);
    let mut noise = Noise(seed ^ 0xbeef);
    for battery in case["batteries"].as_array_mut().into_iter().flatten() {
        battery["exclusive"] = json!(true);
    }
    for car in case["evs"].as_array_mut().into_iter().flatten() {
        car["charge_min_kw"] = json!(1.38);
    }
    case["gensets"] = json!([{
        "id": "gen", "min_kw": 12.0, "max_kw": 40.0, "fuel_cost_per_kwh": noise.around(0.30, 0.04),
        "co2_kg_per_kwh": 0.7, "commitment": true, "no_load_cost_per_hour": 1.5, "start_cost": 3.0,
        "min_up_steps": 4, "min_down_steps": 4
    }]);
    plan::read_case(&case.to_string()).map(elastic)
}

/// A home of its own from a seed: battery, PV, a car.
pub fn any_home(seed: u64) -> Result<Problem, String> {
    let mut p = home_with_car()?;
    let mut noise = Noise(seed);
    p.load_kw.iter_mut().for_each(|kw| *kw *= noise.around(1.0, 0.4));
    for pv in &mut p.pv {
        pv.available_kw.iter_mut().for_each(|kw| *kw *= noise.around(1.0, 0.3));
    }
    if let Some(g) = &mut p.grid {
        g.buy.iter_mut().for_each(|price| *price *= noise.around(1.0, 0.1));
    }
    Ok(p)
}

fn site_json(steps: usize, hours: f64, prices: Prices, seed: u64) -> Value {
    let mut noise = Noise(seed);
    let hour = |t: usize| (t as f64 * hours) % 24.0;
    let sun = |h: f64| (std::f64::consts::PI * (h - 6.0) / 12.0).sin().max(0.0);
    let load: Vec<f64> = (0..steps)
        .map(|t| {
            let evening = (-(hour(t) - 19.0).powi(2) / 8.0).exp();
            noise.around(18.0 + 14.0 * evening + 8.0 * sun(hour(t)), 2.5).max(1.0)
        })
        .collect();
    let clear = noise.around(0.8, 0.2);
    let pv: Vec<f64> = (0..steps)
        .map(|t| (60.0 * clear * sun(hour(t)) * noise.around(0.9, 0.1)).max(0.0))
        .collect();
    let buy: Vec<f64> = (0..steps)
        .map(|t| {
            let evening = (-(hour(t) - 19.0).powi(2) / 10.0).exp();
            let noon = match prices {
                Prices::NegativeNoon | Prices::FeedInAboveBuy => 0.32,
                _ => 0.08,
            };
            noise.around(0.22 + 0.18 * evening - noon * sun(hour(t)), 0.015)
        })
        .collect();
    let sell: Vec<f64> = match prices {
        Prices::FeedInAboveBuy => vec![0.08; steps],
        _ => buy.iter().map(|b| b - 0.06).collect(),
    };
    let import = if prices == Prices::Congested { 15.0 } else { 60.0 };
    json!({
        "id": format!("site-{prices:?}-{steps}-{seed}"), "steps": steps, "step_hours": hours, "load_kw": load,
        "unserved_cost_per_kwh": 10.0, "spill_cost_per_kwh": 0.02, "co2_price_per_kg": 0.08,
        "grid": {"import_max_kw": import, "export_max_kw": 40.0, "buy": buy, "sell": sell, "co2_kg_per_kwh": 0.4,
                 "demand_charge_per_kw": 0.4, "peak_so_far_kw": 15.0},
        "pv": [{"id": "pv", "available_kw": pv}],
        "batteries": [battery("house", 40.0, 15.0, &mut noise), battery("yard", 80.0, 30.0, &mut noise)],
        "evs": cars(steps, hours, &mut noise),
    })
}

fn battery(id: &str, kwh: f64, kw: f64, noise: &mut Noise) -> Value {
    json!({"id": id, "soc_min_kwh": 0.1 * kwh, "soc_max_kwh": 0.95 * kwh, "soc_start_kwh": kwh * noise.around(0.4, 0.2),
           "charge_max_kw": kw, "discharge_max_kw": kw, "charge_eff": 0.95, "discharge_eff": 0.95,
           "wear_cost_per_kwh": 0.01, "end_value_per_kwh": 0.18})
}

/// Two by day and two overnight, each day.
fn cars(steps: usize, hours: f64, noise: &mut Noise) -> Vec<Value> {
    let days = (steps as f64 * hours / 24.0).round() as usize;
    let sessions = [(8.0, 16.5), (9.0, 17.0), (17.5, 24.0), (0.0, 7.0)];
    let mut all = Vec::new();
    for day in 0..days {
        for (n, (from, to)) in sessions.iter().enumerate() {
            let step = |hour: f64| ((24.0 * day as f64 + hour) / hours) as usize;
            all.push(json!({"id": format!("car{n}-{day}"), "arrive_step": step(noise.around(*from + 0.5, 0.5)),
                "depart_step": step(*to).min(steps), "energy_needed_kwh": noise.around(22.0, 8.0), "charge_max_kw": 11.0,
                "charge_eff": 0.92, "shortfall_cost_per_kwh": 3.0}));
        }
    }
    all
}

/// The problem one step later: what was the first step is over, states are where the plan took them.
pub fn one_step_later(p: &Problem, s: &crate::model::Solution) -> Problem {
    let mut next = p.clone();
    let roll = |v: &mut Vec<f64>| {
        let first = usize::from(!v.is_empty());
        v.rotate_left(first);
    };
    roll(&mut next.load_kw);
    next.pv.iter_mut().for_each(|pv| roll(&mut pv.available_kw));
    if let Some(g) = &mut next.grid {
        roll(&mut g.buy);
        roll(&mut g.sell);
        if let PerStep::Each(limits) = &mut g.import_max_kw {
            roll(limits);
        }
    }
    for b in &mut next.batteries {
        if let Some(kwh) = s.plan.batteries.get(&b.id).and_then(|v| v.energy_kwh.first()) {
            b.soc_start_kwh = *kwh;
        }
    }
    let hours = p.step_hours.at(0).unwrap_or(f64::NAN);
    for e in &mut next.evs {
        let drawn = s.plan.evs.get(&e.id).and_then(|v| v.charge_kw.first()).copied();
        e.energy_needed_kwh = (e.energy_needed_kwh - e.charge_eff * hours * drawn.unwrap_or(0.0)).max(0.0);
        e.arrive_step = e.arrive_step.saturating_sub(1);
        e.depart_step = e.depart_step.saturating_sub(1);
    }
    next.evs.retain(|e| e.depart_step > 0);
    next
}

/// The same with loads and sun forecast anew: each step up to 5 % off.
pub fn forecast_anew(p: &Problem, seed: u64) -> Problem {
    let mut p = p.clone();
    let mut noise = Noise(seed);
    let sun = p.pv.iter_mut().flat_map(|pv| &mut pv.available_kw);
    sun.chain(&mut p.load_kw).for_each(|kw| *kw *= noise.around(1.0, 0.05));
    p
}
