#include "proto/spdy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/own.h"
#include "proto/spdy_dictionary.h"

enum {
    VERSION = 3,
    FRAME_HEADER_BYTES = 8,
    CONTROL_MAX_BYTES = LIMIT_HTTP_HEADER_BYTES,
    SYN_STREAM = 1,
    SYN_REPLY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    HEADERS = 8,
    WINDOW_UPDATE = 9,
    FLAG_FIN = 1,
};
#define ID_MASK 0x7fffffffu

struct spdy {
    struct spdy_events ev;
    void *user;
    z_stream inflate, deflate;
    bool inflate_ready, deflate_ready, broken;
    unsigned char header[FRAME_HEADER_BYTES];
    size_t header_n;
    size_t left;         /* payload bytes of the frame still to come */
    struct buf control;  /* payload of a control frame */
    struct buf inflated; /* its header block */
};

/* ---- Handshake ---- */

bool spdy_wanted(const struct http_headers *h) {
    const char *upgrade = http_header(h, "upgrade");
    return upgrade && slice_ieq(slice_trim(slice_of(upgrade)), "SPDY/3.1");
}

const char *spdy_choose_protocol(const struct http_headers *h, const char *const *supported) {
    for (size_t i = 0; i < h->n; i++) {
        struct slice rest = slice_of(h->v[i].value), offer;
        if (strcmp(h->v[i].name, "x-stream-protocol-version") != 0) continue;
        while (slice_cut(&rest, ',', &offer))
            for (const char *const *s = supported; *s; s++)
                if (slice_is(slice_trim(offer), *s)) return *s;
    }
    return NULL;
}

void spdy_write_answer(struct buf *b, const char *protocol) {
    struct http_header v[] = {{"connection", "Upgrade"},
                              {"upgrade", "SPDY/3.1"},
                              {"x-stream-protocol-version", protocol}};
    http1_write_response(b, 101, &(struct http_headers){v, ARRAY_LEN(v)});
}

/* ---- Frames ---- */

struct spdy *spdy_new(const struct spdy_events *ev, void *user) {
    struct spdy *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->ev = *ev;
    s->user = user;
    return s;
}

void spdy_free(struct spdy *s) {
    if (!s) return;
    if (s->inflate_ready) inflateEnd(&s->inflate);
    if (s->deflate_ready) deflateEnd(&s->deflate);
    buf_done(&s->control);
    buf_done(&s->inflated);
    free(s);
}

static int bad(struct spdy *s, struct err *err, const char *what) {
    s->broken = true;
    err_set(err, ERR_BAD_REQUEST, "SPDY: %s", what);
    return -EBADMSG;
}

static int too_large(struct spdy *s, struct err *err, const char *what) {
    s->broken = true;
    err_set(err, ERR_TOO_LARGE, "SPDY: %s", what);
    return -EBADMSG;
}

static uint32_t get_u32(const void *p) {
    const unsigned char *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* ---- Header blocks ---- */

static int inflate_block(struct spdy *s, struct slice block, struct err *err) {
    if (!s->inflate_ready && inflateInit(&s->inflate) != Z_OK) abort();
    s->inflate_ready = true;
    s->inflate.next_in = (Bytef *)(uintptr_t)block.p;
    s->inflate.avail_in = (uInt)block.n;
    buf_clear(&s->inflated);
    for (;;) {
        if (s->inflated.n > LIMIT_HTTP_HEADER_BYTES) return too_large(s, err, "headers");
        buf_reserve(&s->inflated, 4096);
        s->inflate.next_out = (Bytef *)s->inflated.p + s->inflated.n;
        s->inflate.avail_out = 4096;
        int r = inflate(&s->inflate, Z_SYNC_FLUSH);
        s->inflated.n += 4096 - s->inflate.avail_out;
        if (r == Z_NEED_DICT)
            r = inflateSetDictionary(&s->inflate, (const Bytef *)spdy_dictionary,
                                     sizeof spdy_dictionary - 1);
        else if (r == Z_BUF_ERROR || (r == Z_OK && s->inflate.avail_out > 0))
            return s->inflate.avail_in ? bad(s, err, "header compression") : 0;
        if (r != Z_OK) return bad(s, err, "header compression");
    }
}

/* A length and that many bytes from *in. */
static bool take_string(struct slice *in, struct slice *ret) {
    if (in->n < 4) return false;
    uint32_t n = get_u32(in->p);
    if (n > in->n - 4) return false;
    *ret = slice_from(in->p + 4, n);
    *in = slice_from(in->p + 4 + n, in->n - 4 - n);
    return true;
}

static bool name_is_valid(struct slice name) {
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c <= 0x20 || c >= 0x7f || (c >= 'A' && c <= 'Z')) return false;
    }
    return name.n > 0;
}

