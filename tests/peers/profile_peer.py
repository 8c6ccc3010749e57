"""Many Modbus devices behind pymodbus in one process.

`read FACTS PROFILES`: serves every device of the fact files (YAML; `-` where there are none: of the profiles) with registers
encoded here, by rules of its own, and prints first what a reader must show.
`write CONFIG`: serves the devices of a JSON file [{port, units: {id: {table: [[address, [words]]]}}, fail}] with every other
register at zero (table `only`: holding registers, and no others); prints each write, refuses the write number `fail` (counted from 0).
"""

import asyncio
import functools
import json
import pathlib
import re
import socket
import struct
import sys
import tomllib

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

TABLES = ["coil", "discrete", "holding", "input"]
OF_FUNCTION = {1: "coil", 2: "discrete", 3: "holding", 4: "input", 5: "coil", 6: "holding", 15: "coil", 16: "holding"}
SIZES = {"u16": 1, "i16": 1, "bits": 1, "u32": 2, "i32": 2, "f32": 2, "u64": 4, "i64": 4, "f64": 4}
UNITS = [("_10w", "kW", 1e-3), ("_100w", "kW", 1e-3), ("_kwh", "kWh", 1), ("_wh", "kWh", 1e-3), ("_var", "kvar", 1e-3),
         ("_va", "kVA", 1e-3), ("_kpa", "kPa", 1), ("_pct", "%", 1), ("_hz", "Hz", 1), ("_ms", "s", 1e-3), ("_w", "kW", 1e-3),
         ("_v", "V", 1), ("_a", "A", 1), ("_c", "°C", 1), ("_s", "s", 1)]
# Generating and discharging are negative: these turn against the facts.
TURN = {"battery_power", "battery_current", "pv_power", "pv1_power", "pv2_power", "pv3_power", "pv4_power", "ac_power",
        "genset_power"}
GENERATES = {"sma-sunny-tripower", "sma-sunny-island", "comap-intelilite4", "dse-genset", "deif-agc150"}


def say(**what):
    print(json.dumps(what), flush=True)


def number(text):
    return int(str(text), 0)


def encode(kind, words, value):
    code = {"u16": ">H", "bits": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "u64": ">Q", "i64": ">q", "f32": ">f",
            "f64": ">d"}[kind]
    raw = struct.pack(code, value)
    regs = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
    return regs if words == "hi_first" else regs[::-1]


def text(value, count):
    raw = value.encode().ljust(2 * count, b"\0")
    return [int.from_bytes(raw[i : i + 2], "big") for i in range(0, 2 * count, 2)]


def renamed(fact, profile):
    """Core name, unit and factor of a fact's name."""
    name, unit, factor = fact, "", 1.0
    for suffix, u, f in UNITS:
        if name.endswith(suffix):
            name, unit, factor = name[: -len(suffix)], u, f
            break
    if name == "engine_rpm":
        unit = "rpm"
    if re.fullmatch(r"power(_l[123])?", name):
        name = "active_" + name
    if name in TURN or (profile in GENERATES and name.startswith("active_power_l")):
        factor = -factor
    return name, unit, factor


def facts(folder):
    import yaml

    for path in sorted(pathlib.Path(folder).glob("*.yaml")):
        y = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
        if path.name.startswith("_") or "defaults" not in y:
            continue
        d, points = y["defaults"], []
        for p in y["points"]:
            kind = p.get("type", d["type"])
            count = re.fullmatch(r"str\((\d+)\)", kind)
            name, unit, factor = renamed(p["name"], y["id"])
            nan = p.get("nan") or []
            if not nan and isinstance(d.get("nan"), dict):
                nan = sentinel(kind, d["nan"])
            points.append(dict(name=name, table=p.get("table", d["table"]), addr=number(p["addr"]),
                               kind="str" if count else kind, count=int(count[1]) if count else SIZES[kind],
                               words=p.get("words", d["words"]), scale=float(p["scale"]) * factor, unit=unit,
                               map={number(k): v for k, v in p.get("map", {}).items()}, nan=[number(n) for n in nan]))
        probes = [dict(i, addr=number(i["addr"]), count=int(i["count"])) for i in y.get("identify", [])]
        yield dict(id=y["id"], link=y["link"], blocks=[dict(b, addr=number(b["addr"]), count=int(b["count"]))
                                                       for b in y["blocks"]], points=points, probes=probes)


def sentinel(kind, sets):
    rule = sets.get({"u": "u", "i": "i"}.get(kind[0], "f"))
    bits = 16 * SIZES.get(kind, 0)
    if not isinstance(rule, str) or kind == "bits" or kind[0] == "f":
        return []
    return [{"all_ones": 2**bits - 1, "max_positive": 2 ** (bits - 1) - 1}.get(rule, 2 ** (bits - 1))]


