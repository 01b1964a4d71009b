#include "controllers/autoscaling/metrics.h"

#include <stdlib.h>

#include "api/codec/codec.h"
#include "api/values/quantity.h"
#include "base/map.h"
#include "base/times.h"
#include "client/path.h"
#include "client/skim.h"

enum {
    CUSTOM_MS = 2000, /* at what foreign servers tell */
    WINDOW_S = 60,    /* of a figure that names none */
    VALUES_MAX = 100 * 1000,
};

/* ---- metrics.k8s.io ---- */

struct pod_usages {
    struct map by_key; /* namespace/name → struct pod_usage */
};

static void usages_done(void *user) { map_done(&((struct pod_usages *)user)->by_key); }

static int64_t time_of(struct slice value) {
    struct slice s = skim_string(value);
    char text[TIME_TEXT_MAX] = "";
    int64_t ns = 0;
    if (s.n < sizeof text) memcpy(text, s.p, s.n);
    return time_parse(text, &ns) == 0 ? ns : 0;
}

/* "1m30s", as Go writes durations. */
static int64_t window_of(struct slice value) {
    struct slice s = skim_string(value);
    char text[TIME_TEXT_MAX] = "";
    int64_t ns;
    if (s.n < sizeof text) memcpy(text, s.p, s.n);
    return s.n && duration_parse(text, &ns) == 0 ? ns : (int64_t)WINDOW_S * 1000000000;
}

static bool milli_of(struct arena *a, struct slice value, int64_t *ret) {
    const char *text = arena_strn(a, skim_string(value));
    if (!quantity_valid(text)) return false;
    *ret = quantity_milli(text);
    return true;
}

static void read_container(struct arena *a, struct slice json, struct pod_usage *pod) {
    struct container_usage *c = ARENA_PUSH(a, pod);
    struct skim usage = skim_init(skim_get(json, "usage"));
    struct slice key, value;
    *c = (struct container_usage){.name = arena_strn(a, skim_string(skim_get(json, "name")))};
    while (skim_member(&usage, &key, &value)) {
        int64_t milli;
        if (!milli_of(a, value, &milli)) continue;
        *ARENA_PUSH(a, c) = (struct resource_amount){arena_strn(a, key), milli};
    }
}

static void read_pod(struct arena *a, struct slice json, struct pod_usages *u) {
    struct slice metadata = skim_get(json, "metadata"), container;
    struct slice ns = skim_string(skim_get(metadata, "namespace"));
    struct slice name = skim_string(skim_get(metadata, "name"));
    struct skim containers = skim_init(skim_get(json, "containers"));
    struct pod_usage *pod = ARENA_NEW(a, struct pod_usage);
    pod->at_ns = time_of(skim_get(json, "timestamp"));
    pod->window_ns = window_of(skim_get(json, "window"));
    while (skim_element(&containers, &container)) read_container(a, container, pod);
    char *key = arena_printf(a, "%.*s/%.*s", (int)ns.n, ns.p, (int)name.n, name.p);
    map_put(&u->by_key, slice_of(key), pod);
}

void *metrics_read_pods(struct arena *a, struct slice body) {
    struct pod_usages *u = ARENA_NEW(a, struct pod_usages);
    struct skim items = skim_init(skim_get(body, "items"));
    struct slice item;
    arena_finally(a, usages_done, u);
    while (u->by_key.n < VALUES_MAX && skim_element(&items, &item)) read_pod(a, item, u);
    return u;
}

const struct pod_usage *pod_usage_get(const struct pod_usages *u, const char *ns, const char *pod) {
    char key[600];
    size_t n = strlen(ns), m = strlen(pod);
    if (n + m + 1 >= sizeof key) return NULL;
    memcpy(key, ns, n);
    key[n] = '/';
    memcpy(key + n + 1, pod, m);
    return map_get(&u->by_key, slice_from(key, n + 1 + m));
}

const int64_t *container_usage_get(const struct container_usage *c, const char *resource) {
    for (size_t i = 0; i < c->n; i++)
        if (str_eq(c->v[i].resource, resource)) return &c->v[i].milli;
    return NULL;
}

/* The fact, wanted from now on. */
static enum metric_state ask(const struct world *w, struct plan *p, const char *path,
                             uint64_t period_ms, fact_read_fn *read, const void **ret,
                             const char **ret_error) {
    plan_want(p, path, period_ms);
    const struct fact *f = world_fact(w, path);
    if (!f) return METRIC_UNKNOWN;
    *ret_error = f->error;
    *ret = fact_read(f, read);
    return *ret ? METRIC_KNOWN : METRIC_ERROR;
}

enum metric_state metrics_of_pods(const struct world *w, struct plan *p, uint64_t period_ms,
                                  const struct pod_usages **ret, const char **ret_error) {
    const void *read = NULL;
    enum metric_state s =
        ask(w, p, METRICS_PODS_PATH, period_ms, metrics_read_pods, &read, ret_error);
    *ret = read;
    return s;
}

/* ---- custom.metrics.k8s.io, external.metrics.k8s.io ---- */

static int64_t seconds_of(struct slice value) {
    uint64_t s;
    if (!value.p || slice_u64(value, &s) < 0 || s > 365ull * 86400) s = WINDOW_S;
    return (int64_t)s * 1000000000;
}

