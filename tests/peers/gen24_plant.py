"""A small live plant behind pymodbus, for tests: a hybrid inverter that behaves as a Fronius GEN24 (SunSpec models 1, 103,
120-124, 160; modules 3 and 4 = battery charge and discharge) and a vendor meter (Eastron SDM630 map, f32).

The SunSpec offsets come from pysunspec2's model definitions, so that they are nobody's copy of ours. The battery obeys
StorCtl_Mod, OutWRte, InWRte and falls back to its own self-consumption when InOutWRte_RvrtTms is over.
A third argument changes its ways: `inverted` turns forced powers round, `hasty` falls back after a twentieth of the time.
Prints one JSON line with the ports once both servers listen, then a JSON line for each write and once a second the state.
"""

import asyncio
import json
import os
import struct
import sys
import time

import sunspec2
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

BASE = 40000
CHARGE_MAX_W = 5000
CAPACITY_WH = 10000
WAYS = sys.argv[3] if len(sys.argv) > 3 else ""


def definition(model):
    path = os.path.join(os.path.dirname(sunspec2.__file__), "models", "json", f"model_{model}.json")
    with open(path) as file:
        return json.load(file)["group"]


def points(model, repeats):
    """Offsets by name, in the order of the definition; the repeating group counted out."""
    at, offset = {}, 0
    group = definition(model)
    for p in group["points"]:
        at[p["name"]] = (offset, p["size"], p["type"])
        offset += p["size"]
    for sub in group.get("groups", []):
        for i in range(repeats):
            for p in sub["points"]:
                at[f"{sub['name']}[{i + 1}].{p['name']}"] = (offset, p["size"], p["type"])
                offset += p["size"]
    return at, offset


class Image:
    """SunSpec registers by model and point name."""

    def __init__(self, models):
        self.words = [0x5375, 0x6E53]
        self.where = {}
        for model, repeats in models:
            at, length = points(model, repeats)
            start = len(self.words)
            self.words += [0x8000 if kind in ("int16", "sunssf") else 0 for kind in self.kinds(at, length)]
            for name, (offset, size, kind) in at.items():
                self.where[(model, name)] = (start + offset, size, kind)
            self.put(model, "ID", model)
            self.put(model, "L", length - 2)
        self.words += [0xFFFF, 0]

    @staticmethod
    def kinds(at, length):
        kinds = [""] * length
        for offset, size, kind in at.values():
            for i in range(size):
                kinds[offset + i] = kind
        return kinds

    def put(self, model, name, value):
        at, size, kind = self.where[(model, name)]
        if kind == "string":
            raw = value.encode().ljust(size * 2, b"\0")
            self.words[at : at + size] = struct.unpack(f">{size}H", raw)
            return
        value = int(round(value)) & ((1 << (16 * size)) - 1)
        for i in range(size):
            self.words[at + i] = (value >> (16 * (size - 1 - i))) & 0xFFFF

    def get(self, model, name):
        at, size, kind = self.where[(model, name)]
        value = self.words[at]
        return value - 0x10000 if kind in ("int16", "sunssf") and value > 0x7FFF else value

    def addr(self, model, name):
        return BASE + self.where[(model, name)][0]


