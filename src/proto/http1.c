/* HTTP/1.1: messages in, messages out, no I/O. */
#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/vec.h"
#include "proto/http.h"

enum state {
    AT_HEAD,     /* collecting a message head */
    AT_BODY,     /* `left` bytes of a body with Content-Length */
    AT_BODY_EOF, /* the body lasts until the connection ends */
    AT_SIZE,     /* chunk size line */
    AT_CHUNK,    /* `left` bytes of a chunk */
    AT_CHUNK_CR, /* the CRLF after a chunk */
    AT_CHUNK_LF,
    AT_TRAILER, /* trailer lines, checked and dropped */
    AT_END,     /* the message is complete but `end` was not called yet */
    AT_SWITCHED /* 101 was seen: nothing more is HTTP */
};

enum { CHUNK_LINE_BYTES = 256, KEEP_HEAD_BYTES = 8192 };

struct http1 {
    enum http1_role role;
    enum state state;
    bool broken;
    bool no_body;    /* http1_expect_no_body */
    bool blank_seen; /* the one empty line that may stand before a request */
    bool stop_after; /* an upgrade message: what follows it may be another protocol */
    struct http1_events ev;
    void *user;
    struct buf head; /* raw bytes first, then cut in place into NUL-terminated strings */
    struct buf line; /* chunk size and trailer lines */
    size_t line_start, trailer_bytes;
    uint64_t left;
    struct http1_head h;
    size_t headers_cap;
};

struct http1 *http1_new(enum http1_role role, const struct http1_events *ev, void *user) {
    struct http1 *p = malloc(sizeof *p);
    if (!p) abort();
    *p = (struct http1){.role = role, .ev = *ev, .user = user};
    return p;
}

void http1_free(struct http1 *p) {
    if (!p) return;
    buf_done(&p->head);
    buf_done(&p->line);
    free(p->h.headers.v);
    free(p);
}

void http1_expect_no_body(struct http1 *p) { p->no_body = true; }

/* ---- Syntax (RFC 9110 section 5.6.2, RFC 9112 sections 2 to 5) ---- */

/* Letters, digits, and !#$%&'*+-.^_`|~ as bits. */
static bool is_token(char c) {
    static const uint64_t set[] = {0x03ff6cfa00000000, 0x57ffffffc7fffffe};
    unsigned char u = (unsigned char)c;
    return u < 128 && set[u >> 6] >> (u & 63) & 1;
}

/* No control bytes but tabs; eight bytes at a time. */
static bool is_clean(const char *p, size_t n) {
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    size_t i = 0;
    while (i < n) {
        uint64_t x, del, found = high;
        if (n - i >= 8) {
            memcpy(&x, p + i, sizeof x);
            del = x ^ ones * 0x7f;
            found = ((x - ones * 0x20) & ~x) | ((del - ones) & ~del);
        }
        size_t stop = found & high ? MIN_OF(i + 8, n) : i;
        for (size_t j = i; j < stop; j++)
            if (((unsigned char)p[j] < 0x20 && p[j] != '\t') || p[j] == 0x7f) return false;
        i += 8;
    }
    return true;
}

/* From now on the parser refuses everything: after a framing error no byte can be trusted. */
static int bad(struct http1 *p, struct err *err, const char *what) {
    p->broken = true;
    err_set(err, ERR_BAD_REQUEST, "malformed HTTP/1.1 message: %s", what);
    return -EBADMSG;
}

static int too_large(struct http1 *p, struct err *err, const char *what) {
    p->broken = true;
    err_set(err, ERR_TOO_LARGE, "HTTP/1.1 message: %s", what);
    return -EBADMSG;
}

static bool parse_version(const char *s, bool *ret_is_11) {
    if (strncmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1') || s[8]) return false;
    *ret_is_11 = s[7] == '1';
    return true;
}

static int parse_request_line(struct http1 *p, char *line, bool *ret_is_11, struct err *err) {
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version) return bad(p, err, "request line");
    *target++ = 0;
    *version++ = 0;
    size_t n = 0;
    while (is_token(line[n])) n++;
    if (n == 0 || n > 32 || line[n]) return bad(p, err, "method");
    if (!http_target_is_clean(target)) return bad(p, err, "byte in request target");
    if (!*target) return bad(p, err, "empty request target");
    if (!parse_version(version, ret_is_11)) return bad(p, err, "version");
    p->h.method = line;
    p->h.target = target;
    return 0;
}

