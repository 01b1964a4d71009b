#include "controllers/workloads/stateful_pods.h"

#include <string.h>

#include "base/own.h"
#include "controllers/workloads/revisions.h"

static const char name_key[] = "statefulset.kubernetes.io/pod-name";
static const char index_key[] = "apps.kubernetes.io/pod-index";

typedef struct core_v1_persistent_volume_claim volume_claim;

static bool numbered(const char *name, const char *prefix, int64_t *ret) {
    size_t n = strlen(prefix);
    uint64_t number;
    if (strncmp(name, prefix, n) != 0 || name[n] != '-') return false;
    struct slice digits = slice_of(name + n + 1);
    if (slice_u64(digits, &number) < 0 || number > INT32_MAX || (digits.n > 1 && *digits.p == '0'))
        return false;
    *ret = (int64_t)number;
    return true;
}

bool stateful_ordinal(const stateful_set *s, const char *pod_name, int64_t *ret) {
    return numbered(pod_name, s->metadata.name, ret);
}

bool stateful_claims(const stateful_set *s, const char *claim_name) {
    for (size_t i = 0; i < s->spec.volume_claim_templates.n; i++) {
        const char *name = str_or(s->spec.volume_claim_templates.v[i].metadata.name, "");
        size_t n = strlen(name);
        int64_t ordinal;
        if (strncmp(claim_name, name, n) == 0 && claim_name[n] == '-' &&
            numbered(claim_name + n + 1, s->metadata.name, &ordinal))
            return true;
    }
    return false;
}

static const char *pod_name(struct arena *a, const stateful_set *s, int64_t ordinal) {
    return arena_printf(a, "%s-%lld", s->metadata.name, (long long)ordinal);
}

static const char *claim_name(struct arena *a, const stateful_set *s, size_t template,
                              int64_t ordinal) {
    return arena_printf(a, "%s-%s-%lld", s->spec.volume_claim_templates.v[template].metadata.name,
                        s->metadata.name, (long long)ordinal);
}

/* ---- pods ---- */

/* Volumes of the claims, and those of the template that no claim hides. */
static void volumes_set(struct arena *a, const stateful_set *s, int64_t ordinal,
                        struct core_v1_pod_spec *spec) {
    struct core_v1_volume_list of_template = spec->volumes;
    const struct core_v1_persistent_volume_claim_list *claims = &s->spec.volume_claim_templates;
    if (!claims->n) return;
    spec->volumes = (struct core_v1_volume_list){0};
    for (size_t i = 0; i < claims->n; i++) {
        struct core_v1_persistent_volume_claim_volume_source *source =
            ARENA_NEW(a, struct core_v1_persistent_volume_claim_volume_source);
        source->claim_name = claim_name(a, s, i, ordinal);
        *ARENA_PUSH(a, &spec->volumes) = (struct core_v1_volume){.name = claims->v[i].metadata.name,
                                                                 .persistent_volume_claim = source};
    }
    for (size_t i = 0; i < of_template.n; i++) {
        bool hidden = false;
        for (size_t j = 0; j < claims->n; j++)
            hidden |= str_eq(claims->v[j].metadata.name, of_template.v[i].name);
        if (!hidden) *ARENA_PUSH(a, &spec->volumes) = of_template.v[i];
    }
}

void stateful_pod_create(const stateful_set *s, const struct core_v1_pod_template_spec *t,
                         const char *revision, int64_t ordinal, struct plan *p) {
    struct arena *a = plan_arena(p);
    struct core_v1_pod *pod =
        (struct core_v1_pod *)api_object_new(a, api_kind_by_name("", "v1", "Pod"));
    const char *name = pod_name(a, s, ordinal);
    pod->metadata.name = name;
    pod->metadata.generate_name = arena_printf(a, "%s-", s->metadata.name);
    pod->metadata.namespace = s->metadata.namespace;
    str_map_merge(a, &pod->metadata.labels, &t->metadata.labels);
    str_map_set(a, &pod->metadata.labels, revision_hash_key, revision);
    str_map_set(a, &pod->metadata.labels, name_key, name);
    str_map_set(a, &pod->metadata.labels, index_key, arena_printf(a, "%lld", (long long)ordinal));
    pod->metadata.annotations = t->metadata.annotations;
    pod->metadata.finalizers = t->metadata.finalizers;
    *ARENA_PUSH(a, &pod->metadata.owner_references) =
        controller_reference(a, (const struct api_object *)s);
    pod->spec = *(struct core_v1_pod_spec *)api_copy(a, &core_v1_pod_spec_type, &t->spec);
    pod->spec.hostname = name;
    pod->spec.subdomain = s->spec.service_name;
    volumes_set(a, s, ordinal, &pod->spec);
    plan_create(p, (struct api_object *)pod);
    const char *what = arena_printf(a, "create Pod %s in StatefulSet %s", name, s->metadata.name);
    plan_report_as(p, (const struct api_object *)s, "SuccessfulCreate",
                   arena_printf(a, "%s successful", what), "FailedCreate",
                   arena_printf(a, "%s failed", what));
}

void stateful_pod_delete(const stateful_set *s, const struct core_v1_pod *pod, struct plan *p) {
    struct arena *a = plan_arena(p);
    const char *what =
        arena_printf(a, "delete Pod %s in StatefulSet %s", pod->metadata.name, s->metadata.name);
    plan_delete(p, (const struct api_object *)pod, NULL);
    plan_report_as(p, (const struct api_object *)s, "SuccessfulDelete",
                   arena_printf(a, "%s successful", what), "FailedDelete",
                   arena_printf(a, "%s failed", what));
}

