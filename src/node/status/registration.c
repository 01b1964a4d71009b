#include "node/status/registration.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/times.h"
#include "node/host.h"
#include "wire/image.h"

enum {
    LEASE_MS = 10 * 1000,
    LEASE_SECONDS = 40,
    STATUS_MS = 300 * 1000,
    CHECK_MS = 10 * 1000,
    RETRY_MS = 100,
    IMAGES_MAX = 50, /* as upstream's nodeStatusMaxImages */
    MEMORY_MIN_BYTES = 100 * 1024 * 1024,
    DISK_MIN_PERCENT = 10,
    INODES_MIN_PERCENT = 5,
};

struct registration {
    struct agent *agent;
    const struct api_kind *node_kind, *lease_kind;
    struct timer *lease, *check, *retry;
    bool registered, ready, busy, again, lease_made, lease_busy;
    char *why;
    uint64_t sent; /* hash of the last status without heartbeats */
    uint64_t sent_at_ms;
    struct arena *conditions_arena;
    struct core_v1_node_condition_list *conditions; /* as last written */
    struct arena *images_arena;
    struct core_v1_container_image *images;
    size_t n_images;
};

static void node_status_write(struct registration *r);

/* ---- lease ---- */

static void lease_renew(void *user);

static void on_lease(void *user, const struct api_object *obj, struct slice body,
                     const struct err *err) {
    struct registration *r = user;
    r->lease_busy = false;
    if (!err || err->reason == ERR_ALREADY_EXISTS) {
        bool again = err;
        r->lease_made = true;
        if (again)
            lease_renew(r);
        else
            timer_start(r->lease, LEASE_MS, 0);
        return;
    }
    if (err->reason == ERR_NOT_FOUND) r->lease_made = false; /* lease or namespace: make it */
    timer_start(r->lease, RETRY_MS * 5, 0);
}

static void lease_renew(void *user) {
    struct registration *r = user;
    const char *name = r->agent->settings->node_name;
    char now[TIME_TEXT_MAX];
    OWN(buf_done) struct buf b = {0};
    if (r->lease_busy) return;
    r->lease_busy = true;
    time_format_micro(now, loop_wall_ns(r->agent->loop));
    if (r->lease_made) {
        buf_printf(&b, "{\"spec\":{\"renewTime\":\"%s\"}}", now);
        api_patch(r->agent->client, r->lease_kind, "kube-node-lease", name, "",
                  "application/merge-patch+json", buf_view(&b), on_lease, r);
        return;
    }
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o = api_object_new(a, r->lease_kind);
    struct coordination_v1_lease *l = (void *)o;
    l->metadata.name = name;
    l->metadata.namespace = "kube-node-lease";
    l->spec.holder_identity = name;
    l->spec.lease_duration_seconds = ARENA_NEW(a, int32_t);
    *l->spec.lease_duration_seconds = LEASE_SECONDS;
    l->spec.renew_time = now;
    api_create(r->agent->client, r->lease_kind, o, on_lease, r);
}

/* ---- node ---- */

static void retry_soon(struct registration *r) { timer_start(r->retry, RETRY_MS, 0); }

static bool under_pressure(struct registration *r, bool *ret_disk) {
    int bytes, inodes;
    int64_t memory = host_memory_available(&r->agent->host);
    host_disk_available(&r->agent->host, &bytes, &inodes);
    *ret_disk =
        (bytes >= 0 && bytes < DISK_MIN_PERCENT) || (inodes >= 0 && inodes < INODES_MIN_PERCENT);
    return memory >= 0 && memory < MEMORY_MIN_BYTES;
}

static void on_status(void *user, const struct api_object *obj, struct slice body,
                      const struct err *err) {
    struct registration *r = user;
    bool again = r->again;
    r->busy = r->again = false;
    if (err) {
        r->sent = 0;
        if (err->reason == ERR_NOT_FOUND) r->registered = false;
        log_warn("node_status_failed", "error=\"%s\"", err->text);
        retry_soon(r);
    } else if (again) {
        node_status_write(r);
    }
}

