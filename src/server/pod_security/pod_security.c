/*
 * PodSecurity: pods against the level that their namespace enforces; warnings and audit annotations
 * for them and for workloads whose pods would break it. Without labels every namespace is
 * privileged.
 */
#include "base/map.h"
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/auth/audit.h"
#include "server/pod_security/checks.h"
#include "server/storage/raw.h"

enum { PODS_CHECKED_MAX = 3000, SHORT_MESSAGE = 900 };

/* ---- the policies of the namespaces that have one ---- */

static struct map policies; /* struct pod_security_policy by namespace */

static const char prefix[] = "pod-security.kubernetes.io/";

static void learn(const struct object *o, bool gone) {
    struct slice labels;
    struct pod_security_policy *p = NULL;
    struct slice name = slice_of(object_name(o));
    if (!gone && raw_path(object_json(o), "metadata.labels", &labels) &&
        memmem(labels.p, labels.n, prefix, sizeof prefix - 1)) {
        struct arena *a = arena_new();
        struct str_map map = raw_map(a, labels);
        p = calloc(1, sizeof *p);
        if (!p) abort();
        pod_security_policy_parse(&map, p, NULL);
        arena_free(a);
    }
    free(p ? map_put(&policies, name, p) : policies.n ? map_del(&policies, name) : NULL);
}

static void on_namespace(void *user, const struct event *e) {
    learn(e->now, e->type == EVENT_DELETED);
}

static void pod_security_start(struct api *api) {
    struct resource *res = cache_of_kind(&api->cache, api_kind_by_plural("", "v1", "namespaces"));
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) learn(o, false);
    resource_listen(res, on_namespace, &policies);
}

/* ---- pods ---- */

static void warn(struct admission *ad, const char *text) {
    *ARENA_PUSH(ad->a, &ad->c->warnings) = text;
}

static const char *violation(struct admission *ad, struct pod_security level, const char *what) {
    return arena_printf(ad->a, "would violate PodSecurity \"%s\": %s",
                        pod_security_text(ad->a, level), what);
}

/* What does not refuse: the modes audit and warn. */
static void tell_violations(struct admission *ad, const struct pod_security_policy *p,
                            const struct meta_v1_object_meta *m,
                            const struct core_v1_pod_spec *spec) {
    const char *what = pod_security_violations(ad->a, p->audit, m, spec, false);
    if (what)
        audit_annotate(ad->c, "pod-security.kubernetes.io/audit-violations",
                       violation(ad, p->audit, what));
    what = pod_security_violations(ad->a, p->warn, m, spec, false);
    if (what) warn(ad, violation(ad, p->warn, what));
}

/* Longer than struct err holds: answered in full here. */
static int refuse(struct admission *ad, const char *why) {
    if (strlen(why) < SHORT_MESSAGE) return admission_forbid(ad, why);
    const char *title = resource_title(ad->a, ad->kind->group, ad->kind->plural);
    reply_failure(ad->c, ERR_FORBIDDEN,
                  &(struct failure){.message = arena_printf(ad->a, "%s \"%s\" is forbidden: %s",
                                                            title, ad->name, why),
                                    .name = ad->name,
                                    .group = ad->kind->group,
                                    .kind = ad->kind->plural});
    return ADMISSION_ANSWERED;
}

static bool containers_differ(const struct core_v1_container_list *x,
                              const struct core_v1_container_list *y) {
    if (x->n != y->n) return true;
    for (size_t i = 0; i < x->n; i++)
        if (!str_eq(x->v[i].image, y->v[i].image)) return true;
    return false;
}

/* Of what can be changed on a pod, only images and debug containers matter here. */
static bool significant(const struct core_v1_pod *now, const struct core_v1_pod *old) {
    return containers_differ(&now->spec.containers, &old->spec.containers) ||
           containers_differ(&now->spec.init_containers, &old->spec.init_containers) ||
           now->spec.ephemeral_containers.n != old->spec.ephemeral_containers.n;
}

