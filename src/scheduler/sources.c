#include "scheduler/sources.h"

static bool put_namespace(struct snapshot *s, const struct api_object *o) {
    snapshot_put_namespace(s, o->metadata.name, &o->metadata.labels);
    return true;
}

static void remove_namespace(struct snapshot *s, const char *namespace, const char *name) {
    (void)namespace;
    snapshot_remove_namespace(s, name);
}

static const char *const kept_labels[] = {"name", "uid", "resourceVersion", "labels", NULL};
static const char *const nothing[] = {NULL};
static const struct api_keep namespace_keep[] = {{&meta_v1_object_meta_type, kept_labels, NULL},
                                                 {&core_v1_namespace_spec_type, nothing, NULL},
                                                 {&core_v1_namespace_status_type, nothing, NULL},
                                                 {NULL, NULL, NULL}};

const struct sched_source sched_sources[] = {
    {"", "v1", "Namespace", namespace_keep, put_namespace, remove_namespace},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
