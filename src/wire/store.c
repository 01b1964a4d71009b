#include "wire/store.h"

void store_write_pack(struct buf *b, const struct store_write *w) {
    buf_reserve(b, w->key.n + w->value.n + 32);
    pack_u8(b, w->op);
    pack_slice(b, w->key);
    pack_u64(b, w->expected_revision);
    pack_u32(b, w->rv_offset);
    pack_slice(b, w->value);
}

int store_write_unpack(struct slice s, struct store_write *ret) {
    struct unpack u = unpack_init(s);
    struct store_write w = {.op = unpack_u8(&u)};
    w.key = unpack_slice(&u);
    w.expected_revision = unpack_u64(&u);
    w.rv_offset = unpack_u32(&u);
    w.value = unpack_slice(&u);
    int r = unpack_end(&u);
    if (r == 0) *ret = w;
    return r;
}

void store_event_pack(struct buf *b, const struct store_event *e) {
    pack_u8(b, e->op);
    pack_u64(b, e->revision);
    pack_u64(b, e->prev_revision);
    pack_slice(b, e->key);
    pack_slice(b, e->value);
}

int store_event_unpack(struct slice s, struct store_event *ret) {
    struct unpack u = unpack_init(s);
    struct store_event e = {.op = unpack_u8(&u)};
    e.revision = unpack_u64(&u);
    e.prev_revision = unpack_u64(&u);
    e.key = unpack_slice(&u);
    e.value = unpack_slice(&u);
    int r = unpack_end(&u);
    if (r == 0) *ret = e;
    return r;
}

void store_range_pack(struct buf *b, const struct store_range *r) {
    pack_slice(b, r->prefix);
    pack_slice(b, r->after);
    pack_u64(b, r->revision);
    pack_u32(b, r->limit);
}

int store_range_unpack(struct slice s, struct store_range *ret) {
    struct unpack u = unpack_init(s);
    struct store_range q = {.prefix = unpack_slice(&u)};
    q.after = unpack_slice(&u);
    q.revision = unpack_u64(&u);
    q.limit = unpack_u32(&u);
    int r = unpack_end(&u);
    if (r == 0) *ret = q;
    return r;
}

void store_stats_pack(struct buf *b, const struct store_stats *s) {
    pack_u64(b, s->revision);
    pack_u64(b, s->compacted);
    pack_u64(b, s->objects);
    pack_u64(b, s->log_rows);
    pack_u64(b, s->database_bytes);
}

int store_stats_unpack(struct slice s, struct store_stats *ret) {
    struct unpack u = unpack_init(s);
    struct store_stats q = {.revision = unpack_u64(&u)};
    q.compacted = unpack_u64(&u);
    q.objects = unpack_u64(&u);
    q.log_rows = unpack_u64(&u);
    q.database_bytes = unpack_u64(&u);
    int r = unpack_end(&u);
    if (r == 0) *ret = q;
    return r;
}
