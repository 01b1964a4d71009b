/* Prefers nodes that already have the pod's images, by their size: 23 MB and less count nothing,
 * 1000 MB per container everything. */
#include <string.h>

#include "base/own.h"
#include "scheduler/plugin.h"

static const int64_t mega = 1000 * 1000;

static int64_t size_on(const struct sched_node *n, const char *image) {
    for (size_t i = 0; i < n->object->status.images.n; i++) {
        const struct core_v1_container_image *m = &n->object->status.images.v[i];
        for (size_t j = 0; j < m->names.n; j++)
            if (str_eq(m->names.v[j], image) ||
                (strstr(m->names.v[j], image) && str_ends(m->names.v[j], image)))
                return m->size_bytes;
    }
    return 0;
}

static int score(const struct sched_query *q, const struct sched_node *n) {
    int64_t sum = 0, containers = (int64_t)q->pod->spec.containers.n;
    for (size_t i = 0; i < q->pod->spec.containers.n; i++)
        sum += size_on(n, str_or(q->pod->spec.containers.v[i].image, ""));
    int64_t low = 23 * mega, high = 1000 * mega * MAX_OF(containers, 1);
    if (sum <= low) return 0;
    return (int)((MIN_OF(sum, high) - low) * SCHED_SCORE_MAX / (high - low));
}

static const struct sched_plugin image_locality = {
    .name = "ImageLocality", .order = 80, .weight = 1, .score = score};
SCHED_PLUGIN(image_locality);
