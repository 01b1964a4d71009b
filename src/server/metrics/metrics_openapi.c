/* What `kubectl explain --api-version=metrics.k8s.io/v1beta1` reads. */
#include "api/openapi.h"
#include "api/openapi_schema.h"
#include "base/own.h"
#include "server/metrics/metrics_api.h"
#include "server/raw.h"

#define PREFIX "io.k8s.metrics.pkg.apis.metrics.v1beta1."
#define REF(name) "{\"allOf\":[{\"$ref\":\"#/components/schemas/" name "\"}],\"default\":{}}"
#define GVK(kind)                                                                                  \
    "{\"group\":\"" METRICS_GROUP "\",\"kind\":\"" kind "\",\"version\":\"" METRICS_VERSION "\"}"
#define TEXT(description) "{\"type\":\"string\",\"description\":\"" description "\"}"
#define IDENTITY                                                                                   \
    "\"apiVersion\":" TEXT("APIVersion of the object.") ",\"kind\":" TEXT("Kind of the object.")
#define USAGE                                                                                      \
    "\"usage\":{\"type\":\"object\",\"description\":\"Memory is that of the working set.\","       \
    "\"additionalProperties\":{\"type\":\"string\"}}"
#define TIMES                                                                                      \
    "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\",\"description\":\"The end of "    \
    "the "                                                                                         \
    "interval that the figures are of.\"},\"window\":" TEXT("The length of that interval.")

/* The two kinds, their lists, and what containers use. */
static const char
    schemas
        [] =
            "\"" PREFIX "ContainerMetrics\":{\"type\":\"object\",\"required\":[\"name\",\"usage\"],"
            "\"description\":\"What one container uses.\",\"properties\":{\"name\":" TEXT(
                "Name of the container.") "," USAGE "}},"
                                          "\"" PREFIX "NodeMetrics\":{\"type\":\"object\","
                                                      "\"required\":[\"timestamp\",\"window\","
                                          "\"usage\"],\"description\":\"What a node "
                                          "uses.\",\"properties\":{" IDENTITY
                                          ",\"metadata\":" REF(OPENAPI_META "ObjectMeta") "," TIMES "," USAGE "},\"x-kubernetes-group-version-kind\":[" GVK(
                                              "NodeMetrics") "]},"
                                                             "\"" PREFIX
                                                             "NodeMetricsList\":{\"type\":"
                                                             "\"object\",\"required\":[\"items\"],"
                                                             "\"description\":\"A list of "
                                                             "NodeMetrics.\",\"properties\":"
                                                             "{" IDENTITY
                                                             ",\"metadata\":" REF(OPENAPI_META "Lis"
                                                                                               "tMe"
                                                                                               "ta") ",\"items\":{\"type\":\"array\",\"items\":" REF(PREFIX "NodeMetrics") "}},\"x-kubernetes-group-version-kind\":[" GVK(
                                                                 "NodeMetricsList") "]},"
                                                                                    "\"" PREFIX
                                                                                    "PodMetrics\":{"
                                                                                    "\"type\":"
                                                                                    "\"object\","
                                                                                    "\"required\":["
                                                                                    "\"timestamp\","
                                                                                    "\"window\","
                                                                                    "\"containers\""
                                                                                    "],"
                                                                                    "\"description"
                                                                                    "\":\"What a "
                                                                                    "pod "
                                                                                    "uses.\","
                                                                                    "\"properties\""
                                                                                    ":{" IDENTITY
                                                                                    ",\"metadata\""
                                                                                    ":" REF(
                                                                                        OPENAPI_META
                                                                                        "ObjectMet"
                                                                                        "a") "," TIMES
                                                                                             ",\"co"
                                                                                             "ntain"
                                                                                             "ers\""
                                                                                             ":{"
                                                                                             "\"typ"
                                                                                             "e\":"
                                                                                             "\"arr"
                                                                                             "ay\","
                                                                                             "\"des"
                                                                                             "cript"
                                                                                             "ion\""
                                                                                             ":\"Wh"
                                                                                             "at "
                                                                                             "each "
                                                                                             "conta"
                                                                                             "iner "
                                                                                             "uses."
                                                                                             "\","
                                                                                             "\"ite"
                                                                                             "ms\""
                                                                                             ":" REF(
                                                                                                 PREFIX
                                                                                                 "C"
                                                                                                 "o"
                                                                                                 "n"
                                                                                                 "t"
                                                                                                 "a"
                                                                                                 "i"
                                                                                                 "n"
                                                                                                 "e"
                                                                                                 "r"
                                                                                                 "M"
                                                                                                 "e"
                                                                                                 "t"
                                                                                                 "r"
                                                                                                 "i"
                                                                                                 "c"
                                                                                                 "s") "}},"
                                                                                                      "\"x-kubernetes-group-version-kind\":[" GVK(
                                                                                                          "PodMetrics") "]},"
                                                                                                                        "\"" PREFIX
                                                                                                                        "PodMetricsList\":{\"type\":\"object\",\"required\":[\"items\"],"
                                                                                                                        "\"description\":\"A list of PodMetrics.\",\"properties\":{" IDENTITY
                                                                                                                        ",\"metadata\":" REF(OPENAPI_META "ListMeta") ",\"items\":{\"type\":\"array\",\"items\":" REF(
                                                                                                                            PREFIX
                                                                                                                            "PodMetrics") "}},\"x-kubernetes-group-version-kind\":[" GVK("PodMetricsList") "]}";

