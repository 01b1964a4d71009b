/*
 * Private to the forwarding protocol: numbers and names in frames, and the greeting of both sides.
 */
#pragma once

#include "proto/sp/forward.h"

enum { SP_FORWARD_CREDIT_MAX = 1 << 20 };

enum forward_kind { HELLO = 1, NODES, SNAPSHOT, END, SUBSCRIBE, UNSUBSCRIBE, ACK, MESSAGE };

/* Big endian, as all of SP; texts have a length of one byte. */
void forward_put(struct buf *b, uint64_t v, unsigned n_bytes);
void forward_put_text(struct buf *b, struct slice s);

struct forward_reader {
    struct slice left;
    bool bad; /* something was missing; sticky */
};
uint64_t forward_get(struct forward_reader *r, unsigned n_bytes);
struct slice forward_get_text(struct forward_reader *r);

int forward_broken(struct err *err, const char *what); /* -EBADMSG */

struct forward_hello {
    uint64_t id;
    uint32_t subscriptions_max, credit;
    struct slice name, topology;
};
void forward_hello_write(struct buf *b, const struct sp_forward_self *self, bool up);
/* up: of the side that the peer must have. */
int forward_hello_read(struct forward_reader *r, bool up, struct forward_hello *ret,
                       struct err *err);