/* What was written is kept for the transition times of the next one. */
static void remember(struct registration *r, struct arena *a, struct core_v1_node_status *s) {
    arena_free(r->conditions_arena);
    r->conditions_arena = a;
    r->conditions = &s->conditions;
}

static uint64_t hash_of(const struct core_v1_node_status *s) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < s->conditions.n; i++)
        buf_printf(&b, "%s=%s;%s;", s->conditions.v[i].type, s->conditions.v[i].status,
                   str_or(s->conditions.v[i].message, ""));
    for (size_t i = 0; i < s->images.n; i++)
        buf_printf(&b, "%s;", s->images.v[i].names.n ? s->images.v[i].names.v[0] : "");
    return map_hash(buf_view(&b));
}

static void node_status_write(struct registration *r) {
    struct agent *g = r->agent;
    if (!r->registered) return;
    if (r->busy) {
        r->again = true;
        return;
    }
    struct arena *a = arena_new();
    struct core_v1_node_status *s = ARENA_NEW(a, struct core_v1_node_status);
    struct node_view v = {.host = &g->host,
                          .node_name = g->settings->node_name,
                          .ready = r->ready,
                          .not_ready_why = r->why,
                          .now_ns = loop_wall_ns(g->loop),
                          .images = r->images,
                          .n_images = r->n_images};
    v.memory_pressure = under_pressure(r, &v.disk_pressure);
    registration_status(a, &v, r->conditions, s);
    uint64_t hash = hash_of(s), now = loop_now_ms(g->loop);
    if (hash == r->sent && now - r->sent_at_ms < STATUS_MS) {
        arena_free(a);
        return;
    }
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"status\":");
    api_encode(&b, &core_v1_node_status_type, s);
    buf_char(&b, '}');
    r->busy = true;
    r->sent = hash;
    r->sent_at_ms = now;
    api_patch(g->client, r->node_kind, NULL, g->settings->node_name, "status",
              "application/merge-patch+json", buf_view(&b), on_status, r);
    remember(r, a, s);
}

static void labels(const struct agent *g, struct arena *a, struct str_map *m) {
    const char *arch = g->host.architecture, *name = g->settings->node_name;
    str_map_set(a, m, "beta.kubernetes.io/arch", arch);
    str_map_set(a, m, "beta.kubernetes.io/os", "linux");
    str_map_set(a, m, "kubernetes.io/arch", arch);
    str_map_set(a, m, "kubernetes.io/hostname", name);
    str_map_set(a, m, "kubernetes.io/os", "linux");
}

static void on_node(void *user, const struct api_object *obj, struct slice body,
                    const struct err *err) {
    struct registration *r = user;
    r->busy = false;
    if (err) {
        retry_soon(r);
        return;
    }
    r->registered = true;
    if (obj && !r->conditions) { /* times of a former life */
        struct arena *a = arena_new();
        struct core_v1_node *n = api_copy(a, &core_v1_node_type, obj);
        remember(r, a, &n->status);
    }
    node_status_write(r);
}

static void label_existing(struct registration *r) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct str_map m = {0};
    labels(r->agent, a, &m);
    buf_str(&b, "{\"metadata\":{\"labels\":{");
    for (size_t i = 0; i < m.n; i++) {
        if (i) buf_char(&b, ',');
        buf_json_str(&b, slice_of(m.v[i].key));
        buf_char(&b, ':');
        buf_json_str(&b, slice_of(m.v[i].value));
    }
    buf_str(&b, "}}}");
    r->busy = true;
    api_patch(r->agent->client, r->node_kind, NULL, r->agent->settings->node_name, "",
              "application/merge-patch+json", buf_view(&b), on_node, r);
}

static void on_created(void *user, const struct api_object *obj, struct slice body,
                       const struct err *err) {
    struct registration *r = user;
    if (err && err->reason == ERR_ALREADY_EXISTS)
        label_existing(r);
    else
        on_node(r, NULL, body, err);
}

