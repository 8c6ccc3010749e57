"""Makes golden register images of SunSpec devices: registers encoded and values decoded by pysunspec2, so that neither our
field nor our twin has a hand in them. Prints one JSON document a device, or writes tests/golden/sunspec/NAME.json with `write`.

`layout` instead prints every model's points with offset, type, size, scale factor, access and mandatory flag, one a line."""

import json
import math
import pathlib
import sys

import sunspec2.device as device
import sunspec2.mb as mb

END = [0xFFFF, 0]


def words(data):
    return [int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2)]


def absent(point):
    """Registers of a point that is not implemented."""
    kind, size = point["type"], point["size"]
    if kind in ("int16", "sunssf"):
        return [0x8000]
    if kind in ("int32", "int64"):
        return [0x8000] + [0] * (size - 1)
    if kind.startswith("acc") or kind in ("string", "pad"):
        return [0] * size
    if kind == "float32":
        return [0x7FC0, 0]
    return [0xFFFF] * size


def encoded(point, value):
    if value is None:
        return absent(point)
    if point["type"] == "string":
        data = value.encode()
        return words(data + b"\0" * (2 * point["size"] - len(data)))
    return words(mb.point_type_info[point["type"]].to_data(value, 2 * point["size"]))


def group(definition, values):
    out = []
    for point in definition["points"]:
        if point["name"] not in ("ID", "L") or definition.get("repeated"):
            out += encoded(point, values.get(point["name"]))
    for inner in definition.get("groups", []):
        parts = values.get(inner["name"], [])
        parts = parts if isinstance(parts, list) else [parts]
        if inner.get("count", 1) == 1 and not parts:
            parts = [{}]
        for part in parts:
            out += group({**inner, "repeated": True}, part)
    return out


def model(number, values, length=None):
    """ID, length and body; a length other than the definition's cuts or fills the end, as some devices do."""
    body = group(device.get_model_def(number)["group"], values)
    if length is not None:
        body = (body + [0xFFFF] * length)[:length]
    return [number, len(body)] + body


def flatten(part, prefix, into):
    for name, point in part.points.items():
        value = point.cvalue
        if value is not None and name not in ("ID", "L") and not (isinstance(value, float) and math.isnan(value)):
            into[prefix + name] = value
    for name, inner in part.groups.items():
        for i, sub in enumerate(inner if isinstance(inner, list) else [inner]):
            flatten(sub, f"{prefix}{name}[{i + 1}].", into)


def image(base, models, end=True):
    registers, values, seen = words(b"SunS"), {}, {}
    for m in models:
        registers += m
        number = m[0]
        seen[number] = seen.get(number, 0) + 1
        data = b"".join(w.to_bytes(2, "big") for w in m)
        flatten(device.Model(model_id=number, data=data, model_len=m[1]), f"{number}[{seen[number]}].", values)
    return {"base": base, "words": registers + (END if end else []), "values": values}


COMMON = {"Mn": "Peer", "Md": "Golden", "Vr": "1.2.3", "SN": "0042"}
INVERTER = {"A": 131, "AphA": 44, "AphB": 43, "AphC": 44, "A_SF": -1, "PhVphA": 2310, "PhVphB": 2305, "PhVphC": 2298, "V_SF": -1,
            "W": 3021, "W_SF": 0, "Hz": 4998, "Hz_SF": -2, "VA": 3050, "VA_SF": 0, "VAr": -120, "VAr_SF": 0, "WH": 12345678,
            "WH_SF": 0, "DCW": 3100, "DCW_SF": 0, "TmpCab": 412, "Tmp_SF": -1, "St": 4}


def meter(watts, imported, exported):
    return {"A": 90, "AphA": 30, "AphB": 31, "AphC": 29, "A_SF": -1, "PhVphA": 2311, "PhVphB": 2302, "PhVphC": 2295, "V_SF": -1,
            "Hz": 5001, "Hz_SF": -2, "W": watts, "WphA": watts // 3, "W_SF": 1, "TotWhExp": exported, "TotWhImp": imported,
            "TotWh_SF": 1, "Evt": 0}


def module(i, watts, energy):
    return {"ID": i, "DCA": 10 * i, "DCV": 4000 + i, "DCW": watts, "DCWH": energy, "Tmp": 30, "DCSt": 4}


