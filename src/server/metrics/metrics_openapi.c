/* What `kubectl explain --api-version=metrics.k8s.io/v1beta1` reads, in both versions of OpenAPI.
 */
#include "api/openapi/openapi.h"
#include "api/openapi/schema.h"
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
    "\"metadata\":{\"allOf\":[{\"$ref\":\"" AT OPENAPI_META "ObjectMeta\"}],\"default\":{},"       \
    "\"description\":\"Name and labels of what was measured.\"}"
#define LIST_METADATA                                                                              \
    "\"metadata\":{\"allOf\":[{\"$ref\":\"" AT OPENAPI_META "ListMeta\"}],\"default\":{},"         \
    "\"description\":\"Nothing but its presence.\"}"
#define ITEMS_OF                                                                                   \
    "\"items\":{\"description\":\"One a node or "                                                  \
    "pod.\",\"type\":\"array\",\"items\":{\"default\":{},\"allOf\":[{\"$ref\":\"" AT PREFIX
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

static void put_parameter(struct buf *b, enum openapi_version v, const char *name, bool *first) {
    buf_printf(b, "%s{\"name\":\"%s\",\"in\":\"path\",\"required\":true,%s}", *first ? "" : ",",
               name, v == OPENAPI_V3 ? "\"schema\":{\"type\":\"string\"}" : "\"type\":\"string\"");
    *first = false;
}

static void put_paths(struct buf *b, enum openapi_version v) {
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        bool first = true;
        OWN(buf_done) struct buf name = {0};
        buf_printf(&name, PREFIX "%s%s", paths[i].kind, paths[i].named ? "" : "List");
        buf_printf(b, "%s\"/apis/" METRICS_GROUP "/" METRICS_VERSION "/%s\":{\"parameters\":[",
                   i || v == OPENAPI_V2 ? "," : "", paths[i].path);
        if (paths[i].namespaced) put_parameter(b, v, "namespace", &first);
        if (paths[i].named) put_parameter(b, v, "name", &first);
        buf_str(b, "],\"get\":{\"responses\":{\"200\":{\"description\":\"OK\",");
        if (v == OPENAPI_V3) buf_str(b, "\"content\":{\"application/json\":{");
        buf_str(b, "\"schema\":{");
        openapi_ref(b, v, name.p);
        buf_printf(b,
                   "}}}%s,\"x-kubernetes-action\":\"%s\","
                   "\"x-kubernetes-group-version-kind\":{\"group\":\"" METRICS_GROUP
                   "\",\"kind\":\"%s\",\"version\":\"" METRICS_VERSION "\"}}}",
                   v == OPENAPI_V3 ? "}}" : "", paths[i].action, paths[i].kind);
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
    put_paths(b, OPENAPI_V3);
    buf_printf(b, "},\"components\":{\"schemas\":{%s", schemas);
    put_metadata(b);
    buf_str(b, "}}}");
}

/* The schemas in the words of version 2, which has references without allOf around them. */
static void put_definitions(struct buf *b) {
    static const char wrapped[] = "\"allOf\":[{\"$ref\":\"" AT, end[] = "\"}]";
    const char *p = schemas, *found;
    buf_char(b, '{');
    for (; (found = strstr(p, wrapped)); p++) {
        buf_append(b, p, (size_t)(found - p));
        buf_str(b, "\"$ref\":\"#/definitions/");
        found += sizeof wrapped - 1;
        p = strstr(found, end);
        buf_append(b, found, (size_t)(p - found) + 1);
        p += sizeof end - 2;
    }
    buf_str(b, p);
    buf_char(b, '}');
}

struct openapi_part metrics_api_openapi_v2(void) {
    static struct buf paths_v2, definitions;
    if (!definitions.n) {
        put_paths(&paths_v2, OPENAPI_V2);
        put_definitions(&definitions);
    }
    return (struct openapi_part){buf_view(&paths_v2), buf_view(&definitions)};
}
