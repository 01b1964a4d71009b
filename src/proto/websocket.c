#include "proto/websocket.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/own.h"

/* ---- Handshake ---- */

const char *const websocket_channel_protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io",
                                                   "channel.k8s.io", NULL};

static bool has_word(const char *value, const char *word) {
    struct slice rest = slice_of(value);
    struct slice item;
    while (slice_cut(&rest, ',', &item))
        if (slice_ieq(slice_trim(item), word)) return true;
    return false;
}

int websocket_check_request(const char *method, const struct http_headers *h, struct err *err) {
    const char *upgrade = http_header(h, "upgrade");
    const char *connection = http_header(h, "connection");
    const char *version = http_header(h, "sec-websocket-version");
    const char *key = http_header(h, "sec-websocket-key");
    if (!str_eq(method, "GET"))
        return err_set(err, ERR_BAD_REQUEST, "a WebSocket upgrade must be a GET request");
    if (!upgrade || !has_word(upgrade, "websocket") || !connection ||
        !has_word(connection, "upgrade"))
        return err_set(err, ERR_BAD_REQUEST,
                       "upgrade request required: Upgrade: websocket is missing");
    if (!str_eq(version, "13"))
        return err_set(err, ERR_BAD_REQUEST, "Sec-WebSocket-Version must be 13");
    OWN(buf_done) struct buf raw = {0};
    if (!key || buf_unbase64(&raw, slice_of(key)) < 0 || raw.n != 16)
        return err_set(err, ERR_BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64");
    return 0;
}

/* The low-level functions need no provider, so a sandboxed service can call them at any time. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void sha1(const char *a, const char *b, unsigned char out[SHA_DIGEST_LENGTH]) {
    SHA_CTX c;
    SHA1_Init(&c);
    SHA1_Update(&c, a, strlen(a));
    SHA1_Update(&c, b, strlen(b));
    SHA1_Final(out, &c);
}
#pragma GCC diagnostic pop

void websocket_accept(const char *key, char out[WEBSOCKET_ACCEPT_MAX]) {
    unsigned char digest[SHA_DIGEST_LENGTH];
    sha1(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", digest); /* RFC 6455 section 1.3 */
    OWN(buf_done) struct buf text = {0};
    buf_base64(&text, digest, sizeof digest);
    memcpy(out, text.p, WEBSOCKET_ACCEPT_MAX);
}

const char *websocket_choose_protocol(const struct http_headers *h, const char *const *supported) {
    for (size_t i = 0; i < h->n; i++) {
        if (strcmp(h->v[i].name, "sec-websocket-protocol") != 0) continue;
        struct slice rest = slice_of(h->v[i].value);
        struct slice offer;
        while (slice_cut(&rest, ',', &offer))
            for (const char *const *s = supported; *s; s++)
                if (slice_is(slice_trim(offer), *s)) return *s;
    }
    return NULL;
}

void websocket_write_answer(struct buf *b, const struct http_headers *request,
                            const char *protocol) {
    char accept[WEBSOCKET_ACCEPT_MAX];
    websocket_accept(str_or(http_header(request, "sec-websocket-key"), ""), accept);
    struct http_header v[4] = {{"upgrade", "websocket"},
                               {"connection", "Upgrade"},
                               {"sec-websocket-accept", accept},
                               {"sec-websocket-protocol", protocol}};
    http1_write_response(b, 101, &(struct http_headers){v, protocol ? 4 : 3});
}

void websocket_write_request(struct buf *b, const char *host, const char *target, const char *key,
                             const char *protocol) {
    struct http_header v[] = {{"host", host},
                              {"upgrade", "websocket"},
                              {"connection", "Upgrade"},
                              {"sec-websocket-version", "13"},
                              {"sec-websocket-key", key},
                              {"sec-websocket-protocol", protocol}};
    http1_write_request(b, "GET", target, &(struct http_headers){v, ARRAY_LEN(v)});
}

