/* secret: the keys of a Secret as files on a tmpfs, so that they never reach a disk. */
#include "node/volumes/volumes.h"

static bool handles(const struct core_v1_volume *v) { return v->secret; }

static int render(struct arena *a, const struct volume_input *in, struct volume_result *ret,
                  struct err *err) {
    const struct core_v1_secret_volume_source *s = in->volume->secret;
    ret->content = true;
    ret->memory = true;
    return volume_add_secret(a, in, s->secret_name, &s->items, s->optional && *s->optional,
                             s->default_mode ? (uint32_t)*s->default_mode : 0644, &ret->files, err);
}

static const struct volume_driver driver = {"secret", handles, render};
VOLUME_DRIVER(driver);