static int check_pod(struct admission *ad, const struct pod_security_policy *p) {
    const struct core_v1_pod *pod = (const void *)ad->object;
    if (*ad->subresource && !str_eq(ad->subresource, "ephemeralcontainers") &&
        !str_eq(ad->subresource, "resize"))
        return 0;
    if (ad->old && !significant(pod, (const void *)ad->old)) return 0;
    const char *level = pod_security_text(ad->a, p->enforce);
    const char *broken =
        pod_security_violations(ad->a, p->enforce, &pod->metadata, &pod->spec, false);
    audit_annotate(ad->c, "pod-security.kubernetes.io/enforce-policy", level);
    size_t warned = ad->c->warnings.n;
    tell_violations(ad, p, &pod->metadata, &pod->spec);
    if (!broken) return 0;
    ad->c->warnings.n = warned; /* the refusal says it */
    return refuse(ad, arena_printf(ad->a, "violates PodSecurity \"%s\": %s", level, broken));
}

/* ---- workloads ---- */

static const struct core_v1_pod_template_spec *template_of(const struct admission *ad) {
    static const struct {
        const char *group, *plural;
        size_t offset;
        bool pointer;
    } templates[] = {
        {"apps", "deployments", offsetof(struct apps_v1_deployment, spec.template), false},
        {"apps", "replicasets", offsetof(struct apps_v1_replica_set, spec.template), false},
        {"apps", "statefulsets", offsetof(struct apps_v1_stateful_set, spec.template), false},
        {"apps", "daemonsets", offsetof(struct apps_v1_daemon_set, spec.template), false},
        {"batch", "jobs", offsetof(struct batch_v1_job, spec.template), false},
        {"batch", "cronjobs", offsetof(struct batch_v1_cron_job, spec.job_template.spec.template),
         false},
        {"", "podtemplates", offsetof(struct core_v1_pod_template, template), false},
        {"", "replicationcontrollers",
         offsetof(struct core_v1_replication_controller, spec.template), true},
    };
    for (size_t i = 0; i < ARRAY_LEN(templates); i++) {
        if (!str_eq(ad->kind->plural, templates[i].plural) ||
            !str_eq(ad->kind->group, templates[i].group))
            continue;
        const char *at = (const char *)ad->object + templates[i].offset;
        return templates[i].pointer ? *(const void *const *)(const void *)at : (const void *)at;
    }
    return NULL;
}

static int pod_security(struct admission *ad) {
    static const struct pod_security_policy privileged = {
        .enforce.minor = POD_SECURITY_LATEST,
        .audit.minor = POD_SECURITY_LATEST,
        .warn.minor = POD_SECURITY_LATEST,
    };
    const struct pod_security_policy *p = policies.n ? map_get(&policies, slice_of(ad->ns)) : NULL;
    if (!p) p = &privileged;
    if (!*ad->kind->group && str_eq(ad->kind->plural, "pods")) return check_pod(ad, p);
    const struct core_v1_pod_template_spec *t = *ad->subresource ? NULL : template_of(ad);
    if (t) tell_violations(ad, p, &t->metadata, &t->spec);
    return 0;
}

/* ---- namespaces ---- */

struct group { /* pods that break the same rules */
    const char *what, *first;
    size_t n;
};
struct groups {
    struct group *v;
    size_t n;
};

static void note(struct admission *ad, struct groups *g, const char *what, const char *pod) {
    for (size_t i = 0; i < g->n; i++) {
        if (!str_eq(g->v[i].what, what)) continue;
        g->v[i].n++;
        return;
    }
    *ARENA_PUSH(ad->a, g) = (struct group){what, pod, 1};
}

static int by_text(const void *x, const void *y) {
    const char *const *a = x, *const *b = y;
    return strcmp(*a, *b);
}