def profiles(folder):
    for path in sorted(pathlib.Path(folder).glob("*.toml")):
        t = tomllib.loads(path.read_text())
        if t.get("sunspec") or "blocks" not in t:
            continue
        d, points, seen = t["defaults"], [], set()
        for p in t["points"]:
            kind = p.get("type", d["type"])
            # single bits, and second views of a register that another point shows whole: only the facts say what to expect
            if "bit" in p or "shift" in p or p["addr"] in seen and kind != "str":
                continue
            seen.add(p["addr"])
            points.append(dict(name=p["name"], table=p.get("table", d["table"]), addr=p["addr"], kind=kind,
                               count=p.get("count", SIZES.get(kind)), words=p.get("words", d["words"]),
                               scale=p.get("scale", 1), unit=p.get("unit", ""), nan=[],
                               map={int(k, 0): v for k, v in p.get("map", {}).items() if k[0].isdigit()}))
        probes = [dict(i, table=i.get("table", d["table"]), type=i.get("type", d["type"]),
                       expect=[e] if isinstance(e := i.get("expect", []), str) else e) for i in t.get("identify", [])]
        blocks = [dict(b, table=b.get("table", d["table"])) for b in t["blocks"]]
        yield dict(id=t["id"], link=t["link"], blocks=blocks, points=points, probes=probes)


def chosen(i, p, profile):
    """Raw value of point number i, its registers, and what must be shown."""
    kind, words = p["kind"], p["words"]
    if kind == "str":
        return text("C2", p["count"]), "C2", "good"
    if p["name"] == "evse_state" and profile.startswith("phoenix"):
        return [0x2042], "B", "good"
    if p["nan"] and i % 7 == 2 and not p["map"]:
        n = p["nan"][0]
        signed = n - (1 << 16 * SIZES[kind]) if kind[0] == "i" and n >= 1 << (16 * SIZES[kind] - 1) else n
        return encode(kind, words, signed), None, "missing"
    if p["map"]:
        raw = sorted(p["map"])[min(1, len(p["map"]) - 1)]
        word = p["map"][raw]
        shown = float(word) if re.fullmatch(r"\d+", word) else word
        return encode(kind, words, raw), shown, "good"
    sign = -1 if i % 2 and kind[0] in "if" else 1
    raw = {"u16": 61 + 7 * i, "i16": sign * (500 + 7 * i), "u32": 70000 + 13 * i, "i32": sign * (70000 + 13 * i),
           "u64": 5 * 10**9 + i, "i64": sign * (5 * 10**9 + i), "f32": sign * (100.5 + i), "f64": sign * (1e6 + i / 8),
           "bits": 1}[kind]
    if p["name"] == "current_limit" and kind == "u16":
        raw = 16
    return encode(kind, words, raw), raw * p["scale"], "good"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def layout(device):
    """Registers by table, and what must be read."""
    tables = {t: {} for t in TABLES}
    for b in device["blocks"]:
        for a in range(b["addr"], b["addr"] + b["count"]):
            tables[b["table"]].setdefault(a, 0)
    shown = []
    for i, p in enumerate(device["points"]):
        regs, value, quality = chosen(i, p, device["id"])
        for a, w in enumerate(regs, p["addr"]):
            tables[p["table"]][a] = w
        shown.append(dict(name=p["name"], value=value, unit=p["unit"], quality=quality))
    for probe in device["probes"]:
        expect = probe.get("expect") or ["1"]
        first = expect[0]
        is_text = str(probe["type"]).startswith("str")
        kind = "u16" if "[" in str(probe["type"]) else probe["type"]
        if not is_text and isinstance(first, str) and ".." in first:
            first = first.split("..")[0]
        regs = text(first, probe["count"]) if is_text else encode(kind, "hi_first", number(first))
        for a, w in enumerate(regs, probe["addr"]):
            tables[probe["table"]][a] = w
    return tables, shown


def runs(cells):
    """Neighbouring addresses together."""
    found = []
    for a in sorted(cells):
        if found and found[-1][0] + len(found[-1][1]) == a:
            found[-1][1].append(cells[a])
        else:
            found.append((a, [cells[a]]))
    return found


def sim(unit, tables, **more):
    sides = []
    for table in TABLES:
        bits = table in ("coil", "discrete")
        kind = DataType.BITS if bits else DataType.REGISTERS
        spans = runs(tables[table]) or [(65500, [0])]
        # A span of bits is as long as whole registers.
        sides.append([SimData(a, values=[bool(w) for w in ws] + [False] * (-len(ws) % 16) if bits else ws, datatype=kind)
                      for a, ws in spans])
    return SimDevice(unit, simdata=tuple(sides), **more)


