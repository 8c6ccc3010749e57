"""The same home planned by Madang, EMHASS and PyPSA: CPU milliseconds an optimisation and the cost each plan has.

    python compare.py [--madang ../../target/release/madang] [--runs 5] [CASE.json ...]

Cases of schema ems-case-1 with a grid, PV, one battery with a fixed end and nothing else (default: p07, and p08 without
its car, at 48 and 96 steps). The cost is recomputed here from each plan's grid power. Time is process CPU time, median;
imports are not counted. EMHASS is timed as it repeats (its problem is cached) and in its first call.
"""

import argparse
import datetime
import json
import logging
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import pandas as pd

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE.parent / "cases"


def home(path):
    """A case with what every engine here can model."""
    case = json.loads(path.read_text())
    case["evs"] = []
    battery = case["batteries"][0]
    battery["soc_start_kwh"] = battery["soc_end_kwh"] = 0.5 * battery["capacity_kwh"]
    for key in ("wear_cost_per_kwh", "loss_per_hour", "end_value_per_kwh"):
        battery[key] = 0.0
    case["grid"].pop("demand_charge_per_kw", None)
    case.pop("expected", None)
    case["id"] = f"home_{case['steps']}"
    return case


def cost(case, grid_kw):
    """Money of a series of net grid powers (import positive)."""
    g, dt = case["grid"], case["step_hours"]
    grid_kw = np.asarray(grid_kw)
    buy, sell = np.array(g["buy"]), np.array(g["sell"])
    return float(dt * (buy * grid_kw.clip(0) - sell * (-grid_kw).clip(0)).sum())


def cpu_ms(run, runs):
    """Median CPU milliseconds of `run`, and its last answer."""
    times = []
    for _ in range(runs):
        begun = time.process_time()
        answer = run()
        times.append(1e3 * (time.process_time() - begun))
    return statistics.median(times), answer


def madang(case, binary, runs, solver):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(case, file)
        file.flush()
        command = [binary, "solve", file.name, "--plan", "--json", "--solver", solver]
        times = []
        for _ in range(runs):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout)[0]
            times.append(row["build_ms"] + row["solve_ms"])
    plan = row["plan"]
    return statistics.median(times), cost(case, np.subtract(plan["import_kw"], plan["export_kw"]))


def emhass(case, runs):
    """First call and repeat."""
    import emhass as package
    from emhass.optimization import Optimization

    data = pathlib.Path(package.__file__).parent / "data"
    conf = json.loads((data / "config_defaults.json").read_text())
    b, g = case["batteries"][0], case["grid"]
    conf |= {
        "optimization_time_step": pd.Timedelta(hours=case["step_hours"]),
        "time_zone": datetime.timezone.utc,
        "delta_forecast_daily": pd.Timedelta(days=1),
        "number_of_deferrable_loads": 0,
        "set_use_battery": True,
        "set_use_pv": True,
        "set_total_pv_sell": False,
        "set_nocharge_from_grid": False,
        "set_nodischarge_to_grid": False,
        "set_battery_dynamic": False,
        "weight_battery_charge": 0.0,
        "weight_battery_discharge": 0.0,
        "battery_nominal_energy_capacity": 1e3 * b["capacity_kwh"],
        "battery_charge_power_max": 1e3 * b["charge_max_kw"],
        "battery_discharge_power_max": 1e3 * b["discharge_max_kw"],
        "battery_charge_efficiency": b["charge_eff"],
        "battery_discharge_efficiency": b["discharge_eff"],
        "battery_minimum_state_of_charge": b["soc_min_kwh"] / b["capacity_kwh"],
        "battery_maximum_state_of_charge": b["soc_max_kwh"] / b["capacity_kwh"],
        "maximum_power_from_grid": 1e3 * g["import_max_kw"],
        "maximum_power_to_grid": 1e3 * g["export_max_kw"],
        "inverter_is_hybrid": False,
        "compute_curtailment": True,
        "lp_solver_mip_rel_gap": 1e-7,
        "num_threads": 1,
    }
    for key in [k for k in conf if "deferrable" in k and isinstance(conf[k], list)]:
        conf[key] = []
    index = pd.date_range("2026-05-12", periods=case["steps"], freq=conf["optimization_time_step"], tz="UTC")
    load, pv = 1e3 * np.array(case["load_kw"]), 1e3 * np.array(case["pv"][0]["available_kw"])
    names = conf["sensor_power_photovoltaics"], conf["sensor_power_load_no_var_loads"]
    frame = pd.DataFrame({names[0]: pv, names[1]: load, "buy": g["buy"], "sell": g["sell"]}, index=index)
    frame[names[1] + "_positive"] = load
    logger = logging.getLogger("emhass")
    logger.setLevel(logging.CRITICAL)
    engine = Optimization(conf, conf, conf, "buy", "sell", "profit", {"root_path": data.parent}, logger)
    soc = [b[k] / b["capacity_kwh"] for k in ("soc_start_kwh", "soc_end_kwh")]

    def run():
        return engine.perform_optimization(
            frame, pv, load, np.array(g["buy"]), np.array(g["sell"]), soc_init=soc[0], soc_final=soc[1]
        )

    first, _ = cpu_ms(run, 1)
    repeat, plan = cpu_ms(run, runs)
    return first, repeat, cost(case, plan["P_grid"].to_numpy() / 1e3)


