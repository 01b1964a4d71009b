#include "node/pods/pod.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

static char *copy(const char *s) {
    if (!s) return NULL;
    char *r = strdup(s);
    if (!r) abort();
    return r;
}

static const struct core_v1_container *ephemeral_spec(const struct container *c) {
    const struct core_v1_container_list *l = &c->pod->ephemeral;
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].name, c->name)) return &l->v[i];
    assert(!"an ephemeral container is never taken away");
    return NULL;
}

const struct core_v1_container *container_spec(const struct container *c) {
    const struct core_v1_pod_spec *s = &c->pod->object->spec;
    if (c->kind == CONTAINER_EPHEMERAL) return ephemeral_spec(c);
    if (c->kind == CONTAINER_MAIN) return &s->containers.v[c->index];
    return &s->init_containers.v[c->index];
}

struct container *pod_container(const struct pod *p, const char *name) {
    for (size_t i = 0; i < p->n_containers; i++)
        if (str_eq(p->containers[i]->name, name)) return p->containers[i];
    return NULL;
}

bool container_restarts(const struct container *c) {
    if (c->kind == CONTAINER_SIDECAR) return true;
    if (c->kind == CONTAINER_EPHEMERAL) return false;
    const char *policy = str_or(c->pod->object->spec.restart_policy, "Always");
    bool failed = c->now.exit_code != 0;
    if (c->kind == CONTAINER_INIT) return failed && !str_eq(policy, "Never");
    return str_eq(policy, "Always") || (str_eq(policy, "OnFailure") && failed);
}

void termination_done(struct termination *t) {
    free(t->reason);
    free(t->message);
    *t = (struct termination){0};
}

void termination_set(struct termination *t, const char *id, uint32_t exit_code, const char *reason,
                     const char *message, int64_t started_ns, int64_t finished_ns) {
    char *r = copy(reason), *m = str_empty(message) ? NULL : copy(message);
    termination_done(t);
    size_t n = strlen(id);
    assert(n < sizeof t->id);
    memcpy(t->id, id, n + 1);
    t->exit_code = exit_code;
    t->reason = r, t->message = m;
    t->started_ns = started_ns, t->finished_ns = finished_ns;
}

void container_wait(struct container *c, const char *reason, const char *message) {
    char *r = copy(reason), *m = copy(message);
    free(c->wait_reason);
    free(c->wait_message);
    c->wait_reason = r, c->wait_message = m;
}

static void container_done(struct container *c) {
    free(c->name);
    free(c->wait_reason);
    free(c->wait_message);
    free(c->image_id);
    free(c->stop_why);
    free(c->stop_signal);
    termination_done(&c->now);
    termination_done(&c->last);
    free(c);
}

/* There is room in p->containers. */
static void add_container(struct pod *p, const struct core_v1_container *spec,
                          enum container_kind kind, size_t index) {
    struct container *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct container){
        .pod = p, .name = copy(str_or(spec->name, "")), .kind = kind, .index = index};
    p->containers[p->n_containers++] = c;
}

static void make_room(struct pod *p, size_t n) {
    p->containers = realloc(p->containers, MAX_OF(n, (size_t)1) * sizeof(struct container *));
    if (!p->containers) abort();
}

static void add_containers(struct pod *p) {
    const struct core_v1_pod_spec *s = &p->object->spec;
    const struct core_v1_container_list *init = &s->init_containers;
    make_room(p, init->n + s->containers.n);
    for (size_t i = 0; i < init->n; i++)
        add_container(
            p, &init->v[i],
            str_eq(init->v[i].restart_policy, "Always") ? CONTAINER_SIDECAR : CONTAINER_INIT, i);
    for (size_t i = 0; i < s->containers.n; i++)
        add_container(p, &s->containers.v[i], CONTAINER_MAIN, i);
}

/* They come while the pod runs, and stay. */
static void add_ephemeral(struct pod *p) {
    for (size_t i = 0; i < p->ephemeral.n && p->n_containers < LIMIT_CONTAINERS_PER_POD; i++) {
        if (pod_container(p, p->ephemeral.v[i].name)) continue;
        make_room(p, p->n_containers + 1);
        add_container(p, &p->ephemeral.v[i], CONTAINER_EPHEMERAL, i);
    }
}

/* All that they have besides is the container that they look into. */
static void read_ephemeral(struct pod *p) {
    const struct core_v1_ephemeral_container_list *l = &p->object->spec.ephemeral_containers;
    p->ephemeral = (struct core_v1_container_list){0};
    for (size_t i = 0; i < l->n; i++) {
        OWN(buf_done) struct buf json = {0};
        void *c = NULL;
        api_encode(&json, &core_v1_ephemeral_container_type, &l->v[i]);
        if (api_decode(p->arena, &core_v1_container_type, buf_view(&json), NULL, &c, NULL) == 0)
            *ARENA_PUSH(p->arena, &p->ephemeral) = *(const struct core_v1_container *)c;
    }
}

struct pod *pod_model_new(const struct core_v1_pod *object) {
    struct pod *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->refs = 1;
    p->netns_fd = p->netlink_fd = -1;
    p->uid = copy(str_or(object->metadata.uid, ""));
    p->ns = copy(str_or(object->metadata.namespace, ""));
    p->name = copy(str_or(object->metadata.name, ""));
    pod_set_object(p, object);
    p->host_network = p->object->spec.host_network;
    add_containers(p);
    add_ephemeral(p);
    return p;
}

void pod_set_object(struct pod *p, const struct core_v1_pod *object) {
    struct arena *a = arena_new(), *old = p->arena;
    p->object = api_copy(a, &core_v1_pod_type, object);
    p->arena = a;
    for (size_t i = 0; i < p->volumes.n; i++)
        p->volumes.v[i].name = arena_str(a, p->volumes.v[i].name);
    arena_free(old);
    read_ephemeral(p);
    if (p->containers) add_ephemeral(p);
}

void pod_ref(struct pod *p) { p->refs++; }

void pod_unref(struct pod *p) {
    assert(p->refs > 0);
    if (--p->refs) return;
    for (size_t i = 0; i < p->n_containers; i++) container_done(p->containers[i]);
    free(p->containers);
    timer_free(p->wake);
    close_p(&p->netns_fd);
    close_p(&p->netlink_fd);
    vec_done(&p->volumes);
    vec_done(&p->tokens);
    vec_done(&p->claims);
    arena_free(p->arena);
    free(p->fail_reason);
    free(p->volume_error);
    free(p->fail_message);
    free(p->resize_message);
    free(p->ip);
    free(p->uid);
    free(p->ns);
    free(p->name);
    free(p);
}
