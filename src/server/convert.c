#include "server/convert.h"
#include "api/convert.h"
#include "base/own.h"

const struct api_kind *storage_kind(const struct api_kind *k) {
    const char *dot = strchr(k->store_prefix, '.');
    if (!dot) return k;
    size_t n = strlen(dot + 1);
    struct slice group = slice_from(dot + 1, n ? n - 1 : 0);
    if (slice_is(group, *k->group ? k->group : "core")) return k;
    const char *wanted = slice_is(group, "core") ? "" : NULL;
    size_t n_kinds;
    const struct api_kind *const *kinds = api_kinds(&n_kinds);
    for (size_t i = 0; i < n_kinds; i++) {
        const struct api_kind *other = kinds[i];
        if (!str_eq(other->store_prefix, k->store_prefix)) continue;
        if (wanted ? !*other->group : slice_is(group, other->group)) return other;
    }
    return k;
}

struct slice convert_json(struct arena *a, const struct api_kind *k, struct slice stored) {
    const struct api_kind *from = storage_kind(k);
    if (from == k) return stored;
    struct api_object *o;
    if (api_object_decode(a, from, stored, &o, NULL) < 0) return stored;
    OWN(buf_done) struct buf b = {0};
    api_object_encode(&b, k, api_convert(a, from, k, o));
    return slice_from(arena_copy(a, b.p, b.n), b.n);
}