class Plant:
    """Two kilowatts of sun, six hundred watts of load, a battery, and what the meter shows."""

    def __init__(self):
        self.image = Image([(1, 0), (103, 0), (120, 0), (121, 0), (122, 0), (123, 0), (124, 0), (160, 4)])
        self.pv, self.load, self.battery = 2000.0, 600.0, 0.0
        self.stored = 0.5 * CAPACITY_WH
        self.energy = {"import": 0.0, "export": 0.0, "pv": 0.0, "in": 0.0, "out": 0.0}
        self.now = self.commanded = time.monotonic()
        self.reads = {"inverter": 0, "meter": 0}
        self.fixed()

    def fixed(self):
        put = self.image.put
        for name, text in (("Mn", "Fronius"), ("Md", "GEN24 (simulated)"), ("Vr", "1.0"), ("SN", "peer-1")):
            put(1, name, text)
        for model, name, sf in [
            (103, "A_SF", -1), (103, "V_SF", -1), (103, "W_SF", 0), (103, "Hz_SF", -2), (103, "WH_SF", 0),
            (120, "WRtg_SF", 0), (121, "WMax_SF", 0), (123, "WMaxLimPct_SF", -2), (124, "WChaMax_SF", 0),
            (124, "ChaState_SF", -2), (124, "InOutWRte_SF", -2), (160, "DCA_SF", -1), (160, "DCV_SF", -1),
            (160, "DCW_SF", 0), (160, "DCWH_SF", 0),
        ]:
            put(model, name, sf)
        put(120, "WRtg", 6000)
        put(121, "WMax", 6000)
        put(123, "WMaxLimPct", 10000)
        put(124, "WChaMax", CHARGE_MAX_W)
        put(124, "OutWRte", 10000)
        put(124, "InWRte", 10000)
        put(124, "StorCtl_Mod", 0)
        put(124, "InOutWRte_RvrtTms", 0)
        put(124, "ChaGriSet", 1)
        put(160, "N", 4)
        for i in range(4):
            put(160, f"module[{i + 1}].ID", i + 1)

    def forced(self):
        """Watts into the battery that the master asked for; None: its own self-consumption."""
        get = self.image.get
        mode, timeout = get(124, "StorCtl_Mod"), get(124, "InOutWRte_RvrtTms")
        timeout = timeout / 20 if WAYS == "hasty" else timeout
        if mode & 3 == 0 or (timeout > 0 and self.now - self.commanded > timeout):
            return None
        out, into = get(124, "OutWRte") / 1e4, get(124, "InWRte") / 1e4
        if mode & 2 and out < 0:
            return out * CHARGE_MAX_W if WAYS == "inverted" else -out * CHARGE_MAX_W
        if mode & 1 and into < 0:
            return -into * CHARGE_MAX_W if WAYS == "inverted" else into * CHARGE_MAX_W
        own = self.pv - self.load
        low = -CHARGE_MAX_W * out if mode & 2 else -CHARGE_MAX_W
        high = CHARGE_MAX_W * into if mode & 1 else CHARGE_MAX_W
        return min(max(own, low), high)

    def step(self):
        now = time.monotonic()
        hours, self.now = (now - self.now) / 3600, now
        forced = self.forced()
        wish = self.pv - self.load if forced is None else forced
        self.battery = min(max(wish, -CHARGE_MAX_W), CHARGE_MAX_W)
        self.stored = min(max(self.stored + self.battery * hours, 0), CAPACITY_WH)
        grid = self.grid()
        for name, watts in (("import", max(grid, 0)), ("export", max(-grid, 0)), ("pv", self.pv),
                            ("in", max(self.battery, 0)), ("out", max(-self.battery, 0))):
            self.energy[name] += watts * hours
        self.show()

    def grid(self):
        return self.load - self.pv + self.battery

    def show(self):
        put = self.image.put
        put(103, "W", self.pv - self.battery)
        put(103, "Hz", 5000)
        put(103, "WH", self.energy["pv"])
        put(103, "St", 4)
        for name in ("PhVphA", "PhVphB", "PhVphC"):
            put(103, name, 2300)
        put(124, "ChaState", 1e4 * self.stored / CAPACITY_WH)
        modules = [(self.pv * 0.6, self.energy["pv"] * 0.6), (self.pv * 0.4, self.energy["pv"] * 0.4),
                   (max(self.battery, 0), self.energy["in"]), (max(-self.battery, 0), self.energy["out"])]
        for i, (watts, energy) in enumerate(modules):
            put(160, f"module[{i + 1}].DCW", watts)
            put(160, f"module[{i + 1}].DCWH", energy)

    def meter(self):
        """Input registers of an SDM630: f32, high word first."""
        grid = self.grid()
        values = {0: 230.0, 2: 230.0, 4: 230.0, 6: abs(grid) / 690, 8: abs(grid) / 690, 10: abs(grid) / 690,
                  12: grid / 3, 14: grid / 3, 16: grid / 3, 52: grid, 70: 50.0,
                  72: self.energy["import"] / 1e3, 74: self.energy["export"] / 1e3}
        words = [0] * 400
        for at, value in values.items():
            words[at : at + 2] = struct.unpack(">HH", struct.pack(">f", value))
        return words


def say(**what):
    print(json.dumps({"t": time.time(), **what}), flush=True)


def inverter(plant):
    """Serves the SunSpec image; writes go to it and are told."""
    names = {v[0]: f"{k[0]}.{k[1]}" for k, v in plant.image.where.items()}
    control = plant.image.where[(124, "ID")][0]

    async def action(_function, start, address, _count, registers, values):
        at = address - BASE
        plant.step()
        if values is None:
            plant.reads["inverter"] += 1
        else:
            plant.image.words[at : at + len(values)] = values
            if control <= at < control + 26:
                plant.commanded = time.monotonic()
            say(write="inverter", addr=address, point=names.get(at, "?"), values=list(values))
        registers[BASE - start : BASE - start + len(plant.image.words)] = plant.image.words

    data = SimData(BASE, values=list(plant.image.words), datatype=DataType.REGISTERS)
    return SimDevice(1, simdata=data, action=action)


def meter(plant):
    async def action(_function, start, _address, _count, registers, values):
        plant.step()
        plant.reads["meter"] += values is None
        words = plant.meter()
        registers[0 - start : len(words) - start] = words

    return SimDevice(1, simdata=SimData(0, values=plant.meter(), datatype=DataType.REGISTERS), action=action)


async def main():
    plant = Plant()
    inverter_port, meter_port = int(sys.argv[1]), int(sys.argv[2])
    devices = [(inverter(plant), inverter_port), (meter(plant), meter_port)]
    servers = [ModbusTcpServer(device, address=("127.0.0.1", port)) for device, port in devices]
    tasks = [asyncio.create_task(s.serve_forever()) for s in servers]
    await asyncio.sleep(0.5)
    say(listening=[inverter_port, meter_port])
    while not any(t.done() for t in tasks):
        await asyncio.sleep(1)
        plant.step()
        say(state={"battery_w": plant.battery, "grid_w": plant.grid(), "soc": plant.stored / CAPACITY_WH,
                   "reads": dict(plant.reads), "mode": plant.image.get(124, "StorCtl_Mod")})


asyncio.run(main())
