#include "client/dynamic.h"

#include <stdlib.h>

#include "api/table.h"
#include "base/own.h"
#include "base/vec.h"
#include "client/client_private.h"
#include "client/skim.h"

enum { SOON_MS = 20, RETRY_MS = 500, KINDS_MAX = 4096 };

static const struct api_field metadata_fields[] = {
    {.name = "apiVersion",
     .name_n = 10,
     .form = API_STRING,
     .offset = offsetof(struct api_object, api_version),
     .doc = "Version."},
    {.name = "kind",
     .name_n = 4,
     .form = API_STRING,
     .offset = offsetof(struct api_object, kind),
     .doc = "Kind."},
    {.name = "metadata",
     .name_n = 8,
     .form = API_OBJECT,
     .offset = offsetof(struct api_object, metadata),
     .type = &meta_v1_object_meta_type,
     .doc = "Metadata."},
};
static const struct api_type metadata_type = {.name = "PartialObjectMetadata",
                                              .schema_name = "io.atoll.v1.PartialObjectMetadata",
                                              .size = sizeof(struct api_object),
                                              .fields = metadata_fields,
                                              .n_fields = ARRAY_LEN(metadata_fields),
                                              .doc = "Metadata of an object."};

struct known {
    struct api_kind kind;
    bool seen, registered;
    bool followed; /* told as found: the first version of its resource */
};

struct dynamic_kinds {
    struct api_client *client;
    struct dynamic_events ev;
    struct timer *timer;
    VEC(struct known *) known;
    VEC(char *) versions; /* of the round that runs: group/version */
    size_t next;
    bool running, again;
    struct round *round; /* the request under way */
};

/* Outlives a dynamic_kinds that is freed while a request is under way. */
struct round {
    struct dynamic_kinds *d;
};

static void look(void *user);

static char *copy(struct slice s) {
    char *p = strndup(s.p ? s.p : "", s.n);
    if (!p) abort();
    return p;
}

/* ---- what was found ---- */

static bool is_table_kind(struct slice group, struct slice plural) {
    for (size_t i = 0; i < api_kind_table_n; i++)
        if (slice_is(group, api_kind_table[i]->group) &&
            slice_is(plural, api_kind_table[i]->plural))
            return true;
    return false;
}

static struct known *known_of(struct dynamic_kinds *d, struct slice group, struct slice version,
                              struct slice plural, struct slice kind, unsigned flags) {
    for (size_t i = 0; i < d->known.n; i++) {
        const struct api_kind *k = &d->known.v[i]->kind;
        if (slice_is(group, k->group) && slice_is(version, k->version) &&
            slice_is(plural, k->plural) && slice_is(kind, k->kind) && k->flags == flags)
            return d->known.v[i];
    }
    if (d->known.n >= KINDS_MAX) return NULL;
    OWN(buf_done) struct buf prefix = {0}, api_version = {0};
    struct known *n = calloc(1, sizeof *n);
    if (!n) abort();
    buf_printf(&prefix, "/%.*s.%.*s/", (int)plural.n, plural.p, (int)group.n, group.p);
    buf_printf(&api_version, "%.*s/%.*s", (int)group.n, group.p, (int)version.n, version.p);
    n->kind = (struct api_kind){.group = copy(group),
                                .version = copy(version),
                                .kind = copy(kind),
                                .plural = copy(plural),
                                .singular = "",
                                .list_kind = "",
                                .flags = flags,
                                .type = &metadata_type,
                                .store_prefix = buf_steal(&prefix),
                                .api_version = buf_steal(&api_version)};
    vec_push(&d->known, n);
    return n;
}

static bool has_verbs(struct slice resource) {
    struct slice verbs = skim_get(resource, "verbs");
    return verbs.p && memmem(verbs.p, verbs.n, "\"watch\"", 7) &&
           memmem(verbs.p, verbs.n, "\"delete\"", 8);
}

static void take_resources(struct dynamic_kinds *d, struct slice body, const char *group_version) {
    struct slice version = slice_of(group_version), group = {0}, resource;
    slice_cut(&version, '/', &group);
    struct skim list = skim_init(skim_get(body, "resources"));
    while (skim_element(&list, &resource)) {
        struct slice plural = skim_string(skim_get(resource, "name")),
                     kind = skim_string(skim_get(resource, "kind"));
        if (!plural.n || memchr(plural.p, '/', plural.n) || !has_verbs(resource) ||
            is_table_kind(group, plural))
            continue;
        bool namespaced = slice_is(skim_get(resource, "namespaced"), "true");
        struct known *k =
            known_of(d, group, version, plural, kind, namespaced ? API_NAMESPACED : 0);
        if (k) k->seen = true;
    }
}

static bool is_followed(const struct dynamic_kinds *d, const struct api_kind *k) {
    for (size_t i = 0; i < d->known.n; i++)
        if (d->known.v[i]->followed && str_eq(d->known.v[i]->kind.store_prefix, k->store_prefix))
            return true;
    return false;
}

