"""Serves one device map behind pymodbus: registers from JSON on the command line, [[table, address, [words…]], …]."""

import asyncio
import json
import sys

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


async def main():
    port, unit, spans = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    tables = {"holding": [], "input": []}
    for table, address, words in spans:
        tables[table].append(SimData(address, values=words, datatype=DataType.REGISTERS))
    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    empty = [SimData(65000, values=[0], datatype=DataType.REGISTERS)]
    data = (bits, bits, tables["holding"] or empty, tables["input"] or empty)
    server = ModbusTcpServer(SimDevice(unit, simdata=data), address=("127.0.0.1", port))
    task = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0.5)
    print("listening", flush=True)
    await task


asyncio.run(main())
