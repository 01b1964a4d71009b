/*
 * Typed binary messages between services: little-endian integers, byte strings with a u32 length. A
 * reader has a sticky error: after a short or oversized read every further read gives zero, and
 * unpack_end() — which each decoder must call — says whether all of it was well-formed and used up.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

void pack_u8(struct buf *b, uint8_t v);
void pack_u16(struct buf *b, uint16_t v);
void pack_u32(struct buf *b, uint32_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_i64(struct buf *b, int64_t v);
void pack_bool(struct buf *b, bool v);
void pack_slice(struct buf *b, struct slice s);
void pack_str(struct buf *b, const char *s); /* NULL is written as "" */

struct unpack {
    struct slice left;
    bool bad;
};

static inline struct unpack unpack_init(struct slice s) { return (struct unpack){s, false}; }
uint8_t unpack_u8(struct unpack *u);
uint16_t unpack_u16(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
int64_t unpack_i64(struct unpack *u);
bool unpack_bool(struct unpack *u);          /* bad unless 0 or 1 */
struct slice unpack_slice(struct unpack *u); /* borrowed from the message */
const char *unpack_str(struct unpack *u,
                       struct arena *a); /* copied; bad when it holds a NUL; never NULL */
int unpack_end(struct unpack *u);        /* 0, or -EBADMSG */