int websocket_check_answer(int status, const struct http_headers *h, const char *key,
                           const char *protocol, struct err *err) {
    const char *upgrade = http_header(h, "upgrade");
    const char *accept = http_header(h, "sec-websocket-accept");
    const char *chosen = http_header(h, "sec-websocket-protocol");
    char want[WEBSOCKET_ACCEPT_MAX];
    websocket_accept(key, want);
    if (status != 101)
        return err_set(err, ERR_BAD_REQUEST, "WebSocket: the peer answers with status %d", status);
    if (!upgrade || !has_word(upgrade, "websocket") || !str_eq(accept, want))
        return err_set(err, ERR_BAD_REQUEST, "WebSocket: the peer's answer accepts nothing");
    if (!str_eq(chosen, protocol))
        return err_set(err, ERR_BAD_REQUEST, "WebSocket: the peer speaks \"%s\", not \"%s\"",
                       str_or(chosen, ""), protocol);
    return 0;
}

/* ---- Frames ---- */

enum { FIN = 0x80, RESERVED = 0x70, MASKED = 0x80, HEADER_MAX = 14, CONTROL_MAX = 125 };
enum { CONTINUATION = 0 };

struct websocket {
    enum websocket_role role;
    struct websocket_events ev;
    void *user;
    unsigned char header[HEADER_MAX];
    size_t header_n;
    bool in_payload, closed, broken;
    unsigned op; /* of the frame being read */
    bool fin;
    unsigned char mask[4];
    uint64_t limit;      /* of one message */
    uint64_t left;       /* payload bytes of the frame still to come */
    size_t mask_at;      /* payload bytes seen */
    unsigned message_op; /* of the message being assembled; 0: none */
    struct buf message;
    struct buf control;
};

struct websocket *websocket_new(enum websocket_role role, const struct websocket_events *ev,
                                void *user) {
    struct websocket *w = calloc(1, sizeof *w);
    if (!w) abort();
    w->role = role;
    w->limit = LIMIT_WEBSOCKET_FRAME_BYTES;
    w->ev = *ev;
    w->user = user;
    return w;
}

void websocket_limit(struct websocket *w, uint64_t bytes) { w->limit = bytes; }

void websocket_free(struct websocket *w) {
    if (!w) return;
    buf_done(&w->message);
    buf_done(&w->control);
    free(w);
}

static int bad(struct websocket *w, struct err *err, const char *what) {
    w->broken = true;
    err_set(err, ERR_BAD_REQUEST, "WebSocket: %s", what);
    return -EBADMSG;
}

static bool is_control(unsigned op) { return op & 8; }

/* Bytes of the header, as far as those read so far can tell. */
static size_t header_size(const struct websocket *w) {
    if (w->header_n < 2) return 2;
    unsigned n = w->header[1] & 0x7f;
    return 2 + (n == 126 ? 2u : n == 127 ? 8u : 0u) + (w->header[1] & MASKED ? 4u : 0u);
}

static int check_opcode(struct websocket *w, struct err *err) {
    bool known = w->op <= WEBSOCKET_BINARY || (w->op >= WEBSOCKET_CLOSE && w->op <= WEBSOCKET_PONG);
    if (!known) return bad(w, err, "unknown opcode");
    if (is_control(w->op)) {
        if (!w->fin || w->left > CONTROL_MAX) return bad(w, err, "control frame is too long");
        return 0;
    }
    if (w->op == CONTINUATION && !w->message_op) return bad(w, err, "nothing to continue");
    if (w->op != CONTINUATION && w->message_op) return bad(w, err, "the last message has no end");
    if (w->left > w->limit || w->message.n + w->left > w->limit) {
        w->broken = true;
        err_set(err, ERR_TOO_LARGE, "WebSocket: message is too large");
        return -EBADMSG;
    }
    if (w->op != CONTINUATION) w->message_op = w->op;
    return 0;
}