static int parse_status_line(struct http1 *p, char *line, bool *ret_is_11, struct err *err) {
    if (strlen(line) < 12 || line[8] != ' ' || (line[12] && line[12] != ' '))
        return bad(p, err, "status line");
    line[8] = 0;
    if (!parse_version(line, ret_is_11)) return bad(p, err, "version");
    uint64_t status;
    if (slice_u64(slice_from(line + 9, 3), &status) < 0 || status < 100 || status > 599)
        return bad(p, err, "status code");
    p->h.status = (int)status;
    return 0;
}

static int parse_header(struct http1 *p, char *line, size_t n, struct err *err) {
    size_t i = 0;
    for (; i < n && is_token(line[i]); i++)
        if (line[i] >= 'A' && line[i] <= 'Z') line[i] = (char)(line[i] + 'a' - 'A');
    if (i == 0 || i == n || line[i] != ':') return bad(p, err, "header name");
    line[i++] = 0;
    while (i < n && (line[i] == ' ' || line[i] == '\t')) i++;
    char *value = line + i;
    while (n > i && (line[n - 1] == ' ' || line[n - 1] == '\t')) n--;
    line[n] = 0;
    if (!is_clean(value, n - i)) return bad(p, err, "control byte in a header value");
    if (p->h.headers.n == LIMIT_HTTP_HEADERS) return too_large(p, err, "too many headers");
    struct http_headers *h = &p->h.headers;
    h->v = vec_grow(h->v, h->n, &p->headers_cap, sizeof *h->v);
    h->v[h->n++] = (struct http_header){line, value};
    return 0;
}

static bool list_has(const char *value, const char *word) {
    struct slice rest = slice_of(value);
    struct slice item;
    while (slice_cut(&rest, ',', &item))
        if (slice_ieq(slice_trim(item), word)) return true;
    return false;
}

struct framing { /* what the headers say about where the message ends */
    unsigned lengths, codings, hosts;
    bool close, keep, upgrade, upgrade_to;
};

static int read_framing(struct http1 *p, struct framing *f, struct err *err) {
    for (size_t i = 0; i < p->h.headers.n; i++) {
        const char *name = p->h.headers.v[i].name;
        const char *value = p->h.headers.v[i].value;
        if (str_eq(name, "content-length")) {
            if (slice_u64(slice_of(value), &p->h.content_length) < 0 ||
                p->h.content_length > INT64_MAX)
                return bad(p, err, "Content-Length");
            f->lengths++;
        } else if (str_eq(name, "transfer-encoding")) {
            if (!slice_ieq(slice_of(value), "chunked")) return bad(p, err, "Transfer-Encoding");
            f->codings++;
        } else if (str_eq(name, "host")) {
            f->hosts++;
        } else if (str_eq(name, "upgrade")) {
            f->upgrade_to = true;
        } else if (str_eq(name, "connection")) {
            f->close |= list_has(value, "close");
            f->keep |= list_has(value, "keep-alive");
            f->upgrade |= list_has(value, "upgrade");
        }
    }
    return 0;
}

