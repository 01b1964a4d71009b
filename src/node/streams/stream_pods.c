/* GET /pods of the kubelet's server: the pods of this node with the status that the node knows. */
#include "base/own.h"
#include "node/status/status.h"
#include "node/streams/stream.h"

static void on_closed(void *user) { (void)user; }

static const struct stream_ops pods_ops = {.closed = on_closed};

/* What the API told, but with the status as the node sees it now, which may be ahead. */
static void put_pod(struct buf *b, struct pod *p) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct agent *g = p->agent;
    struct status_host h = {.host_ip = g->host.ip, .runtime = g->host.runtime};
    struct core_v1_pod copy = *p->object;
    if (!p->frozen) status_compute(a, p, &h, loop_wall_ns(g->loop), &copy.status);
    copy.api_version = "v1";
    copy.kind = "Pod";
    api_encode(b, &core_v1_pod_type, &copy);
}

void stream_pods(struct agent *g, struct stream *s, const struct stream_request *r) {
    OWN(buf_done) struct buf b = {0};
    const struct map_entry *e;
    const char *between = "";
    (void)r;
    stream_set(s, &pods_ops, NULL);
    stream_begin(s, 200, "application/json");
    buf_str(&b, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
    for (size_t at = 0; (e = map_next(&g->workers, &at));) {
        struct pod *p = e->value;
        if (p->state == POD_GONE) continue;
        buf_str(&b, between);
        between = ",";
        put_pod(&b, p);
    }
    buf_str(&b, "]}\n");
    stream_write(s, buf_view(&b));
    stream_end(s);
}
