#include "node/volumes/claims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/rules/claims.h"
#include "base/own.h"
#include "node/agent.h"

enum { CLAIM_RETRY_MS = 1000 };

struct pod_claim {
    struct pod *pod;
    char *name;
    bool own;
    struct arena *arena; /* of volume */
    const struct core_v1_persistent_volume *volume;
    bool ready; /* the volume may be mounted */
    bool busy;
    bool dead;           /* the pod let go while a request was in flight */
    uint64_t refresh_ms; /* monotonic; ask again then */
    char error[256];
};

static void claim_free(struct pod_claim *c) {
    arena_free(c->arena);
    free(c->name);
    free(c);
}

static void fail(struct pod_claim *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct pod_claim *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->error, sizeof c->error, fmt, ap);
    va_end(ap);
    c->refresh_ms = loop_now_ms(c->pod->agent->loop) + CLAIM_RETRY_MS;
}

/* The last answer, or one that ends the search: the pod looks at it. */
static void settle(struct pod_claim *c) {
    struct pod *p = c->pod;
    c->busy = false;
    if (c->dead) {
        claim_free(c);
    } else {
        p->volumes_stale = true;
        pod_kick(p);
    }
    pod_unref(p);
}

static void on_node(void *user, const struct api_object *obj, struct slice body,
                    const struct err *err) {
    struct pod_claim *c = user;
    (void)body;
    if (err)
        fail(c, "cannot look at the node: %.200s", err->text);
    else if (!volume_reaches(c->volume, (const struct core_v1_node *)obj))
        fail(c,
             "MountVolume.NodeAffinity check failed for volume \"%.120s\": no matching "
             "NodeSelectorTerms",
             c->volume->metadata.name);
    else
        c->ready = true;
    settle(c);
}

static void on_volume(void *user, const struct api_object *obj, struct slice body,
                      const struct err *err) {
    struct pod_claim *c = user;
    (void)body;
    const struct core_v1_persistent_volume *v = (const void *)obj;
    if (err || c->dead) {
        if (err)
            fail(c, "error processing PVC %.60s/%.60s: failed to fetch PV from API server: %.80s",
                 c->pod->ns, c->name, err->text);
        settle(c);
        return;
    }
    if (!v->spec.claim_ref || !str_eq(v->spec.claim_ref->name, c->name) ||
        !str_eq(v->spec.claim_ref->namespace, c->pod->ns) || str_empty(v->spec.claim_ref->uid)) {
        fail(c, "error processing PVC %.60s/%.60s: PV \"%.60s\" is not bound to it", c->pod->ns,
             c->name, v->metadata.name);
        settle(c);
        return;
    }
    arena_free(c->arena);
    c->arena = arena_new();
    c->volume = api_copy(c->arena, &core_v1_persistent_volume_type, v);
    if (c->volume->spec.node_affinity) {
        api_get(c->pod->agent->client, api_kind_by_name("", "v1", "Node"), NULL,
                c->pod->agent->settings->node_name, on_node, c);
        return;
    }
    c->ready = true;
    settle(c);
}

static bool is_owned(const struct pod_claim *c, const struct api_object *claim) {
    const struct meta_v1_owner_reference *owner = api_controller_of(claim);
    return owner && str_eq(owner->uid, c->pod->uid);
}

static void on_claim(void *user, const struct api_object *obj, struct slice body,
                     const struct err *err) {
    struct pod_claim *c = user;
    const struct core_v1_persistent_volume_claim *claim = (const void *)obj;
    const char *ns = c->pod->ns;
    (void)body;
    if (err)
        fail(c, "error processing PVC %.60s/%.60s: failed to fetch PVC from API server: %.80s", ns,
             c->name, err->text);
    else if (c->own && !is_owned(c, obj))
        fail(c, "error processing PVC %.60s/%.60s: it was not created for the pod", ns, c->name);
    else if (!str_empty(claim->metadata.deletion_timestamp))
        fail(c, "error processing PVC %.60s/%.60s: PVC is being deleted", ns, c->name);
    else if (!str_eq(claim->status.phase, "Bound") || str_empty(claim->spec.volume_name))
        fail(c, "error processing PVC %.60s/%.60s: PVC is not bound", ns, c->name);
    else if (!c->dead) {
        api_get(c->pod->agent->client, api_kind_by_name("", "v1", "PersistentVolume"), NULL,
                claim->spec.volume_name, on_volume, c);
        return;
    }
    settle(c);
}

static void ask(struct pod_claim *c) {
    c->busy = true;
    pod_ref(c->pod);
    api_get(c->pod->agent->client, api_kind_by_name("", "v1", "PersistentVolumeClaim"), c->pod->ns,
            c->name, on_claim, c);
}

int pod_claim_get(struct pod *p, const char *name, bool own,
                  const struct core_v1_persistent_volume **ret, struct err *err) {
    struct pod_claim *c = NULL;
    for (size_t i = 0; i < p->claims.n && !c; i++)
        if (str_eq(p->claims.v[i]->name, name)) c = p->claims.v[i];
    if (!c) {
        c = calloc(1, sizeof *c);
        if (!c) abort();
        c->pod = p;
        c->own = own;
        c->name = strdup(name);
        if (!c->name) abort();
        vec_push(&p->claims, c);
        ask(c);
    }
    if (c->ready) {
        *ret = c->volume;
        return 0;
    }
    err_set(err, ERR_UNAVAILABLE, "%s", c->error[0] ? c->error : "the claim is being fetched");
    return c->error[0] ? -ENOENT : -EAGAIN;
}

uint64_t pod_claims_refresh(struct pod *p, uint64_t now_ms) {
    uint64_t next = 0;
    for (size_t i = 0; i < p->claims.n; i++) {
        struct pod_claim *c = p->claims.v[i];
        if (c->busy || c->ready) continue;
        if (c->refresh_ms <= now_ms)
            ask(c);
        else if (!next || c->refresh_ms < next)
            next = c->refresh_ms;
    }
    return next;
}

void pod_claims_done(struct pod *p) {
    for (size_t i = 0; i < p->claims.n; i++) {
        if (p->claims.v[i]->busy)
            p->claims.v[i]->dead = true;
        else
            claim_free(p->claims.v[i]);
    }
    p->claims.n = 0;
}
