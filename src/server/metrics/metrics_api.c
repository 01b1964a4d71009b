#include "server/metrics/metrics_api.h"

#include "api/patch/patch.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "proto/json.h"
#include "server/egress/call.h"
#include "server/storage/raw.h"

enum { NODE_TIMEOUT_MS = 10 * 1000, SUMMARY_MAX_BYTES = 16 * 1024 * 1024 };
#define API_VERSION METRICS_GROUP "/" METRICS_VERSION

const char metrics_api_resources[] =
    "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"" API_VERSION
    "\",\"resources\":[{\"name\":\"nodes\",\"singularName\":\"\",\"namespaced\":false,"
    "\"kind\":\"NodeMetrics\",\"verbs\":[\"get\",\"list\"]},{\"name\":\"pods\","
    "\"singularName\":\"\",\"namespaced\":true,\"kind\":\"PodMetrics\","
    "\"verbs\":[\"get\",\"list\"]}]}\n";

struct wish {
    struct call *c;
    struct egress_call *call;
    struct selector *selector; /* NULL: all */
    bool nodes;
};

/* ---- figures ---- */

static json_int_t number(const json_t *o, const char *part, const char *key, bool *ret_has) {
    const json_t *v = json_object_get(json_object_get(o, part), key);
    *ret_has = json_is_integer(v);
    return json_integer_value(v);
}

/* "usage":{…}; false when there is no rate yet. */
static bool put_usage(struct buf *b, const json_t *o) {
    bool has_cpu, has_memory;
    json_int_t cpu = number(o, "cpu", "usageNanoCores", &has_cpu);
    json_int_t memory = number(o, "memory", "workingSetBytes", &has_memory);
    if (!has_cpu || !has_memory) return false;
    buf_printf(b, "\"usage\":{\"cpu\":\"%lld%s\",\"memory\":\"%lldKi\"}", (long long)cpu,
               cpu ? "n" : "", (long long)memory / 1024);
    return true;
}

static const char *text_of(const json_t *o, const char *part, const char *key) {
    const char *s = json_string_value(json_object_get(json_object_get(o, part), key));
    return s ? s : "";
}

/* metadata, timestamp and window of one object. */
static void put_head(struct buf *b, const char *kind, const char *ns, const char *name,
                     struct slice labels, const json_t *root, const char *time) {
    json_int_t window = json_integer_value(json_object_get(root, "windowNanoSeconds"));
    buf_printf(b,
               "{\"kind\":\"%s\",\"apiVersion\":\"" API_VERSION "\",\"metadata\":{\"name\":", kind);
    buf_json_str(b, slice_of(name));
    if (*ns) {
        buf_str(b, ",\"namespace\":");
        buf_json_str(b, slice_of(ns));
    }
    buf_printf(b, ",\"creationTimestamp\":\"%s\"", time);
    if (labels.n) buf_printf(b, ",\"labels\":%.*s", (int)labels.n, labels.p);
    buf_printf(b, "},\"timestamp\":\"%s\",\"window\":\"%lld.%03llds\",", time,
               (long long)window / 1000000000, (long long)window / 1000000 % 1000);
}

/* Labels of the object whose figures these are; false: it is gone, or not selected. */
static bool wanted(const struct wish *w, const char *ns, const char *name,
                   struct slice *ret_labels) {
    struct call *c = w->c;
    const struct api_kind *k = api_kind_by_plural("", "v1", w->nodes ? "nodes" : "pods");
    struct object *o = resource_get(cache_of_kind(&c->api->cache, k), ns, name);
    *ret_labels = SLICE("");
    if (!o || (*c->route.ns && !str_eq(c->route.ns, ns)) ||
        (*c->route.name && !str_eq(c->route.name, name)))
        return false;
    raw_path(object_json(o), "metadata.labels", ret_labels);
    if (!w->selector) return true;
    struct str_map map = raw_map(c->a, *ret_labels);
    return selector_matches(w->selector, &map);
}

static void put_node(const struct wish *w, struct buf *b, const json_t *root, size_t *n) {
    const json_t *node = json_object_get(root, "node");
    const char *name = text_of(root, "node", "nodeName");
    OWN(buf_done) struct buf one = {0};
    struct slice labels;
    if (!wanted(w, "", name, &labels)) return;
    put_head(&one, "NodeMetrics", "", name, labels, root, text_of(node, "cpu", "time"));
    if (!put_usage(&one, node)) return;
    buf_printf(b, "%s%s}", (*n)++ ? "," : "", one.p);
}

