/*
 * For tests of handlers: an api with its cache, a link to a store that keeps what is written and
 * refuses what is out of date, and requests that nothing carries. No authentication, no plugins but
 * those that a test links.
 *
 *   struct fixture f;
 *   fixture_open(&f);
 *   fixture_put(&f, "pods", "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\"}}");
 *   assert_int_equal(ask(&f, scale_handle, &(struct asked){.plural = "pods", …}), 200);
 *   … f.answer.p …
 *   fixture_done(&f);
 */
#pragma once

#include "base/map.h"
#include "server/api.h"

struct ipc_listener;

struct fixture {
    struct api api;
    struct loop *loop;
    struct ipc_listener *listener;
    struct ipc *store; /* the store's end of the connection */
    int fd;
    char dir[64], path[96];
    struct map revisions; /* by store key; the value is the number itself */
    uint64_t revision;
    unsigned writes;  /* that the store has taken */
    unsigned refused; /* that it has not */
    /* Called once, when the next write arrives: somebody else is faster. */
    void (*meanwhile)(struct fixture *f);
    bool synced;
    struct buf answer; /* the last one's body, with a NUL */
    struct arena *arena;
};

struct asked {
    const char *verb, *group, *plural, *ns, *name, *subresource; /* NULL: "", of verb "get" */
    const char *query;                                           /* "limit=1&…" */
    const char *body;
    const char *content_type; /* NULL: JSON */
    const char *path;         /* NULL: "/" */
};

void fixture_open(struct fixture *f);
void fixture_done(struct fixture *f);
/* An object of the newest version is there, as somebody else wrote it. Kinds are found by plural
 * and group ("poddisruptionbudgets.policy"); the object gets a uid when it has none. */
void fixture_put(struct fixture *f, const char *resource, const char *json);
/* The same from within meanwhile(): it is in the cache when the write is answered. */
void fixture_change(struct fixture *f, const char *resource, const char *json);
/* The object in the cache, decoded; NULL: there is none. */
const void *fixture_get(struct fixture *f, const char *resource, const char *ns, const char *name);

typedef void handler_fn(struct call *c);
/* The status of the answer; its body is f->answer. Waits for it. */
int ask(struct fixture *f, handler_fn *fn, const struct asked *q);
/* Without waiting: the status is stored when the answer comes (0 before). */
void ask_begin(struct fixture *f, handler_fn *fn, const struct asked *q, int *ret_status);
void ask_wait(struct fixture *f, const int *status);
/* Fails the test when the last answer does not contain this text. */
void assert_answer(const struct fixture *f, const char *text);