static void create_node(void *user) {
    struct registration *r = user;
    struct agent *g = r->agent;
    if (r->registered) {
        node_status_write(r);
        return;
    }
    if (r->busy) return;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o = api_object_new(a, r->node_kind);
    struct core_v1_node *n = (void *)o;
    n->metadata.name = g->settings->node_name;
    labels(g, a, &n->metadata.labels);
    n->spec.pod_cidr = g->settings->pod_cidr;
    *ARENA_PUSH(a, &n->spec.pod_cidrs) = g->settings->pod_cidr;
    r->busy = true;
    api_create(g->client, r->node_kind, o, on_created, r);
}

/* ---- images ---- */

static void on_images(void *user, struct ipc_msg *m, const struct err *err) {
    struct registration *r = user;
    if (err || m->type != IMAGE_LIST_OK) return;
    arena_free(r->images_arena);
    r->images_arena = arena_new();
    struct {
        struct core_v1_container_image *v;
        size_t n;
    } l = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    struct unpack u = unpack_init(m->body);
    uint32_t n = unpack_u32(&u);
    for (uint32_t i = 0; i < n && !u.bad; i++) {
        struct image_info info;
        if (image_info_unpack(&u, a, &info) < 0) break;
        if (l.n >= IMAGES_MAX) continue;
        struct core_v1_container_image *out = ARENA_PUSH(r->images_arena, &l);
        out->size_bytes = (int64_t)info.size_bytes;
        for (uint32_t j = 0; j < info.n_names; j++)
            *ARENA_PUSH(r->images_arena, &out->names) = arena_str(r->images_arena, info.names[j]);
    }
    r->images = l.v;
    r->n_images = l.n;
    node_status_write(r);
}

void registration_images_changed(struct registration *r) {
    link_call(r->agent->image, IMAGE_LIST, slice_from("", 0), NULL, 0, on_images, r);
}

/* ---- life ---- */

static bool same_statuses(const struct core_v1_node_condition_list *x,
                          const struct core_v1_node_condition_list *y) {
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!str_eq(x->v[i].type, y->v[i].type) || !str_eq(x->v[i].status, y->v[i].status))
            return false;
    return true;
}

/* While this agent stood still, a controller may have declared its conditions unknown, or somebody
 * deleted the node: what the API holds counts, not what was sent. */
static void on_own_node(void *user, const struct api_object *obj, struct slice body,
                        const struct err *err) {
    struct registration *r = user;
    (void)body;
    if (r->busy || (err && err->reason != ERR_NOT_FOUND)) return;
    if (err) {
        r->registered = false;
        r->sent = 0;
        create_node(r);
        return;
    }
    const struct core_v1_node *n = (const void *)obj;
    OWN(buf_done) struct buf extended = {0};
    if (registration_extended(&extended, n))
        api_patch(r->agent->client, r->node_kind, NULL, r->agent->settings->node_name, "status",
                  "application/merge-patch+json", buf_view(&extended), NULL, NULL);
    if (!r->conditions || !same_statuses(&n->status.conditions, r->conditions)) r->sent = 0;
    node_status_write(r);
}

static void on_check(void *user) {
    struct registration *r = user;
    registration_images_changed(r);
    if (r->registered)
        api_get(r->agent->client, r->node_kind, NULL, r->agent->settings->node_name, on_own_node,
                r);
}

struct registration *registration_new(struct agent *g) {
    struct registration *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->agent = g;
    r->node_kind = api_kind_by_name("", "v1", "Node");
    r->lease_kind = api_kind_by_name("coordination.k8s.io", "v1", "Lease");
    r->lease = timer_new(g->loop, lease_renew, r);
    r->check = timer_new(g->loop, on_check, r);
    r->retry = timer_new(g->loop, create_node, r);
    create_node(r);
    lease_renew(r);
    timer_start(r->check, CHECK_MS, CHECK_MS);
    return r;
}

void registration_set_ready(struct registration *r, bool ready, const char *why) {
    r->ready = ready;
    free(r->why);
    r->why = why ? strdup(why) : NULL;
    node_status_write(r);
}
