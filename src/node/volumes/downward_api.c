/* downwardAPI: fields and resources of the pod as files. */
#include "node/volumes/volumes.h"

static bool handles(const struct core_v1_volume *v) { return v->downward_api; }

static int render(struct arena *a, const struct volume_input *in, struct volume_result *ret,
                  struct err *err) {
    const struct core_v1_downward_api_volume_source *s = in->volume->downward_api;
    ret->content = true;
    return volume_add_downward(
        a, in, &s->items, s->default_mode ? (uint32_t)*s->default_mode : 0644, &ret->files, err);
}

static const struct volume_driver driver = {"downwardAPI", handles, render};
VOLUME_DRIVER(driver);