/* One name may carry several values, NUL between them. */
static int take_values(struct spdy *s, struct arena *a, struct http_headers *h, struct slice name,
                       struct slice values, struct err *err) {
    const char *text = arena_strn(a, name);
    struct slice value;
    if (values.n == 0) values = SLICE("");
    while (slice_cut(&values, 0, &value)) {
        if (h->n == LIMIT_HTTP_HEADERS) return too_large(s, err, "too many headers");
        *ARENA_PUSH(a, h) = (struct http_header){text, arena_strn(a, value)};
    }
    return 0;
}

static int parse_block(struct spdy *s, struct arena *a, struct slice block,
                       struct http_headers *ret, struct err *err) {
    int r = inflate_block(s, block, err);
    if (r < 0) return r;
    struct slice in = buf_view(&s->inflated);
    if (in.n < 4) return bad(s, err, "header block is cut");
    uint32_t pairs = get_u32(in.p);
    in = slice_from(in.p + 4, in.n - 4);
    for (uint32_t i = 0; i < pairs; i++) {
        struct slice name, value;
        if (!take_string(&in, &name) || !take_string(&in, &value))
            return bad(s, err, "header block is cut");
        if (!name_is_valid(name)) return bad(s, err, "header name");
        if ((r = take_values(s, a, ret, name, value, err)) < 0) return r;
    }
    return in.n ? bad(s, err, "bytes behind the headers") : 0;
}

typedef int headers_fn(void *user, uint32_t id, const struct http_headers *h, bool fin);

static int take_headers(struct spdy *s, size_t fixed_bytes, bool fin, headers_fn *fn,
                        struct err *err) {
    struct slice payload = buf_view(&s->control);
    if (payload.n < fixed_bytes) return bad(s, err, "frame is too short");
    uint32_t id = get_u32(payload.p) & ID_MASK;
    if (id == 0) return bad(s, err, "stream 0");
    OWN(arena_free_p) struct arena *a = arena_new();
    struct http_headers h = {0};
    struct slice block = slice_from(payload.p + fixed_bytes, payload.n - fixed_bytes);
    int r = parse_block(s, a, block, &h, err);
    if (r < 0) return r;
    return fn ? fn(s->user, id, &h, fin) : 0;
}

/* ---- Frames ---- */

static const struct {
    unsigned type, bytes; /* exact payload length; 0: any */
} fixed_sizes[] = {{RST_STREAM, 8}, {PING, 4}, {GOAWAY, 8}, {WINDOW_UPDATE, 8}};

static int check_size(struct spdy *s, unsigned type, struct err *err) {
    for (size_t i = 0; i < ARRAY_LEN(fixed_sizes); i++)
        if (fixed_sizes[i].type == type && fixed_sizes[i].bytes != s->control.n)
            return bad(s, err, "length of a control frame");
    return 0;
}

