/* Prefers nodes that already have the pod's images, by their size: 23 MB and less count nothing,
 * 1000 MB per container everything. */
#include <string.h>

#include "base/own.h"
#include "scheduler/place/plugin.h"

static const int64_t mega = 1000 * 1000;

/* An image that few nodes have counts less, so that pods do not all run after it. */
static int64_t spread(const struct snapshot *s, const char *name, int64_t size_bytes) {
    return size_bytes * (int64_t)(uintptr_t)map_gets(&s->images, name) /
           (int64_t)MAX_OF(s->nodes.n, 1);
}

static int64_t size_on(const struct snapshot *s, const struct sched_node *n, const char *image) {
    for (size_t i = 0; i < n->object->status.images.n; i++) {
        const struct core_v1_container_image *m = &n->object->status.images.v[i];
        for (size_t j = 0; j < m->names.n; j++)
            if (str_eq(m->names.v[j], image) ||
                (strstr(m->names.v[j], image) && str_ends(m->names.v[j], image)))
                return spread(s, m->names.v[j], m->size_bytes);
    }
    return 0;
}

static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    (void)state;
    int64_t sum = 0, containers = (int64_t)q->pod->spec.containers.n;
    for (size_t i = 0; i < q->pod->spec.containers.n; i++)
        sum += size_on(q->snapshot, n, str_or(q->pod->spec.containers.v[i].image, ""));
    int64_t low = 23 * mega, high = 1000 * mega * MAX_OF(containers, 1);
    if (sum <= low) return 0;
    return ((MIN_OF(sum, high) - low) * SCHED_SCORE_MAX / (high - low));
}

static const struct sched_plugin image_locality = {
    .name = "ImageLocality", .order = 80, .weight = 1, .score = score};
SCHED_PLUGIN(image_locality);
