/*
 * One message on its way: protocol header and body, counted references. Made once where it comes
 * in, then shared by all queues it waits in; whoever holds a reference must not change it, unless
 * it is the only one. The bytes of all messages alive are counted, so that the service as a whole
 * stays bounded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct sp_message {
    uint32_t refs;
    uint32_t body_n;
    uint16_t header_n;    /* bytes of header, right before the body */
    uint16_t header_room; /* of which so many can be had */
    uint32_t source;      /* id of the pipe it came in by, 0: the service's own */
    uint32_t travelled;   /* forward.c: where from and how far; 0: published here */
    char bytes[];         /* header_room bytes, then the body */
};

/* With one reference, an empty header and room for header_room bytes of it. body.p NULL: to be
 * filled in by the caller. Aborts without memory; asks nobody whether there may be more. */
struct sp_message *sp_message_new(size_t header_room, struct slice body);
static inline struct sp_message *sp_message_ref(struct sp_message *m) {
    m->refs++;
    return m;
}
void sp_message_unref(struct sp_message *m); /* NULL is allowed */

static inline char *sp_message_body_p(struct sp_message *m) { return m->bytes + m->header_room; }
static inline struct slice sp_message_body(const struct sp_message *m) {
    return slice_from(m->bytes + m->header_room, m->body_n);
}
static inline struct slice sp_message_header(const struct sp_message *m) {
    return slice_from(m->bytes + m->header_room - m->header_n, m->header_n);
}
/* Header and body, as they stand on the wire. */
static inline struct slice sp_message_payload(const struct sp_message *m) {
    return slice_from(m->bytes + m->header_room - m->header_n, (size_t)m->header_n + m->body_n);
}
/* What a queue counts. */
static inline size_t sp_message_size(const struct sp_message *m) {
    return (size_t)m->header_n + m->body_n;
}

/* Words of the header (tag stack, hop count), big endian, the first one in front. Only for the sole
 * holder. push: false without room; pop and peek: false when the header is empty. */
bool sp_message_push(struct sp_message *m, uint32_t word);
bool sp_message_pop(struct sp_message *m, uint32_t *ret);
bool sp_message_peek(const struct sp_message *m, uint32_t *ret);
/* A copy of its own that may be changed, with that much room for a header; the reference is given
 * up. The same message when it is the only reference and has the room. */
struct sp_message *sp_message_own(struct sp_message *m, size_t header_room);

/* A reply: the message with the header of the other one. Takes over m's reference. */
struct sp_message *sp_message_copy_header(struct sp_message *m, const struct sp_message *from);

size_t sp_message_total_bytes(void); /* of all messages alive */
