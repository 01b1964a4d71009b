/* The state without what chance decides. */
#include <jansson.h>
#include <stdlib.h>

#include "api/patch/patch.h"
#include "base/own.h"
#include "base/times.h"
#include "sim/oracle.h"

/* Members that are left out wherever they stand. */
static const char *const left_out[] = {"uid",
                                       "resourceVersion",
                                       "creationTimestamp",
                                       "generation",
                                       "observedGeneration",
                                       "managedFields",
                                       "nodeName",
                                       "podIP",
                                       "podIPs",
                                       "hostIP",
                                       "hostIPs",
                                       "startTime",
                                       "containerStatuses",
                                       "initContainerStatuses",
                                       "message",
                                       "reason",
                                       "clusterIP",
                                       "clusterIPs",
                                       "failed",
                                       "failedIndexes",
                                       "uncountedTerminatedPods",
                                       "terminating",
                                       "currentRevision",
                                       "updateRevision",
                                       "collisionCount",
                                       "disruptedPods",
                                       "targetRef",
                                       "zone",
                                       "hints",
                                       "ip",
                                       "nominatedNodeName",
                                       "deployment.kubernetes.io/revision",
                                       "deployment.kubernetes.io/revision-history",
                                       "endpoints.kubernetes.io/last-change-trigger-time",
                                       "controller-revision-hash",
                                       "apps.kubernetes.io/pod-index",
                                       "batch.kubernetes.io/controller-uid",
                                       "controller-uid",
                                       "lastScaleTime",
                                       "batch.kubernetes.io/job-name",
                                       "job-name",
                                       "batch.kubernetes.io/cronjob-scheduled-timestamp",
                                       "generateName",
                                       "volume.kubernetes.io/selected-node",
                                       "lastPhaseTransitionTime"};

static bool is_left_out(const char *key) {
    for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
        if (str_eq(key, left_out[i])) return true;
    return false;
}

static int by_text(const void *x, const void *y) {
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static json_t *normal(const json_t *v);

/* Conditions that tell what once was: a Job that was suspended before it ended, a pod that had to
 * go and did not. */
static bool is_past(const char *condition) {
    return strstr(condition, "\"type\":\"Suspended\"") ||
           (strstr(condition, "\"type\":\"DisruptionTarget\"") &&
            strstr(condition, "\"status\":\"False\""));
}

/* The order of lists is chance, too: of endpoints, of conditions. */
static json_t *normal_list(const json_t *v) {
    size_t n = json_array_size(v);
    char **texts = calloc(n + 1, sizeof *texts);
    json_t *out = json_array();
    if (!texts) abort();
    for (size_t i = 0; i < n; i++) {
        json_t *one = normal(json_array_get(v, i));
        texts[i] = json_dumps(one, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        json_decref(one);
    }
    qsort(texts, n, sizeof *texts, by_text);
    for (size_t i = 0; i < n; i++) {
        if (!is_past(texts[i])) json_array_append_new(out, json_string(texts[i]));
        free(texts[i]);
    }
    free(texts);
    return out;
}

static json_t *normal(const json_t *v) {
    int64_t ns;
    if (json_is_array(v)) return normal_list(v);
    if (json_is_string(v) && time_parse(json_string_value(v), &ns) == 0) return json_string("T");
    if (!json_is_object(v)) return json_deep_copy(v);
    json_t *out = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)v, key, value) {
        if (is_left_out(key)) continue;
        if (str_eq(key, "addresses") || str_eq(key, "notReadyAddresses"))
            json_object_set_new(out, key, json_integer((json_int_t)json_array_size(value)));
        else
            json_object_set_new(out, key, normal(value));
    }
    return out;
}

static const char *text_at(const json_t *v, const char *x, const char *y) {
    return str_or(json_string_value(json_object_get(json_object_get(v, x), y)), "");
}

/* Kinds that are history, heartbeats or hints. */
static bool is_noise(const struct api_kind *k) {
    static const char *const kinds[] = {"Event", "Lease", "ControllerRevision"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(k->kind, kinds[i])) return true;
    return false;
}

