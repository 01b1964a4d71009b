#include "server/media/convert.h"
#include "api/codec/convert.h"
#include "api/custom/custom.h"
#include "base/own.h"

const struct api_kind *storage_kind(const struct api_kind *k) {
    if (k->custom) return custom_storage_kind(k);
    if (!(k->flags & API_CONVERTED)) return k;
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++)
        if (!(kinds[i]->flags & API_CONVERTED) && str_eq(kinds[i]->store_prefix, k->store_prefix))
            return kinds[i];
    return k;
}

bool convert_is_stored(const struct api_kind *k, struct slice stored) {
    return k->custom ? custom_form_is_stored(k, stored) : storage_kind(k) == k;
}

struct slice convert_json(struct arena *a, const struct api_kind *k, struct slice stored) {
    if (k->custom) return custom_form(a, k, stored);
    const struct api_kind *from = storage_kind(k);
    if (from == k) return stored;
    struct api_object *o;
    if (api_object_decode(a, from, stored, &o, NULL) < 0) return stored;
    OWN(buf_done) struct buf b = {0};
    api_object_encode(&b, k, api_convert(a, from, k, o));
    return slice_from(arena_copy(a, b.p, b.n), b.n);
}