HYBRID = [
    model(1, COMMON),
    model(103, INVERTER),
    model(120, {"DERTyp": 82, "WRtg": 1000, "WRtg_SF": 1, "WHRtg": 1024, "WHRtg_SF": 1}),
    model(121, {"WMax": 800, "WMax_SF": 1}),
    model(122, {"PVConn": 7, "StorConn": 7, "ECPConn": 1, "ActWh": 99887766}),
    model(123, {"WMaxLimPct": 10000, "WMaxLimPct_SF": -2, "WMaxLim_Ena": 0, "Conn": 1}),
    model(124, {"WChaMax": 5120, "WChaMax_SF": 0, "StorCtl_Mod": 0, "ChaState": 6125, "ChaState_SF": -2, "OutWRte": -2500,
                "InWRte": 10000, "InOutWRte_SF": -2, "MinRsvPct": 500, "MinRsvPct_SF": -2, "ChaGriSet": 1}),
    model(160, {"DCA_SF": -2, "DCV_SF": -1, "DCW_SF": -1, "DCWH_SF": 0, "N": 4,
                "module": [module(1, 15210, 5000), module(2, None, 4000), module(3, 12800, 300), module(4, 0, 0)]}),
]
DER = [
    model(1, COMMON),
    model(701, {"ACType": 2, "St": 1, "InvSt": 3, "W": -412, "VA": 420, "Var": 12, "PF": 981, "A": 180, "LNV": 2301, "Hz": 59980,
                "TotWhInj": 5_000_000_123, "TotWhAbs": 6_000_000_456, "WL1": -140, "AL1": 60, "VL1": 2303, "WL3": -136, "VL3": 2299,
                "A_SF": -1, "V_SF": -1, "Hz_SF": -3, "W_SF": 1, "PF_SF": -3, "VA_SF": 1, "Var_SF": 1, "TotWh_SF": 0,
                "MnAlrmInfo": "none"}),
    model(702, {"WMaxRtg": 1000, "WChaRteMaxRtg": 500, "WDisChaRteMaxRtg": 450, "W_SF": 1}),
    model(704, {"WMaxLimPctEna": 0, "WMaxLimPct": 1000, "WMaxLimPct_SF": -1, "WSetEna": 0, "WSetMod": 1, "WSet": -1500, "WSet_SF": 0,
                "WSetRvrt": 0, "WSetRvrtTms": 60}, length=65),
    model(713, {"WHRtg": 1200, "WHAvail": 744, "SoC": 620, "SoH": 985, "Sta": 0, "WH_SF": 1, "Pct_SF": -1}),
    model(714, {"NPrt": 2, "DCA_SF": -1, "DCV_SF": -1, "DCW_SF": 0, "DCWH_SF": 0, "Tmp_SF": 0, "DCW": 2500,
                "Prt": [{"PrtTyp": 0, "ID": 1, "IDStr": "roof", "DCA": 62, "DCV": 4030, "DCW": 2500, "DCWhInj": 88_000_000_000},
                        {"PrtTyp": 1, "ID": 2, "IDStr": "battery", "DCA": -50, "DCV": 4000, "DCW": -2000, "DCWhAbs": 77}]}),
    model(715, {"LocRemCtl": 0, "DERHb": 70000, "ControllerHb": 5}),
    model(802, {"AHRtg": 100, "WHRtg": 1200, "WHRtg_SF": 1, "SoC": 61, "SoC_SF": 0, "V": 4021, "V_SF": -1, "A": -50, "A_SF": -1, "W": -200,
                "W_SF": 1, "LocRemCtl": 0, "CtrlHb": 4}),
    model(803, {"NStr": 2, "NStrCon": 2, "CellV_SF": -3, "ModTmp_SF": 0, "A_SF": -1, "SoC_SF": 0, "V_SF": -1, "ModTmpMax": 31,
                "ModTmpMin": 27, "string": [{"StrNMod": 3, "StrSoC": 60, "StrA": -25, "StrCellVMax": 3342, "StrCellVMin": 3311},
                                            {"StrNMod": 3, "StrSoC": 62, "StrA": -25, "StrCellVMax": 3340, "StrCellVMin": 3313}]}),
    model(804, {"Idx": 1, "NMod": 2, "SoC": 60, "SoC_SF": 0, "A": -25, "A_SF": -1, "CellV_SF": -3, "ModTmp_SF": 0, "CellVMax": 3342,
                "lithium_ion_string_module": [{"ModSoC": 59, "ModCellVMax": 3341, "ModCellTmpMax": 30},
                                              {"ModSoC": 61, "ModCellVMax": 3342, "ModCellTmpMax": 31}]}),
]
GOLDEN = {
    "hybrid": image(40000, HYBRID),
    # A common model of 65 registers, meters behind common models of their own, nothing after the last.
    "meters-behind": image(40000, [model(1, COMMON, 65), model(103, INVERTER), model(1, COMMON, 65), model(203, meter(-512, 90, 123456)),
                                   model(1, COMMON, 65), model(201, meter(77, 654321, 0))], end=False),
    "der": image(50000, DER),
    "floats": image(0, [model(1, COMMON),
                        model(113, {"A": 4.5, "W": 1234.5, "Hz": 49.99, "WH": 7654321.0, "PhVphA": 229.75, "St": 4}),
                        model(213, {"W": -321.25, "WphA": float("nan"), "Hz": 50.01, "TotWhImp": 1000.5, "TotWhExp": 2000.25})]),
}


def layout():
    known = [1, 101, 102, 103, 111, 112, 113, 120, 121, 122, 123, 124, 160, 201, 202, 203, 204, 211, 212, 213, 214, 701, 702, 703, 704,
             713, 714, 715, 802, 803, 804]
    for number in known:
        definition = device.get_model_def(number)["group"]
        show(number, definition, 0, "")


def show(number, definition, offset, prefix):
    for p in definition["points"]:
        print(number, prefix + p["name"], offset, p["type"], p["size"], p.get("sf", "-"), p.get("access", "R"),
              "M" if p.get("mandatory") == "M" else "-")
        offset += p["size"]
    for inner in definition.get("groups", []):
        repeated = inner.get("count", 1) != 1
        offset = show(number, inner, 0 if repeated else offset, "*" if repeated else inner["name"] + ".")
    return offset


if sys.argv[1:] == ["layout"]:
    layout()
elif sys.argv[1:] == ["write"]:
    folder = pathlib.Path(__file__).parent.parent / "golden" / "sunspec"
    for name, document in GOLDEN.items():
        (folder / f"{name}.json").write_text(json.dumps(document, sort_keys=True) + "\n")
else:
    print(json.dumps(GOLDEN, sort_keys=True))