/* Decides where the body ends and so the next state (RFC 9112 section 6.3). */
static int frame_message(struct http1 *p, bool is_11, struct err *err) {
    struct framing f = {0};
    int r = read_framing(p, &f, err);
    if (r < 0) return r;
    if (f.lengths > 1) return bad(p, err, "more than one Content-Length");
    if (f.codings > 1) return bad(p, err, "more than one Transfer-Encoding");
    if (f.lengths && f.codings)
        return bad(p, err, "Content-Length together with Transfer-Encoding");
    if (f.codings && !is_11) return bad(p, err, "Transfer-Encoding in HTTP/1.0");
    if (p->role == HTTP1_REQUESTS && (f.hosts > 1 || (is_11 && f.hosts == 0)))
        return bad(p, err, "a request has exactly one Host header");
    struct http1_head *h = &p->h;
    h->http10 = !is_11;
    h->keep_alive = !f.close && (is_11 || f.keep);
    h->upgrade = f.upgrade && f.upgrade_to;
    h->chunked = f.codings;
    bool never = p->role == HTTP1_RESPONSES &&
                 (h->status < 200 || h->status == 204 || h->status == 304 || p->no_body);
    if (never) h->chunked = false;
    bool until_eof = p->role == HTTP1_RESPONSES && !never && !f.lengths && !f.codings;
    if (until_eof) h->keep_alive = false;
    h->has_body = !never && (h->chunked || until_eof || h->content_length > 0);
    p->left = h->content_length;
    p->state = !h->has_body ? AT_END : h->chunked ? AT_SIZE : until_eof ? AT_BODY_EOF : AT_BODY;
    p->stop_after = p->role == HTTP1_REQUESTS ? h->upgrade : h->status == 101;
    p->trailer_bytes = 0;
    buf_clear(&p->line);
    return 0;
}

/* The head is complete in p->head: every line ends in CRLF, the last one is empty. */
static int parse_head(struct http1 *p, struct err *err) {
    p->h = (struct http1_head){.headers = {p->h.headers.v, 0}};
    bool is_11 = false;
    char *line = p->head.p;
    char *stop = p->head.p + p->head.n - 2;
    for (bool first = true; line < stop; first = false) {
        char *cr = memchr(line, '\n', (size_t)(p->head.p + p->head.n - line));
        size_t n = (size_t)(--cr - line);
        *cr = 0;
        if (memchr(line, 0, n)) return bad(p, err, "NUL byte in the head");
        int r = !first                      ? parse_header(p, line, n, err)
                : p->role == HTTP1_REQUESTS ? parse_request_line(p, line, &is_11, err)
                                            : parse_status_line(p, line, &is_11, err);
        if (r < 0) return r;
        line = cr + 2;
    }
    return frame_message(p, is_11, err);
}

/* ---- The machine: a step eats from *in; returns 0, a callback's wish to stop, or an error ---- */

/* Moves one line with its LF from *in to b. 1: complete, 0: more bytes needed. A bare LF is an
 * error. */
static int take_line(struct http1 *p, struct buf *b, size_t max, struct slice *in,
                     struct err *err) {
    const char *lf = memchr(in->p, '\n', in->n);
    size_t n = lf ? (size_t)(lf - in->p) + 1 : in->n;
    if (b->n + n > max) return too_large(p, err, "line too long");
    buf_append(b, in->p, n);
    *in = slice_from(in->p + n, in->n - n);
    if (!lf) return 0;
    if (b->n < 2 || b->p[b->n - 2] != '\r') return bad(p, err, "bare line feed");
    return 1;
}

static void start_head(struct http1 *p) {
    if (p->head.cap > KEEP_HEAD_BYTES) buf_done(&p->head);
    buf_clear(&p->head);
    p->line_start = 0;
}

/* *ret_n: how much of `in` belongs to the head. 1: it ends there, with its empty line, 0: more is
 * to come. */
static int scan_head(struct http1 *p, struct slice in, size_t *ret_n, struct err *err) {
    for (size_t at = 0; at < in.n;) {
        const char *lf = memchr(in.p + at, '\n', in.n - at);
        at = *ret_n = lf ? (size_t)(lf - in.p) + 1 : in.n;
        size_t line_n = p->head.n + at - p->line_start;
        if (line_n > LIMIT_HTTP_LINE_BYTES) return too_large(p, err, "line too long");
        if (p->head.n + at > LIMIT_HTTP_HEADER_BYTES) return too_large(p, err, "head too large");
        if (!lf) return 0;
        char before = at > 1 ? lf[-1] : p->head.n ? p->head.p[p->head.n - 1] : 0;
        if (line_n < 2 || before != '\r') return bad(p, err, "bare line feed");
        p->line_start += line_n;
        if (line_n == 2) return 1;
    }
    return 0;
}

