#include "server/route.h"

enum { PARTS_MAX = 12 };
struct parts {
    const char *v[PARTS_MAX];
    size_t n;
};

static bool truth(const char *s) {
    return s && (!*s || str_eq(s, "1") || slice_ieq(slice_of(s), "true") || str_eq(s, "t"));
}

bool route_flag(const struct request *r, const char *key) {
    return truth(http_query_get(&r->query, key));
}

/* One copy, which is cut in place. */
static void split(struct arena *a, const char *path, struct parts *ret) {
    char *at = arena_str(a, path);
    for (;;) {
        while (*at == '/') at++;
        if (!*at) return;
        ret->v[ret->n++] = at;
        if (ret->n == PARTS_MAX) return; /* the tail of a proxied path stays whole */
        at = strchrnul(at, '/');
        if (*at) *at++ = 0;
    }
}

static const char *lower(struct arena *a, const char *method) {
    char *s = arena_str(a, method);
    for (char *p = s; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p | 32);
    return s;
}

static const struct {
    const char *method, *one, *many;
} verbs[] = {
    {"GET", "get", "list"},       {"HEAD", "get", "list"},
    {"POST", "create", "create"}, {"PUT", "update", "update"},
    {"PATCH", "patch", "patch"},  {"DELETE", "delete", "deletecollection"},
};

static const char *verb_of(const struct request *r, const struct route *route) {
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (!str_eq(verbs[i].method, r->method)) continue;
        bool one = *route->name;
        if (!one && str_eq(verbs[i].many, "list") && route_flag(r, "watch")) return "watch";
        return one ? verbs[i].one : verbs[i].many;
    }
    return NULL;
}

/* Where the part after p[i] begins in the original path, for "/proxy/…". */
static const char *rest_of(const char *path, size_t skip) {
    const char *p = path;
    for (size_t i = 0; i < skip; i++) {
        while (*p == '/') p++;
        while (*p && *p != '/') p++;
    }
    return p;
}

static const char *part(const struct parts *p, size_t i) { return i < p->n ? p->v[i] : ""; }

void route_parse(const struct request *r, struct route *ret) {
    *ret = (struct route){.group = "",
                          .version = "",
                          .plural = "",
                          .ns = "",
                          .name = "",
                          .subresource = "",
                          .rest = ""};
    struct parts p = {0};
    split(r->arena, r->path, &p);
    bool core = str_eq(part(&p, 0), "api"), named = str_eq(part(&p, 0), "apis");
    size_t at = core ? 2 : 3;
    if ((!core && !named) || p.n <= at) {
        ret->verb = lower(r->arena, r->method);
        return;
    }
    ret->is_resource = true;
    ret->group = core ? "" : p.v[1];
    ret->version = p.v[at - 1];
    bool watch = str_eq(p.v[at], "watch") && p.n > at + 1; /* the old form of watch */
    if (watch) at++;
    if (str_eq(p.v[at], "namespaces") && p.n > at + 1) {
        ret->ns = p.v[at + 1];
        const char *next = part(&p, at + 2);
        if (*next && !str_eq(next, "status") && !str_eq(next, "finalize")) at += 2;
    }
    ret->plural = p.v[at];
    ret->name = part(&p, at + 1);
    ret->subresource = part(&p, at + 2);
    if (p.n > at + 3) ret->rest = rest_of(r->path, at + 3);
    bool reads = str_eq(r->method, "GET") || str_eq(r->method, "HEAD");
    ret->verb = !watch ? verb_of(r, ret) : reads ? "watch" : NULL;
    if (!ret->verb && str_eq(ret->subresource, "proxy")) ret->verb = lower(r->arena, r->method);
}
