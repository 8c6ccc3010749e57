"""pymodbus as an Eastron meter, unit 1: `serial PORT` on a serial line at 9600 baud, or `tls FOLDER PORT` behind TLS that wants a
certificate from its client (FOLDER holds server.pem, server.key and ca.pem)."""

import asyncio
import ssl
import struct
import sys

from pymodbus.server import StartAsyncSerialServer, StartAsyncTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

VALUES = [(0, 231.5), (2, 230.9), (4, 232.2), (6, 1.8), (8, 1.8), (10, 1.9), (12, 400), (14, 400), (16, 434), (52, 1234), (70, 49.98)]

words = [0] * 400
for addr, value in VALUES:
    words[addr:addr + 2] = struct.unpack(">HH", struct.pack(">f", value))


async def main():
    device = SimDevice(id=1, simdata=[SimData(address=0, values=words, datatype=DataType.REGISTERS)])
    if sys.argv[1] == "serial":
        return await StartAsyncSerialServer(device, port=sys.argv[2], baudrate=9600)
    folder, port = sys.argv[2], int(sys.argv[3])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
    context.load_verify_locations(folder + "/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    await StartAsyncTlsServer(device, address=("127.0.0.1", port), sslctx=context)


asyncio.run(main())
