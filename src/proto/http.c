#include "proto/http.h"

#include <errno.h>

const char *http_header(const struct http_headers *h, const char *lower_name) {
    for (size_t i = 0; i < h->n; i++)
        /* The first letter tells nearly all of them apart, and each request asks a dozen times. */
        if (*h->v[i].name == *lower_name && str_eq(h->v[i].name, lower_name)) return h->v[i].value;
    return NULL;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static int percent_decode(struct arena *a, struct slice s, bool plus_is_space, const char **ret,
                          struct err *err) {
    if (!s.n || (!memchr(s.p, '%', s.n) && !(plus_is_space && memchr(s.p, '+', s.n)))) {
        *ret = arena_strn(a, s);
        return 0;
    }
    char *out = arena_text(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = s.n - i > 2 ? hex_digit(s.p[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
            if (low < 0) return err_set(err, ERR_BAD_REQUEST, "malformed escape in request target");
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == 0) return err_set(err, ERR_BAD_REQUEST, "NUL byte in request target");
        out[n++] = c;
    }
    out[n] = 0;
    *ret = out;
    return 0;
}

static int split_query(struct arena *a, struct slice s, struct http_query *q, struct err *err) {
    struct slice part;
    while (slice_cut(&s, '&', &part)) {
        if (part.n == 0) continue;
        struct slice key;
        struct slice value = part;
        slice_cut(&value, '=', &key);
        struct str_kv *kv = ARENA_PUSH(a, q);
        int r = percent_decode(a, key, true, &kv->key, err);
        if (r == 0) r = percent_decode(a, value, true, &kv->value, err);
        if (r < 0) return r;
    }
    return 0;
}

bool http_target_is_clean(const char *target) {
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    size_t n = strlen(target), i = 0;
    for (uint64_t x; n - i >= 8; i += 8) { /* eight bytes at a time */
        memcpy(&x, target + i, sizeof x);
        uint64_t del = x ^ ones * 0x7f;
        if ((((x - ones * 0x21) & ~x) | ((del - ones) & ~del) | x) & high) return false;
    }
    for (; i < n; i++)
        if ((unsigned char)target[i] <= 0x20 || (unsigned char)target[i] >= 0x7f) return false;
    return true;
}

/* Absolute form (RFC 9112 section 3.2.2): what stands after the authority. */
static struct slice without_authority(struct slice s) {
    size_t n = slice_starts(s, "http://") ? 7 : slice_starts(s, "https://") ? 8 : 0;
    if (n == 0) return s;
    const char *slash = memchr(s.p + n, '/', s.n - n);
    return slash ? slice_from(slash, s.n - (size_t)(slash - s.p)) : SLICE("/");
}

int http_split_target(struct arena *a, const char *target, const char **ret_path,
                      struct http_query *ret_query, struct err *err) {
    struct slice rest = without_authority(slice_of(target));
    if (rest.n == 0 || rest.p[0] != '/')
        return err_set(err, ERR_BAD_REQUEST, "request target does not start with a slash");
    if (memchr(rest.p, '#', rest.n))
        return err_set(err, ERR_BAD_REQUEST, "request target holds a fragment");
    struct slice path_text;
    slice_cut(&rest, '?', &path_text);
    const char *path;
    struct http_query query = {0};
    int r = percent_decode(a, path_text, false, &path, err);
    if (r == 0) r = split_query(a, rest, &query, err);
    if (r < 0) return r;
    *ret_path = path;
    *ret_query = query;
    return 0;
}

const char *http_query_get(const struct http_query *q, const char *key) {
    for (size_t i = 0; i < q->n; i++)
        if (strcmp(q->v[i].key, key) == 0) return q->v[i].value;
    return NULL;
}

/* RFC 9110 section 15 and RFC 6585. */
static const struct {
    int status;
    const char *text;
} status_texts[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Request Entity Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Entity"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *http_status_text(int status) {
    for (size_t i = 0; i < sizeof status_texts / sizeof status_texts[0]; i++)
        if (status_texts[i].status == status) return status_texts[i].text;
    return "Unknown";
}
