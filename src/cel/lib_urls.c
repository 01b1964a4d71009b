/* url(): as Go's net/url.ParseRequestURI reads it. */
#include <string.h>

#include "base/own.h"
#include "cel/internal.h"

static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static struct slice cut(struct slice *s, size_t n) {
    struct slice head = slice_from(s->p, n);
    *s = slice_from(s->p + n, s->n - n);
    return head;
}

/* The scheme's length; 0 = none, SIZE_MAX = wrong. */
static size_t scheme_length(struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == ':') return i ? i : SIZE_MAX;
        if (is_alpha(c)) continue;
        if (i && (is_digit(c) || c == '+' || c == '-' || c == '.')) continue;
        return 0;
    }
    return 0;
}

static bool port_valid(struct slice s) {
    if (s.n == 0) return true;
    if (s.p[0] != ':') return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is_digit(s.p[i])) return false;
    return true;
}

static bool host_valid(struct slice s) {
    if (s.n && s.p[0] == '[') {
        const char *close = memchr(s.p, ']', s.n);
        return close && port_valid(slice_from(close + 1, (size_t)(s.p + s.n - close - 1)));
    }
    const char *colon = memrchr(s.p, ':', s.n);
    if (s.n && colon && !port_valid(slice_from(colon, (size_t)(s.p + s.n - colon)))) return false;
    for (size_t i = 0; i < s.n; i++)
        if (memchr(" <>\"\\^`{|}/", s.p[i], 11)) return false;
    return true;
}

static bool escapes_valid(struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') continue;
        if (s.n - i < 3) return false;
        for (size_t k = 1; k < 3; k++)
            if (!is_digit(s.p[i + k]) && !(is_alpha(s.p[i + k]) && (s.p[i + k] | 32) <= 'f'))
                return false;
    }
    return true;
}

static bool parse(struct slice s, struct cel_opaque *o) {
    o->kind = CEL_URL;
    o->text = s;
    if (s.n == 0) return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) return false;
    size_t scheme = scheme_length(s);
    if (scheme == SIZE_MAX || (scheme == 0 && s.p[0] != '/')) return false;
    if (scheme) {
        o->url.scheme = cut(&s, scheme);
        cut(&s, 1);
    }
    const char *query = memchr(s.p, '?', s.n);
    if (s.n && query) {
        size_t n = (size_t)(query - s.p);
        o->url.query = slice_from(query + 1, s.n - n - 1);
        s = slice_from(s.p, n);
    }
    if (scheme && !slice_starts(s, "/")) return s.n > 0; /* opaque, such as mailto:a@b */
    if (scheme && slice_starts(s, "//")) {
        cut(&s, 2);
        const char *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
        o->url.host = cut(&s, slash ? (size_t)(slash - s.p) : s.n);
        const char *at = o->url.host.n ? memrchr(o->url.host.p, '@', o->url.host.n) : NULL;
        if (at) cut(&o->url.host, (size_t)(at - o->url.host.p) + 1);
        if (!host_valid(o->url.host)) return false;
    }
    o->url.path = s;
    return escapes_valid(s);
}

static struct cel_value url(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque o = {0};
    if (parse(cel_slice(args[0]), &o)) return cel_opaque(run, &o);
    return cel_fail(
        run,
        "URL parse error during conversion from string: parse \"%.*s\": invalid URI for request",
        (int)MIN_OF(args[0].n, (size_t)200), args[0].p);
}

static struct cel_value is_url(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque o = {0};
    return cel_bool(parse(cel_slice(args[0]), &o));
}

static struct cel_value scheme_of(struct cel_run *run, const struct cel_value *args) {
    OWN(buf_done) struct buf b = {0};
    buf_slice(&b, args[0].opaque->url.scheme);
    for (size_t i = 0; i < b.n; i++)
        if (is_alpha(b.p[i])) b.p[i] |= 32;
    return cel_copy_text(run, &b);
}

static struct cel_value host_of(struct cel_run *run, const struct cel_value *args) {
    return cel_string(args[0].opaque->url.host);
}

