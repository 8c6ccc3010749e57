/* The limit: blocking Modbus TCP reads with nothing but write and read. usage: pingpong PORT REGISTERS REQUESTS
   -> prints seconds of CPU and of the clock. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int registers = atoi(argv[2]), requests = atoi(argv[3]), on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (struct sockaddr *)&a, sizeof a)) return perror("connect"), 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (int i = 0; i < requests; i++) {
    unsigned char out[12] = {i >> 8, i, 0, 0, 0, 6, 1, 3, 0, 0, 0, registers}, in[300];
    int want = 9 + 2 * registers, have = 0;
    if (write(fd, out, 12) != 12) return 1;
    while (have < want) {
      ssize_t n = read(fd, in + have, sizeof in - have);
      if (n <= 0) return 1;
      have += n;
    }
    if (memcmp(in, out, 2)) return 1;
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  double cpu = u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
  printf("%f %f\n", cpu, to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9);
}
