/*
 * Sends datagrams at a given rate and counts what comes back. In C because a flood worth the name takes Node a core of its
 * own, and the server needs that.
 *
 *     hose PORT RATE SECONDS KIND SOURCES SEED
 *
 * KIND: hello, junk (an envelope of 4 kB, well-shaped, of no key), noise (anything, never a hello).
 * SOURCES: how many addresses the datagrams seem to come from: 1, or that many of 127.0.0.0/8 from 127.128.0.0 on. They are
 * all this machine's, so IP_PKTINFO may name them, and answers arrive here; no privilege is needed.
 *
 * Each source uses 64 ports.
 *
 * Listens on for three seconds after the last datagram, and prints JSON: what was sent, what came back, the most for one
 * source, and how much of it in the last two seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 32, PORTS = 64, FIRST_SOURCE = 0x7f800000, JUNK_BYTES = 4069, JUNK_DATA = 3984, MAX_NOISE = 1400 };

static uint64_t state;

static uint32_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state >> 32;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static int letters(char *at, int count) {
  for (int i = 0; i < count; i++) at[i] = 'A' + draw() % 26;
  return count;
}

static int make(const char *kind, char *buffer) {
  if (!strcmp(kind, "hello")) {
    memcpy(buffer, "/GETID", 6);
    return 6;
  }
  if (!strcmp(kind, "junk")) {
    /* The letters of data stay from datagram to datagram: making new ones would be what limits the rate. */
    if (!buffer[0]) {
      int length = sprintf(buffer, "{'hash': b'");
      length += letters(buffer + length, 32);
      length += sprintf(buffer + length, "', 'data': b'");
      length += letters(buffer + length, JUNK_DATA);
      length += sprintf(buffer + length, "', 'iv': b'");
      length += letters(buffer + length, 16);
      sprintf(buffer + length, "'}");
    }
    letters(buffer + 11, 32);
    return JUNK_BYTES;
  }
  int length = 1 + draw() % MAX_NOISE;
  for (int i = 0; i < length; i += 4) {
    uint32_t random = draw();
    memcpy(buffer + i, &random, 4);
  }
  if (length == 6) buffer[0] = '!';
  return length;
}

static uint64_t returned, returned_bytes, late;
static uint32_t *of_source, most;

static void drain(const int *handles, uint32_t sources, int is_late) {
  static unsigned turn;
  int socket = handles[turn++ % PORTS];
  static char buffers[BATCH][256], controls[BATCH][64];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  for (;;) {
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){buffers[i], sizeof buffers[i]};
      messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1, .msg_control = controls[i],
                                            .msg_controllen = sizeof controls[i]};
    }
    int count = recvmmsg(socket, messages, BATCH, MSG_DONTWAIT, NULL);
    if (count <= 0) return;
    for (int i = 0; i < count; i++) {
      returned++;
      returned_bytes += messages[i].msg_len;
      late += is_late;
      struct cmsghdr *header = CMSG_FIRSTHDR(&messages[i].msg_hdr);
      if (!header) continue;
      struct in_pktinfo info;
      memcpy(&info, CMSG_DATA(header), sizeof info);
      uint32_t source = ntohl(info.ipi_addr.s_addr) - FIRST_SOURCE;
      if (source < sources && ++of_source[source] > most) most = of_source[source];
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: hose PORT RATE SECONDS KIND SOURCES SEED\n");
    return 2;
  }
  double rate = atof(argv[2]), seconds = atof(argv[3]);
  const char *kind = argv[4];
  uint32_t sources = strtoul(argv[5], NULL, 10);
  state = 0x9e3779b97f4a7c15u ^ strtoull(argv[6], NULL, 10);
  of_source = calloc(sources, sizeof *of_source);

  int handles[PORTS], one = 1, size = 4 << 20;
  struct sockaddr_in any = {.sin_family = AF_INET};
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (int i = 0; i < PORTS; i++) {
    handles[i] = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(handles[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(handles[i], IPPROTO_IP, IP_PKTINFO, &one, sizeof one);
    if (bind(handles[i], (struct sockaddr *)&any, sizeof any)) {
      perror("bind");
      return 1;
    }
  }

  static char buffers[BATCH][JUNK_BYTES + 64];
  static union {
    char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct cmsghdr header;
  } controls[BATCH];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  uint64_t sent = 0, refused = 0;
  unsigned turn = 0;
  double began = now(), elapsed;
  while ((elapsed = now() - began) < seconds) {
    int64_t due = elapsed * rate - sent - refused;
    if (due <= 0) {
      drain(handles, sources, 0);
      nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
      continue;
    }
    int count = due < BATCH ? due : BATCH;
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < count; i++) {
      parts[i] = (struct iovec){buffers[i], make(kind, buffers[i])};
      struct msghdr *message = &messages[i].msg_hdr;
      *message = (struct msghdr){.msg_name = &server, .msg_namelen = sizeof server, .msg_iov = &parts[i],
                                 .msg_iovlen = 1, .msg_control = &controls[i], .msg_controllen = sizeof controls[i]};
      struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(FIRST_SOURCE + (sources > 1 ? draw() % sources : 0))};
      struct cmsghdr *header = CMSG_FIRSTHDR(message);
      header->cmsg_level = IPPROTO_IP;
      header->cmsg_type = IP_PKTINFO;
      header->cmsg_len = CMSG_LEN(sizeof info);
      memcpy(CMSG_DATA(header), &info, sizeof info);
    }
    int done = sendmmsg(handles[turn++ % PORTS], messages, count, 0);
    if (done < 0) {
      refused += count;
    } else {
      sent += done;
    }
    drain(handles, sources, 0);
  }
  double ended = now();
  while (now() - ended < 3) {
    for (int i = 0; i < PORTS; i++) drain(handles, sources, now() - ended > 1);
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  printf("{\"sent\":%llu,\"refused\":%llu,\"seconds\":%.3f,\"returned\":%llu,\"returnedBytes\":%llu,\"mostForOneSource\":%u,"
         "\"late\":%llu}\n",
         (unsigned long long)sent, (unsigned long long)refused, ended - began, (unsigned long long)returned,
         (unsigned long long)returned_bytes, most, (unsigned long long)late);
  return 0;
}
