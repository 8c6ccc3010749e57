/* The same reads through libmodbus. usage: libmodbus PORT REGISTERS REQUESTS -> prints seconds of CPU and of the clock. */
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int registers = atoi(argv[2]), requests = atoi(argv[3]);
  modbus_t *m = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
  uint16_t in[125];
  if (!m || modbus_connect(m)) return 1;
  modbus_set_slave(m, 1);
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (int i = 0; i < requests; i++)
    if (modbus_read_registers(m, 0, registers, in) != registers) return 1;
  clock_gettime(CLOCK_MONOTONIC, &to);
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  double cpu = u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
  printf("%f %f\n", cpu, to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9);
}
