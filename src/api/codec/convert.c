#include "api/codec/convert.h"

#include "api/custom/custom.h"

extern const struct api_conversion *const __start_atoll_conversions[] __attribute__((weak));
extern const struct api_conversion *const __stop_atoll_conversions[] __attribute__((weak));

struct api_object *api_convert(struct arena *a, const struct api_kind *from,
                               const struct api_kind *to, struct api_object *o) {
    if (from == to) return o;
    if (to->custom && to->custom->set->webhook) return o; /* not here: server/custom/conversion.h */
    if (to->custom) {
        o->api_version = to->api_version;
        return o;
    }
    for (const struct api_conversion *const *p = __start_atoll_conversions;
         p < __stop_atoll_conversions; p++) {
        if ((*p)->from != from->type || (*p)->to != to->type) continue;
        struct api_object *made = (*p)->run(a, o);
        made->api_version = to->api_version;
        made->kind = to->kind;
        return made;
    }
    return NULL;
}