static int control_frame(struct spdy *s, struct err *err) {
    unsigned version = (s->header[0] & 0x7fu) << 8 | s->header[1];
    unsigned type = (unsigned)s->header[2] << 8 | s->header[3];
    bool fin = s->header[4] & FLAG_FIN;
    if (version != VERSION) return bad(s, err, "version is not 3");
    int r = check_size(s, type, err);
    if (r < 0) return r;
    const struct spdy_events *ev = &s->ev;
    uint32_t a = s->control.n >= 4 ? get_u32(s->control.p) : 0;
    uint32_t b = s->control.n >= 8 ? get_u32(s->control.p + 4) : 0;
    switch (type) {
    case SYN_STREAM: return take_headers(s, 10, fin, ev->syn_stream, err);
    case SYN_REPLY: return take_headers(s, 4, fin, ev->syn_reply, err);
    case HEADERS: return take_headers(s, 4, fin, ev->headers, err);
    case RST_STREAM: return ev->rst ? ev->rst(s->user, a & ID_MASK, b) : 0;
    case PING: return ev->ping ? ev->ping(s->user, a) : 0;
    case GOAWAY: return ev->goaway ? ev->goaway(s->user, a & ID_MASK) : 0;
    case WINDOW_UPDATE:
        return ev->window_update ? ev->window_update(s->user, a & ID_MASK, b & ID_MASK) : 0;
    default: return 0; /* settings and unknown frames are to be ignored */
    }
}

static bool is_control(const struct spdy *s) { return s->header[0] & 0x80; }

static int data_part(struct spdy *s, struct slice part, struct err *err) {
    uint32_t id = get_u32(s->header) & ID_MASK;
    if (id == 0) return bad(s, err, "stream 0");
    bool fin = s->left == 0 && (s->header[4] & FLAG_FIN);
    if (part.n == 0 && !fin) return 0;
    return s->ev.data ? s->ev.data(s->user, id, part, fin) : 0;
}

static int take_payload(struct spdy *s, struct slice *in, struct err *err) {
    size_t n = MIN_OF(s->left, in->n);
    struct slice part = slice_from(in->p, n);
    *in = slice_from(in->p + n, in->n - n);
    s->left -= n;
    if (s->left == 0) s->header_n = 0;
    if (!is_control(s)) return data_part(s, part, err);
    buf_slice(&s->control, part);
    return s->left == 0 ? control_frame(s, err) : 0;
}

int spdy_feed(struct spdy *s, struct slice in, struct err *err) {
    if (s->broken) return bad(s, err, "after an earlier error");
    int r = 0;
    while (r == 0 && in.n > 0) {
        if (s->header_n < FRAME_HEADER_BYTES) {
            size_t n = MIN_OF(FRAME_HEADER_BYTES - s->header_n, in.n);
            memcpy(s->header + s->header_n, in.p, n);
            s->header_n += n;
            in = slice_from(in.p + n, in.n - n);
            if (s->header_n < FRAME_HEADER_BYTES) break;
            s->left = get_u32(s->header + 4) & 0xffffff;
            buf_clear(&s->control);
            if (is_control(s) && s->left > CONTROL_MAX_BYTES)
                return too_large(s, err, "control frame");
            if (s->left > 0) continue;
        }
        r = take_payload(s, &in, err);
    }
    return r;
}

/* ---- Writing ---- */

static void put_u32(struct buf *b, uint32_t v) {
    unsigned char p[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16),
                          (unsigned char)(v >> 8), (unsigned char)v};
    buf_append(b, p, 4);
}

static void put_control(struct buf *b, unsigned type, bool fin, size_t length) {
    put_u32(b, 0x80000000u | VERSION << 16 | type);
    put_u32(b, (fin ? (uint32_t)FLAG_FIN << 24 : 0) | (uint32_t)length);
}

static void put_string(struct buf *b, const char *s) {
    size_t n = strlen(s);
    assert(n <= LIMIT_HTTP_HEADER_BYTES);
    put_u32(b, (uint32_t)n);
    buf_append(b, s, n);
}