static void settle(struct dynamic_kinds *d) {
    for (size_t i = 0; i < d->known.n; i++) {
        struct known *k = d->known.v[i];
        if (k->seen) continue;
        if (k->registered) api_kind_remove(&k->kind);
        if (k->followed) d->ev.lost(d->ev.user, &k->kind);
        k->registered = k->followed = false;
    }
    for (size_t i = 0; i < d->known.n; i++) {
        struct known *k = d->known.v[i];
        if (!k->seen) continue;
        if (!k->registered) api_kind_add(&k->kind);
        k->registered = true;
        if (is_followed(d, &k->kind)) continue;
        k->followed = true;
        d->ev.found(d->ev.user, &k->kind);
    }
    d->ev.complete(d->ev.user);
}

/* ---- one round: /apis, then every group's version ---- */

static void round_over(struct dynamic_kinds *d, bool success) {
    d->running = false;
    if (success) settle(d);
    if (d->again || !success) timer_start(d->timer, success ? SOON_MS : RETRY_MS, 0);
}

static void next_version(struct dynamic_kinds *d);

static struct dynamic_kinds *round_of(struct round *r) {
    struct dynamic_kinds *d = r->d;
    free(r);
    if (d) d->round = NULL;
    return d;
}

static void on_resources(void *user, const struct api_object *obj, struct slice body,
                         const struct err *err) {
    struct dynamic_kinds *d = round_of(user);
    (void)obj;
    if (!d) return;
    if (err && err->reason != ERR_NOT_FOUND) {
        round_over(d, false);
        return;
    }
    if (!err) take_resources(d, body, d->versions.v[d->next]);
    d->next++;
    next_version(d);
}

static void ask(struct dynamic_kinds *d, const char *path, api_reply_fn *fn) {
    d->round = malloc(sizeof *d->round);
    if (!d->round) abort();
    d->round->d = d;
    api_request(d->client, "GET", path, NULL, (struct slice){0}, fn, d->round);
}

static void next_version(struct dynamic_kinds *d) {
    if (d->next >= d->versions.n) {
        round_over(d, true);
        return;
    }
    OWN(buf_done) struct buf path = {0};
    buf_printf(&path, "/apis/%s", d->versions.v[d->next]);
    ask(d, path.p, on_resources);
}

static void versions_clear(struct dynamic_kinds *d) {
    for (size_t i = 0; i < d->versions.n; i++) free(d->versions.v[i]);
    d->versions.n = 0;
}

static void on_groups(void *user, const struct api_object *obj, struct slice body,
                      const struct err *err) {
    struct dynamic_kinds *d = round_of(user);
    (void)obj;
    if (!d) return;
    if (err) {
        round_over(d, false);
        return;
    }
    struct skim groups = skim_init(skim_get(body, "groups"));
    struct slice group, version;
    versions_clear(d);
    while (skim_element(&groups, &group)) {
        struct skim versions = skim_init(skim_get(group, "versions"));
        while (skim_element(&versions, &version)) {
            char *text = copy(skim_string(skim_get(version, "groupVersion")));
            vec_push(&d->versions, text);
        }
    }
    for (size_t i = 0; i < d->known.n; i++) d->known.v[i]->seen = false;
    d->next = 0;
    next_version(d);
}

static void look(void *user) {
    struct dynamic_kinds *d = user;
    if (d->running) {
        d->again = true;
        return;
    }
    d->running = true;
    d->again = false;
    ask(d, "/apis", on_groups);
}

/* ---- life ---- */

struct dynamic_kinds *dynamic_kinds_new(struct api_client *c, const struct dynamic_events *ev) {
    struct dynamic_kinds *d = calloc(1, sizeof *d);
    if (!d) abort();
    d->client = c;
    d->ev = *ev;
    d->timer = timer_new(api_client_loop(c), look, d);
    timer_start(d->timer, 0, 0);
    return d;
}

void dynamic_kinds_refresh(struct dynamic_kinds *d) {
    if (!timer_active(d->timer)) timer_start(d->timer, SOON_MS, 0);
}

void dynamic_kinds_free(struct dynamic_kinds *d) {
    if (!d) return;
    if (d->round) d->round->d = NULL;
    timer_free(d->timer);
    versions_clear(d);
    vec_done(&d->versions);
    for (size_t i = 0; i < d->known.n; i++) {
        struct known *k = d->known.v[i];
        if (k->registered) api_kind_remove(&k->kind);
        free((char *)k->kind.group);
        free((char *)k->kind.version);
        free((char *)k->kind.kind);
        free((char *)k->kind.plural);
        free((char *)k->kind.store_prefix);
        free((char *)k->kind.api_version);
        free(k);
    }
    vec_done(&d->known);
    free(d);
}
