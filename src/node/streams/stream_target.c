/* Whom a path of node.sock means: /VERB/NAMESPACE/POD[/CONTAINER], and flags of the query. */
#include "base/own.h"
#include "node/streams/stream.h"

bool stream_flag(const struct http_query *q, const char *key) {
    const char *v = http_query_get(q, key);
    return v &&
           (slice_ieq(slice_of(v), "true") || str_eq(v, "1") || str_eq(v, "t") || str_eq(v, "T"));
}

static const char *segment(struct arena *a, struct slice *rest) {
    struct slice head;
    if (!slice_cut(rest, '/', &head)) return NULL;
    return head.n ? arena_strn(a, head) : NULL;
}

static void choose(const struct pod *p, struct buf *b) {
    for (size_t i = 0, n = 0; i < p->n_containers; i++) {
        if (p->containers[i]->kind == CONTAINER_INIT ||
            p->containers[i]->kind == CONTAINER_EPHEMERAL)
            continue;
        buf_printf(b, "%s%s", n++ ? " " : "", p->containers[i]->name);
    }
}

static struct container *default_container(struct pod *p) {
    struct container *only = NULL;
    for (size_t i = 0; i < p->n_containers; i++) {
        if (p->containers[i]->kind != CONTAINER_MAIN) continue;
        if (only) return NULL;
        only = p->containers[i];
    }
    return only;
}

int stream_target(struct agent *g, const struct stream_request *r, struct arena *a,
                  struct pod **ret_pod, struct container **ret_container, struct err *err) {
    struct slice rest = slice_of(r->path + 1);
    segment(a, &rest);
    const char *ns = segment(a, &rest), *name = segment(a, &rest), *container = segment(a, &rest);
    if (!ns || !name) return err_set(err, ERR_NOT_FOUND, "no pod is named in the path");
    struct pod *p = agent_pod(g, ns, name);
    if (!p) return err_set(err, ERR_NOT_FOUND, "pods \"%s\" not found", name);
    *ret_pod = p;
    if (!ret_container) return 0;
    if (!container) container = http_query_get(&r->query, "container");
    struct container *c = container ? pod_container(p, container) : default_container(p);
    if (c) {
        *ret_container = c;
        return 0;
    }
    if (container)
        return err_set(err, ERR_BAD_REQUEST, "container %s is not valid for pod %s", container,
                       name);
    OWN(buf_done) struct buf b = {0};
    choose(p, &b);
    return err_set(err, ERR_BAD_REQUEST,
                   "a container name must be specified for pod %s, choose one "
                   "of: [%s]",
                   name, b.p ? b.p : "");
}
