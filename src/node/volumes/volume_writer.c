/* Brings the volumes of a pod to what its sources say now: made once, written when they change. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "node/agent.h"
#include "node/volumes/volumes.h"

struct volume_op {
    struct pod *p;
    size_t index;
    bool write;
    uint64_t content;
};

static void on_done(void *user, struct ipc_msg *m, const struct err *err) {
    struct volume_op *op = user;
    struct pod *p = op->p;
    p->volume_ops--;
    if (op->index < p->volumes.n) {
        struct pod_volume *v = &p->volumes.v[op->index];
        if (err) {
            free(p->volume_error);
            p->volume_error = strdup(err->text);
            p->volume_error_at = op->index;
            if (op->write)
                v->content = 0;
            else
                v->made = false;
        } else if (op->write) {
            v->written = true;
        }
    }
    free(op);
    pod_kick(p);
    pod_unref(p);
}

static void call(struct pod *p, size_t index, uint16_t type, const struct buf *b,
                 uint64_t content) {
    struct volume_op *op = calloc(1, sizeof *op);
    if (!op) abort();
    *op = (struct volume_op){p, index, type == BROKER_VOLUME_WRITE, content};
    p->volume_ops++;
    pod_ref(p);
    link_call(p->agent->broker, type, buf_view(b), NULL, 0, on_done, op);
}

static int64_t fs_group(const struct pod *p) {
    const struct core_v1_pod_security_context *s = p->object->spec.security_context;
    return s && s->fs_group ? *s->fs_group : -1;
}

static void make(struct pod *p, size_t i, const struct volume_result *r) {
    OWN(buf_done) struct buf b = {0};
    struct broker_volume v = {.uid = p->uid,
                              .name = p->volumes.v[i].name,
                              .memory = r->memory,
                              .size_bytes = r->size_bytes,
                              .mode = r->mode,
                              .group = fs_group(p)};
    p->volumes.v[i].made = true;
    broker_volume_pack(&b, &v);
    call(p, i, BROKER_VOLUME, &b, 0);
}

static void fill(struct pod *p, size_t i, const struct volume_result *r, uint64_t hash) {
    OWN(buf_done) struct buf b = {0};
    struct broker_volume_write w = {.uid = p->uid,
                                    .name = p->volumes.v[i].name,
                                    .group = fs_group(p),
                                    .n_files = (uint32_t)r->files.n,
                                    .files = r->files.v};
    p->volumes.v[i].content = hash;
    broker_volume_write_pack(&b, &w);
    call(p, i, BROKER_VOLUME_WRITE, &b, hash);
    explicit_bzero(b.p, b.n);
}

static void list_volumes(struct pod *p) {
    const struct core_v1_volume_list *l = &p->object->spec.volumes;
    for (size_t i = p->volumes.n; i < l->n; i++)
        vec_push(&p->volumes, (struct pod_volume){.name = l->v[i].name});
}

static int one(struct pod *p, size_t i, const struct pod_facts *facts,
               const struct object_source *source, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct volume_input in = {facts, &p->object->spec.volumes.v[i], source};
    struct volume_result r;
    int rc = volume_render(a, &in, &r, err);
    if (rc < 0) return rc;
    if (r.host || r.local) return 0;
    if (!p->volumes.v[i].made) make(p, i, &r);
    uint64_t hash = r.content ? volume_hash(&r) : 0;
    if (r.content && p->volumes.v[i].content != hash) fill(p, i, &r, hash);
    return 0;
}

int pod_volumes_step(struct pod *p, struct err *err) {
    struct pod_facts facts = pod_facts_of(p);
    struct object_source source = pod_source(p);
    int rc = 0;
    list_volumes(p);
    p->volumes_stale = false;
    for (size_t i = 0; i < p->volumes.n; i++) {
        struct err e = {0};
        int r = one(p, i, &facts, &source, &e);
        if (r == 0 || (rc < 0 && rc != -EAGAIN)) continue;
        rc = r;
        if (r == -EAGAIN) continue;
        err_set(err, e.reason, "MountVolume.SetUp failed for volume \"%s\" : %s",
                p->volumes.v[i].name, e.text);
    }
    if (rc < 0) return rc;
    if (p->volume_error) {
        err_set(err, ERR_INTERNAL, "MountVolume.SetUp failed for volume \"%s\" : %s",
                p->volumes.v[p->volume_error_at].name, p->volume_error);
        free(p->volume_error);
        p->volume_error = NULL;
        return -EIO;
    }
    return p->volume_ops ? -EAGAIN : 0;
}
