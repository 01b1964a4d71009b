#include "server/storage/cold.h"

#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

enum { RAW_DEFLATE = -15, MEMORY_LEVEL = 8 };

struct member {
    struct object *object; /* NULL: freed */
    size_t n;
};

struct cold_page {
    unsigned n, left;
    size_t packed_n;
    unsigned char *packed;
    struct member members[];
};

/* ---- cooling ---- */

static void deflate_from(z_stream *z, struct slice s, int flush) {
    union {
        const char *p;
        unsigned char *bytes; /* zlib only reads it */
    } in = {s.p};
    z->next_in = in.bytes;
    z->avail_in = (unsigned)s.n;
    int r = deflate(z, flush);
    assert(r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR);
    assert(z->avail_in == 0);
}

/* Packs the members' bytes one behind the other. */
static void page_pack(struct cold_page *p, size_t all_n) {
    z_stream z = {0};
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, RAW_DEFLATE, MEMORY_LEVEL, Z_DEFAULT_STRATEGY))
        abort();
    size_t room = deflateBound(&z, all_n) + 64;
    unsigned char *out = malloc(room);
    if (!out || room > UINT32_MAX) abort();
    z.next_out = out;
    z.avail_out = (unsigned)room;
    for (unsigned i = 0; i < p->n; i++)
        deflate_from(&z, object_json(p->members[i].object), i + 1 < p->n ? Z_NO_FLUSH : Z_FINISH);
    p->packed_n = room - z.avail_out;
    deflateEnd(&z);
    p->packed = realloc(out, p->packed_n);
    if (!p->packed) abort();
}

void objects_cool(struct object *const *v, size_t n) {
    assert(n > 0 && n <= COLD_PAGE_OBJECTS);
    struct cold_page *p = malloc(sizeof *p + n * sizeof *p->members);
    if (!p) abort();
    *p = (struct cold_page){.n = (unsigned)n, .left = (unsigned)n};
    size_t all_n = 0;
    for (size_t i = 0; i < n; i++) {
        assert(!v[i]->cold);
        p->members[i] = (struct member){v[i], v[i]->json->n};
        all_n += v[i]->json->n;
    }
    page_pack(p, all_n);
    for (size_t i = 0; i < n; i++) {
        bytes_unref(v[i]->json);
        v[i]->page = p;
        v[i]->cold = true;
    }
}

/* ---- warming ---- */

static void page_free(struct cold_page *p) {
    free(p->packed);
    free(p);
}

static struct bytes *inflate_next(z_stream *z, size_t n) {
    struct bytes *b = malloc(sizeof *b + n);
    if (!b) abort();
    b->refs = 1;
    b->n = n;
    z->next_out = (unsigned char *)b->p;
    z->avail_out = (unsigned)n;
    int r = inflate(z, Z_SYNC_FLUSH);
    assert(z->avail_out == 0 && (r == Z_OK || r == Z_STREAM_END || (n == 0 && r == Z_BUF_ERROR)));
    return b;
}

void object_warm(struct object *o) {
    if (!o->cold) return;
    struct cold_page *p = o->page;
    z_stream z = {.next_in = p->packed, .avail_in = (unsigned)p->packed_n};
    if (inflateInit2(&z, RAW_DEFLATE)) abort();
    for (unsigned i = 0; i < p->n; i++) {
        struct object *member = p->members[i].object;
        struct bytes *json = inflate_next(&z, p->members[i].n);
        if (!member) {
            bytes_unref(json);
            continue;
        }
        member->json = json;
        member->cold = false;
    }
    inflateEnd(&z);
    page_free(p);
}

/* ---- members ---- */

static struct member *member_of(struct cold_page *p, const struct object *o) {
    unsigned i = 0;
    while (p->members[i].object != o) i++;
    assert(i < p->n);
    return &p->members[i];
}

void cold_page_leave(struct cold_page *p, const struct object *o) {
    member_of(p, o)->object = NULL;
    if (--p->left == 0) page_free(p);
}

size_t object_bytes(const struct object *o) {
    return o->cold ? member_of(o->page, o)->n : o->json->n;
}