def pypsa(case, runs):
    import pypsa as package

    logging.getLogger("pypsa").setLevel(logging.CRITICAL)
    logging.getLogger("linopy").setLevel(logging.CRITICAL)
    b, g, steps = case["batteries"][0], case["grid"], case["steps"]
    available = np.array(case["pv"][0]["available_kw"])

    def run():
        n = package.Network()
        n.set_snapshots(range(steps))
        weights = n.snapshot_weightings.astype(float)
        n.snapshot_weightings = weights * 0 + case["step_hours"]
        n.add("Bus", ["ac", "battery"])
        n.add("Load", "load", bus="ac", p_set=case["load_kw"])
        n.add("Generator", "import", bus="ac", p_nom=g["import_max_kw"], marginal_cost=g["buy"])
        n.add("Generator", "export", bus="ac", sign=-1, p_nom=g["export_max_kw"], marginal_cost=[-x for x in g["sell"]])
        top = available.max()
        n.add("Generator", "pv", bus="ac", p_nom=top, p_max_pu=available / top)
        charge = {"bus0": "ac", "bus1": "battery", "p_nom": b["charge_max_kw"], "efficiency": b["charge_eff"]}
        n.add("Link", "charge", **charge)
        most = b["discharge_max_kw"] / b["discharge_eff"]
        n.add("Link", "discharge", bus0="battery", bus1="ac", p_nom=most, efficiency=b["discharge_eff"])
        low = np.full(steps, b["soc_min_kwh"] / b["capacity_kwh"])
        high = np.full(steps, b["soc_max_kwh"] / b["capacity_kwh"])
        low[-1] = high[-1] = b["soc_end_kwh"] / b["capacity_kwh"]
        band = {"e_min_pu": low, "e_max_pu": high, "e_initial": b["soc_start_kwh"]}
        n.add("Store", "store", bus="battery", e_nom=b["capacity_kwh"], **band)
        n.optimize(solver_name="highs", log_to_console=False, solver_options={"threads": 1, "output_flag": False})
        return n.generators_t.p["import"] - n.generators_t.p["export"]

    ms, grid = cpu_ms(run, runs)
    return ms, cost(case, grid.to_numpy())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=pathlib.Path)
    parser.add_argument("--madang", default=HERE.parents[1] / "target/release/madang")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    default = [CASES / "p07_home_30min_peer.json", CASES / "p08_home_15min_ev.json"]
    for path in args.cases or default:
        case = home(path)
        rows = [(f"madang ({s})", *madang(case, args.madang, args.runs, s)) for s in ("auto", "clarabel", "microlp")]
        first, repeat, money = emhass(case, args.runs)
        rows += [("EMHASS, first call", first, money), ("EMHASS, repeat", repeat, money)]
        rows.append(("PyPSA", *pypsa(case, args.runs)))
        print(f"\n{case['steps']} steps {'CPU ms':>24} {'times ours':>11} {'cost':>14}")
        for name, ms, money in rows:
            print(f"{name:20} {ms:13.2f} {ms / rows[0][1]:10.1f}x {money:14.8f}")


if __name__ == "__main__":
    main()