void stateful_pod_label(const struct core_v1_pod *pod, int64_t ordinal, struct plan *p) {
    struct arena *a = plan_arena(p);
    const char *index = arena_printf(a, "%lld", (long long)ordinal);
    if (str_eq(str_map_get(&pod->metadata.labels, name_key), pod->metadata.name) &&
        str_eq(str_map_get(&pod->metadata.labels, index_key), index))
        return;
    const char *patch = arena_printf(
        a,
        "{\"metadata\":{\"uid\":\"%s\",\"resourceVersion\":\"%s\",\"labels\":{\"%s\":\"%s\","
        "\"%s\":\"%s\"}}}",
        pod->metadata.uid, pod->metadata.resource_version, name_key, pod->metadata.name, index_key,
        index);
    plan_patch(p, (const struct api_object *)pod, "", "application/merge-patch+json",
               slice_of(patch));
}

/* ---- claims ---- */

static void claim_create(const stateful_set *s, size_t template, int64_t ordinal, struct plan *p) {
    struct arena *a = plan_arena(p);
    const volume_claim *t = &s->spec.volume_claim_templates.v[template];
    volume_claim *claim =
        (volume_claim *)api_object_new(a, api_kind_by_name("", "v1", "PersistentVolumeClaim"));
    claim->metadata.name = claim_name(a, s, template, ordinal);
    claim->metadata.namespace = s->metadata.namespace;
    str_map_merge(a, &claim->metadata.labels, &t->metadata.labels);
    if (s->spec.selector)
        str_map_merge(a, &claim->metadata.labels, &s->spec.selector->match_labels);
    claim->metadata.annotations = t->metadata.annotations;
    claim->metadata.finalizers = t->metadata.finalizers;
    claim->spec = t->spec;
    plan_create(p, (struct api_object *)claim);
    const char *what =
        arena_printf(a, "create Claim %s Pod %s in StatefulSet %s", claim->metadata.name,
                     pod_name(a, s, ordinal), s->metadata.name);
    plan_report_as(p, (const struct api_object *)s, "SuccessfulCreate",
                   arena_printf(a, "%s success", what), "FailedCreate",
                   arena_printf(a, "%s failed", what));
}

bool stateful_claims_make(const struct world *w, const stateful_set *s, int64_t ordinal,
                          struct plan *p) {
    struct arena *a = plan_arena(p);
    bool whole = true;
    for (size_t i = 0; i < s->spec.volume_claim_templates.n; i++) {
        const struct api_object *c = world_get(w, "PersistentVolumeClaim", s->metadata.namespace,
                                               claim_name(a, s, i, ordinal));
        if (!c) {
            claim_create(s, i, ordinal, p);
            whole = false;
            continue;
        }
        bool with_pod = false; /* goes with the pod that had this number before */
        for (size_t j = 0; j < c->metadata.owner_references.n; j++) {
            const struct meta_v1_owner_reference *r = &c->metadata.owner_references.v[j];
            with_pod |= str_eq(r->kind, "Pod") && !world_by_uid(w, "Pod", str_or(r->uid, ""));
        }
        whole &= !with_pod && !c->metadata.deletion_timestamp;
    }
    return whole;
}

struct references {
    struct meta_v1_owner_reference *v;
    size_t n;
};

static void reference_want(struct arena *a, struct references *refs, bool *changed,
                           const struct api_object *c, const struct api_object *owner, bool want) {
    bool there = owner_reference_to(c, owner->metadata.uid);
    *changed |= there != want;
    if (!want) return;
    const struct meta_v1_owner_reference *old = owner_reference_to(c, owner->metadata.uid);
    *ARENA_PUSH(a, refs) = old ? *old
                               : (struct meta_v1_owner_reference){.api_version = owner->api_version,
                                                                  .kind = owner->kind,
                                                                  .name = owner->metadata.name,
                                                                  .uid = owner->metadata.uid};
}

void stateful_claims_retain(const struct world *w, const stateful_set *s,
                            const struct core_v1_pod *pod, int64_t ordinal, bool condemned,
                            struct plan *p) {
    struct arena *a = plan_arena(p);
    const struct apps_v1_stateful_set_persistent_volume_claim_retention_policy *policy =
        s->spec.persistent_volume_claim_retention_policy;
    bool by_pod = condemned && policy && str_eq(policy->when_scaled, "Delete");
    bool by_set = !by_pod && policy && str_eq(policy->when_deleted, "Delete");
    for (size_t i = 0; i < s->spec.volume_claim_templates.n; i++) {
        const struct api_object *c = world_get(w, "PersistentVolumeClaim", s->metadata.namespace,
                                               claim_name(a, s, i, ordinal));
        struct references refs = {0};
        bool changed = false;
        if (!c || c->metadata.deletion_timestamp) continue;
        for (size_t j = 0; j < c->metadata.owner_references.n; j++) {
            const struct meta_v1_owner_reference *r = &c->metadata.owner_references.v[j];
            if (!str_eq(r->uid, s->metadata.uid) && !str_eq(r->uid, pod->metadata.uid))
                *ARENA_PUSH(a, &refs) = *r;
        }
        reference_want(a, &refs, &changed, c, (const struct api_object *)s, by_set);
        reference_want(a, &refs, &changed, c, (const struct api_object *)pod, by_pod);
        if (changed) plan_set_owners(p, c, refs.v, refs.n);
    }
}
