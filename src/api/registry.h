/*
 * Kinds: what the server can store and serve. A kind = a `kind` block in a .api file (table, names,
 * scope) plus, where it has behaviour, one file src/api/kinds/<kind>.c that registers struct
 * api_behavior with API_BEHAVIOR().
 */
#pragma once

#include "api/type.h"
#include "api/types.h" /* generated */

/* Every top-level object begins like this; a pointer to any of them may be read as one. */
struct api_object {
    const char *api_version;
    const char *kind;
    struct meta_v1_object_meta metadata;
};

enum { /* api_kind.flags */
       API_NAMESPACED = 1,
       API_HAS_STATUS =
           2, /* /status subresource; main writes ignore status, status writes ignore the rest */
       API_HAS_SCALE = 4,
       API_VIRTUAL = 8,                /* never stored: reviews, TokenRequest; POST only */
       API_GENERATION = 16,            /* metadata.generation counts spec changes */
       API_UNCONDITIONAL_UPDATE = 32,  /* update without resourceVersion is allowed */
       API_CREATE_ON_UPDATE = 256,     /* a PUT makes what is not there */
       API_NO_COLLECTION_DELETE = 512, /* deleted one by one only: no deletecollection */
       API_READ_ONLY = 128, /* a virtual kind that is made when asked for: get and list only */
       API_CONVERTED = 64,  /* never stored in this form: the kind with the same store_prefix and
                               without this flag is (api/convert.h) */
};

struct custom_version;
struct api_kind {
    const char *group;               /* "" = core */
    const char *version;             /* v1 */
    const char *kind;                /* Pod */
    const char *plural;              /* pods */
    const char *singular;            /* pod */
    const char *list_kind;           /* PodList */
    const char *const *short_names;  /* NULL-terminated */
    const char *const *categories;   /* NULL-terminated */
    const char *const *subresources; /* NULL-terminated: "status", "log", … */
    unsigned flags;
    const struct api_type *type;
    const char *store_prefix;            /* "/pods.core/": shared by all versions of the resource */
    const char *api_version;             /* "v1", "apps/v1" */
    int name_format;                     /* enum api_format (api/table.h) of metadata.name */
    const struct custom_version *custom; /* NULL: a kind of the tables (api/custom/custom.h) */
};

/* A Table column (meta/v1 TableColumnDefinition). */
struct api_column {
    const char *name, *type /* string, integer, boolean, date */, *format /* "" or "name" */,
        *description;
    int priority; /* > 0: only with -o wide */
};
struct api_cell {
    enum { CELL_NULL, CELL_STRING, CELL_INT } kind;
    const char *s;
    int64_t i;
};

struct api_behavior {
    const char *group, *kind;
    const char *version; /* NULL: the stored form; set for that of an API_CONVERTED kind */
    /* Defaults that depend on other fields; runs after api_default, idempotent. old is NULL on
     * create. */
    void (*defaults)(struct arena *a, void *obj);
    /* Clears what a client may not set on this path: status on create, immutable server fields on
     * update. */
    void (*prepare)(struct arena *a, void *obj, const void *old);
    /* The same for a subresource: takes from old what it does not write, of status and scale beyond
     * what is kept for every kind. May be NULL. */
    void (*prepare_subresource)(struct arena *a, void *obj, const void *old,
                                const char *subresource);
    /* Cross-field rules; old NULL on create. subresource "" or "status", … */
    void (*validate)(const void *obj, const void *old, const char *subresource,
                     struct api_causes *causes);
    const struct api_column
        *columns; /* after Name which is always first and provided here too; NULL: Name and Age */
    size_t n_columns;
    void (*row)(struct arena *a, const void *obj, int64_t now_ns,
                struct api_cell *cells); /* fills n_columns cells */
    /* Field selectors besides metadata.name and metadata.namespace: value of a path or NULL when
     * unsupported. */
    const char *(*field)(struct arena *a, const void *obj, const char *path);
    const char *const *fields; /* NULL-terminated list of those paths */
};

#define API_BEHAVIOR(sym)                                                                          \
    __attribute__((                                                                                \
        used, retain,                                                                              \
        section("atoll_kinds"))) static const struct api_behavior *const api_behavior_p_##sym =    \
        &sym

/* All kinds, sorted by group, version, kind. */
const struct api_kind *const *api_kinds(size_t *ret_n);
const struct api_kind *api_kind_by_plural(const char *group, const char *version,
                                          const char *plural);
const struct api_kind *api_kind_by_name(const char *group, const char *version, const char *kind);
const struct api_kind *api_kind_by_api_version(const char *api_version,
                                               const char *kind); /* "apps/v1", "Deployment" */
const struct api_behavior *api_kind_behavior(const struct api_kind *k); /* NULL when it has none */
/* "v1" or "apps/v1", in static storage of the kind. */
const char *api_kind_api_version(const struct api_kind *k);

/* Kinds that come and go at run time, besides those of the tables. k stays valid until it is
 * removed; all three look-ups find it. */
void api_kind_add(const struct api_kind *k);
void api_kind_remove(const struct api_kind *k);

/* Generic access by kind. */
struct api_object *api_object_new(struct arena *a,
                                  const struct api_kind *k); /* apiVersion and kind set */
int api_object_decode(struct arena *a, const struct api_kind *k, struct slice json,
                      struct api_object **ret, struct err *err);
void api_object_encode(struct buf *b, const struct api_kind *k, const struct api_object *o);
struct api_object *api_object_copy(struct arena *a, const struct api_kind *k,
                                   const struct api_object *o);

/* metadata helpers */
const struct meta_v1_owner_reference *
api_controller_of(const struct api_object *o); /* the owner with controller=true, or NULL */