/* Small window and little memory: header blocks are short, connections many. */
static void start_deflate(struct spdy *s) {
    if (s->deflate_ready) return;
    if (deflateInit2(&s->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 11, 1, Z_DEFAULT_STRATEGY) !=
            Z_OK ||
        deflateSetDictionary(&s->deflate, (const Bytef *)spdy_dictionary,
                             sizeof spdy_dictionary - 1) != Z_OK)
        abort();
    s->deflate_ready = true;
}

static void put_block(struct spdy *s, struct buf *b, const struct http_headers *h) {
    OWN(buf_done) struct buf plain = {0};
    put_u32(&plain, h ? (uint32_t)h->n : 0);
    for (size_t i = 0; h && i < h->n; i++) {
        put_string(&plain, h->v[i].name);
        put_string(&plain, h->v[i].value);
    }
    start_deflate(s);
    s->deflate.next_in = (Bytef *)plain.p;
    s->deflate.avail_in = (uInt)plain.n;
    do {
        buf_reserve(b, 1024);
        s->deflate.next_out = (Bytef *)b->p + b->n;
        s->deflate.avail_out = 1024;
        int r = deflate(&s->deflate, Z_SYNC_FLUSH);
        assert(r == Z_OK || r == Z_BUF_ERROR);
        (void)r;
        b->n += 1024 - s->deflate.avail_out;
    } while (s->deflate.avail_out == 0);
}

static void put_headers(struct spdy *s, struct buf *b, unsigned type, uint32_t id,
                        const struct http_headers *h, bool fin) {
    size_t start = b->n;
    put_control(b, type, fin, 0);
    put_u32(b, id & ID_MASK);
    if (type == SYN_STREAM) buf_append(b, "\0\0\0\0\0\0", 6); /* no parent, priority 0, no slot */
    put_block(s, b, h);
    size_t length = b->n - start - FRAME_HEADER_BYTES;
    assert(length <= 0xffffff);
    for (int i = 0; i < 3; i++) b->p[start + 5 + (size_t)i] = (char)(length >> (16 - 8 * i));
}

void spdy_write_syn_stream(struct spdy *s, struct buf *b, uint32_t id, const struct http_headers *h,
                           bool fin) {
    put_headers(s, b, SYN_STREAM, id, h, fin);
}

void spdy_write_syn_reply(struct spdy *s, struct buf *b, uint32_t id, const struct http_headers *h,
                          bool fin) {
    put_headers(s, b, SYN_REPLY, id, h, fin);
}

void spdy_write_data(struct buf *b, uint32_t id, struct slice data, bool fin) {
    do { /* a frame's length has 24 bits */
        size_t n = MIN_OF(data.n, (size_t)0xffffff);
        put_u32(b, id & ID_MASK);
        put_u32(b, (fin && n == data.n ? (uint32_t)FLAG_FIN << 24 : 0) | (uint32_t)n);
        buf_append(b, data.p, n);
        data = slice_from(data.p + n, data.n - n);
    } while (data.n > 0);
}

static void put_pair(struct buf *b, unsigned type, uint32_t first, uint32_t second) {
    put_control(b, type, false, 8);
    put_u32(b, first);
    put_u32(b, second);
}

void spdy_write_rst(struct buf *b, uint32_t id, enum spdy_status status) {
    put_pair(b, RST_STREAM, id & ID_MASK, status);
}

void spdy_write_ping(struct buf *b, uint32_t id) {
    put_control(b, PING, false, 4);
    put_u32(b, id);
}

void spdy_write_goaway(struct buf *b, uint32_t last_id) {
    put_pair(b, GOAWAY, last_id & ID_MASK, 0);
}

void spdy_write_window_update(struct buf *b, uint32_t id, uint32_t delta) {
    put_pair(b, WINDOW_UPDATE, id & ID_MASK, delta & ID_MASK);
}
