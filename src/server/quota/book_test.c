#include "base/own.h"
#include "base/test.h"
#include "server/quota/book.h"

static struct api_object *decode(struct arena *a, const char *plural, const char *json) {
    struct api_object *o;
    struct err err;
    const struct api_kind *k = api_kind_by_plural("", "v1", plural);
    assert_non_null(k);
    if (api_object_decode(a, k, slice_of(json), &o, &err) < 0) fail_msg("%s", err.text);
    return o;
}

static struct quota *put(struct quota_space *s, const char *json) {
    struct arena *a = arena_new();
    return quota_put(s, a, (void *)decode(a, "resourcequotas", json));
}

static const char *used(struct arena *a, const struct quota *q, const char *resource) {
    for (size_t i = 0; i < q->n; i++)
        if (str_eq(q->lines[i].resource, resource)) return quantity_text(a, &q->lines[i].used);
    return "none";
}

#define POD(name, requests)                                                                        \
    "{\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"containers\":[{\"name\":\"c\","             \
    "\"resources\":{\"requests\":{" requests "}}}]}}"

static const char *try_pod(struct quota_space *s, struct arena *a, const char *json,
                           struct quota_promise *p) {
    const struct core_v1_pod *pod = (void *)decode(a, "pods", json);
    quota_usage_of(a, "", "pods", (const void *)pod, 0, &p->usage);
    p->key = arena_printf(a, "pods/%s", pod->metadata.name);
    const char *why = quota_refusal(s, a, &p->usage, &p->usage.amounts, &pod->spec);
    if (!why) quota_promise(s, p);
    return why;
}

static void store_pod(struct quota_space *s, const char *json) {
    struct arena *a = arena_new();
    struct quota_usage u;
    struct api_object *o = decode(a, "pods", json);
    quota_usage_of(a, "", "pods", o, 0, &u);
    const char *key = arena_printf(a, "pods/%s", o->metadata.name);
    quota_fulfil(s, key);
    quota_charge(s, key, a, &u);
}

TEST(quota_promises_count_at_once) {
    struct quota_book b = {0};
    struct arena *a = arena_new();
    struct quota_space *s = quota_space_open(&b, SLICE("ns"));
    struct quota *q =
        put(s, "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"pods\":\"2\"}}}");
    struct quota_promise p[3] = {0};
    assert_null(try_pod(s, a, POD("a", ""), &p[0]));
    assert_null(try_pod(s, a, POD("b", ""), &p[1]));
    assert_string_equal(try_pod(s, a, POD("c", ""), &p[2]),
                        "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2");
    /* One is stored, the other fails: one place is free again, exactly one. */
    store_pod(s, POD("a", ""));
    assert_null(quota_release(&p[0]));
    assert_ptr_equal(quota_release(&p[1]), s);
    assert_string_equal(used(a, q, "pods"), "1");
    assert_null(try_pod(s, a, POD("d", ""), &p[1]));
    assert_non_null(try_pod(s, a, POD("e", ""), &p[2]));
    quota_uncharge(s, "pods/a");
    assert_string_equal(used(a, q, "pods"), "0");
    arena_free(a);
    quota_book_done(&b);
}

TEST(quota_measures_pods) {
    struct quota_book b = {0};
    struct arena *a = arena_new();
    struct quota_space *s = quota_space_open(&b, SLICE("ns"));
    struct quota *q =
        put(s, "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"requests.cpu\":\"1\","
               "\"memory\":\"500Mi\",\"requests.nvidia.com/gpu\":\"1\",\"count/pods\":\"9\"}}}");
    struct quota_promise p = {0};
    assert_string_equal(try_pod(s, a, POD("a", "\"cpu\":\"1\""), &p),
                        "failed quota: q: must specify memory for: c");
    store_pod(s, POD("a", "\"cpu\":\"500m\",\"memory\":\"252Mi\",\"nvidia.com/gpu\":\"1\""));
    assert_string_equal(used(a, q, "requests.cpu"), "500m");
    assert_string_equal(used(a, q, "memory"), "252Mi");
    assert_string_equal(used(a, q, "requests.nvidia.com/gpu"), "1");
    assert_string_equal(try_pod(s, a, POD("b", "\"cpu\":\"600m\",\"memory\":\"1Gi\""), &p),
                        "exceeded quota: q, requested: memory=1Gi,requests.cpu=600m, used: "
                        "memory=252Mi,requests.cpu=500m, limited: memory=500Mi,requests.cpu=1");
    /* A pod that has ended only counts as an object. */
    store_pod(s, "{\"metadata\":{\"name\":\"a\"},\"spec\":{},\"status\":{\"phase\":\"Failed\"}}");
    assert_string_equal(used(a, q, "requests.cpu"), "0");
    assert_string_equal(used(a, q, "count/pods"), "1");
    /* A new version of the quota starts from the charges. */
    q = put(s, "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"count/pods\":\"1\"}}}");
    quota_add_charges(q);
    assert_string_equal(used(a, q, "count/pods"), "1");
    arena_free(a);
    quota_book_done(&b);
}