/* The host without brackets and port, and the port. */
static void split_host(struct slice host, struct slice *name, struct slice *port) {
    const char *end = host.p + host.n, *colon;
    *port = SLICE("");
    if (host.n && host.p[0] == '[') {
        const char *close = memchr(host.p, ']', host.n);
        *name = slice_from(host.p + 1, (size_t)(close - host.p - 1));
        colon = close + 1 < end ? close + 1 : NULL;
    } else {
        colon = host.n ? memrchr(host.p, ':', host.n) : NULL;
        *name = slice_from(host.p, colon ? (size_t)(colon - host.p) : host.n);
    }
    if (colon) *port = slice_from(colon + 1, (size_t)(end - colon - 1));
}

static struct cel_value hostname_of(struct cel_run *run, const struct cel_value *args) {
    struct slice name, port;
    split_host(args[0].opaque->url.host, &name, &port);
    return cel_string(name);
}

static struct cel_value port_of(struct cel_run *run, const struct cel_value *args) {
    struct slice name, port;
    split_host(args[0].opaque->url.host, &name, &port);
    return cel_string(port);
}

static struct cel_value path_of(struct cel_run *run, const struct cel_value *args) {
    OWN(buf_done) struct buf b = {0};
    struct slice path = args[0].opaque->url.path;
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (c < 0x80 &&
            (is_alpha((char)c) || is_digit((char)c) || strchr("-_.~$&+,/:;=@%!'()*[]", c)))
            buf_char(&b, (char)c);
        else
            buf_printf(&b, "%%%02X", c);
    }
    return cel_copy_text(run, &b);
}

static int hex(char c) { return is_digit(c) ? c - '0' : (c | 32) - 'a' + 10; }

static struct cel_value unescaped(struct cel_run *run, struct slice s) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && escapes_valid(slice_from(s.p + i, MIN_OF(s.n - i, (size_t)3)))) {
            buf_char(&b, (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2])));
            i += 2;
        } else {
            buf_char(&b, s.p[i] == '+' ? ' ' : s.p[i]);
        }
    }
    return cel_copy_text(run, &b);
}

struct value_list {
    struct cel_value *v;
    size_t n;
};

static struct cel_value query_of(struct cel_run *run, const struct cel_value *args) {
    struct slice rest = args[0].opaque->url.query, part;
    struct {
        struct cel_entry *v;
        size_t n;
    } made = {0};
    while (rest.n && slice_cut(&rest, '&', &part)) {
        struct slice key;
        if (!cel_charge(run, 2 + made.n / 10)) return cel_exhausted();
        if (part.n == 0 || memchr(part.p, ';', part.n)) continue;
        slice_cut(&part, '=', &key);
        struct cel_value k = unescaped(run, key), v = unescaped(run, part);
        if (k.kind == CEL_ERROR || v.kind == CEL_ERROR) return cel_exhausted();
        size_t i = 0;
        while (i < made.n && !slice_eq(cel_slice(made.v[i].key), cel_slice(k))) i++;
        if (i == made.n)
            *ARENA_PUSH(run->a, &made) = (struct cel_entry){k, cel_list(run->a, NULL, 0)};
        struct cel_list *l = made.v[i].value.list;
        struct value_list list = {l->v, l->n};
        *ARENA_PUSH(run->a, &list) = v;
        l->v = list.v;
        l->n = list.n;
    }
    struct cel_map *m = ARENA_NEW(run->a, struct cel_map);
    m->v = made.v;
    m->n = made.n;
    m->a = run->a;
    cel_map_index(m);
    return (struct cel_value){.kind = CEL_MAP, .map = m};
}

static const struct cel_function functions[] = {
    {"url(string) url", url, COST_SIZE},
    {"isURL(string) bool", is_url, COST_SIZE},
    {"url|getScheme() string", scheme_of, COST_ONE},
    {"url|getHost() string", host_of, COST_ONE},
    {"url|getHostname() string", hostname_of, COST_ONE},
    {"url|getPort() string", port_of, COST_ONE},
    {"url|getEscapedPath() string", path_of, COST_ONE},
    {"url|getQuery() map<string,list<string>>", query_of, COST_ONE},
};
const struct cel_library cel_lib_urls = {functions, ARRAY_LEN(functions)};
