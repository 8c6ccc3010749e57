//! The dispatch problem as a linear program: one file a component, one function a constraint family.
//!
//! Every component says what it draws from the bus (kW, consumption positive) in [`Model::draw`]; the bus, the circuits
//! and the bounds of the grid pair are made from that alone, so a new component touches one file and one line here.
//! Wishes that reality may break get a priced slack where the problem is elastic; each slack is named.

mod battery;
mod building;
mod bus;
mod commitment;
mod deferrable;
mod ev;
mod genset;
mod grid;
mod heat;
mod hydro;
mod loads;
mod pv;
mod shiftable;
mod site;
mod switching;
mod taste;
mod told;

use super::program::{Expr, Program, RowId, Var};
use crate::model::{Elastic, Problem};
use std::collections::BTreeMap;

pub use battery::BatteryVars;
pub use building::response;
pub use deferrable::DeferrableVars;
pub use ev::EvVars;
pub use genset::GensetVars;
pub use grid::GridVars;
pub use heat::HeatVars;
pub use hydro::HydroVars;
pub use shiftable::{Run, ShiftableVars};
pub use switching::Switched;

/// A wish that may be broken at a price.
#[derive(Debug, Clone)]
pub struct Slack {
    pub name: &'static str,
    pub component: String,
    pub var: Var,
    /// What it makes up for, where that is more exact than the column: at least this.
    pub beyond: Option<Expr>,
    pub unit: &'static str,
    /// Amount per unit of the variable: hours for kW → kWh, 1 for kWh.
    pub weight: f64,
    /// Money per unit of amount.
    pub price: f64,
    /// Money of the case (a soft wish) rather than the penalty of a broken limit.
    pub money: bool,
}

/// A whole number that says that `total`, filled in order, has come beyond `full_at`.
#[derive(Debug, Clone)]
pub struct Fill {
    pub full: Var,
    pub total: Expr,
    pub full_at: f64,
}

/// Two columns of which at most one may be positive.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub a: Var,
    pub b: Var,
    /// Highest useful values, the big-M of the binary.
    pub a_max: f64,
    pub b_max: f64,
    /// Net direction: `a` is kept where `a·a_weight ≥ b`.
    pub a_weight: f64,
    /// The prices of this step make cheating pay (planning.md §11 row 11).
    pub needed: bool,
}

/// A column that is zero or at least `least`, as its switch `z` and the two rows between them say.
#[derive(Debug, Clone, Copy)]
pub struct Minimum {
    pub v: Var,
    pub z: Var,
    pub least: f64,
    pub rows: [RowId; 2],
}

/// The program and where each quantity of the plan is in it.
pub struct Model<'a> {
    pub p: &'a Problem,
    /// Length of each step, h.
    pub dt: Vec<f64>,
    pub elastic: Option<Elastic>,
    pub program: Program,
    /// kW drawn from the bus by component and step.
    pub draw: BTreeMap<&'a str, Vec<Expr>>,
    /// kg emitted over the horizon.
    pub carbon: Expr,
    /// kW that may only come from PV surplus, by step.
    pub surplus_claims: Vec<Expr>,
    /// kW that may only cover local consumption, by step.
    pub local_supply: Vec<Expr>,
    pub slacks: Vec<Slack>,
    pub pairs: Vec<Pair>,
    /// Switches that cost nothing by themselves.
    pub minima: Vec<Minimum>,
    pub fills: Vec<Fill>,
    /// Parts of one quantity that are filled in this order.
    pub ordered: Vec<Vec<Var>>,
    /// Part of the cost that is preference or penalty, by column: not in the objective.
    pub preference: BTreeMap<Var, f64>,
    pub grid: Option<GridVars>,
    pub unserved: Vec<Var>,
    /// Empty where nothing may be dumped.
    pub spill: Vec<Var>,
    pub pv: Vec<Vec<Var>>,
    pub batteries: Vec<BatteryVars>,
    pub evs: Vec<EvVars>,
    pub gensets: Vec<GensetVars>,
    pub heat: Option<HeatVars>,
    pub hydro: Vec<HydroVars>,
    pub shed: Vec<Vec<Var>>,
    pub shiftable: Vec<ShiftableVars>,
    pub deferrable: Vec<DeferrableVars>,
    pub bus_rows: Vec<RowId>,
}

/// Builds the whole program. The problem has passed [`super::validate`].
pub fn formulate(p: &Problem, elastic: Option<Elastic>) -> Model<'_> {
    let mut m = Model::empty(p, elastic);

    loads::variable_load_unserved(&mut m);
    loads::variable_load_spill(&mut m);
    loads::variable_sheddable_power(&mut m);
    pv::variable_pv_power(&mut m);
    for b in &p.batteries {
        m.program.owned_by(&b.id);
        battery::battery(&mut m, b);
    }
    for ev in &p.evs {
        m.program.owned_by(&ev.id);
        ev::ev(&mut m, ev);
    }
    for s in &p.shiftable {
        m.program.owned_by(&s.id);
        shiftable::shiftable(&mut m, s);
    }
    shiftable::constraint_shiftable_sequence(&mut m);
    for d in &p.deferrable {
        m.program.owned_by(&d.id);
        deferrable::deferrable(&mut m, d);
    }
    for g in &p.gensets {
        m.program.owned_by(&g.id);
        genset::genset(&mut m, g);
    }
    if let Some(h) = &p.heat {
        m.program.owned_by("heat");
        heat::heat(&mut m, h);
    }
    for h in &p.hydro {
        m.program.owned_by(&h.id);
        hydro::hydro(&mut m, h);
    }
    loads::widen_unserved(&mut m);
    if let Some(g) = &p.grid {
        m.program.owned_by("grid");
        grid::grid(&mut m, g);
    }

    m.program.owned_by("bus");
    bus::constraint_bus_balance(&mut m);
    bus::constraint_circuit_power(&mut m);
    bus::constraint_surplus_claims(&mut m);
    bus::constraint_local_supply(&mut m);
    m.program.owned_by("site");
    site::constraint_carbon_cap(&mut m);
    site::constraint_lifeline_energy(&mut m);
    site::constraint_site_self_sufficiency(&mut m);
    site::constraint_site_renewable(&mut m);
    m.program.owned_by("told");
    told::constraint_told_power(&mut m);
    m.program.owned_by("taste");
    taste::taste_stick(&mut m);
    m
}

