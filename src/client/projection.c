#include "client/projection.h"

extern const struct projection *const __start_atoll_projections[] __attribute__((weak));
extern const struct projection *const __stop_atoll_projections[] __attribute__((weak));

static const struct projection *find(const struct api_kind *k) {
    const struct projection *const *p = __start_atoll_projections;
    for (; k && p && p < __stop_atoll_projections; p++)
        if (str_eq((*p)->kind, k->kind) && str_eq((*p)->group, k->group)) return *p;
    return NULL;
}

const struct api_keep *projection_of(const struct api_kind *k) {
    const struct projection *p = find(k);
    return p ? p->keep : NULL;
}

int projection_decode(struct arena *a, const struct api_kind *k, const struct api_keep *keep,
                      struct slice json, struct api_object **ret) {
    struct api_decode_opts opts = {.without_managers = true, .keep = keep};
    const struct projection *p = keep ? find(k) : NULL;
    void *o;
    int r = api_decode(a, k->type, json, &opts, &o, NULL);
    if (r == 0 && p && p->keep == keep && p->whole && p->whole(o)) {
        opts.keep = NULL;
        r = api_decode(a, k->type, json, &opts, &o, NULL);
    }
    if (r < 0) return r;
    *ret = o;
    (*ret)->api_version = k->api_version; /* list items leave these out */
    (*ret)->kind = k->kind;
    return 0;
}
