/* What the files of LIST share: list.c (entry, forms, sending), list_collect.c (which objects). */
#pragma once

#include "proto/json_indent.h"
#include "server/media/table.h"
#include "server/verbs/select.h"

struct list {
    struct call *c;                            /* NULL: the client has gone away */
    void (*found)(struct list *l, void *user); /* instead of sending, which is list_send's then */
    void *user;
    struct selection select;
    struct arena *scratch;
    VEC(struct object *) items;
    size_t sent;
    struct json_indent indent; /* of what was sent, when that is wanted */
    uint64_t limit;            /* 0 = all */
    struct list_meta meta;
    bool more; /* there are objects past the limit */
    enum list_state { LIST_COLLECTS, LIST_MEASURES, LIST_STREAMS } state;
    bool ready;                  /* waits for its part of a turn */
    struct key_snapshot from;    /* what is still to be looked at */
    size_t measured, item_bytes; /* protobuf: how many items were measured, and their sum */
    VEC(uint32_t) sizes;         /* of the items' messages, but for those that know it */
    struct buf after;            /* store key after which the next range begins */
    size_t range_rows;
};

/* From the cache, as it is now. Takes more than one turn of the loop when it has to look long. */
void list_collect(struct list *l, struct slice start);
/* Looks at some objects; true when all have been looked at. */
bool list_collect_some(struct list *l);
/* From the store's log, at an older revision. */
void list_collect_log(struct list *l, struct slice start);

/* All items are there. */
void list_found(struct list *l);
void list_send(struct list *l);
/* The next step comes when its turn has come. */
void list_wait(struct list *l);
/* Collects what the request asks for; then found, or when that is NULL the list is sent. */
void list_begin(struct call *c, void (*found)(struct list *l, void *user), void *user);
/* Also of many items at once: they are let go of in pieces. */
void list_free(struct list *l);
