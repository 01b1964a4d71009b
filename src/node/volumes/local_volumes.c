#include "node/volumes/local_volumes.h"

#include <stdlib.h>
#include <string.h>

#include "api/rules/claims.h"
#include "base/log.h"
#include "base/own.h"
#include "node/agent.h"

enum { RETRY_MS = 10000 };

struct local_volumes {
    struct agent *agent;
    struct informer *volumes;
    struct map busy;     /* by name: its directory or object is on its way out */
    struct timer *retry; /* runs while something failed */
};

/* One removal. */
struct removal {
    struct local_volumes *l;
    char *name, *uid;
};

static bool must_go(const struct local_volumes *l, const struct core_v1_persistent_volume *v) {
    return volume_is_local_to(v, l->agent->settings->node_name) && v->spec.local &&
           str_eq(v->status.phase, "Released") && str_empty(v->metadata.deletion_timestamp) &&
           str_eq(v->spec.persistent_volume_reclaim_policy, "Delete");
}

static void done(struct removal *r, const struct err *err) {
    if (err && err->reason != ERR_NOT_FOUND) {
        log_warn("local_volume_not_removed", "volume=%s error=\"%s\"", r->name, err->text);
        timer_start(r->l->retry, RETRY_MS, 0);
    }
    map_del(&r->l->busy, slice_of(r->name));
    free(r->name);
    free(r->uid);
    free(r);
}

static void on_deleted(void *user, const struct api_object *obj, struct slice body,
                       const struct err *err) {
    (void)obj, (void)body;
    done(user, err);
}

static void on_removed(void *user, struct ipc_msg *m, const struct err *err) {
    struct removal *r = user;
    (void)m;
    if (err) {
        done(r, err);
        return;
    }
    api_delete(r->l->agent->client, api_kind_by_name("", "v1", "PersistentVolume"), NULL, r->name,
               &(struct api_delete_opts){.uid = r->uid, .grace_period_s = -1}, on_deleted, r);
}

static void look(struct local_volumes *l, const struct core_v1_persistent_volume *v) {
    if (!must_go(l, v) || map_gets(&l->busy, v->metadata.name)) return;
    OWN(buf_done) struct buf b = {0};
    struct removal *r = calloc(1, sizeof *r);
    if (!r) abort();
    *r = (struct removal){l, strdup(v->metadata.name), strdup(v->metadata.uid)};
    if (!r->name || !r->uid) abort();
    map_put(&l->busy, slice_of(r->name), r);
    pack_str(&b, r->name);
    link_call(l->agent->broker, BROKER_LOCAL_REMOVE, buf_view(&b), NULL, 0, on_removed, r);
}

static void look_at_all(void *user) {
    struct local_volumes *l = user;
    size_t at = 0;
    for (const struct api_object *o; (o = informer_next(l->volumes, &at));)
        look(l, (const struct core_v1_persistent_volume *)o);
}

static void on_event(void *user, enum informer_event e, const struct api_object *now,
                     const struct api_object *old) {
    (void)old;
    if (e == INFORMER_ADDED || e == INFORMER_MODIFIED)
        look(user, (const struct core_v1_persistent_volume *)now);
}

struct local_volumes *local_volumes_new(struct agent *g) {
    OWN(buf_done) struct buf labels = {0};
    struct local_volumes *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->agent = g;
    l->retry = timer_new(g->loop, look_at_all, l);
    buf_printf(&labels, "%s=%s", LOCAL_VOLUME_NODE, g->settings->node_name);
    l->volumes = informer_new(g->client, api_kind_by_name("", "v1", "PersistentVolume"), NULL,
                              labels.p, on_event, l);
    return l;
}
