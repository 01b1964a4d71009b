#include "api/registry.h"

#include <stdlib.h>
#include <string.h>

#include "api/table.h"
#include "base/vec.h"

extern const struct api_behavior *const __start_atoll_kinds[] __attribute__((weak));
extern const struct api_behavior *const __stop_atoll_kinds[] __attribute__((weak));

/* ---- kinds of run time ---- */

static VEC(const struct api_kind *) added, all; /* all: with those of the tables, sorted */

/* What was found last, by a hash: every request looks its kind up several times. */
enum { MEMO_SLOTS = 64 };
static struct {
    const struct api_kind *by_plural[MEMO_SLOTS];
    struct {
        const struct api_kind *kind;
        const struct api_behavior *behavior;
    } behaviors[MEMO_SLOTS];
} memo;

static int by_name(const void *x, const void *y) {
    const struct api_kind *a = *(const struct api_kind *const *)x,
                          *b = *(const struct api_kind *const *)y;
    int c = strcmp(a->group, b->group);
    if (!c) c = strcmp(a->version, b->version);
    return c ? c : strcmp(a->kind, b->kind);
}

static void merge(void) {
    memset(&memo, 0, sizeof memo);
    all.n = 0;
    for (size_t i = 0; i < api_kind_table_n; i++) vec_push(&all, api_kind_table[i]);
    for (size_t i = 0; i < added.n; i++) vec_push(&all, added.v[i]);
    qsort(all.v, all.n, sizeof *all.v, by_name);
}

void api_kind_add(const struct api_kind *k) {
    vec_push(&added, k);
    merge();
}

void api_kind_remove(const struct api_kind *k) {
    for (size_t i = added.n; i-- > 0;)
        if (added.v[i] == k) vec_remove(&added, i);
    merge();
    if (added.n) return;
    vec_done(&added);
    vec_done(&all);
}

/* ---- look-ups ---- */

const struct api_kind *const *api_kinds(size_t *ret_n) {
    *ret_n = added.n ? all.n : api_kind_table_n;
    return added.n ? all.v : api_kind_table;
}

const struct api_kind *api_kind_by_plural(const char *group, const char *version,
                                          const char *plural) {
    unsigned h = (unsigned char)*group;
    for (const char *p = plural; *p; p++) h = h * 31 + (unsigned char)*p;
    const struct api_kind **last = &memo.by_plural[h % MEMO_SLOTS];
    if (*last && str_eq((*last)->plural, plural) && str_eq((*last)->group, group) &&
        str_eq((*last)->version, version))
        return *last;
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        const struct api_kind *k = kinds[i];
        if (str_eq(k->plural, plural) && str_eq(k->group, group) && str_eq(k->version, version))
            return *last = k;
    }
    return NULL;
}

const struct api_kind *api_kind_by_name(const char *group, const char *version, const char *kind) {
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        const struct api_kind *k = kinds[i];
        if (str_eq(k->kind, kind) && str_eq(k->group, group) && str_eq(k->version, version))
            return k;
    }
    return NULL;
}

const struct api_kind *api_kind_by_api_version(const char *api_version, const char *kind) {
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        const struct api_kind *k = kinds[i];
        if (str_eq(k->kind, kind) && str_eq(k->api_version, api_version)) return k;
    }
    return NULL;
}

static const struct api_behavior *find_behavior(const struct api_kind *k) {
    for (const struct api_behavior *const *p = __start_atoll_kinds; p < __stop_atoll_kinds; p++)
        if (str_eq((*p)->kind, k->kind) && str_eq((*p)->group, k->group) &&
            ((*p)->version ? str_eq((*p)->version, k->version) : !(k->flags & API_CONVERTED)))
            return *p;
    return NULL;
}

const struct api_behavior *api_kind_behavior(const struct api_kind *k) {
    size_t slot = (uintptr_t)k / sizeof *k % MEMO_SLOTS;
    if (memo.behaviors[slot].kind != k) {
        memo.behaviors[slot].behavior = find_behavior(k);
        memo.behaviors[slot].kind = k;
    }
    return memo.behaviors[slot].behavior;
}

const char *api_kind_api_version(const struct api_kind *k) { return k->api_version; }

struct api_object *api_object_new(struct arena *a, const struct api_kind *k) {
    struct api_object *o = api_new(a, k->type);
    o->api_version = k->api_version;
    o->kind = k->kind;
    return o;
}

int api_object_decode(struct arena *a, const struct api_kind *k, struct slice json,
                      struct api_object **ret, struct err *err) {
    void *obj;
    int rc = api_decode(a, k->type, json, NULL, &obj, err);
    if (rc == 0) *ret = obj;
    return rc;
}

void api_object_encode(struct buf *b, const struct api_kind *k, const struct api_object *o) {
    api_encode(b, k->type, o);
}

struct api_object *api_object_copy(struct arena *a, const struct api_kind *k,
                                   const struct api_object *o) {
    return api_copy(a, k->type, o);
}

const struct meta_v1_owner_reference *api_controller_of(const struct api_object *o) {
    const struct meta_v1_owner_reference_list *owners = &o->metadata.owner_references;
    for (size_t i = 0; i < owners->n; i++)
        if (owners->v[i].controller && *owners->v[i].controller) return &owners->v[i];
    return NULL;
}
