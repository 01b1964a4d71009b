/* /livez, /readyz, /healthz with single checks and ?verbose; /version; /metrics. */
#include <inttypes.h>

#include "base/own.h"
#include "server/api.h"
#include "server/auth/audit.h"
#include "server/build.h" /* made by meson */
#include "server/flow/flow.h"
#include "server/metrics/meter.h"
#include "server/metrics/turns.h"

#ifdef __clang__
#define COMPILER "clang"
#else
#define COMPILER "gcc"
#endif
#ifdef __aarch64__
#define ARCHITECTURE "arm64"
#else
#define ARCHITECTURE "amd64"
#endif

static bool check_ping(struct api *api) { return true; }
static bool check_store(struct api *api) { return store_link_connected(api->store); }
static bool check_cache(struct api *api) { return api->cache.synced; }
static bool check_seeded(struct api *api) { return api->bootstrapped; }
static bool check_keys(struct api *api) { return api->keys_ipc; }
static bool check_shutdown(struct api *api) { return !api->stopping; }

static const struct health_check {
    const char *name;
    bool (*ok)(struct api *api);
    bool live; /* part of /livez too */
} checks[] = {
    {"ping", check_ping, true},
    {"log", check_ping, true},
    {"etcd", check_store, false}, /* the name that monitoring asks for: the store */
    {"informer-sync", check_cache, false},
    {"keys", check_keys, false},
    {"shutdown", check_shutdown, false},
    {"poststarthook/rbac/bootstrap-roles", check_seeded, false},
};

bool health_check(struct api *api, size_t i, const char **ret_name, bool *ret_ok) {
    if (i >= ARRAY_LEN(checks)) return false;
    *ret_name = checks[i].name;
    *ret_ok = checks[i].ok(api);
    return true;
}

bool health_check_lives(size_t i) { return i < ARRAY_LEN(checks) && checks[i].live; }

static bool excluded(const struct call *c, const char *name) {
    for (size_t i = 0; i < c->r->query.n; i++)
        if (str_eq(c->r->query.v[i].key, "exclude") && str_eq(c->r->query.v[i].value, name))
            return true;
    return false;
}

static void health_all(struct call *c, const char *endpoint) {
    bool live = str_eq(endpoint, "livez"), all = true;
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        if ((live && !checks[i].live) || excluded(c, checks[i].name)) continue;
        bool ok = checks[i].ok(c->api);
        buf_printf(&b, "[%c]%s %s\n", ok ? '+' : '-', checks[i].name,
                   ok ? "ok" : "failed: reason withheld");
        all = all && ok;
    }
    bool verbose = route_flag(c->r, "verbose");
    buf_printf(&b, "%s check %s\n", endpoint, all ? "passed" : "failed");
    if (all && !verbose)
        reply_text(c, 200, "ok");
    else
        reply_text(c, all ? 200 : 500, b.p);
}

static bool health_path(struct call *c) {
    static const char *const endpoints[] = {"livez", "readyz", "healthz"};
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        size_t n = strlen(endpoints[i]);
        const char *path = c->r->path + 1;
        if (strncmp(path, endpoints[i], n) != 0) continue;
        if (!path[n] || str_eq(path + n, "/")) {
            health_all(c, endpoints[i]);
            return true;
        }
        for (size_t j = 0; path[n] == '/' && j < ARRAY_LEN(checks); j++) {
            if (!str_eq(path + n + 1, checks[j].name)) continue;
            bool ok = checks[j].ok(c->api);
            reply_text(c, ok ? 200 : 500, ok ? "ok" : "internal server error: check failed");
            return true;
        }
    }
    return false;
}

static void version(struct call *c) {
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b,
               "{\"major\":\"1\",\"minor\":\"32\",\"gitVersion\":\"v1.32.0+atoll.%s\","
               "\"gitCommit\":\"%s\",\"gitTreeState\":\"clean\",\"buildDate\":"
               "\"1970-01-01T00:00:00Z\",\"goVersion\":\"none\",\"compiler\":\"%s\","
               "\"platform\":\"linux/%s\"}\n",
               ATOLL_VERSION, BUILD_COMMIT, COMPILER, ARCHITECTURE);
    reply_json(c, 200, buf_view(&b));
}

static void metric(struct buf *b, const char *name, const char *type, const char *help,
                   uint64_t value) {
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name,
               value);
}

static void metrics(struct call *c) {
    struct api *api = c->api;
    OWN(buf_done) struct buf b = {0};
    meter_write(&b);
    turns_write(&b);
    meter_process(&b, api->started_ns);
    metric(&b, "atoll_watches", "gauge", "Open watches.", api->watchers);
    metric(&b, "atoll_watches_started_total", "counter", "Watches opened.", api->watches);
    metric(&b, "atoll_store_writes_total", "counter", "Writes sent to the store.",
           store_link_writes(api->store));
    metric(&b, "atoll_resource_version", "counter", "Newest resourceVersion seen.",
           api->cache.revision);
    metric(&b, "apiserver_audit_event_total", "counter", "Lines for the audit log.",
           audit_counts().events);
    metric(&b, "atoll_audit_dropped_total", "counter", "Of these, lines that were lost.",
           audit_counts().dropped);
    buf_str(&b, "# HELP apiserver_storage_objects Stored objects by resource.\n"
                "# TYPE apiserver_storage_objects gauge\n");
    size_t i = 0;
    for (struct map_entry *e; (e = map_next(&api->cache.resources, &i));) {
        const struct resource *res = e->value;
        buf_printf(&b, "apiserver_storage_objects{resource=\"%.*s\"} %zu\n",
                   (int)strcspn(res->prefix + 1, "/") -
                       (str_ends(res->prefix, ".core/") ? (int)strlen(".core") : 0),
                   res->prefix + 1, res->index.n);
    }
    flow_metrics(api->flow, &b);
    request_respond(c->r, 200, "text/plain; version=0.0.4", buf_view(&b), NULL);
}

bool health_handle(struct call *c) {
    if (!str_eq(c->r->method, "GET") && !str_eq(c->r->method, "HEAD")) return false;
    if (health_path(c)) return true;
    if (str_eq(c->r->path, "/version") || str_eq(c->r->path, "/version/"))
        version(c);
    else if (str_eq(c->r->path, "/metrics"))
        metrics(c);
    else
        return false;
    return true;
}