TEST(quota_init_containers_and_sidecars) {
    struct arena *a = arena_new();
    struct quota_usage u;
    struct api_object *o = decode(
        a, "pods",
        "{\"spec\":{\"initContainers\":[{\"name\":\"side\",\"restartPolicy\":\"Always\","
        "\"resources\":{\"requests\":{\"cpu\":\"1\"}}},{\"name\":\"i\",\"resources\":{\"requests\":"
        "{\"cpu\":\"4\"}}}],\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":"
        "\"2\"}}}],\"overhead\":{\"cpu\":\"250m\"}}}");
    quota_usage_of(a, "", "pods", o, 0, &u);
    assert_string_equal(quantity_text(a, quota_amount_find(&u.amounts, "requests.cpu")), "5250m");
    assert_null(quota_amount_find(&u.amounts, "limits.cpu"));
    arena_free(a);
}

TEST(quota_scopes) {
    static const struct {
        const char *spec, *pod;
        bool covered;
    } cases[] = {
        {"\"scopes\":[\"BestEffort\"]", POD("a", ""), true},
        {"\"scopes\":[\"BestEffort\"]", POD("a", "\"cpu\":\"1\""), false},
        {"\"scopes\":[\"NotBestEffort\",\"NotTerminating\"]", POD("a", "\"cpu\":\"1\""), true},
        {"\"scopes\":[\"Terminating\"]", "{\"spec\":{\"activeDeadlineSeconds\":5}}", true},
        {"\"scopes\":[\"Terminating\"]", POD("a", ""), false},
        {"\"scopes\":[\"PriorityClass\"]", POD("a", ""), false},
        {"\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":\"PriorityClass\",\"operator\":"
         "\"In\",\"values\":[\"high\"]}]}",
         "{\"spec\":{\"priorityClassName\":\"high\"}}", true},
        {"\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":\"PriorityClass\",\"operator\":"
         "\"NotIn\",\"values\":[\"high\"]}]}",
         "{\"spec\":{\"priorityClassName\":\"high\"}}", false},
        {"\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":\"PriorityClass\",\"operator\":"
         "\"DoesNotExist\"}]}",
         POD("a", ""), true},
        {"\"scopes\":[\"CrossNamespacePodAffinity\"]",
         "{\"spec\":{\"affinity\":{\"podAffinity\":{"
         "\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":\"k\","
         "\"namespaces\":[\"other\"]}]}}}}",
         true},
    };
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct quota_usage u;
        const struct core_v1_resource_quota *q =
            (void *)decode(a, "resourcequotas", arena_printf(a, "{\"spec\":{%s}}", cases[i].spec));
        quota_usage_of(a, "", "pods", decode(a, "pods", cases[i].pod), 0, &u);
        if (quota_covers(&q->spec, &u) != cases[i].covered) fail_msg("case %zu", i);
    }
    arena_free(a);
}

TEST(quota_services_claims_and_counts) {
    struct quota_book b = {0};
    struct arena *a = arena_new();
    struct quota_usage u, before;
    struct quota_space *s = quota_space_open(&b, SLICE("ns"));
    struct quota *q =
        put(s, "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"services.nodeports\":\"2\","
               "\"gold.storageclass.storage.k8s.io/requests.storage\":\"5Gi\","
               "\"configmaps\":\"3\",\"count/configmaps\":\"4\",\"count/jobs.batch\":\"1\"}}}");
    quota_usage_of(a, "", "services",
                   decode(a, "services", "{\"spec\":{\"type\":\"NodePort\",\"ports\":[{},{},{}]}}"),
                   0, &u);
    quota_usage_of(a, "", "services", decode(a, "services", "{\"spec\":{\"ports\":[{}]}}"), 0,
                   &before);
    quota_amounts_subtract(&u.amounts, &before.amounts);
    assert_string_equal(quota_refusal(s, a, &u, &u.amounts, NULL),
                        "exceeded quota: q, requested: services.nodeports=3, used: "
                        "services.nodeports=0, limited: services.nodeports=2");
    quota_usage_of(a, "", "persistentvolumeclaims",
                   decode(a, "persistentvolumeclaims",
                          "{\"spec\":{\"storageClassName\":\"gold\",\"resources\":{\"requests\":{"
                          "\"storage\":\"6Gi\"}}}}"),
                   0, &u);
    assert_non_null(quota_refusal(s, a, &u, &u.amounts, NULL));
    const char *names[2];
    quota_count_names(a, "", "configmaps", names);
    quota_count(s, NULL, names, 3);
    assert_string_equal(used(a, q, "configmaps"), "3");
    assert_string_equal(used(a, q, "count/configmaps"), "3");
    quota_usage_of(a, "batch", "jobs", NULL, 0, &u);
    assert_null(quota_refusal(s, a, &u, &u.amounts, NULL));
    quota_count_names(a, "batch", "jobs", names);
    quota_count(s, NULL, names, 1);
    assert_string_equal(quota_refusal(s, a, &u, &u.amounts, NULL),
                        "exceeded quota: q, requested: count/jobs.batch=1, used: "
                        "count/jobs.batch=1, limited: count/jobs.batch=1");
    arena_free(a);
    quota_book_done(&b);
}