/// Whether the problem's program has whole numbers (or may come to need them).
pub fn has_integers(p: &Problem) -> bool {
    let m = formulate(p, p.elastic);
    m.program.has_integers() || !m.pairs.is_empty()
}

/// Lowest price electricity can have on the bus in step `t`: what a surplus kWh may cost.
fn lowest_price(m: &Model<'_>, t: usize) -> f64 {
    let spill = m.p.spill_cost_per_kwh.map_or(f64::INFINITY, |c| -c);
    let grid = m.p.grid.as_ref().map_or(f64::INFINITY, |g| g.buy[t].min(g.sell[t]));
    spill.min(grid)
}

impl<'a> Model<'a> {
    fn empty(p: &'a Problem, elastic: Option<Elastic>) -> Self {
        let dt: Vec<f64> = (0..p.steps).map(|t| p.step_hours.at(t).unwrap_or(f64::NAN)).collect();
        Self {
            surplus_claims: vec![Expr::default(); dt.len()],
            local_supply: vec![Expr::default(); dt.len()],
            p,
            dt,
            elastic,
            program: Program::default(),
            draw: BTreeMap::new(),
            carbon: Expr::default(),
            slacks: Vec::new(),
            pairs: Vec::new(),
            minima: Vec::new(),
            fills: Vec::new(),
            ordered: Vec::new(),
            preference: BTreeMap::new(),
            grid: None,
            unserved: Vec::new(),
            spill: Vec::new(),
            pv: Vec::new(),
            batteries: Vec::new(),
            evs: Vec::new(),
            gensets: Vec::new(),
            heat: None,
            hydro: Vec::new(),
            shed: Vec::new(),
            shiftable: Vec::new(),
            deferrable: Vec::new(),
            bus_rows: Vec::new(),
        }
    }

    pub fn steps(&self) -> std::ops::Range<usize> {
        0..self.dt.len()
    }

    /// A column for each step, `0 ≤ v ≤ high(t)`.
    fn per_step(&mut self, high: impl Fn(usize) -> f64) -> Vec<Var> {
        self.steps().map(|t| self.program.at(t).var(0.0, high(t))).collect()
    }

    /// A cost that steers but is not money of the case.
    fn prefer(&mut self, price: f64, v: Var) {
        self.program.cost(price, v);
        *self.preference.entry(v).or_insert(0.0) += price;
    }

    /// Parts of one quantity, filled in order. Rising prices see to that by themselves; where any falls, binaries say at
    /// each part that all before it are full: `Σ before ≥ full_at·y`, `part ≤ size·y`.
    fn fill_in_order(&mut self, family: &'static str, parts: &[Var], prices: &[f64]) {
        self.ordered.push(parts.to_vec());
        if prices.windows(2).all(|w| w[0] <= w[1]) {
            return;
        }
        let sum = |parts: &[Var]| parts.iter().fold(Expr::default(), |sum, part| sum + *part);
        for i in 1..parts.len() {
            let before = sum(&parts[..i]);
            let (_, full_at) = self.range(&before);
            let full = self.program.binary();
            let size = self.program.high[parts[i].0];
            self.program.at_most(family, full_at * full, before);
            self.program.at_most(family, parts[i], size * full);
            let total = sum(parts);
            self.fills.push(Fill { full, total, full_at });
        }
    }
    /// Adds to what a component draws in step `t`.
    fn draws(&mut self, id: &'a str, t: usize, expr: impl Into<Expr>) {
        let steps = self.dt.len();
        let entry = self.draw.entry(id).or_insert_with(|| vec![Expr::default(); steps]);
        entry[t] += expr;
    }

    /// Smallest and largest value of an expression within the bounds of its columns.
    fn range(&self, e: &Expr) -> (f64, f64) {
        self.range_over(e, &Expr::default())
    }

    /// The same of `e − baseline`.
    fn range_over(&self, e: &Expr, baseline: &Expr) -> (f64, f64) {
        let constant = e.constant - baseline.constant;
        let terms = e.terms.iter().copied();
        let less = baseline.terms.iter().map(|(v, k)| (*v, -k));
        terms.chain(less).fold((constant, constant), |(low, high), (v, k)| {
            let (a, b) = (k * self.program.low[v.0], k * self.program.high[v.0]);
            (low + a.min(b), high + a.max(b))
        })
    }

    /// What is on or off besides generators, and its power by step.
    pub fn switched(&self) -> impl Iterator<Item = (&switching::Switched, &[Var])> {
        let loads = self.deferrable.iter().map(|d| (&d.switched, &d.power));
        let chps = self
            .heat
            .iter()
            .flat_map(|h| &h.chps)
            .map(|c| (&c.switched, &c.electric));
        loads
            .chain(chps)
            .filter_map(|(s, power)| Some((s.as_ref()?, power.as_slice())))
    }

    /// Money of a point: its cost without preferences and penalties.
    pub fn money(&self, x: &[f64]) -> f64 {
        self.program.objective(x) - self.preference.iter().map(|(v, price)| price * x[v.0]).sum::<f64>()
    }
}
