/* Defaults of pod specs that depend on other fields. */
#include <string.h>

#include "api/kinds/kinds.h"

/* The tag decides: "latest", said or meant, is pulled always; a digest never changes. */
static const char *pull_policy(const char *image) {
    const char *at = strchr(image, '@'), *slash = strrchr(image, '/');
    if (at) return "IfNotPresent";
    const char *colon = strchr(slash ? slash : image, ':');
    return !colon || str_eq(colon + 1, "latest") ? "Always" : "IfNotPresent";
}

static void containers_defaults(struct core_v1_container_list *list) {
    for (size_t i = 0; i < list->n; i++)
        if (str_empty(list->v[i].image_pull_policy))
            list->v[i].image_pull_policy = pull_policy(str_or(list->v[i].image, ""));
}

void pod_spec_defaults(struct arena *a, struct core_v1_pod_spec *spec) {
    containers_defaults(&spec->init_containers);
    containers_defaults(&spec->containers);
    for (size_t i = 0; i < spec->ephemeral_containers.n; i++) {
        struct core_v1_ephemeral_container *c = &spec->ephemeral_containers.v[i];
        if (str_empty(c->image_pull_policy))
            c->image_pull_policy = pull_policy(str_or(c->image, ""));
    }
    /* serviceAccount is the deprecated name of serviceAccountName. */
    if (str_empty(spec->service_account_name)) spec->service_account_name = spec->service_account;
    spec->service_account = spec->service_account_name;
    for (size_t i = 0; i < spec->volumes.n; i++) {
        struct core_v1_volume *v = &spec->volumes.v[i];
        if (source_count(&core_v1_volume_type, v) == 0)
            v->empty_dir = ARENA_NEW(a, struct core_v1_empty_dir_volume_source);
        if (v->image && str_empty(v->image->pull_policy))
            v->image->pull_policy = pull_policy(str_or(v->image->reference, ""));
    }
}
