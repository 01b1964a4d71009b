/* configMap: the keys of a ConfigMap as files. */
#include "node/volumes/volumes.h"

static bool handles(const struct core_v1_volume *v) { return v->config_map; }

static int render(struct arena *a, const struct volume_input *in, struct volume_result *ret,
                  struct err *err) {
    const struct core_v1_config_map_volume_source *s = in->volume->config_map;
    ret->content = true;
    return volume_add_config_map(a, in, s->name, &s->items, s->optional && *s->optional,
                                 s->default_mode ? (uint32_t)*s->default_mode : 0644, &ret->files,
                                 err);
}

static const struct volume_driver driver = {"configMap", handles, render};
VOLUME_DRIVER(driver);
