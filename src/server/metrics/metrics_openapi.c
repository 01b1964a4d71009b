/* What `kubectl explain --api-version=metrics.k8s.io/v1beta1` reads. */
#include "api/openapi.h"
#include "api/openapi_schema.h"
#include "base/own.h"
#include "server/metrics/metrics_api.h"
#include "server/storage/raw.h"

#define PREFIX "io.k8s.metrics.pkg.apis.metrics.v1beta1."
#define AT "#/components/schemas/"
#define GVK_OF "\"x-kubernetes-group-version-kind\":[{\"group\":\"" METRICS_GROUP "\",\"kind\":\""
#define GVK_END "\",\"version\":\"" METRICS_VERSION "\"}]"
#define IDENTITY                                                                                   \
    "\"apiVersion\":{\"type\":\"string\",\"description\":\"APIVersion of the object.\"},"          \
    "\"kind\":{\"type\":\"string\",\"description\":\"Kind of the object.\"}"
#define METADATA                                                                                   \
    "\"metadata\":{\"allOf\":[{\"$ref\":\"" AT OPENAPI_META "ObjectMeta\"}],\"default\":{}}"
#define LIST_METADATA                                                                              \
    "\"metadata\":{\"allOf\":[{\"$ref\":\"" AT OPENAPI_META "ListMeta\"}],\"default\":{}}"
#define ITEMS_OF                                                                                   \
    "\"items\":{\"type\":\"array\",\"items\":{\"default\":{},\"allOf\":[{\"$ref\":\"" AT PREFIX
#define ITEMS_END "\"}]}}"
#define USAGE                                                                                      \
    "\"usage\":{\"type\":\"object\",\"description\":\"Memory is that of the working set.\","       \
    "\"additionalProperties\":{\"type\":\"string\"}}"
#define TIMES                                                                                      \
    "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\","                                 \
    "\"description\":\"The end of the interval that the figures are of.\"},"                       \
    "\"window\":{\"type\":\"string\",\"description\":\"The length of that interval.\"}"

/* The two kinds, their lists, and what containers use. */
static const char schemas[] =
    "\"" PREFIX "ContainerMetrics\":{\"type\":\"object\",\"required\":[\"name\",\"usage\"],"
    "\"description\":\"What one container uses.\",\"properties\":{\"name\":{\"type\":\"string\","
    "\"description\":\"Name of the container.\"}," USAGE "}},"
    "\"" PREFIX "NodeMetrics\":{\"type\":\"object\",\"required\":[\"timestamp\",\"window\","
    "\"usage\"],\"description\":\"What a node uses.\",\"properties\":{" IDENTITY "," METADATA
    "," TIMES "," USAGE "}," GVK_OF "NodeMetrics" GVK_END "},"
    "\"" PREFIX "NodeMetricsList\":{\"type\":\"object\",\"required\":[\"items\"],"
    "\"description\":\"A list of NodeMetrics.\",\"properties\":{" IDENTITY "," LIST_METADATA
    "," ITEMS_OF "NodeMetrics" ITEMS_END "}," GVK_OF "NodeMetricsList" GVK_END "},"
    "\"" PREFIX "PodMetrics\":{\"type\":\"object\",\"required\":[\"timestamp\",\"window\","
    "\"containers\"],\"description\":\"What a pod uses.\",\"properties\":{" IDENTITY "," METADATA
    "," TIMES ",\"containers\":{\"description\":\"What each container uses.\","
    "\"type\":\"array\",\"items\":{\"default\":{},\"allOf\":[{\"$ref\":\"" AT PREFIX
    "ContainerMetrics" ITEMS_END "}," GVK_OF "PodMetrics" GVK_END "},"
    "\"" PREFIX "PodMetricsList\":{\"type\":\"object\",\"required\":[\"items\"],"
    "\"description\":\"A list of PodMetrics.\",\"properties\":{" IDENTITY "," LIST_METADATA
    "," ITEMS_OF "PodMetrics" ITEMS_END "}," GVK_OF "PodMetricsList" GVK_END "}";

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
    buf_str(b, "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Kubernetes\",");
    buf_str(b, "\"version\":\"" METRICS_VERSION "\"},\"paths\":{");
    put_paths(b);
    buf_printf(b, "},\"components\":{\"schemas\":{%s", schemas);
    put_metadata(b);
    buf_str(b, "}}}");
}
