/*
 * Sides of row 13 whose server speaks text on a stream: nats-server (tcp) and redis (unix). The
 * address is HOST:PORT or a path; which of both it is says the first letter of BENCH_TEXT (n or r).
 * Requests go as messages to one subject or channel, replies to another.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sp_side.h"

enum { ROOM = 1 << 20 };

struct side {
    int fd;
    bool redis;
    const char *to;
    char out[ROOM], in[ROOM];
    size_t out_n, from, n;
};

static void write_all(struct side *s) {
    for (size_t at = 0; at < s->out_n;) {
        ssize_t n = send(s->fd, s->out + at, s->out_n - at, MSG_NOSIGNAL);
        if (n < 0) side_die("send: %s", strerror(errno));
        at += (size_t)n;
    }
    s->out_n = 0;
}

static int dial(const char *address) {
    struct sockaddr_un u = {.sun_family = AF_UNIX};
    struct sockaddr_in i = {.sin_family = AF_INET};
    bool path = *address == '/';
    int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(u.sun_path, sizeof(u.sun_path), "%s", address);
    const char *colon = strchr(address, ':');
    char host[64];
    snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - address) : 0, address);
    inet_pton(AF_INET, host, &i.sin_addr);
    i.sin_port = htons((uint16_t)strtoul(colon ? colon + 1 : "0", NULL, 10));
    int rc = path ? connect(fd, (struct sockaddr *)&u, sizeof(u))
                  : connect(fd, (struct sockaddr *)&i, sizeof(i));
    if (rc < 0) side_die("%s: %s", address, strerror(errno));
    return fd;
}

/* More input behind what is there. False: none within ms. */
static bool more(struct side *s, int ms) {
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    memmove(s->in, s->in + s->from, s->n -= s->from);
    s->from = 0;
    if (poll(&p, 1, ms) <= 0) return false;
    ssize_t n = read(s->fd, s->in + s->n, ROOM - s->n);
    if (n <= 0) side_die("the server has closed");
    s->n += (size_t)n;
    return true;
}

/* The next line without CR LF; NULL: none within ms. */
static char *line(struct side *s, int ms, size_t *ret_end) {
    for (;;) {
        char *start = s->in + s->from, *end = memchr(start, '\n', s->n - s->from);
        if (end) {
            end[-1] = 0;
            *ret_end = (size_t)(end + 1 - s->in);
            return start;
        }
        if (!more(s, ms)) return NULL;
    }
}

static void take_line(struct side *s, const char *begins) {
    size_t end;
    const char *l = line(s, 5000, &end);
    if (!l || strncmp(l, begins, strlen(begins)) != 0) side_die("the server says %s", l ? l : "-");
    s->from = end;
}

struct side *side_open(const char *role, const char *address) {
    struct side *s = calloc(1, sizeof(*s));
    const char *kind = getenv("BENCH_TEXT"), *from = NULL;
    if (!s || !kind) side_die("BENCH_TEXT is not set");
    s->redis = *kind == 'r';
    s->fd = dial(address);
    s->to = strcmp(role, "rep") == 0 ? "answer" : strcmp(role, "req") == 0 ? "ask" : "news";
    if (strcmp(role, "sub") == 0) from = "news";
    if (strcmp(role, "rep") == 0) from = "ask";
    if (strcmp(role, "req") == 0) from = "answer";
    if (!s->redis) {
        take_line(s, "INFO");
        s->out_n = (size_t)snprintf(s->out, ROOM, "CONNECT {\"verbose\":false}\r\n");
        if (from) s->out_n += (size_t)snprintf(s->out + s->out_n, 100, "SUB %s 1\r\n", from);
        s->out_n += (size_t)snprintf(s->out + s->out_n, 100, "PING\r\n");
        write_all(s);
        take_line(s, "PONG");
    } else if (from) { /* RESP 3 lets one connection subscribe and publish */
        s->out_n = (size_t)snprintf(s->out, ROOM, "HELLO 3\r\nSUBSCRIBE %s\r\n", from);
        write_all(s);
        size_t end;
        for (const char *l; (l = line(s, 5000, &end)); s->from = end)
            if (strcmp(l, ":1") == 0) break;
        s->from = end;
    }
    return s;
}

void side_send(struct side *s, const void *p, size_t n) {
    if (s->out_n + n + 200 > ROOM) write_all(s);
    char *at = s->out + s->out_n;
    int head = s->redis ? snprintf(at, 200, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n",
                                   strlen(s->to), s->to, n)
                        : snprintf(at, 200, "PUB %s %zu\r\n", s->to, n);
    memcpy(at + head, p, n);
    memcpy(at + head + n, "\r\n", 2);
    s->out_n += (size_t)head + n + 2;
}

/* A publisher of redis is told how many have got each message. */
static void drain(struct side *s) {
    while (recv(s->fd, s->in, ROOM, MSG_DONTWAIT) > 0) {
    }
}

void side_send_many(struct side *s, const void *p, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++) side_send(s, (const char *)p + i * n, n);
    write_all(s);
    if (s->redis) drain(s);
}

void side_flush(struct side *s) { write_all(s); }

static long take_bytes(struct side *s, void *p, size_t room, size_t n, int ms) {
    while (s->n - s->from < n + 2)
        if (!more(s, ms)) return -1;
    memcpy(p, s->in + s->from, n < room ? n : room);
    s->from += n + 2;
    return (long)n;
}

/* NATS: MSG subject id bytes; redis: >3, $7 message, $n channel, $n bytes; :n answers a publish. */
long side_receive(struct side *s, void *p, size_t n, int ms) {
    size_t end;
    char *l;
    while ((l = line(s, ms, &end))) {
        s->from = end;
        if (!s->redis && strncmp(l, "MSG ", 4) == 0)
            return take_bytes(s, p, n, strtoul(strrchr(l, ' ') + 1, NULL, 10), ms);
        if (!s->redis && strcmp(l, "PING") == 0) {
            s->out_n = (size_t)snprintf(s->out, ROOM, "PONG\r\n");
            write_all(s);
        }
        if (!s->redis || strcmp(l, "message") != 0) continue;
        if (!line(s, ms, &end)) return -1;
        s->from = end;
        if (!line(s, ms, &end)) return -1;
        s->from = end;
        if (!(l = line(s, ms, &end))) return -1;
        s->from = end;
        return take_bytes(s, p, n, strtoul(l + 1, NULL, 10), ms);
    }
    return -1;
}

uint64_t side_lost(struct side *s) {
    (void)s;
    return 0;
}

void side_close(struct side *s) {
    write_all(s);
    shutdown(s->fd, SHUT_WR);
    for (struct pollfd p = {.fd = s->fd, .events = POLLIN}; poll(&p, 1, 10000) > 0;)
        if (read(s->fd, s->in, ROOM) <= 0) break;
    close(s->fd);
    free(s);
}
