/* Receiving through rings: all sources in turn, what is not subscribed to passed over. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

enum {
    LOOK_AT = 256, /* messages of one source that are passed over before it is another's turn */
    CONFLATED_MAX = 1000000,
    IN_A_ROW = 64, /* messages of one source that are given before it is another's turn */
};

/* ---- subscriptions ---- */

static int enter(struct subscriptions *t, const void *prefix, size_t n) {
    if (!t->trie && !(t->trie = sp_trie_new(0))) return -ENOMEM;
    int rc = sp_trie_add(t->trie, slice_from(prefix, n), 0);
    return rc;
}

/* What is compared first: everything, or the only prefix. */
static void choose(struct subscriptions *t, const void *prefix, size_t n) {
    t->n = sp_trie_subscriptions(t->trie);
    t->all = sp_trie_has(t->trie, slice_from("", 0), 0);
    free(t->only);
    t->only = NULL;
    if (t->n == 1 && !t->all && prefix && (t->only = malloc(n))) memcpy(t->only, prefix, n);
    t->only_n = n;
}

int subscriptions_add(struct subscriptions *t, const void *prefix, size_t n) {
    int rc = enter(t, prefix, n);
    if (rc < 0) return rc;
    if (rc != SP_TRIE_SAME) choose(t, prefix, n);
    return 0;
}

struct copy {
    char *p;
    size_t n;
};

static void remember(void *user, struct slice prefix) {
    struct copy *c = user;
    if (c->p || !(c->p = malloc(prefix.n + 1))) return;
    memcpy(c->p, prefix.p, prefix.n);
    c->n = prefix.n;
}

int subscriptions_remove(struct subscriptions *t, const void *prefix, size_t n) {
    struct copy left = {0};
    if (!t->trie) return 0;
    int rc = sp_trie_remove(t->trie, slice_from(prefix, n), 0);
    if (rc < 0) return rc;
    if (sp_trie_subscriptions(t->trie) == 1)
        sp_trie_below(t->trie, slice_from("", 0), remember, &left);
    choose(t, left.p, left.n);
    if (!left.p) {
        free(t->only);
        t->only = NULL;
    }
    free(left.p);
    return 0;
}

void subscriptions_done(struct subscriptions *t) {
    sp_trie_free(t->trie);
    free(t->only);
    *t = (struct subscriptions){0};
}

static bool is_subscribed(void *user, const unsigned char *bytes, size_t n) {
    const struct subscriptions *t = user;
    if (t->only) return n >= t->only_n && memcmp(bytes, t->only, t->only_n) == 0;
    return t->n && sp_trie_wants(t->trie, slice_from(bytes, n));
}

/* ---- rings ---- */

static void show(struct sp *s, struct peer *p) {
    uint64_t before = p->shown;
    p->shown = p->cursor.position;
    sp_side_show(s->side, p->own_slot, p->shown);
    if (p->bell >= 0 && sp_ring_wanted(&p->in, before, p->shown))
        bell_ring(p->bell, p->bell_empties);
}

static bool matters(const struct sp *s, const struct peer *p) {
    return p->has_in && (p->blocks || s->protocol->role != SP_SUB);
}

void ring_show(struct sp *s, bool all) {
    for (size_t i = 0; i < s->n_peers; i++) {
        struct peer *p = s->peers[i];
        if (!matters(s, p) || p->shown == p->cursor.position) continue;
        if (all || p->cursor.position - p->shown >= p->in.size / 8) show(s, p);
    }
}

bool ring_pending(const struct sp *s) {
    if (s->ahead || s->pending.first || s->bad) return true;
    for (size_t i = 0; i < s->n_peers; i++) {
        const struct peer *p = s->peers[i];
        if (p->has_in && sp_ring_pending(&p->in, &p->cursor)) return true;
    }
    return session_has_news(s);
}

/* Requests and replies bear the number of the request. False: a reply to an older one. */
static bool take_number(struct sp *s, struct peer *p, const unsigned char **bytes, size_t *n) {
    uint64_t number;
    if (s->protocol->role != SP_REQ && s->protocol->role != SP_REP) return true;
    if (*n < sizeof(number)) return false;
    memcpy(&number, *bytes, sizeof(number));
    *bytes += sizeof(number);
    *n -= sizeof(number);
    if (s->protocol->role == SP_REQ) return s->requesting && number == s->request;
    s->request = number;
    s->requesting = true;
    s->partner = p->id;
    return true;
}

