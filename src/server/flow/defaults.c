/* The levels and schemas that every cluster has, with upstream's names and shares; and the Dangling
 * condition of schemas. */
#include <stdlib.h>

#include "base/own.h"
#include "base/times.h"
#include "server/commit.h"
#include "server/flow/flow_impl.h"
#include "server/media/body.h"

#define GROUP "flowcontrol.apiserver.k8s.io"

static const struct level_default {
    const char *name;
    bool mandatory;
    int shares, lendable, queues, hand; /* queues 0: refuse; shares 0: exempt */
} level_defaults[] = {
    {"exempt", true, 0, 0, 0, 0},
    {"catch-all", true, 5, 0, 0, 0},
    {"system", false, 30, 33, 64, 6},
    {"node-high", false, 40, 25, 64, 6},
    {"leader-election", false, 10, 0, 16, 4},
    {"workload-high", false, 40, 50, 128, 6},
    {"workload-low", false, 100, 90, 128, 6},
    {"global-default", false, 20, 50, 128, 6},
};

#define USER(name) "{\"kind\":\"User\",\"user\":{\"name\":\"" name "\"}}"
#define GROUP_OF(name) "{\"kind\":\"Group\",\"group\":{\"name\":\"" name "\"}}"
#define ACCOUNT(name)                                                                              \
    "{\"kind\":\"ServiceAccount\",\"serviceAccount\":{\"namespace\":\"kube-system\",\"name\":"     \
    "\"" name "\"}}"
#define EVERYBODY GROUP_OF("system:unauthenticated") "," GROUP_OF("system:authenticated")
#define RULE(verbs, group, resources, scope)                                                       \
    "{\"verbs\":[" verbs "],\"apiGroups\":[\"" group "\"],\"resources\":[" resources               \
    "],\"namespaces\":[\"*\"]" scope "}"
#define CLUSTER ",\"clusterScope\":true"
#define ALL                                                                                        \
    "\"resourceRules\":[" RULE(                                                                    \
        "\"*\"", "*", "\"*\"",                                                                     \
        CLUSTER) "],"                                                                              \
                 "\"nonResourceRules\":[{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]"
#define WRITES "\"get\",\"create\",\"update\""
#define LEASES "\"resourceRules\":[" RULE(WRITES, "coordination.k8s.io", "\"leases\"", "") "]"

static const struct schema_default {
    const char *name;
    bool mandatory;
    const char *level;
    int precedence;
    const char *by, *subjects, *rules;
} schema_defaults[] = {
    {"exempt", true, "exempt", 1, NULL, GROUP_OF("system:masters"), ALL},
    {"probes", false, "exempt", 2, NULL, EVERYBODY,
     "\"nonResourceRules\":[{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/healthz\",\"/readyz\","
     "\"/livez\"]}]"},
    {"system-leader-election", false, "leader-election", 100, "ByUser",
     USER("system:kube-controller-manager") "," USER("system:kube-scheduler") "," ACCOUNT("*"),
     LEASES},
    {"endpoint-controller", false, "workload-high", 150, "ByUser",
     USER("system:kube-controller-manager") "," ACCOUNT("endpoint-controller") "," ACCOUNT(
         "endpointslicemirroring-controller"),
     "\"resourceRules\":[" RULE(WRITES, "", "\"endpoints\"", "") "]"},
    {"workload-leader-election", false, "leader-election", 200, "ByUser", ACCOUNT("*"), LEASES},
    {"system-node-high", false, "node-high", 400, "ByUser", GROUP_OF("system:nodes"),
     "\"resourceRules\":[" RULE("\"*\"", "", "\"nodes\",\"nodes/status\"", CLUSTER) "," RULE(
         "\"*\"", "coordination.k8s.io", "\"leases\"", "") "]"},
    {"system-nodes", false, "system", 500, "ByUser", GROUP_OF("system:nodes"), ALL},
    {"kube-controller-manager", false, "workload-high", 800, "ByNamespace",
     USER("system:kube-controller-manager"), ALL},
    {"kube-scheduler", false, "workload-high", 800, "ByNamespace", USER("system:kube-scheduler"),
     ALL},
    {"kube-system-service-accounts", false, "workload-high", 900, "ByNamespace", ACCOUNT("*"), ALL},
    {"atoll-services", false, "system", 850, "ByUser",
     USER("system:atoll:controllers") "," USER("system:atoll:scheduler") "," USER(
         "system:atoll:"
         "dns") "," USER("system:atoll:network") "," USER("system:atoll:broker") "," USER("system:"
                                                                                          "atoll:"
                                                                                          "sp"),
     ALL},
    {"service-accounts", false, "workload-low", 9000, "ByUser", GROUP_OF("system:serviceaccounts"),
     ALL},
    {"global-default", false, "global-default", 9900, "ByUser", EVERYBODY, ALL},
    {"catch-all", true, "catch-all", 10000, "ByUser", EVERYBODY, ALL},
};

static void on_stored(void *user, struct slice json, const struct err *err) {
    /* Somebody else was faster: the change that told us of comes as an event. */
}