# A SunSpec map of nothing but its marker and a common model, for profiles that hold found and fixed values.
COMMON = [0x5375, 0x6E53, 1, 66, *text("SolarEdge", 16), *text("Inverter", 16), *[0] * 8, *text("1", 8), *text("1", 16), 1, 0, 0xFFFF, 0]
# Marker, heads of models and the common model: what finding such a map asks at most.
FINDING = 6


def shipped(folder):
    """Blocks that the shipped profile asks for, and whether a part of its values is found; by profile."""
    every = [tomllib.loads(path.read_text()) for path in sorted(pathlib.Path(folder).glob("*.toml"))]
    return {t["id"]: (len(t.get("blocks", [])), bool(t.get("sunspec"))) for t in every}


async def serve_read(where, profile_folder):
    devices = list(facts(where)) if where != "-" else list(profiles(profile_folder))
    own = shipped(profile_folder)
    told, servers = [], []
    for d in devices:
        tables, shown = layout(d)
        blocks, is_found = own.get(d["id"], (0, False))
        if is_found:
            tables["holding"].update(enumerate(COMMON, 40000))
        unit = int(d["link"].get("unit", 1))
        port = free_port()
        tcp = "tcp" in d["link"]["transport"]
        framer = FramerType.SOCKET if tcp else FramerType.RTU
        servers.append(ModbusTcpServer(sim(unit, tables), framer=framer, address=("127.0.0.1", port)))
        scheme = "tcp" if tcp else "rtu+tcp"
        # A common model that names its maker confirms by itself.
        expects = is_found or any(p.get("expect") for p in d["probes"])
        told.append(dict(profile=d["id"], address=f"{scheme}://127.0.0.1:{port}", points=shown,
                         identity="confirmed" if expects else "unchecked",
                         requests=max(len(d["blocks"]), blocks) + len(d["probes"]) + FINDING * is_found))
    tasks = [asyncio.create_task(s.serve_forever()) for s in servers]
    await asyncio.sleep(1)
    say(devices=told)
    await asyncio.gather(*tasks)


class Recorder:
    """One device that tells what is written to it."""

    def __init__(self, port, unit, fail, counter):
        self.port, self.unit, self.fail, self.counter = port, unit, fail, counter

    async def action(self, function, _start, address, count, _registers, values):
        if values is None:
            return None
        at = self.counter[0]
        self.counter[0] += 1
        refused = self.fail is not None and at == self.fail
        say(port=self.port, unit=self.unit, fc=function, addr=address, words=[int(v) for v in values], refused=refused)
        return ExcCodes.DEVICE_FAILURE if refused else None


def recording(port, unit, spans, fail, counter):
    recorder = Recorder(port, unit, fail, counter)
    if "only" in spans:
        # Nothing else is there.
        cells = {a + i: w for a, words in spans["only"] for i, w in enumerate(words)}
        tables = {"holding": cells, "input": {}, "coil": {}, "discrete": {}}
        return sim(unit, tables, action=functools.partial(recorder.action))
    sides = []
    for table in TABLES:
        bits = table in ("coil", "discrete")
        size = 8192 if bits else 65536
        cells = {a + i: w for a, words in spans.get(table, []) for i, w in enumerate(words)}
        if bits:
            side = [SimData(0, values=[bool(cells.get(a, 0)) for a in range(size)], datatype=DataType.BITS)]
        else:
            side = list(padded(runs(cells), size))
        sides.append(side)
    return SimDevice(unit, simdata=tuple(sides), action=functools.partial(recorder.action))


def padded(spans, size):
    """The spans, and zeros everywhere else. Zeros are counted: a list of 65,536 values takes the server a second."""
    at = 0
    for start, words in [*spans, (size, [])]:
        if start > at:
            yield SimData(at, values=[0], count=start - at, datatype=DataType.REGISTERS)
        if words:
            yield SimData(start, values=words, datatype=DataType.REGISTERS)
        at = start + len(words)


async def serve_write(config):
    servers = []
    for d in json.loads(pathlib.Path(config).read_text()):
        counter = [0]
        devices = [recording(d["port"], int(u), spans, d.get("fail"), counter) for u, spans in d["units"].items()]
        framer = FramerType.RTU if d.get("rtu") else FramerType.SOCKET
        servers.append(ModbusTcpServer(devices if len(devices) > 1 else devices[0], framer=framer,
                                       address=("127.0.0.1", d["port"])))
    tasks = [asyncio.create_task(s.serve_forever()) for s in servers]
    await asyncio.sleep(1)
    say(listening=len(servers))
    await asyncio.gather(*tasks)


asyncio.run(serve_read(*sys.argv[2:4]) if sys.argv[1] == "read" else serve_write(sys.argv[2]))
