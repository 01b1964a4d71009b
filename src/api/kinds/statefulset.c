/* StatefulSet: defaults, validation, Table columns. */
#include "api/kinds/kinds.h"

#define MAY_NOT_CHANGE                                                                             \
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "       \
    "'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"

static void strategy_defaults(struct arena *a, struct apps_v1_stateful_set_update_strategy *s) {
    static const int32_t all = 0;
    if (!str_eq(s->type, "RollingUpdate")) return;
    if (!s->rolling_update)
        s->rolling_update = ARENA_NEW(a, struct apps_v1_rolling_update_stateful_set_strategy);
    if (!s->rolling_update->partition)
        s->rolling_update->partition = arena_copy(a, &all, sizeof all);
}

static void statefulset_defaults(struct arena *a, void *obj) {
    struct apps_v1_stateful_set *s = obj;
    pod_spec_defaults(a, &s->spec.template.spec);
    strategy_defaults(a, &s->spec.update_strategy);
    if (!s->spec.persistent_volume_claim_retention_policy) {
        struct apps_v1_stateful_set_persistent_volume_claim_retention_policy *keep =
            ARENA_NEW(a, struct apps_v1_stateful_set_persistent_volume_claim_retention_policy);
        keep->when_deleted = keep->when_scaled = "Retain";
        s->spec.persistent_volume_claim_retention_policy = keep;
    }
    for (size_t i = 0; i < s->spec.volume_claim_templates.n; i++) {
        struct core_v1_persistent_volume_claim *c = &s->spec.volume_claim_templates.v[i];
        c->api_version = "v1";
        c->kind = "PersistentVolumeClaim";
        if (str_empty(c->status.phase)) c->status.phase = "Pending";
    }
}

static void statefulset_prepare(struct arena *a, void *obj, const void *old) {
    struct apps_v1_stateful_set *s = obj;
    if (!old) s->status = (struct apps_v1_stateful_set_status){0};
}

static void status_validate(const struct apps_v1_stateful_set_status *s,
                            struct api_causes *causes) {
    const struct replica_count counts[] = {{"status.readyReplicas", s->ready_replicas},
                                           {"status.currentReplicas", s->current_replicas},
                                           {"status.updatedReplicas", s->updated_replicas},
                                           {"status.availableReplicas", s->available_replicas}};
    replica_counts_validate(s->replicas, counts, ARRAY_LEN(counts), causes);
    if (s->available_replicas > s->ready_replicas)
        cause_invalid_int(causes, "status.availableReplicas", s->available_replicas,
                          "cannot be greater than status.readyReplicas");
}

static void change_validate(const struct apps_v1_stateful_set_spec *spec,
                            const struct apps_v1_stateful_set_spec *old,
                            struct api_causes *causes) {
    struct apps_v1_stateful_set_spec rest = *spec;
    rest.replicas = old->replicas;
    rest.ordinals = old->ordinals;
    rest.template = old->template;
    rest.update_strategy = old->update_strategy;
    rest.min_ready_seconds = old->min_ready_seconds;
    rest.persistent_volume_claim_retention_policy = old->persistent_volume_claim_retention_policy;
    if (!api_equal(&apps_v1_stateful_set_spec_type, &rest, old))
        cause_forbidden(causes, "spec", MAY_NOT_CHANGE);
}

/* The template as the pods have it: with a volume for each claim, so that containers may mount it.
 */
static struct core_v1_pod_template_spec *with_claims(struct arena *a,
                                                     const struct apps_v1_stateful_set_spec *spec) {
    struct core_v1_pod_template_spec *t = arena_copy(a, &spec->template, sizeof *t);
    const struct core_v1_volume_list *own = &spec->template.spec.volumes;
    t->spec.volumes = (struct core_v1_volume_list){0};
    OWN(map_done) struct map names = {0};
    for (size_t i = 0; i < own->n; i++) {
        *ARENA_PUSH(a, &t->spec.volumes) = own->v[i];
        map_seen(&names, slice_of(str_or(own->v[i].name, "")));
    }
    for (size_t i = 0; i < spec->volume_claim_templates.n; i++) {
        const char *name = spec->volume_claim_templates.v[i].metadata.name;
        if (str_empty(name) || map_seen(&names, slice_of(name))) continue;
        struct core_v1_persistent_volume_claim_volume_source *source =
            ARENA_NEW(a, struct core_v1_persistent_volume_claim_volume_source);
        source->claim_name = name;
        *ARENA_PUSH(a, &t->spec.volumes) =
            (struct core_v1_volume){.name = name, .persistent_volume_claim = source};
    }
    return t;
}

static void statefulset_validate(const void *obj, const void *old_obj, const char *subresource,
                                 struct api_causes *causes) {
    const struct apps_v1_stateful_set *s = obj, *old = old_obj;
    const char *rolling = "spec.updateStrategy.rollingUpdate";
    const struct apps_v1_rolling_update_stateful_set_strategy *r =
        s->spec.update_strategy.rolling_update;
    if (str_eq(subresource, "status")) {
        status_validate(&s->status, causes);
        return;
    }
    workload_validate(s->spec.selector, with_claims(causes->a, &s->spec), "statefulset", causes);
    if (r && str_eq(s->spec.update_strategy.type, "OnDelete"))
        cause_invalid_raw(
            causes, rolling,
            type_json(causes->a, &apps_v1_rolling_update_stateful_set_strategy_type, r),
            "only allowed for updateStrategy 'RollingUpdate'");
    else if (r && r->max_unavailable.kind != IOS_NONE) {
        const char *path = "spec.updateStrategy.rollingUpdate.maxUnavailable";
        amount_validate(&r->max_unavailable, true, path, causes);
        if (amount_is_zero(&r->max_unavailable))
            cause_invalid_raw(causes, path, amount_json(causes->a, &r->max_unavailable),
                              "cannot be 0");
    }
    if (old) change_validate(&s->spec, &old->spec, causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Ready", "Number of ready pods of the desired number."),
    COLUMN_AGE,
    COLUMN_WIDE("Containers", "Names of each container in the template."),
    COLUMN_WIDE("Images", "Images referenced by each container in the template."),
};

static void statefulset_row(struct arena *a, const void *obj, int64_t now_ns,
                            struct api_cell *cells) {
    const struct apps_v1_stateful_set *s = obj;
    int32_t desired = s->spec.replicas ? *s->spec.replicas : 1;
    cells[0] = cell_text(s->metadata.name);
    cells[1] = cell_text(arena_printf(a, "%d/%d", s->status.ready_replicas, desired));
    cells[2] = cell_age(a, &s->metadata, now_ns);
    cells[3] = cell_text(container_names_text(a, &s->spec.template.spec));
    cells[4] = cell_text(container_images_text(a, &s->spec.template.spec));
}

static const struct api_behavior statefulset_behavior = {
    .group = "apps",
    .kind = "StatefulSet",
    .defaults = statefulset_defaults,
    .prepare = statefulset_prepare,
    .validate = statefulset_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = statefulset_row,
};
API_BEHAVIOR(statefulset_behavior);