static int step_head(struct http1 *p, struct slice *in, struct err *err) {
    while (in->n > 0) {
        size_t n = 0;
        int r = scan_head(p, *in, &n, err);
        if (r < 0) return r;
        buf_append(&p->head, in->p, n);
        *in = slice_from(in->p + n, in->n - n);
        if (r == 0) return 0;
        /* One empty line before a request line is forgiven (RFC 9112 section 2.2). */
        if (p->head.n == 2) {
            if (p->role == HTTP1_RESPONSES || p->blank_seen) return bad(p, err, "empty head");
            p->blank_seen = true;
            start_head(p);
            continue;
        }
        if ((r = parse_head(p, err)) < 0) return r;
        if (p->role == HTTP1_RESPONSES && p->h.status < 200 && p->h.status != 101) {
            p->state = AT_HEAD; /* interim answers are not reported */
            start_head(p);
            continue;
        }
        p->no_body = false;
        return p->ev.head ? p->ev.head(p->user, &p->h) : 0;
    }
    return 0;
}

static int step_data(struct http1 *p, struct slice *in, struct err *err) {
    size_t n = p->state != AT_BODY_EOF && p->left < in->n ? (size_t)p->left : in->n;
    struct slice data = slice_from(in->p, n);
    *in = slice_from(in->p + n, in->n - n);
    if (p->state != AT_BODY_EOF) {
        p->left -= n;
        if (p->left == 0) p->state = p->state == AT_CHUNK ? AT_CHUNK_CR : AT_END;
    }
    return p->ev.body ? p->ev.body(p->user, data) : 0;
}

static int step_size(struct http1 *p, struct slice *in, struct err *err) {
    int r = take_line(p, &p->line, CHUNK_LINE_BYTES, in, err);
    if (r <= 0) return r;
    uint64_t size = 0;
    size_t i = 0;
    for (; i < 15; i++) {
        char c = p->line.p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) break;
        size = size << 4 | (unsigned)digit;
    }
    if (i == 0 || (p->line.p[i] != '\r' && p->line.p[i] != ';')) return bad(p, err, "chunk size");
    for (; i < p->line.n - 2; i++)
        if ((unsigned char)p->line.p[i] < 0x20 && p->line.p[i] != '\t')
            return bad(p, err, "chunk extension");
    buf_clear(&p->line);
    p->left = size;
    p->state = size ? AT_CHUNK : AT_TRAILER;
    return 0;
}

static int step_chunk_end(struct http1 *p, struct slice *in, struct err *err) {
    if (*in->p != (p->state == AT_CHUNK_CR ? '\r' : '\n')) return bad(p, err, "end of a chunk");
    *in = slice_from(in->p + 1, in->n - 1);
    p->state = p->state == AT_CHUNK_CR ? AT_CHUNK_LF : AT_SIZE;
    return 0;
}

static int step_trailer(struct http1 *p, struct slice *in, struct err *err) {
    int r = take_line(p, &p->line, LIMIT_HTTP_LINE_BYTES, in, err);
    if (r <= 0) return r;
    p->trailer_bytes += p->line.n;
    if (p->trailer_bytes > LIMIT_HTTP_HEADER_BYTES) return too_large(p, err, "trailer too large");
    if (p->line.n == 2) {
        p->state = AT_END;
    } else {
        size_t i = 0;
        while (is_token(p->line.p[i])) i++;
        if (i == 0 || p->line.p[i] != ':') return bad(p, err, "trailer name");
        for (; i < p->line.n - 2; i++)
            if ((unsigned char)p->line.p[i] < 0x20 && p->line.p[i] != '\t')
                return bad(p, err, "control byte in a trailer");
    }
    buf_clear(&p->line);
    return 0;
}

static int step_end(struct http1 *p) {
    p->state = p->role == HTTP1_RESPONSES && p->h.status == 101 ? AT_SWITCHED : AT_HEAD;
    p->blank_seen = false;
    p->line_start = 0;
    p->head.n = 0; /* the strings stay until the next bytes are fed */
    return p->ev.end ? p->ev.end(p->user) : 0;
}

