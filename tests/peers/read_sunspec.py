"""Discovers a SunSpec device with pysunspec2 and prints what it found as JSON: models in order, and values by model and point."""

import json
import sys

import sunspec2.modbus.client as client

device = client.SunSpecModbusClientDeviceTCP(slave_id=int(sys.argv[2]), ipaddr="127.0.0.1", ipport=int(sys.argv[1]), timeout=5)
device.scan()
found = {"models": [m for m in device.models if isinstance(m, int)], "values": {}}
for number in found["models"]:
    model = device.models[number][0]
    values = {name: point.cvalue for name, point in model.points.items() if point.cvalue is not None}
    for group in model.groups.values():
        for i, part in enumerate(group if isinstance(group, list) else [group]):
            for name, point in part.points.items():
                if point.cvalue is not None:
                    values[f"{part.gname}[{i + 1}].{name}"] = point.cvalue
    found["values"][str(number)] = values
if len(sys.argv) > 3:
    # Forces charging at 20 % for a minute, as a foreign master would.
    storage = device.models[124][0]
    storage.read()
    storage.OutWRte.cvalue = -20
    storage.InWRte.cvalue = 100
    storage.InOutWRte_RvrtTms.cvalue = 60
    storage.StorCtl_Mod.cvalue = 2
    storage.write()
device.close()
print(json.dumps(found))