/* Makes it when it is missing; one that was changed is corrected when it is mandatory. */
static void ensure(struct flow *f, struct arena *a, const char *plural, const char *json,
                   bool mandatory) {
    const struct api_kind *k = api_kind_by_plural(GROUP, "v1", plural);
    struct api_object *o, *old;
    if (api_object_decode(a, k, slice_of(json), &o, NULL) < 0) abort();
    o->api_version = k->api_version;
    o->kind = k->kind;
    api_default(a, k->type, o);
    struct object *current = resource_get(cache_of_kind(&f->api->cache, k), "", o->metadata.name);
    struct commit w = {STORE_CREATE, k, o, 0};
    if (current) {
        if (!mandatory || api_object_decode(a, k, object_json(current), &old, NULL) < 0) return;
        object_copy_field(k, o, old, "status");
        o->metadata = old->metadata;
        OWN(buf_done) struct buf b = {0};
        object_encode_at(&b, k, o, current->revision);
        if (!object_spec_differs(buf_view(&b), object_json(current))) return;
        o->metadata.generation++;
        w.op = STORE_UPDATE;
        w.expected_revision = current->revision;
    } else {
        char now[TIME_TEXT_MAX];
        time_format(now, loop_wall_ns(f->api->loop));
        o->metadata.uid = uuid_new(a);
        o->metadata.creation_timestamp = arena_str(a, now);
        o->metadata.generation = 1;
        str_map_set(a, &o->metadata.annotations, "apf.kubernetes.io/autoupdate-spec", "true");
    }
    commit_submit(f->api, &w, on_stored, f);
}

static const char *level_json(struct arena *a, const struct level_default *d) {
    if (!d->shares)
        return arena_printf(a,
                            "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"type\":\"Exempt\","
                            "\"exempt\":{\"nominalConcurrencyShares\":0,\"lendablePercent\":0}}}",
                            d->name);
    const char *response =
        d->queues ? arena_printf(a,
                                 "\"type\":\"Queue\",\"queuing\":{\"queues\":%d,\"handSize\":%d,"
                                 "\"queueLengthLimit\":50}",
                                 d->queues, d->hand)
                  : "\"type\":\"Reject\"";
    return arena_printf(
        a,
        "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"type\":\"Limited\",\"limited\":"
        "{\"nominalConcurrencyShares\":%d,\"lendablePercent\":%d,"
        "\"limitResponse\":{%s}}}}",
        d->name, d->shares, d->lendable, response);
}

static const char *schema_json(struct arena *a, const struct schema_default *d) {
    const char *by =
        d->by ? arena_printf(a, "\"distinguisherMethod\":{\"type\":\"%s\"},", d->by) : "";
    return arena_printf(a,
                        "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"priorityLevelConfiguration\":"
                        "{\"name\":\"%s\"},\"matchingPrecedence\":%d,%s\"rules\":[{\"subjects\":["
                        "%s],%s}]}}",
                        d->name, d->level, d->precedence, by, d->subjects, d->rules);
}

void flow_defaults_ensure(struct flow *f, bool suggested) {
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(level_defaults); i++)
        if (suggested || level_defaults[i].mandatory)
            ensure(f, a, "prioritylevelconfigurations", level_json(a, &level_defaults[i]),
                   level_defaults[i].mandatory);
    for (size_t i = 0; i < ARRAY_LEN(schema_defaults); i++)
        if (suggested || schema_defaults[i].mandatory)
            ensure(f, a, "flowschemas", schema_json(a, &schema_defaults[i]),
                   schema_defaults[i].mandatory);
}

/* ---- Dangling ---- */

static struct flowcontrol_v1_flow_schema_condition *dangling(struct arena *a,
                                                             struct flowcontrol_v1_flow_schema *s) {
    for (size_t i = 0; i < s->status.conditions.n; i++)
        if (str_eq(s->status.conditions.v[i].type, "Dangling")) return &s->status.conditions.v[i];
    struct flowcontrol_v1_flow_schema_condition *c = ARENA_PUSH(a, &s->status.conditions);
    *c = (struct flowcontrol_v1_flow_schema_condition){.type = "Dangling"};
    return c;
}

/* Whether the condition had to change. */
static bool set_dangling(struct flow *f, struct arena *a, struct flowcontrol_v1_flow_schema *s) {
    const char *name = s->spec.priority_level_configuration.name;
    bool found = flow_level_get(f, name);
    struct flowcontrol_v1_flow_schema_condition *c = dangling(a, s);
    const char *message = arena_printf(
        a, "This FlowSchema references the PriorityLevelConfiguration object named \"%s\" %s", name,
        found ? "and it exists" : "but there is no such object");
    const char *status = found ? "False" : "True";
    if (str_eq(c->status, status) && str_eq(c->message, message)) return false;
    char now[TIME_TEXT_MAX];
    time_format(now, loop_wall_ns(f->api->loop));
    if (!str_eq(c->status, status)) c->last_transition_time = arena_str(a, now);
    c->status = status;
    c->reason = found ? "Found" : "NotFound";
    c->message = message;
    return true;
}

void flow_statuses_write(struct flow *f) {
    const struct api_kind *k = api_kind_by_plural(GROUP, "v1", "flowschemas");
    struct resource *res = cache_of_kind(&f->api->cache, k);
    OWN(arena_free_p) struct arena *a = arena_new();
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct api_object *s;
        if (api_object_decode(a, k, object_json(o), &s, NULL) < 0 || !set_dangling(f, a, (void *)s))
            continue;
        struct commit w = {STORE_UPDATE, k, s, o->revision};
        commit_submit(f->api, &w, on_stored, f);
    }
}
