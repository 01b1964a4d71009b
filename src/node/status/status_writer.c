/* Writes the status of a pod to the API: one write in flight, only when something changed. */
#include "base/log.h"
#include "base/own.h"
#include "node/agent.h"
#include "node/status/status.h"

enum { RETRY_FIRST_MS = 200, RETRY_MAX_MS = 10 * 1000 };

static void on_written(void *user, const struct api_object *obj, struct slice body,
                       const struct err *err) {
    struct pod *p = user;
    p->status_busy = false;
    if (!err) {
        backoff_reset(&p->status_retry);
        if (!obj || slice_u64(slice_of(str_or(obj->metadata.resource_version, "")),
                              &p->status_revision) < 0)
            p->status_revision = UINT64_MAX;
    } else if (err->reason == ERR_NOT_FOUND || err->reason == ERR_CONFLICT) {
        p->status_revision = UINT64_MAX; /* no object of ours any more */
    } else {
        p->status_sent = 0;
        backoff_grow(&p->status_retry, loop_now_ms(p->agent->loop), RETRY_FIRST_MS, RETRY_MAX_MS);
        log_warn("status_write_failed", "pod=%s/%s error=%s", p->ns, p->name, err->text);
    }
    pod_kick(p);
    pod_unref(p);
}

static const char *readiness(const struct core_v1_pod_status *s) {
    for (size_t i = 0; i < s->conditions.n; i++)
        if (str_eq(s->conditions.v[i].type, "Ready")) return s->conditions.v[i].status;
    return "";
}

/* While this agent stood still, a controller may have declared its pods not ready: what the API
 * holds counts, not what was sent. An object that is older than the last write tells nothing. */
static bool is_overruled(const struct pod *p, const struct core_v1_pod_status *s) {
    uint64_t revision;
    return slice_u64(slice_of(str_or(p->object->metadata.resource_version, "")), &revision) == 0 &&
           revision > p->status_revision && !str_eq(readiness(&p->object->status), readiness(s));
}

void status_write(struct pod *p) {
    struct agent *g = p->agent;
    if (p->vanished || p->frozen || p->status_busy ||
        backoff_waiting(&p->status_retry, loop_now_ms(g->loop)))
        return;
    static const struct api_kind *kind;
    if (!kind) kind = api_kind_by_name("", "v1", "Pod");
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct core_v1_pod_status s;
    struct status_host h = {.host_ip = g->host.ip, .runtime = g->host.runtime};
    status_compute(a, p, &h, loop_wall_ns(g->loop), &s);
    status_patch(&b, p, &s);
    uint64_t hash = map_hash(buf_view(&b));
    if (hash == p->status_sent && !is_overruled(p, &s)) return;
    p->status_sent = hash;
    p->status_busy = true;
    pod_ref(p);
    api_patch(g->client, kind, p->ns, p->name, "status", "application/merge-patch+json",
              buf_view(&b), on_written, p);
}
