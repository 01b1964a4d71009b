/* Atoll's side of row 13: libatoll-sp. */
#include <atoll/sp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sp_side.h"

enum { MANY = 64, ROOM = 65536 };

struct side {
    struct sp *s;
    int ms;
    struct iovec v[MANY];
    size_t at, n; /* received and not given yet */
    unsigned char *room;
};

struct side *side_open(const char *role, const char *address) {
    struct side *s = calloc(1, sizeof(*s));
    s->s = s ? sp_open(address, role) : NULL;
    if (!s->s) side_die("%s at %s: %s", role, address, strerror(errno));
    if (strcmp(role, "sub") == 0 && sp_subscribe(s->s, "", 0) < 0)
        side_die("subscribe: %s", strerror(errno));
    s->room = malloc((size_t)MANY * ROOM);
    s->ms = -1;
    return s;
}

void side_send(struct side *s, const void *p, size_t n) {
    if (sp_send(s->s, p, n, 0) < 0) side_die("send: %s", strerror(errno));
}

void side_send_many(struct side *s, const void *p, size_t n, size_t count) {
    struct iovec v[MANY];
    for (size_t i = 0; i < count; i++) v[i] = (struct iovec){(char *)p + i * n, n};
    for (size_t sent = 0; sent < count;) {
        ssize_t rc = sp_sendv(s->s, v + sent, count - sent, 0);
        if (rc < 0) side_die("send: %s", strerror(errno));
        sent += (size_t)rc;
    }
}

void side_flush(struct side *s) { (void)s; }

long side_receive(struct side *s, void *p, size_t n, int ms) {
    if (s->at == s->n) {
        if (ms != s->ms) sp_timeout(s->s, -1, s->ms = ms);
        for (size_t i = 0; i < MANY; i++) s->v[i] = (struct iovec){s->room + i * ROOM, ROOM};
        ssize_t rc = sp_recvv(s->s, s->v, MANY, 0);
        if (rc < 0 && errno != ETIMEDOUT) side_die("receive: %s", strerror(errno));
        if (rc < 0) return -1;
        s->at = 0;
        s->n = (size_t)rc;
    }
    const struct iovec *v = &s->v[s->at++];
    memcpy(p, v->iov_base, v->iov_len < n ? v->iov_len : n);
    return (long)v->iov_len;
}

uint64_t side_lost(struct side *s) { return sp_lost(s->s); }

void side_close(struct side *s) { sp_close(s->s); }
