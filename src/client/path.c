#include "client/path.h"

#include <string.h>

void api_path_encode(struct buf *b, const char *s) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~:@!$'()*,";
    for (; *s; s++) {
        if (strchr(plain, *s))
            buf_char(b, *s);
        else
            buf_printf(b, "%%%02X", (unsigned char)*s);
    }
}

static void segment(struct buf *b, const char *s) {
    if (str_empty(s)) return;
    buf_char(b, '/');
    api_path_encode(b, s);
}

void api_path(struct buf *b, const struct api_kind *k, const char *ns, const char *name,
              const char *subresource) {
    buf_str(b, *k->group ? "/apis" : "/api");
    segment(b, k->group);
    segment(b, k->version);
    if (!str_empty(ns) && k->flags & API_NAMESPACED) {
        buf_str(b, "/namespaces");
        segment(b, ns);
    }
    segment(b, k->plural);
    segment(b, name);
    segment(b, subresource);
}

void api_path_query(struct buf *b, const char *key, const char *value) {
    if (str_empty(value)) return;
    buf_char(b, b->n && memchr(b->p, '?', b->n) ? '&' : '?');
    buf_str(b, key);
    buf_char(b, '=');
    api_path_encode(b, value);
}
