"""Commands a SunSpec device through pysunspec2. Arguments: port, unit, then steps in order:
limit=PCT,SECONDS (123) · rates=OUT,IN,MODE,SECONDS (124) · wset=WATTS,REVERSION_WATTS,SECONDS (704) · wait=SECONDS · until=MODEL.POINT,VALUE (at most 60 s) ·
show=MODEL.POINT,… (MODEL.i.POINT for the i-th module of 160), which prints the values as one line of JSON."""

import json
import sys
import time

import sunspec2.modbus.client as client

device = client.SunSpecModbusClientDeviceTCP(slave_id=int(sys.argv[2]), ipaddr="127.0.0.1", ipport=int(sys.argv[1]), timeout=5)
device.scan()


def model(number):
    found = device.models[int(number)][0]
    found.read()
    return found


def limit(pct, seconds):
    m = model(123)
    m.WMaxLimPct.cvalue, m.WMaxLimPct_RvrtTms.cvalue, m.WMaxLim_Ena.cvalue = float(pct), int(seconds), 1
    m.write()


def rates(out, into, mode, seconds):
    m = model(124)
    m.OutWRte.cvalue, m.InWRte.cvalue, m.InOutWRte_RvrtTms.cvalue = float(out), float(into), int(seconds)
    m.StorCtl_Mod.cvalue = int(mode)
    m.write()


def wset(watts, reversion, seconds):
    m = model(704)
    m.WSetEna.cvalue, m.WSetMod.cvalue, m.WSet.cvalue = 1, 1, float(watts)
    m.WSetRvrt.cvalue, m.WSetEnaRvrt.cvalue, m.WSetRvrtTms.cvalue = float(reversion), 1, int(seconds)
    m.write()


def shown(path):
    parts = path.split(".")
    m = model(parts[0])
    if len(parts) == 3:
        return m.groups["module"][int(parts[1]) - 1].points[parts[2]].cvalue
    return m.points[parts[1]].cvalue


def show(*paths):
    print(json.dumps({p: shown(p) for p in paths}), flush=True)


def wait(seconds):
    time.sleep(float(seconds))


def until(path, value):
    end = time.monotonic() + 60
    while time.monotonic() < end and shown(path) != float(value):
        time.sleep(0.2)


for step in sys.argv[3:]:
    name, _, values = step.partition("=")
    {"limit": limit, "rates": rates, "wset": wset, "wait": wait, "until": until, "show": show}[name](*values.split(","))
device.close()