void *metrics_read_values(struct arena *a, struct slice body) {
    struct metric_values *out = ARENA_NEW(a, struct metric_values);
    struct skim items = skim_init(skim_get(body, "items"));
    struct slice item;
    while (out->n < VALUES_MAX && skim_element(&items, &item)) {
        struct slice window = skim_get(item, "windowSeconds"); /* v1beta1 of custom: window */
        struct slice about = skim_get(item, "describedObject");
        struct metric_value v = {.object = arena_strn(a, skim_string(skim_get(about, "name"))),
                                 .at_ns = time_of(skim_get(item, "timestamp")),
                                 .window_ns =
                                     seconds_of(window.p ? window : skim_get(item, "window"))};
        if (!milli_of(a, skim_get(item, "value"), &v.milli)) {
            out->error = "quantities must match the regular expression "
                         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
            return out;
        }
        *ARENA_PUSH(a, out) = v;
    }
    return out;
}

static enum metric_state ask_values(const struct world *w, struct plan *p, const char *path,
                                    const struct metric_values **ret, const char **ret_error) {
    const void *read = NULL;
    enum metric_state s = ask(w, p, path, CUSTOM_MS, metrics_read_values, &read, ret_error);
    *ret = read;
    if (s != METRIC_KNOWN || !(*ret)->error) return s;
    *ret_error = (*ret)->error;
    return METRIC_ERROR;
}

static void add_segment(struct buf *b, const char *s) {
    buf_char(b, '/');
    api_path_encode(b, s);
}

/* Servers have the first version, the second, or both. */
static enum metric_state ask_custom(const struct world *w, struct plan *p, const char *rest,
                                    const struct metric_values **ret, const char **ret_error) {
    struct arena *a = plan_arena(p);
    const char *first = arena_printf(a, "/apis/custom.metrics.k8s.io/v1beta1%s", rest);
    const char *second = arena_printf(a, "/apis/custom.metrics.k8s.io/v1beta2%s", rest);
    enum metric_state s = ask_values(w, p, first, ret, ret_error);
    const struct fact *f = world_fact(w, first);
    if (s != METRIC_ERROR || f->reason != ERR_NOT_FOUND) return s;
    const char *error = NULL;
    enum metric_state other = ask_values(w, p, second, ret, &error);
    return other == METRIC_KNOWN ? other : other == METRIC_UNKNOWN ? other : METRIC_ERROR;
}

enum metric_state metrics_custom_pods(const struct world *w, struct plan *p, const char *ns,
                                      const char *selector, const char *metric,
                                      const char *metric_selector, const struct metric_values **ret,
                                      const char **ret_error) {
    struct buf b = {0};
    buf_str(&b, "/namespaces");
    add_segment(&b, ns);
    buf_str(&b, "/pods/*");
    add_segment(&b, metric);
    api_path_query(&b, "labelSelector", selector);
    api_path_query(&b, "metricLabelSelector", metric_selector);
    const char *rest = arena_strn(plan_arena(p), buf_view(&b));
    buf_done(&b);
    return ask_custom(w, p, rest, ret, ret_error);
}

enum metric_state metrics_custom_object(const struct world *w, struct plan *p, const char *ns,
                                        const char *resource, const char *name, const char *metric,
                                        const char *metric_selector,
                                        const struct metric_values **ret, const char **ret_error) {
    struct buf b = {0};
    buf_str(&b, "/namespaces");
    add_segment(&b, ns);
    add_segment(&b, *resource ? resource : "metrics");
    if (*resource) add_segment(&b, name);
    add_segment(&b, metric);
    api_path_query(&b, "metricLabelSelector", metric_selector);
    const char *rest = arena_strn(plan_arena(p), buf_view(&b));
    buf_done(&b);
    return ask_custom(w, p, rest, ret, ret_error);
}

enum metric_state metrics_external(const struct world *w, struct plan *p, const char *ns,
                                   const char *metric, const char *metric_selector,
                                   const struct metric_values **ret, const char **ret_error) {
    struct buf b = {0};
    buf_str(&b, "/apis/external.metrics.k8s.io/v1beta1/namespaces");
    add_segment(&b, ns);
    add_segment(&b, metric);
    api_path_query(&b, "labelSelector", metric_selector);
    const char *path = arena_strn(plan_arena(p), buf_view(&b));
    buf_done(&b);
    return ask_values(w, p, path, ret, ret_error);
}

/* ---- selectors ---- */

static int by_key(const void *x, const void *y) {
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static const char *requirement_text(struct arena *a,
                                    const struct meta_v1_label_selector_requirement *r) {
    struct buf b = {0};
    if (str_eq(r->operator, "Exists") || str_eq(r->operator, "DoesNotExist"))
        return arena_printf(a, "%s%s", str_eq(r->operator, "Exists") ? "" : "!", r->key);
    buf_printf(&b, "%s %s (", r->key, str_eq(r->operator, "In") ? "in" : "notin");
    for (size_t i = 0; i < r->values.n; i++) buf_printf(&b, "%s%s", i ? "," : "", r->values.v[i]);
    buf_char(&b, ')');
    const char *text = arena_strn(a, buf_view(&b));
    buf_done(&b);
    return text;
}

const char *selector_query(struct arena *a, const struct meta_v1_label_selector *s) {
    struct {
        const char **v;
        size_t n;
    } terms = {0};
    if (!s) return "";
    for (size_t i = 0; i < s->match_labels.n; i++)
        *ARENA_PUSH(a, &terms) =
            arena_printf(a, "%s=%s", s->match_labels.v[i].key, s->match_labels.v[i].value);
    for (size_t i = 0; i < s->match_expressions.n; i++)
        *ARENA_PUSH(a, &terms) = requirement_text(a, &s->match_expressions.v[i]);
    if (terms.n) qsort(terms.v, terms.n, sizeof *terms.v, by_key);
    struct buf b = {0};
    for (size_t i = 0; i < terms.n; i++) buf_printf(&b, "%s%s", i ? "," : "", terms.v[i]);
    const char *text = b.n ? arena_strn(a, buf_view(&b)) : "";
    buf_done(&b);
    return text;
}