static void put_pod(const struct wish *w, struct buf *b, const json_t *root, const json_t *pod,
                    size_t *n) {
    const char *ns = text_of(pod, "podRef", "namespace"), *name = text_of(pod, "podRef", "name");
    OWN(buf_done) struct buf one = {0};
    struct slice labels;
    size_t i, rated = 0;
    const json_t *container;
    if (!wanted(w, ns, name, &labels)) return;
    put_head(&one, "PodMetrics", ns, name, labels, root, text_of(pod, "cpu", "time"));
    buf_str(&one, "\"containers\":[");
    json_array_foreach(json_object_get(pod, "containers"), i, container) {
        OWN(buf_done) struct buf usage = {0};
        if (!put_usage(&usage, container)) continue;
        buf_str(&one, rated++ ? ",{\"name\":" : "{\"name\":");
        const char *container_name = json_string_value(json_object_get(container, "name"));
        buf_json_str(&one, slice_of(str_or(container_name, "")));
        buf_printf(&one, ",%s}", usage.p);
    }
    if (rated) buf_printf(b, "%s%s]}", (*n)++ ? "," : "", one.p);
}

/* ---- the answer ---- */

static void answer(struct wish *w, const json_t *root) {
    struct call *c = w->c;
    OWN(buf_done) struct buf items = {0}, list = {0};
    size_t n = 0, i;
    const json_t *pod;
    if (w->nodes) {
        put_node(w, &items, root, &n);
    } else {
        json_array_foreach(json_object_get(root, "pods"), i, pod) {
            put_pod(w, &items, root, pod, &n);
        }
    }
    if (*c->route.name && !n) {
        reply_failure(
            c, ERR_NOT_FOUND,
            &(struct failure){
                .message = arena_printf(c->a, "%smetrics." METRICS_GROUP " \"%s%s%s\" not found",
                                        w->nodes ? "node" : "pod", c->route.ns,
                                        *c->route.ns ? "/" : "", c->route.name),
                .name = c->route.name,
                .group = METRICS_GROUP,
                .kind = c->route.plural});
        return;
    }
    if (c->form == ANSWER_TABLE)
        metrics_table(&list, c->form_version, buf_view(&items));
    else if (!*c->route.name)
        buf_printf(&list,
                   "{\"kind\":\"%sMetricsList\",\"apiVersion\":\"" API_VERSION
                   "\",\"metadata\":{},\"items\":[%s]}\n",
                   w->nodes ? "Node" : "Pod", str_or(items.p, ""));
    request_respond(c->r, 200, content_type(c), buf_view(list.n ? &list : &items), NULL);
}

static void on_summary(void *user, const struct egress_result *r) {
    struct wish *w = user;
    struct call *c = w->c;
    OWN(json_decref_p) json_t *root = NULL;
    c->r->on_close = NULL;
    if (r->err.reason == ERR_NONE && r->status == 200 && json_parse(r->body, &root, NULL) == 0)
        answer(w, root);
    else
        reply_failure(c, ERR_UNAVAILABLE,
                      &(struct failure){.message = "the node does not tell its figures"});
}

static void client_gone(struct request *r) {
    struct wish *w = r->handler_data;
    egress_call_cancel(w->call);
}

static void ask_node(struct call *c, bool nodes) {
    const char *labels = http_query_get(&c->r->query, "labelSelector");
    struct wish *w = ARENA_NEW(c->a, struct wish);
    struct err err;
    *w = (struct wish){.c = c, .nodes = nodes};
    if (!str_empty(labels) && selector_parse(c->a, labels, &w->selector, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    struct egress_target t = {.authority = "node", .path = "/stats/summary"};
    c->r->handler_data = w;
    c->r->on_close = client_gone;
    w->call = egress_call(c->api,
                          &(struct egress_request){.target = &t,
                                                   .local_socket = "node.sock",
                                                   .method = "GET",
                                                   .timeout_ms = NODE_TIMEOUT_MS,
                                                   .max_body_bytes = SUMMARY_MAX_BYTES},
                          on_summary, w);
}

/* There is no other form of these but a table. */
static bool takes_json(struct call *c) {
    const char *accept = http_header(&c->r->headers, "accept");
    struct err err;
    if (reply_negotiate(c, &err) < 0 || c->form != ANSWER_TABLE) c->form = ANSWER_OBJECT;
    c->media = MEDIA_JSON;
    return str_empty(accept) || strstr(accept, "json") || strstr(accept, "/*");
}

void metrics_api_serve(struct call *c) {
    struct err err;
    if (!c->route.is_resource) {
        OWN(buf_done) struct buf document = {0};
        if (str_starts(c->r->path, "/openapi/")) metrics_api_openapi(&document);
        reply_json(c, 200, document.n ? buf_view(&document) : slice_of(metrics_api_resources));
        return;
    }
    bool nodes = str_eq(c->route.plural, "nodes"), pods = str_eq(c->route.plural, "pods");
    bool reads = str_eq(c->route.verb, "get") || str_eq(c->route.verb, "list");
    if ((!nodes && !pods) || *c->route.subresource || (nodes && *c->route.ns) ||
        (pods && *c->route.name && !*c->route.ns)) {
        err_set(&err, ERR_NOT_FOUND, "the server could not find the requested resource");
        reply_error(c, &err);
    } else if (!reads) {
        reply_method_not_allowed(c);
    } else if (!takes_json(c)) {
        err_set(&err, ERR_NOT_ACCEPTABLE,
                "only the following media types are accepted: application/json");
        reply_error(c, &err);
    } else {
        ask_node(c, nodes);
    }
}
