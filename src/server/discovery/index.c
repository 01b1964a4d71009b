#include "server/discovery/index.h"

#include <stdlib.h>

#include "base/own.h"
#include "server/discovery/groups.h"

static const char *const fixed[] = {"/.well-known/openid-configuration",
                                    "/api",
                                    "/api/v1",
                                    "/apis",
                                    "/apis/",
                                    "/healthz",
                                    "/livez",
                                    "/metrics",
                                    "/openapi/v2",
                                    "/openapi/v3",
                                    "/openapi/v3/",
                                    "/openid/v1/jwks",
                                    "/readyz",
                                    "/version"};

static void add_groups(struct arena *a, struct str_list *paths) {
    struct str_list groups = discovery_groups(a);
    for (size_t i = 0; i < groups.n; i++) {
        struct str_list versions = discovery_versions(a, groups.v[i]);
        *ARENA_PUSH(a, paths) = arena_printf(a, "/apis/%s", groups.v[i]);
        for (size_t j = 0; j < versions.n; j++)
            *ARENA_PUSH(a, paths) = arena_printf(a, "/apis/%s/%s", groups.v[i], versions.v[j]);
    }
}

static void add_checks(struct call *c, struct str_list *paths) {
    const char *name;
    bool ok;
    for (size_t i = 0; health_check(c->api, i, &name, &ok); i++) {
        *ARENA_PUSH(c->a, paths) = arena_printf(c->a, "/healthz/%s", name);
        *ARENA_PUSH(c->a, paths) = arena_printf(c->a, "/readyz/%s", name);
        if (health_check_lives(i)) *ARENA_PUSH(c->a, paths) = arena_printf(c->a, "/livez/%s", name);
    }
}

static int by_text(const void *x, const void *y) {
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

void discovery_index(struct call *c) {
    struct str_list paths = {0};
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) *ARENA_PUSH(c->a, &paths) = fixed[i];
    add_groups(c->a, &paths);
    add_checks(c, &paths);
    qsort(paths.v, paths.n, sizeof *paths.v, by_text);
    buf_str(&b, "{\n  \"paths\": [");
    for (size_t i = 0; i < paths.n; i++) {
        buf_str(&b, i ? ",\n    " : "\n    ");
        buf_json_str(&b, slice_of(paths.v[i]));
    }
    buf_str(&b, "\n  ]\n}");
    reply_json(c, 200, buf_view(&b));
}