/* Conflation: the newest so far, in memory of its own since the source's stage moves on. */
static int conflate(struct sp *s, const unsigned char *bytes, size_t n) {
    if (s->newest_room < n) {
        unsigned char *more = realloc(s->newest, n);
        if (!more) return -ENOMEM;
        s->newest = more;
        s->newest_room = n;
    }
    if (n) memcpy(s->newest, bytes, n);
    s->ahead = n ? s->newest : (const unsigned char *)"";
    s->ahead_n = n;
    return 0;
}

/* The next message of one peer. 1, 0 none, -errno: the peer is of no use any more. */
static int fetch_of(struct sp *s, struct peer *p) {
    sp_ring_wanted_fn *wanted =
        s->protocol->role == SP_SUB && !s->subscriptions.all ? is_subscribed : NULL;
    const unsigned char *bytes;
    uint32_t length;
    for (uint32_t i = 0;; i++) {
        int rc =
            sp_ring_next(&p->in, &p->cursor, wanted, &s->subscriptions, LOOK_AT, &bytes, &length);
        if (p->cursor.position - p->shown >= p->in.size / 8 && matters(s, p)) show(s, p);
        if (rc <= 0) return s->ahead ? 1 : rc;
        size_t n = length;
        if (!take_number(s, p, &bytes, &n)) continue;
        s->ahead_of = p;
        if (s->flags & SP_SESSION_CONFLATE) {
            rc = conflate(s, bytes, n);
            if (rc < 0) return rc;
            if (i < CONFLATED_MAX) continue;
        } else {
            s->ahead = bytes;
            s->ahead_n = n;
        }
        return 1;
    }
}

static int fetch_turn(struct sp *s) {
    for (size_t tried = 0; tried < s->n_peers; tried++) {
        if (s->in_a_row >= IN_A_ROW || s->turn_in >= s->n_peers) {
            s->in_a_row = 0;
            s->turn_in = s->turn_in + 1 >= s->n_peers ? 0 : s->turn_in + 1;
        }
        struct peer *p = s->peers[s->turn_in];
        int rc = p->has_in ? fetch_of(s, p) : 0;
        if (rc == 1) {
            s->in_a_row++;
            return 1;
        }
        if (rc < 0) {
            s->bad++;
            session_complain(s, p->id);
        }
        if (rc < 0 || (p->ended && p->has_in && !sp_ring_pending(&p->in, &p->cursor))) {
            peers_drop(s, s->turn_in);
            return rc < 0 ? 0 : -EAGAIN;
        }
        s->in_a_row = IN_A_ROW;
    }
    return 0;
}

static bool fetch_pending(struct sp *s) {
    const struct pending *p = s->pending.first;
    if (!p) return false;
    s->ahead = p->bytes;
    s->ahead_n = p->n;
    s->ahead_of = NULL;
    return true;
}

static bool too_late(const struct sp *s) {
    if (!(s->flags & SP_SESSION_DISCONNECT)) return false;
    for (size_t i = 0; i < s->n_peers; i++)
        if (s->peers[i]->cursor.lost) return true;
    return false;
}

int ring_fetch(struct sp *s) {
    if (s->ahead) return 1;
    if (s->broken) return -ECONNRESET;
    int rc = session_listen(s, false);
    if (rc < 0) return rc;
    if (fetch_pending(s)) return 1;
    while ((rc = fetch_turn(s)) == -EAGAIN) {
    }
    if (rc == 1 && too_late(s)) {
        s->ahead = NULL;
        s->broken = true;
        return -ECONNRESET;
    }
    if (rc == 0 && s->bad) {
        s->bad--;
        return -EBADMSG;
    }
    return rc;
}

size_t ring_take(struct sp *s, void *buffer, size_t n) {
    size_t length = s->ahead_n;
    memcpy(buffer, s->ahead, length < n ? length : n);
    s->ahead = NULL;
    if (s->protocol->role == SP_REQ) s->requesting = false;
    if (s->ahead_of) {
        s->ahead_of = NULL;
        return length;
    }
    pending_drop(&s->pending);
    return length;
}