static void warn_groups(struct admission *ad, const struct groups *g, struct pod_security level) {
    if (!g->n) return;
    warn(ad, arena_printf(ad->a,
                          "existing pods in namespace \"%s\" violate the new PodSecurity enforce "
                          "level \"%s\"",
                          ad->name, pod_security_text(ad->a, level)));
    struct str_list lines = {0};
    for (size_t i = 0; i < g->n; i++) {
        const char *others = "";
        if (g->v[i].n == 2) others = " (and 1 other pod)";
        if (g->v[i].n > 2) others = arena_printf(ad->a, " (and %zu other pods)", g->v[i].n - 1);
        *ARENA_PUSH(ad->a, &lines) =
            arena_printf(ad->a, "%s%s: %s", g->v[i].first, others, g->v[i].what);
    }
    qsort(lines.v, lines.n, sizeof *lines.v, by_text);
    for (size_t i = 0; i < lines.n; i++) warn(ad, lines.v[i]);
}

static void check_existing(struct admission *ad, struct pod_security level) {
    const struct api_kind *k = api_kind_by_plural("", "v1", "pods");
    const struct resource *res = cache_of_kind(&ad->api->cache, k);
    struct slice ns = slice_of(ad->name);
    struct key_cursor at =
        key_index_seek(&res->index, slice_of(arena_printf(ad->a, "%s/", ad->name)), false);
    struct groups g = {0};
    struct arena *scratch = arena_new();
    size_t n = 0;
    for (struct object *o; (o = key_index_next(&res->index, &at)) && slice_eq(object_ns(o), ns);) {
        struct api_object *decoded;
        if (n++ >= PODS_CHECKED_MAX) continue;
        if (api_object_decode(scratch, k, object_json(o), &decoded, NULL) < 0) continue;
        const struct core_v1_pod *pod = (const void *)decoded;
        const char *what =
            pod_security_violations(scratch, level, &pod->metadata, &pod->spec, true);
        if (what) note(ad, &g, arena_str(ad->a, what), arena_str(ad->a, pod->metadata.name));
        arena_reset(scratch);
    }
    arena_free(scratch);
    if (n > PODS_CHECKED_MAX)
        warn(ad, arena_printf(ad->a,
                              "new PodSecurity enforce level only checked against the first %d of "
                              "%zu existing pods",
                              PODS_CHECKED_MAX, n));
    warn_groups(ad, &g, level);
}

static int namespace_labels(struct admission *ad) {
    struct pod_security_policy now, old;
    struct api_causes causes = {.a = ad->a}, before = {.a = ad->a};
    pod_security_policy_parse(&ad->object->metadata.labels, &now, &causes);
    if (ad->old) pod_security_policy_parse(&ad->old->metadata.labels, &old, &before);
    bool same = ad->old && causes.n == before.n;
    for (size_t i = 0; i < causes.n && same; i++)
        same = str_eq(causes.v[i].field, before.v[i].field) &&
               str_eq(causes.v[i].message, before.v[i].message);
    if (causes.n && !same) {
        reply_invalid(ad->c, ad->name, &causes);
        return ADMISSION_ANSWERED;
    }
    if (!ad->old || pod_security_equal(now.enforce, old.enforce)) return 0;
    if (now.enforce.level == POD_SECURITY_PRIVILEGED ||
        (now.enforce.minor == old.enforce.minor && now.enforce.level <= old.enforce.level))
        return 0;
    check_existing(ad, now.enforce);
    return 0;
}

static const struct admission_plugin pods = {.name = "PodSecurity",
                                             .order = ORDER_POD_SECURITY,
                                             .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                             .subresources = true,
                                             .validate = pod_security,
                                             .start = pod_security_start};
ADMISSION_PLUGIN(pods);

static const struct admission_plugin namespaces = {.name = "PodSecurity",
                                                   .order = ORDER_POD_SECURITY,
                                                   .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                                   .group = "",
                                                   .plural = "namespaces",
                                                   .validate = namespace_labels};
ADMISSION_PLUGIN(namespaces);