static int step(struct http1 *p, struct slice *in, struct err *err) {
    switch (p->state) {
    case AT_HEAD: return step_head(p, in, err);
    case AT_BODY:
    case AT_BODY_EOF:
    case AT_CHUNK: return step_data(p, in, err);
    case AT_SIZE: return step_size(p, in, err);
    case AT_CHUNK_CR:
    case AT_CHUNK_LF: return step_chunk_end(p, in, err);
    case AT_TRAILER: return step_trailer(p, in, err);
    case AT_END: return step_end(p);
    case AT_SWITCHED: break;
    }
    return 0;
}

int http1_feed(struct http1 *p, struct slice bytes, size_t *ret_used, struct err *err) {
    struct slice in = bytes;
    int r = p->broken ? bad(p, err, "after an earlier error") : 0;
    while (r == 0 && p->state != AT_SWITCHED && (in.n > 0 || p->state == AT_END)) {
        if (p->state == AT_HEAD && p->head.n == 0) start_head(p);
        bool ends = p->state == AT_END;
        r = step(p, &in, err);
        if (ends && p->stop_after) break;
    }
    *ret_used = bytes.n - in.n;
    return r;
}

int http1_eof(struct http1 *p) {
    if (p->broken) return -EBADMSG;
    if (p->state == AT_BODY_EOF) return step_end(p);
    return p->state == AT_SWITCHED || (p->state == AT_HEAD && p->head.n == 0) ? 0 : -EBADMSG;
}

/* ---- Writing ---- */

/* A value can never start another header. */
static void one_line(char *p, size_t n) {
    if (!n || (!memchr(p, '\r', n) && !memchr(p, '\n', n))) return;
    for (size_t i = 0; i < n; i++)
        if (p[i] == '\r' || p[i] == '\n') p[i] = ' ';
}

static void write_field(struct buf *b, const char *s) {
    size_t start = b->n, n = s ? strlen(s) : 0;
    buf_append(b, s, n);
    one_line(b->p + start, n);
}

static char *put_bytes(char *at, const char *p, size_t n) {
    if (n) memcpy(at, p, n);
    return at + n;
}

/* A line at once: an answer has a dozen of them. */
static void write_header(struct buf *b, const char *name, const char *value) {
    size_t name_n = name ? strlen(name) : 0, value_n = value ? strlen(value) : 0;
    size_t n = name_n + 2 + value_n;
    buf_reserve(b, n + 2);
    char *start = b->p + b->n;
    char *end = put_bytes(start, name, name_n);
    end = put_bytes(put_bytes(end, ": ", 2), value, value_n);
    one_line(start, n);
    memcpy(end, "\r\n", 3);
    b->n += n + 2;
}

static void write_headers(struct buf *b, const struct http_headers *h) {
    for (size_t i = 0; h && i < h->n; i++) write_header(b, h->v[i].name, h->v[i].value);
    buf_append(b, "\r\n", 2);
}

void http1_write_request(struct buf *b, const char *method, const char *target,
                         const struct http_headers *h) {
    write_field(b, method);
    buf_char(b, ' ');
    write_field(b, target);
    buf_str(b, " HTTP/1.1\r\n");
    if (!h || !http_header(h, "host")) buf_str(b, "host: localhost\r\n");
    write_headers(b, h);
}

void http1_write_response(struct buf *b, int status, const struct http_headers *h) {
    buf_str(b, "HTTP/1.1 ");
    buf_u64(b, (uint64_t)status);
    buf_char(b, ' ');
    buf_str(b, http_status_text(status));
    buf_append(b, "\r\n", 2);
    write_headers(b, h);
}

void http1_write_chunk(struct buf *b, struct slice data) {
    if (data.n == 0) return;
    buf_printf(b, "%zx\r\n", data.n);
    buf_slice(b, data);
    buf_append(b, "\r\n", 2);
}

void http1_write_last_chunk(struct buf *b) { buf_str(b, "0\r\n\r\n"); }
