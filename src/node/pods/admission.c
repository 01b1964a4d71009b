#include "node/pods/admission.h"

#include <errno.h>
#include <inttypes.h>

#include "api/rules/host_ports.h"
#include "base/own.h"
#include "node/pods/resources.h"

static int refuse(const char *resource, int64_t want, int64_t used, int64_t have, struct err *err) {
    err_set(err, ERR_INVALID,
            "Pod was rejected: Node didn't have enough resource: %s, requested: %" PRId64
            ", used: %" PRId64 ", capacity: %" PRId64,
            resource, want, used, have);
    return -ENOSPC;
}

static bool ports_clash(const struct pod *p, const struct pod *o) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct host_port *want, *has;
    size_t n_want = pod_host_ports(a, p->object, &want);
    size_t n_has = n_want ? pod_host_ports(a, o->object, &has) : 0;
    for (size_t i = 0; i < n_want; i++)
        for (size_t j = 0; j < n_has; j++)
            if (host_ports_clash(&want[i], &has[j])) return true;
    return false;
}

int admit(const struct pod *p, const char **ret_reason, struct err *err) {
    struct resources_sum want, used = {0};
    const struct agent *g = p->agent;
    int64_t pods = 0;
    size_t at = 0;
    struct map_entry *e;
    resources_request(p->object, &want);
    while ((e = map_next(&g->workers, &at))) {
        const struct pod *o = e->value;
        if (o == p || o->state >= POD_TEARDOWN) continue;
        if (ports_clash(p, o)) {
            *ret_reason = "NodePorts";
            err_set(err, ERR_INVALID,
                    "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports "
                    "for the requested pod ports");
            return -EADDRINUSE;
        }
        struct resources_sum r;
        resources_request(o->object, &r);
        used.cpu_milli += r.cpu_milli;
        used.memory_bytes += r.memory_bytes;
        pods++;
    }
    if (pods + 1 > LIMIT_PODS_PER_NODE) {
        *ret_reason = "OutOfpods";
        return refuse("pods", 1, pods, LIMIT_PODS_PER_NODE, err);
    }
    if (want.cpu_milli && used.cpu_milli + want.cpu_milli > g->host.cpu_milli) {
        *ret_reason = "OutOfcpu";
        return refuse("cpu", want.cpu_milli, used.cpu_milli, g->host.cpu_milli, err);
    }
    if (want.memory_bytes && used.memory_bytes + want.memory_bytes > g->host.memory_bytes) {
        *ret_reason = "OutOfmemory";
        return refuse("memory", want.memory_bytes, used.memory_bytes, g->host.memory_bytes, err);
    }
    return 0;
}
