/* emptyDir: a directory of the pod, or a tmpfs of its own with a size. */
#include "api/values/quantity.h"
#include "node/volumes/volumes.h"

static bool handles(const struct core_v1_volume *v) { return v->empty_dir; }

static int render(struct arena *a, const struct volume_input *in, struct volume_result *ret,
                  struct err *err) {
    const struct core_v1_empty_dir_volume_source *s = in->volume->empty_dir;
    ret->mode = 0777;
    ret->memory = str_eq(s->medium, "Memory");
    if (ret->memory) ret->size_bytes = quantity_value(s->size_limit);
    return 0;
}

static const struct volume_driver driver = {"emptyDir", handles, render};
VOLUME_DRIVER(driver);