static const struct {
    const char *path, *kind, *action;
    bool namespaced, named;
} paths[] = {
    {"nodes", "NodeMetrics", "list", false, false},
    {"nodes/{name}", "NodeMetrics", "get", false, true},
    {"pods", "PodMetrics", "list", false, false},
    {"namespaces/{namespace}/pods", "PodMetrics", "list", true, false},
    {"namespaces/{namespace}/pods/{name}", "PodMetrics", "get", true, true},
};

static void put_parameter(struct buf *b, const char *name, bool *first) {
    buf_printf(b,
               "%s{\"name\":\"%s\",\"in\":\"path\",\"required\":true,"
               "\"schema\":{\"type\":\"string\"}}",
               *first ? "" : ",", name);
    *first = false;
}

static void put_paths(struct buf *b) {
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        bool first = true;
        buf_printf(b, "%s\"/apis/" METRICS_GROUP "/" METRICS_VERSION "/%s\":{\"parameters\":[",
                   i ? "," : "", paths[i].path);
        if (paths[i].namespaced) put_parameter(b, "namespace", &first);
        if (paths[i].named) put_parameter(b, "name", &first);
        buf_printf(b,
                   "],\"get\":{\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{"
                   "\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/" PREFIX
                   "%s%s\"}}}}},\"x-kubernetes-action\":\"%s\","
                   "\"x-kubernetes-group-version-kind\":{\"group\":\"" METRICS_GROUP
                   "\",\"kind\":\"%s\",\"version\":\"" METRICS_VERSION "\"}}}",
                   paths[i].kind, paths[i].named ? "" : "List", paths[i].action, paths[i].kind);
    }
}

/* Metadata as every group's document describes it: taken from a small one. */
static void put_metadata(struct buf *b) {
    OWN(buf_done) struct buf other = {0};
    struct slice all, key, value;
    if (openapi_v3_document("coordination.k8s.io", "v1", &other) < 0 ||
        !raw_path(buf_view(&other), "components.schemas", &all))
        return;
    struct raw_iter i = raw_object(all);
    while (raw_member(&i, &key, &value))
        if (slice_starts(key, OPENAPI_META))
            buf_printf(b, ",\"%.*s\":%.*s", (int)key.n, key.p, (int)value.n, value.p);
}

void metrics_api_openapi(struct buf *b) {
    buf_str(
        b,
        "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Kubernetes\",\"version\":\"" METRICS_VERSION
        "\"},\"paths\":{");
    put_paths(b);
    buf_printf(b, "},\"components\":{\"schemas\":{%s", schemas);
    put_metadata(b);
    buf_str(b, "}}}");
}
