#include "node/images.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/own.h"
#include "node/volumes/objects.h"

struct image_op {
    struct container *c;
    struct arena *arena;
    image_fn *fn;
    void *user;
    const char *ref;
    uint64_t began_ms;
    bool pull;
};

static void finish(struct image_op *op, const struct image_info *info, const char *reason,
                   const char *message) {
    struct image_result r = {info, reason, message};
    op->fn(op->user, &r);
    arena_free(op->arena);
    free(op);
}

static int decode(struct image_op *op, struct ipc_msg *m, struct image_info *ret) {
    struct unpack u = unpack_init(m->body);
    if (m->type != IMAGE_INFO || image_info_unpack(&u, op->arena, ret) < 0) return -EBADMSG;
    return unpack_end(&u);
}

static void seconds_text(char out[32], uint64_t ms) {
    if (ms < 1000)
        snprintf(out, 32, "%" PRIu64 "ms", ms);
    else
        snprintf(out, 32, "%" PRIu64 ".%03" PRIu64 "s", ms / 1000, ms % 1000);
}

static void on_pulled(void *user, struct ipc_msg *m, const struct err *err) {
    struct image_op *op = user;
    struct image_info info;
    const char *why = err ? err->text : "malformed answer of the image service";
    if (err || decode(op, m, &info) < 0) {
        container_event(op->c, "Warning", "Failed", "Failed to pull image \"%s\": %s", op->ref,
                        why);
        container_event(op->c, "Warning", "Failed", "Error: ErrImagePull");
        finish(op, NULL, "ErrImagePull", why);
        return;
    }
    char took[32];
    seconds_text(took, loop_now_ms(op->c->pod->agent->loop) - op->began_ms);
    container_event(op->c, "Normal", "Pulled",
                    "Successfully pulled image \"%s\" in %s (%s including waiting). Image size: "
                    "%" PRIu64 " bytes.",
                    op->ref, took, took, info.size_bytes);
    finish(op, &info, NULL, NULL);
}

/* The first pull secret that knows the registry. Secrets that are not there are skipped, as
 * upstream does; -EAGAIN while one is being fetched. */
static int credentials(struct image_op *op, struct image_pull_request *r) {
    struct pod *p = op->c->pod;
    struct object_source src = pod_source(p);
    const struct core_v1_local_object_reference_list *l = &p->object->spec.image_pull_secrets;
    for (size_t i = 0; i < l->n; i++) {
        const struct core_v1_secret *s = NULL;
        enum lookup found = src.secret(src.user, str_or(l->v[i].name, ""), &s);
        if (found == LOOKUP_PENDING) return -EAGAIN;
        if (found != LOOKUP_FOUND) continue;
        const char *text = str_map_get(&s->data, ".dockerconfigjson");
        if (!text) text = str_map_get(&s->data, ".dockercfg");
        OWN(buf_done) struct buf b = {0};
        if (!text || buf_unbase64(&b, slice_of(text)) < 0) continue;
        if (image_credentials(op->arena, buf_view(&b), op->ref, &r->username, &r->password) == 0)
            return 0;
    }
    return 0;
}

static void pull(struct image_op *op) {
    struct image_pull_request r = {.ref = op->ref, .username = "", .password = ""};
    if (credentials(op, &r) == -EAGAIN) {
        finish(op, NULL, NULL, NULL); /* kicked again when the secret is there */
        return;
    }
    OWN(buf_done) struct buf b = {0};
    container_event(op->c, "Normal", "Pulling", "Pulling image \"%s\"", op->ref);
    op->began_ms = loop_now_ms(op->c->pod->agent->loop);
    image_pull_request_pack(&b, &r);
    link_call(op->c->pod->agent->image, IMAGE_PULL, buf_view(&b), NULL, 0, on_pulled, op);
}

static void on_inspected(void *user, struct ipc_msg *m, const struct err *err) {
    struct image_op *op = user;
    struct image_info info;
    if (!err && decode(op, m, &info) == 0) {
        container_event(op->c, "Normal", "Pulled",
                        "Container image \"%s\" already present on machine", op->ref);
        finish(op, &info, NULL, NULL);
        return;
    }
    if (err && err->reason == ERR_NOT_FOUND && op->pull) {
        pull(op);
        return;
    }
    if (err && err->reason == ERR_NOT_FOUND) {
        container_event(op->c, "Warning", "ErrImageNeverPull",
                        "Container image \"%s\" is not present with pull policy of Never", op->ref);
        finish(op, NULL, "ErrImageNeverPull",
               arena_printf(op->arena,
                            "Container image \"%s\" is not present with pull policy of "
                            "Never",
                            op->ref));
        return;
    }
    finish(op, NULL, "ImageInspectError",
           err ? err->text : "malformed answer of the image service");
}

static void invalid_later(void *user) {
    struct image_op *op = user;
    const char *text = arena_printf(op->arena,
                                    "Failed to apply default image tag \"%s\": couldn't "
                                    "parse image name \"%s\": invalid reference format",
                                    op->ref, op->ref);
    container_event(op->c, "Warning", "InspectFailed", "%s", text);
    container_event(op->c, "Warning", "Failed", "Error: InvalidImageName");
    finish(op, NULL, "InvalidImageName", text);
}

static void pull_later(void *user) { pull(user); }

void image_ensure(struct container *c, image_fn *fn, void *user) {
    struct agent *g = c->pod->agent;
    const struct core_v1_container *spec = container_spec(c);
    struct image_op *op = calloc(1, sizeof *op);
    if (!op) abort();
    *op = (struct image_op){.c = c, .arena = arena_new(), .fn = fn, .user = user};
    op->ref = arena_str(op->arena, str_or(spec->image, ""));
    const char *policy = image_policy(spec);
    op->pull = !str_eq(policy, "Never");
    if (!image_reference_valid(op->ref)) {
        loop_defer(g->loop, invalid_later, op);
    } else if (str_eq(policy, "Always")) {
        loop_defer(g->loop, pull_later, op);
    } else {
        OWN(buf_done) struct buf b = {0};
        pack_str(&b, op->ref);
        link_call(g->image, IMAGE_INSPECT, buf_view(&b), NULL, 0, on_inspected, op);
    }
}