static int parse_header(struct websocket *w, struct err *err) {
    const unsigned char *h = w->header;
    w->fin = h[0] & FIN;
    w->op = h[0] & 0x0f;
    if (h[0] & RESERVED) return bad(w, err, "reserved bits are set");
    if (!(h[1] & MASKED) == (w->role == WEBSOCKET_SERVER))
        return bad(w, err, "wrong masking for this side");
    unsigned n = h[1] & 0x7f;
    size_t at = 2;
    w->left = n;
    if (n >= 126) {
        size_t bytes = n == 126 ? 2 : 8;
        w->left = 0;
        while (bytes--) w->left = w->left << 8 | h[at++];
        if (w->left < (n == 126 ? 126 : 65536)) return bad(w, err, "length is not minimal");
        if (w->left > INT64_MAX) return bad(w, err, "length has its highest bit set");
    }
    if (h[1] & MASKED) memcpy(w->mask, h + at, 4);
    w->mask_at = 0;
    w->in_payload = true;
    return check_opcode(w, err);
}

static void unmask(struct websocket *w, char *p, size_t n) {
    size_t i = 0;
    for (; i < n && w->mask_at % 4; i++) p[i] ^= (char)w->mask[w->mask_at++ % 4];
    uint32_t word, key;
    memcpy(&key, w->mask, 4);
    for (; i + 4 <= n; i += 4, w->mask_at += 4) {
        memcpy(&word, p + i, 4);
        word ^= key;
        memcpy(p + i, &word, 4);
    }
    for (; i < n; i++) p[i] ^= (char)w->mask[w->mask_at++ % 4];
}

/* RFC 3629: no overlong forms, surrogates or values above U+10FFFF. */
static bool is_utf8(struct slice s) {
    const unsigned char *p = (const unsigned char *)s.p;
    for (size_t i = 0; i < s.n;) {
        unsigned c = p[i];
        unsigned more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : 3;
        if (c >= 0x80 && (c < 0xc2 || c > 0xf4)) return false;
        if (s.n - i <= more) return false;
        unsigned min = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        unsigned max = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        for (unsigned k = 1; k <= more; k++, min = 0x80, max = 0xbf)
            if (p[i + k] < min || p[i + k] > max) return false;
        i += more + 1;
    }
    return true;
}

