/* CustomResourceDefinition: defaults, what clients do not write, Table columns. */
#include <ctype.h>

#include "api/custom/definition.h"
#include "api/kinds/kinds.h"
#include "base/map.h"
#include "base/own.h"

typedef struct apiextensions_v1_custom_resource_definition definition;

static const char *lower(struct arena *a, const char *s) {
    char *out = arena_str(a, s);
    for (char *p = out; *p; p++) *p = (char)tolower((unsigned char)*p);
    return out;
}

static void defaults(struct arena *a, void *obj) {
    definition *d = obj;
    struct apiextensions_v1_custom_resource_definition_names *n = &d->spec.names;
    if (str_empty(n->singular) && !str_empty(n->kind)) n->singular = lower(a, n->kind);
    if (str_empty(n->list_kind) && !str_empty(n->kind))
        n->list_kind = arena_printf(a, "%sList", n->kind);
    if (!d->spec.conversion) {
        d->spec.conversion = ARENA_NEW(a, struct apiextensions_v1_custom_resource_conversion);
        d->spec.conversion->strategy = "None";
    }
    struct apiextensions_v1_webhook_conversion *w = d->spec.conversion->webhook;
    if (w && w->client_config && w->client_config->service && !w->client_config->service->port) {
        w->client_config->service->port = ARENA_NEW(a, int32_t);
        *w->client_config->service->port = 443;
    }
}

static void remember_stored(struct arena *a, definition *d) {
    const struct str_list *have = &d->status.stored_versions;
    OWN(map_done) struct map known = {0};
    struct str_list all = {0};
    for (size_t k = 0; k < have->n; k++) {
        map_seen(&known, slice_of(have->v[k]));
        *ARENA_PUSH(a, &all) = have->v[k];
    }
    for (size_t i = 0; i < d->spec.versions.n; i++) {
        const char *name = d->spec.versions.v[i].name;
        if (!d->spec.versions.v[i].storage || str_empty(name)) continue;
        if (!map_seen(&known, slice_of(name))) *ARENA_PUSH(a, &all) = name;
    }
    d->status.stored_versions = all;
}

static void prepare(struct arena *a, void *obj, const void *old) {
    definition *d = obj;
    if (!old) d->status = (struct apiextensions_v1_custom_resource_definition_status){0};
    remember_stored(a, d);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    {"Created At", "date", "", "When the definition was made.", 0},
};

static void row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const definition *d = obj;
    (void)a;
    (void)now_ns;
    cells[0] = cell_text(d->metadata.name);
    cells[1] = cell_text(d->metadata.creation_timestamp);
}

static const struct api_behavior definition_behavior = {
    .group = "apiextensions.k8s.io",
    .kind = "CustomResourceDefinition",
    .defaults = defaults,
    .prepare = prepare,
    .validate = definition_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = row,
};
API_BEHAVIOR(definition_behavior);
