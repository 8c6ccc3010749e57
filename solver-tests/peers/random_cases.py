#!/usr/bin/env python3
"""Random cases of schema `ems-case-1`, formulated a second time here and solved by SciPy's HiGHS: the optimum that
`madang solve` states must be the same. `random.rs` compares our solvers on one formulation; this compares formulations.

usage: random_cases.py MADANG [COUNT] [SEED]     needs numpy and scipy (PyPI)
Exit 1 where a cost differs; the case is then kept where its line says.
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

BATCH = 50


def some(r, chance, value):
    return value if r.random() < chance else None


def case_of(seed):
    """Few steps and few components, but every feature of the schema comes up."""
    r = random.Random(seed)
    steps, dt = r.randint(1, 12), r.choice([0.25, 0.5, 1.0, 2.0])
    rnd = lambda lo, hi: round(r.uniform(lo, hi), 3)
    series = lambda lo, hi: [rnd(lo, hi) for _ in range(steps)]
    c = {"schema": "ems-case-1", "id": f"random-{seed}", "kind": "MILP", "steps": steps, "step_hours": dt}
    c["load_kw"] = series(0, 6)
    c["unserved_cost_per_kwh"] = rnd(2, 10)
    c["spill_cost_per_kwh"] = some(r, 0.5, rnd(0, 0.2))
    c["co2_price_per_kg"] = some(r, 0.3, rnd(0, 0.2))
    c["co2_cap_kg"] = some(r, 0.2, rnd(0, 8))
    if r.random() < 0.85:
        buy = series(-0.1, 0.5)
        c["grid"] = {
            "import_max_kw": some(r, 0.5, rnd(2, 12)) or series(1, 12), "export_max_kw": rnd(0, 10), "buy": buy,
            "sell": series(-0.1, 0.4) if r.random() < 0.3 else [round(b - rnd(0, 0.2), 3) for b in buy],
            "co2_kg_per_kwh": some(r, 0.4, series(0, 0.6)), "demand_charge_per_kw": some(r, 0.3, rnd(0.1, 3)),
            "peak_so_far_kw": some(r, 0.3, rnd(0, 5)),
            "exclusive": r.random() < 0.7,
        }
    # what must be taken must have somewhere to go
    c["pv"] = [{"id": f"pv{i}", "available_kw": series(0, 8),
                "curtailable": c["spill_cost_per_kwh"] is None or r.random() < 0.7} for i in range(r.randint(0, 2))]
    c["batteries"] = [battery(r, rnd, i) for i in range(r.randint(0, 2))]
    c["evs"] = [car(r, rnd, steps, i) for i in range(r.randint(0, 2))]
    c["gensets"] = [genset(r, rnd, i) for i in range(r.choice([0, 0, 1, 2]))]
    if r.random() < 0.25:
        c["heat"] = heat(r, rnd, series)
    if r.random() < 0.2:
        c["hydro"] = [hydro(r, rnd, series)]
    return c


def battery(r, rnd, i):
    size = rnd(2, 10)
    low = rnd(0, 0.2 * size)
    b = {"id": f"bat{i}", "soc_min_kwh": low, "soc_max_kwh": size, "soc_start_kwh": rnd(0.5 * size, size),
         "charge_max_kw": rnd(0.5, 5), "discharge_max_kw": rnd(0.5, 5), "charge_eff": rnd(0.85, 1),
         "discharge_eff": rnd(0.85, 1), "wear_cost_per_kwh": some(r, 0.5, rnd(0, 0.05)),
         "end_value_per_kwh": some(r, 0.5, rnd(0, 0.3)), "exclusive": r.random() < 0.7,
         "soc_end_kwh": some(r, 0.1, rnd(low, size))}
    if low == 0.0 or r.random() < 0.2:
        b["soc_min_kwh"], b["loss_per_hour"] = 0.0, rnd(0, 0.01)
    else:
        b["soc_end_min_kwh"] = some(r, 0.3, rnd(low, 0.5 * size))
    return b


def car(r, rnd, steps, i):
    arrive = r.randint(0, steps - 1)
    return {"id": f"ev{i}", "arrive_step": arrive, "depart_step": r.randint(arrive, steps), "charge_eff": rnd(0.85, 1),
            "energy_needed_kwh": rnd(0, 30), "charge_max_kw": rnd(3, 11), "charge_min_kw": some(r, 0.4, rnd(0.5, 3)),
            "shortfall_cost_per_kwh": rnd(0.1, 3)}


def genset(r, rnd, i):
    top = rnd(3, 8)
    g = {"id": f"gen{i}", "min_kw": rnd(0, 0.5 * top), "max_kw": top, "fuel_cost_per_kwh": rnd(0.1, 0.6),
         "co2_kg_per_kwh": some(r, 0.5, rnd(0.3, 0.9)), "commitment": r.random() < 0.7}
    if g["commitment"]:
        g |= {"no_load_cost_per_hour": rnd(0, 0.5), "start_cost": rnd(0, 2), "min_up_steps": r.randint(1, 4),
              "min_down_steps": r.randint(1, 4), "initial_on": r.random() < 0.5}
    return g


def heat(r, rnd, series):
    h = {"load_kw": series(0, 6), "unserved_cost_per_kwh": rnd(1, 3), "dump_allowed": r.random() < 0.7}
    h["chps"] = [{"id": "chp", "electric_max_kw": rnd(1, 5), "heat_per_electric": rnd(1, 2), "fuel_kwh_per_kwh_el": rnd(2, 4),
                  "fuel_price_per_kwh": rnd(0.03, 0.1), "co2_kg_per_kwh_fuel": 0.2}] if r.random() < 0.6 else []
    h["boilers"] = [{"id": "boiler", "heat_max_kw": rnd(1, 6), "efficiency": rnd(0.8, 1), "fuel_price_per_kwh": rnd(0.03, 0.1),
                     "co2_kg_per_kwh_fuel": 0.2}] if r.random() < 0.6 else []
    h["heat_pumps"] = [{"id": "hp", "electric_max_kw": rnd(0.5, 3), "cop": series(2, 5)}] if r.random() < 0.6 else []
    h["tanks"] = [{"id": "tank", "capacity_kwh": rnd(3, 12), "start_kwh": rnd(0, 3), "charge_max_kw": rnd(1, 6),
                   "discharge_max_kw": rnd(1, 6), "loss_per_hour": rnd(0, 0.02),
                   "end_min_kwh": some(r, 0.3, rnd(0, 3))}] if r.random() < 0.6 else []
    return h


def hydro(r, rnd, series):
    start = rnd(20_000, 40_000)
    return {"id": "hydro", "turbine_max_m3s": rnd(0.2, 1), "kw_per_m3s": rnd(3, 12), "volume_min_m3": rnd(0, 5_000),
            "volume_max_m3": 60_000, "volume_start_m3": start, "volume_end_min_m3": some(r, 0.5, rnd(0, start)), "inflow_m3s": series(0, 0.4), "min_release_m3s": rnd(0, 0.05),
            "water_value_per_m3": rnd(0, 0.0001)}


class Rows:
    """Columns with bounds and rows `low ≤ Σ k·x ≤ high`."""

    def __init__(self):
        self.cost, self.low, self.high, self.whole, self.rows, self.emitted = [], [], [], [], [], []

    def var(self, high=np.inf, low=0.0, cost=0.0, whole=0):
        self.cost.append(cost), self.low.append(low), self.high.append(high), self.whole.append(whole)
        return len(self.cost) - 1

    def row(self, terms, low, high):
        self.rows.append((terms, low, high))

    def either(self, a, a_max, b, b_max):
        z = self.var(1, whole=1)
        self.row([(a, 1), (z, -a_max)], -np.inf, 0)
        self.row([(b, 1), (z, b_max)], -np.inf, b_max)

    def level(self, e, before, keep, start, moves, inflow=0.0):
        """`e = keep·before + Σ k·x + inflow` over the (x, k) of `moves`; before the first step the level is `start`."""
        rest = inflow + (keep * start if before is None else 0.0)
        self.row([(e, 1)] + [(x, -k) for x, k in moves] + ([] if before is None else [(before, -keep)]), rest, rest)

    def solve(self):
        entries = [(i, j, k) for i, (terms, _, _) in enumerate(self.rows) for j, k in terms]
        i, j, k = zip(*entries)
        matrix = csr_matrix((k, (i, j)), shape=(len(self.rows), len(self.cost)))
        found = milp(self.cost, integrality=self.whole, bounds=Bounds(self.low, self.high),
                     constraints=LinearConstraint(matrix, [r[1] for r in self.rows], [r[2] for r in self.rows]),
                     options={"mip_rel_gap": 1e-9, "time_limit": 60})
        if found.status not in (0, 2):
            sys.exit(f"SciPy neither solved the case nor found it infeasible: {found.message}")
        return found.fun if found.status == 0 else None


def at(value, t, default=0.0):
    value = default if value is None else value
    return value[t] if isinstance(value, list) else value


def optimum(c):
    """The least cost of the case, or None where it has no plan."""
    T, dt, m = c["steps"], c["step_hours"], Rows()
    carbon = c.get("co2_price_per_kg") or 0.0
    bus, warm = [[] for _ in range(T)], [[] for _ in range(T)]
    for t in range(T):
        bus[t].append((m.var(c["load_kw"][t], cost=dt * c["unserved_cost_per_kwh"]), 1))
        if c.get("spill_cost_per_kwh") is not None:
            bus[t].append((m.var(cost=dt * c["spill_cost_per_kwh"]), -1))
    if g := c.get("grid"):
        charge = g.get("demand_charge_per_kw") or 0.0
        peak = m.var(low=g.get("peak_so_far_kw") or 0.0, cost=charge) if charge else None
        for t in range(T):
            top = at(g["import_max_kw"], t)
            i = m.var(top, cost=dt * (g["buy"][t] + carbon * at(g.get("co2_kg_per_kwh"), t)))
            e = m.var(at(g["export_max_kw"], t), cost=-dt * g["sell"][t])
            bus[t] += [(i, 1), (e, -1)]
            m.emitted.append((i, dt * at(g.get("co2_kg_per_kwh"), t)))
            if g["exclusive"]:
                m.either(i, top, e, at(g["export_max_kw"], t))
            if peak is not None:
                m.row([(peak, 1), (i, -1)], 0, np.inf)
    for pv in c["pv"]:
        for t in range(T):
            top = pv["available_kw"][t]
            bus[t].append((m.var(top, low=0 if pv["curtailable"] else top), 1))
    for b in c["batteries"]:
        keep, before = 1 - (b.get("loss_per_hour") or 0) * dt, None
        for t in range(T):
            wear = dt * (b.get("wear_cost_per_kwh") or 0)
            into, out = m.var(b["charge_max_kw"], cost=wear), m.var(b["discharge_max_kw"], cost=wear)
            low, high, worth = b["soc_min_kwh"], b["soc_max_kwh"], 0.0
            if t == T - 1:
                worth = b.get("end_value_per_kwh") or 0.0
                low = max(low, b.get("soc_end_min_kwh") or 0.0)
                if (end := b["soc_end_kwh"]) is not None:
                    low, high = max(low, end), min(high, end)
            e = m.var(high, low=low, cost=-worth)
            moves = [(into, dt * b["charge_eff"]), (out, -dt / b["discharge_eff"])]
            m.level(e, before, keep, b["soc_start_kwh"], moves)
            if b["exclusive"]:
                m.either(into, b["charge_max_kw"], out, b["discharge_max_kw"])
            bus[t] += [(out, 1), (into, -1)]
            before = e
    for v in c["evs"]:
        need = [(m.var(cost=v["shortfall_cost_per_kwh"]), 1)]
        for t in range(v["arrive_step"], v["depart_step"]):
            x = m.var(v["charge_max_kw"])
            if least := v.get("charge_min_kw"):
                z = m.var(1, whole=1)
                m.row([(x, 1), (z, -v["charge_max_kw"])], -np.inf, 0)
                m.row([(x, 1), (z, -least)], 0, np.inf)
            need.append((x, dt * v["charge_eff"]))
            bus[t].append((x, -1))
        m.row(need, v["energy_needed_kwh"], v["energy_needed_kwh"])
    for g in c["gensets"]:
        genset_rows(m, g, T, dt, carbon, bus)
    for h in c.get("hydro", []):
        before = None
        for t in range(T):
            last = t == T - 1
            q, s = m.var(h["turbine_max_m3s"]), m.var()
            low = max(h["volume_min_m3"], (h["volume_end_min_m3"] or 0.0) if last else 0.0)
            e = m.var(h["volume_max_m3"], low=low, cost=-h["water_value_per_m3"] if last else 0)
            moves = [(q, -3600 * dt), (s, -3600 * dt)]
            m.level(e, before, 1.0, h["volume_start_m3"], moves, 3600 * dt * h["inflow_m3s"][t])
            m.row([(q, 1), (s, 1)], h["min_release_m3s"], np.inf)
            bus[t].append((q, h["kw_per_m3s"]))
            before = e
    if h := c.get("heat"):
        heat_rows(m, h, T, dt, carbon, bus, warm)
    for t in range(T):
        m.row(bus[t], c["load_kw"][t], c["load_kw"][t])
    if c.get("co2_cap_kg") is not None and m.emitted:
        m.row(m.emitted, -np.inf, c["co2_cap_kg"])
    return m.solve()


def genset_rows(m, g, T, dt, carbon, bus):
    fuel = dt * (g["fuel_cost_per_kwh"] + carbon * (g.get("co2_kg_per_kwh") or 0))
    before, starts, stops = None, [], []
    for t in range(T):
        p = m.var(g["max_kw"], cost=fuel)
        bus[t].append((p, 1))
        m.emitted.append((p, dt * (g.get("co2_kg_per_kwh") or 0)))
        if not g["commitment"]:
            continue
        on = m.var(1, cost=dt * g["no_load_cost_per_hour"], whole=1)
        start, stop = m.var(1, cost=g["start_cost"], whole=1), m.var(1, whole=1)
        m.row([(p, 1), (on, -g["max_kw"])], -np.inf, 0)
        m.row([(p, 1), (on, -g["min_kw"])], 0, np.inf)
        m.level(on, before, 1, int(g["initial_on"]), [(start, 1), (stop, -1)])
        m.row([(start, 1), (stop, 1)], -np.inf, 1)
        starts.append(start), stops.append(stop)
        for s in starts[-g["min_up_steps"]:]:
            m.row([(on, 1), (s, -1)], 0, np.inf)
        for s in stops[-g["min_down_steps"]:]:
            m.row([(on, 1), (s, 1)], -np.inf, 1)
        before = on


def heat_rows(m, h, T, dt, carbon, bus, warm):
    for t in range(T):
        warm[t].append((m.var(cost=dt * h["unserved_cost_per_kwh"]), 1))
        if h["dump_allowed"]:
            warm[t].append((m.var(), -1))
        for c in h["chps"]:
            fuel = c["fuel_kwh_per_kwh_el"] * (c["fuel_price_per_kwh"] + carbon * c["co2_kg_per_kwh_fuel"])
            x = m.var(c["electric_max_kw"], cost=dt * fuel)
            bus[t].append((x, 1)), warm[t].append((x, c["heat_per_electric"]))
            m.emitted.append((x, dt * c["fuel_kwh_per_kwh_el"] * c["co2_kg_per_kwh_fuel"]))
        for b in h["boilers"]:
            fuel = (b["fuel_price_per_kwh"] + carbon * b["co2_kg_per_kwh_fuel"]) / b["efficiency"]
            x = m.var(b["heat_max_kw"], cost=dt * fuel)
            warm[t].append((x, 1))
            m.emitted.append((x, dt / b["efficiency"] * b["co2_kg_per_kwh_fuel"]))
        for p in h["heat_pumps"]:
            x = m.var(p["electric_max_kw"])
            bus[t].append((x, -1)), warm[t].append((x, p["cop"][t]))
    for k in h["tanks"]:
        before, keep = None, 1 - k["loss_per_hour"] * dt
        for t in range(T):
            into, out = m.var(k["charge_max_kw"]), m.var(k["discharge_max_kw"])
            e = m.var(k["capacity_kwh"], low=(k["end_min_kwh"] or 0.0) if t == T - 1 else 0.0)
            m.level(e, before, keep, k["start_kwh"], [(into, dt), (out, -dt)])
            warm[t] += [(out, 1), (into, -1)]
            before = e
    for t in range(T):
        m.row(warm[t], h["load_kw"][t], h["load_kw"][t])


def same(ours, best):
    if best is None:
        return ours["status"] == "relaxed"
    return ours["status"] == "optimal" and abs(ours["objective"] - best) <= 2e-6 * max(1, abs(best))


def main(madang, count=500, first=0):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="madang-random-"))
    bad = none = whole = 0
    for start in range(first, first + count, BATCH):
        cases = [case_of(s) for s in range(start, min(start + BATCH, first + count))]
        files = [folder / f"{c['id']}.json" for c in cases]
        for file, c in zip(files, cases):
            file.write_text(json.dumps(c))
        done = subprocess.run([madang, "solve", *files, "--json"], capture_output=True, text=True)
        told = json.loads(done.stdout) if done.stdout else sys.exit(done.stderr)
        for file, c, ours in zip(files, cases, told):
            best = optimum(c)
            none += best is None
            whole += ours["solver"] != "interior"
            if same(ours, best):
                file.unlink()
            else:
                bad += 1
                print(f"{file}: ours {ours['status']} {ours['objective']}, SciPy {best}")
    if not bad:
        folder.rmdir()
    print(f"{count} cases from seed {first}: {bad} differ; {none} have no plan, {whole} took a search or another solver")
    sys.exit(bad > 0)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:]))