static bool close_code_is_valid(unsigned code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static int take_close(struct websocket *w, struct err *err) {
    unsigned code = WEBSOCKET_NO_CODE;
    struct slice reason = {0};
    if (w->control.n == 1) return bad(w, err, "close frame of one byte");
    if (w->control.n >= 2) {
        const unsigned char *p = (const unsigned char *)w->control.p;
        code = (unsigned)p[0] << 8 | p[1];
        reason = slice_from(w->control.p + 2, w->control.n - 2);
        if (!close_code_is_valid(code)) return bad(w, err, "close code");
        if (!is_utf8(reason)) return bad(w, err, "close reason is not UTF-8");
    }
    w->closed = true;
    return w->ev.close ? w->ev.close(w->user, code, reason) : 0;
}

static int frame_end(struct websocket *w, struct err *err) {
    w->in_payload = false;
    w->header_n = 0;
    if (w->op == WEBSOCKET_CLOSE) return take_close(w, err);
    if (w->op == WEBSOCKET_PING) return w->ev.ping ? w->ev.ping(w->user, buf_view(&w->control)) : 0;
    if (w->op == WEBSOCKET_PONG) return w->ev.pong ? w->ev.pong(w->user, buf_view(&w->control)) : 0;
    if (!w->fin) return 0;
    bool text = w->message_op == WEBSOCKET_TEXT;
    w->message_op = 0;
    if (text && !is_utf8(buf_view(&w->message))) return bad(w, err, "text is not UTF-8");
    struct buf done = w->message; /* the callback may free w */
    w->message = (struct buf){0};
    int r = w->ev.message ? w->ev.message(w->user, text, buf_view(&done)) : 0;
    if (r != 0 || done.cap > 64 * 1024) {
        buf_done(&done);
    } else {
        buf_clear(&done);
        w->message = done;
    }
    return r;
}

static struct slice take_payload(struct websocket *w, struct slice in) {
    size_t n = w->left < in.n ? (size_t)w->left : in.n;
    struct buf *to = is_control(w->op) ? &w->control : &w->message;
    buf_append(to, in.p, n);
    if (w->role == WEBSOCKET_SERVER) unmask(w, to->p + to->n - n, n);
    w->left -= n;
    return slice_from(in.p + n, in.n - n);
}

int websocket_take(struct websocket *w, struct slice *in, struct err *err) {
    if (w->broken) return bad(w, err, "after an earlier error");
    int r = 0;
    while (r == 0 && !w->closed && in->n > 0) {
        if (!w->in_payload) {
            while (in->n > 0 && w->header_n < header_size(w)) {
                w->header[w->header_n++] = (unsigned char)*in->p++;
                in->n--;
            }
            if (w->header_n < header_size(w)) break;
            r = parse_header(w, err);
            if (is_control(w->op)) buf_clear(&w->control);
            if (r < 0) break;
        }
        if (in->n > 0) *in = take_payload(w, *in);
        if (w->left == 0) r = frame_end(w, err);
    }
    return r;
}

int websocket_feed(struct websocket *w, struct slice in, struct err *err) {
    return websocket_take(w, &in, err);
}

/* ---- Writing ---- */

size_t websocket_head(unsigned char ret[WEBSOCKET_HEAD_MAX], enum websocket_opcode op, uint64_t n,
                      const unsigned char mask[4]) {
    size_t length_n = n < 126 ? 0 : n < 65536 ? 2 : 8;
    ret[0] = (unsigned char)(FIN | op);
    ret[1] = (unsigned char)((length_n == 0 ? n : length_n == 2 ? 126 : 127) | (mask ? MASKED : 0));
    for (size_t i = 0; i < length_n; i++)
        ret[2 + i] = (unsigned char)(n >> (8 * (length_n - 1 - i)));
    if (mask) memcpy(ret + 2 + length_n, mask, 4);
    return 2 + length_n + (mask ? 4 : 0);
}

static void write_header(struct buf *b, enum websocket_opcode op, size_t n,
                         const unsigned char mask[4]) {
    unsigned char h[WEBSOCKET_HEAD_MAX];
    buf_append(b, h, websocket_head(h, op, n, mask));
}

void websocket_mask(char *p, size_t n, const unsigned char mask[4]) {
    for (size_t i = 0; i < n; i++) p[i] ^= (char)mask[i % 4];
}

void websocket_write(struct buf *b, enum websocket_opcode op, struct slice data,
                     const unsigned char mask[4]) {
    write_header(b, op, data.n, mask);
    size_t start = b->n;
    buf_slice(b, data);
    if (mask) websocket_mask(b->p + start, data.n, mask);
}

void websocket_write_channel(struct buf *b, unsigned char channel, struct slice data) {
    write_header(b, WEBSOCKET_BINARY, data.n + 1, NULL);
    buf_append(b, &channel, 1);
    buf_slice(b, data);
}

void websocket_write_close(struct buf *b, unsigned code, const char *reason) {
    char payload[CONTROL_MAX] = {(char)(code >> 8), (char)code};
    size_t n = reason ? strlen(reason) : 0;
    if (n > CONTROL_MAX - 2) n = CONTROL_MAX - 2;
    if (n > 0) memcpy(payload + 2, reason, n);
    bool no_code = code == WEBSOCKET_NO_CODE;
    websocket_write(b, WEBSOCKET_CLOSE, slice_from(payload, no_code ? 0 : n + 2), NULL);
}
