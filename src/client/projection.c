#include "client/projection.h"

extern const struct projection *const __start_atoll_projections[] __attribute__((weak));
extern const struct projection *const __stop_atoll_projections[] __attribute__((weak));

const struct api_keep *projection_of(const struct api_kind *k) {
    const struct projection *const *p = __start_atoll_projections;
    for (; k && p && p < __stop_atoll_projections; p++)
        if (str_eq((*p)->kind, k->kind) && str_eq((*p)->group, k->group)) return (*p)->keep;
    return NULL;
}