static bool is_history(const struct api_kind *k, const json_t *v) {
    if (str_eq(k->kind, "ReplicaSet"))
        return json_array_size(
                   json_object_get(json_object_get(v, "metadata"), "ownerReferences")) &&
               json_integer_value(json_object_get(json_object_get(v, "spec"), "replicas")) == 0;
    const char *phase = text_at(v, "status", "phase");
    /* Pods that have ended are removed with their node, or not. */
    return str_eq(k->kind, "Pod") && (str_eq(phase, "Failed") || str_eq(phase, "Succeeded"));
}

/* Pods of sets have names that were made up, or were there before their owner. */
static bool is_one_of_many(const struct api_kind *k, const json_t *v) {
    static const char *const owners[] = {"ReplicaSet", "ReplicationController", "Job", "DaemonSet"};
    const json_t *refs = json_object_get(json_object_get(v, "metadata"), "ownerReferences");
    const char *owner = json_string_value(json_object_get(json_array_get(refs, 0), "kind"));
    for (size_t i = 0; i < ARRAY_LEN(owners) && str_eq(k->kind, "Pod"); i++)
        if (str_eq(owner, owners[i])) return true;
    return false;
}

static char *line_of(const struct sim_object *o) {
    OWN(json_decref_p) json_t *v = json_loadb(o->json.p, o->json.n, 0, NULL);
    if (!v || is_history(o->kind, v)) return NULL;
    OWN(json_decref_p) json_t *plain = normal(v);
    json_t *meta = json_object_get(plain, "metadata");
    const char *generated = text_at(v, "metadata", "generateName");
    OWN(free_p) char *stem = NULL;
    bool made_up = str_eq(o->kind->kind, "EndpointSlice") ||
                   (str_eq(o->kind->kind, "Job") && strstr(o->json.p, "\"CronJob\""));
    if (made_up && (stem = strdup(o->name)) && strrchr(stem, '-')) {
        strrchr(stem, '-')[1] = 0; /* by the controller itself */
        generated = stem;
    }
    if (is_one_of_many(o->kind, v))
        generated = json_string_value(json_object_get(
            json_array_get(json_object_get(json_object_get(v, "metadata"), "ownerReferences"), 0),
            "name"));
    if (*generated) json_object_set_new(meta, "name", json_string("*"));
    OWN(free_p) char *text = json_dumps(plain, JSON_COMPACT | JSON_SORT_KEYS);
    struct buf b = {0};
    buf_printf(&b, "%s %s/%s%s %s", o->kind->kind, o->ns, *generated ? generated : o->name,
               *generated ? "*" : "", text);
    return buf_steal(&b);
}

void normal_form(struct sim *s, struct buf *out) {
    VEC(char *) lines = {0};
    for (size_t i = 0; i < s->store->n_resources; i++) {
        struct sim_resource *r = &s->store->resources[i];
        size_t n;
        if (is_noise(r->kind)) continue;
        OWN(free_p) struct sim_object **list = store_list(r, &n);
        for (size_t j = 0; j < n; j++) {
            char *line = line_of(list[j]);
            if (line) vec_push(&lines, line);
        }
    }
    if (lines.n) qsort(lines.v, lines.n, sizeof *lines.v, by_text);
    for (size_t i = 0; i < lines.n; i++) {
        buf_str(out, lines.v[i]);
        buf_char(out, '\n');
        free(lines.v[i]);
    }
    vec_done(&lines);
}

uint64_t state_hash(const struct sim *s) {
    uint64_t hash = s->store->revision;
    for (size_t i = 0; i < s->store->n_resources; i++) {
        size_t n;
        OWN(free_p) struct sim_object **list = store_list(&s->store->resources[i], &n);
        for (size_t j = 0; j < n; j++) hash = hash * 0x9e3779b97f4a7c15u + map_hash(list[j]->json);
    }
    return hash;
}
