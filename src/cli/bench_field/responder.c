/* The far end of `madang bench field`: answers Modbus TCP reads (functions 3 and 4) with zeros, on N loopback addresses.
   usage: responder COUNT  -> prints the port, then serves until its standard input closes. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 300
struct end { int fd, listens, have; unsigned char in[ROOM]; };

static int listen_on(uint32_t host, uint16_t *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(*port)};
  socklen_t len = sizeof a;
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  a.sin_addr.s_addr = htonl(host);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64)) return -1;
  getsockname(fd, (struct sockaddr *)&a, &len);
  *port = ntohs(a.sin_port);
  return fd;
}

static void watch(int poll, int fd, int listens) {
  struct end *e = calloc(1, sizeof *e);
  struct epoll_event v = {.events = EPOLLIN, .data.ptr = e};
  e->fd = fd, e->listens = listens;
  epoll_ctl(poll, EPOLL_CTL_ADD, fd, &v);
}

/* Answers whole requests; 0 when the other side is done. */
static int serve(struct end *e) {
  ssize_t n = read(e->fd, e->in + e->have, ROOM - e->have);
  if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
  e->have += n;
  while (e->have >= 12) {
    unsigned char out[ROOM] = {0};
    int whole = 6 + (e->in[4] << 8 | e->in[5]), bytes = 2 * (e->in[10] << 8 | e->in[11]);
    if (whole != 12 || bytes > 250) return 0;
    memcpy(out, e->in, 8);
    out[4] = 0, out[5] = 3 + bytes, out[8] = bytes;
    if (write(e->fd, out, 9 + bytes) != 9 + bytes) return 0;
    e->have -= whole;
    memmove(e->in, e->in + whole, e->have);
  }
  return 1;
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 1, poll = epoll_create1(0);
  uint16_t port = 0;
  struct rlimit r;
  getrlimit(RLIMIT_NOFILE, &r);
  r.rlim_cur = r.rlim_max;
  setrlimit(RLIMIT_NOFILE, &r);
  for (int i = 0; i < count; i++) {
    int fd = listen_on(0x7F000001u + i, &port);
    if (fd < 0) return perror("listen"), 1;
    watch(poll, fd, 1);
  }
  watch(poll, 0, 2);
  printf("%d\n", port);
  fflush(stdout);
  for (;;) {
    struct epoll_event v[64];
    int n = epoll_wait(poll, v, 64, -1);
    for (int i = 0; i < n; i++) {
      struct end *e = v[i].data.ptr;
      if (e->listens == 2) return 0;
      if (e->listens == 1) {
        int on = 1, fd = accept4(e->fd, 0, 0, SOCK_NONBLOCK);
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(poll, fd, 0);
      } else if (!serve(e)) {
        close(e->fd);
        free(e);
      }
    }
  }
}
