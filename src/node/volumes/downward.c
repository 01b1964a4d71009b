#include "node/volumes/downward.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/values/quantity.h"
#include "base/own.h"
#include "node/pods/resources.h"

/* key="escaped value" lines, sorted by key as the map is. */
static const char *map_lines(struct arena *a, const struct str_map *m) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < m->n; i++) {
        if (i) buf_char(&b, '\n');
        buf_printf(&b, "%s=", m->v[i].key);
        buf_json_str(&b, slice_of(str_or(m->v[i].value, "")));
    }
    return arena_strn(a, buf_view(&b));
}

/* metadata.labels['key'] → key; NULL when path is not of that form. */
static const char *subscript(struct arena *a, const char *path, const char *prefix) {
    size_t n = strlen(prefix), len = strlen(path);
    if (strncmp(path, prefix, n) != 0 || len < n + 4) return NULL;
    if (path[n] != '[' || path[n + 1] != '\'' || strcmp(path + len - 2, "']") != 0) return NULL;
    return arena_strn(a, slice_from(path + n + 2, len - n - 4));
}

static const char *annotations(struct arena *a, const struct pod_facts *f) {
    return map_lines(a, &f->pod->metadata.annotations);
}
static const char *labels(struct arena *a, const struct pod_facts *f) {
    return map_lines(a, &f->pod->metadata.labels);
}
static const char *name(struct arena *a, const struct pod_facts *f) {
    return f->pod->metadata.name;
}
static const char *namespace_(struct arena *a, const struct pod_facts *f) {
    return f->pod->metadata.namespace;
}
static const char *uid(struct arena *a, const struct pod_facts *f) { return f->pod->metadata.uid; }
static const char *node(struct arena *a, const struct pod_facts *f) { return f->node_name; }
static const char *account(struct arena *a, const struct pod_facts *f) {
    return f->pod->spec.service_account_name;
}
static const char *host_ip(struct arena *a, const struct pod_facts *f) { return f->host_ip; }
static const char *pod_ip(struct arena *a, const struct pod_facts *f) {
    return f->pod->spec.host_network ? f->host_ip : f->pod_ip;
}

static const struct {
    const char *path;
    const char *(*value)(struct arena *, const struct pod_facts *);
} fields[] = {
    {"metadata.annotations", annotations},
    {"metadata.labels", labels},
    {"metadata.name", name},
    {"metadata.namespace", namespace_},
    {"metadata.uid", uid},
    {"spec.nodeName", node},
    {"spec.serviceAccountName", account},
    {"status.hostIP", host_ip},
    {"status.hostIPs", host_ip},
    {"status.podIP", pod_ip},
    {"status.podIPs", pod_ip},
};

int downward_field(struct arena *a, const struct pod_facts *f, const char *path, const char **ret,
                   struct err *err) {
    path = str_or(path, "");
    const char *key = subscript(a, path, "metadata.labels");
    if (key) {
        *ret = str_or(str_map_get(&f->pod->metadata.labels, key), "");
        return 0;
    }
    key = subscript(a, path, "metadata.annotations");
    if (key) {
        *ret = str_or(str_map_get(&f->pod->metadata.annotations, key), "");
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (!str_eq(fields[i].path, path)) continue;
        *ret = str_or(fields[i].value(a, f), "");
        return 0;
    }
    return err_set(err, ERR_INVALID, "unsupported fieldPath: %s", path);
}

static const struct core_v1_container *
find(const struct pod_facts *f, const struct core_v1_container *self, const char *container) {
    if (str_empty(container)) return self;
    const struct core_v1_container_list *lists[] = {&f->pod->spec.containers,
                                                    &f->pod->spec.init_containers};
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        for (size_t i = 0; i < lists[l]->n; i++)
            if (str_eq(lists[l]->v[i].name, container)) return &lists[l]->v[i];
    return NULL;
}

static int64_t divide_up(int64_t value, int64_t by) {
    if (by <= 0) by = 1;
    return value / by + (value % by > 0);
}

int downward_resource(struct arena *a, const struct pod_facts *f,
                      const struct core_v1_container *self,
                      const struct core_v1_resource_field_selector *sel, const char **ret,
                      struct err *err) {
    const struct core_v1_container *c = find(f, self, sel->container_name);
    const char *what = str_or(sel->resource, "");
    if (!c)
        return err_set(err, ERR_INVALID, "container %s not found",
                       str_or(sel->container_name, "\"\""));
    bool limit = str_starts(what, "limits."), request = str_starts(what, "requests.");
    if (!limit && !request)
        return err_set(err, ERR_INVALID, "unsupported container resource : %s", what);
    const char *res = strchr(what, '.') + 1;
    const char *q = limit ? resources_limit(c, res) : str_map_get(&c->resources.requests, res);
    int64_t value;
    if (str_eq(res, "cpu")) {
        int64_t divisor = str_empty(sel->divisor) ? 1000 : quantity_milli(sel->divisor);
        value = q ? quantity_milli(q) : limit ? f->cpu_milli : 0;
        value = divide_up(value, divisor ? divisor : 1000);
    } else {
        int64_t fallback = str_eq(res, "memory")              ? f->memory_bytes
                           : str_eq(res, "ephemeral-storage") ? f->storage_bytes
                                                              : 0;
        int64_t divisor = str_empty(sel->divisor) ? 1 : quantity_value(sel->divisor);
        value = divide_up(q ? quantity_value(q) : limit ? fallback : 0, divisor);
    }
    *ret = arena_printf(a, "%" PRId64, value);
    return 0;
}
