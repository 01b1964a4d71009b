/*
 * Topologies of the API: watched like by any other client; what passes them is written into their
 * status, every few seconds and only when it differs from what was written last.
 */
#include "sp/declare/source_api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/registry.h"
#include "base/log.h"
#include "base/own.h"
#include "base/times.h"
#include "client/client.h"
#include "sp/declare/config_topology.h"
#include "sp/sp_service.h"

enum { FIRST_MS = 200, STATUS_MS = 5000, FILE_BYTES_MAX = 256 * 1024 };

struct topology {
    char *name, *error;
    struct source_api_memory memory;
    struct buf written; /* the last status that the API has taken */
    struct buf sent;
    bool declared; /* once, at least: it goes on as it was when a change is wrong */
    bool under_way, gone;
};

static struct source_api {
    struct sp_service *service;
    struct api_client *client;
    struct informer *informer;
    const struct api_kind *kind;
    struct timer *timer;
    struct map known; /* name → struct topology */
    int files;        /* directory of certificates and keys; -1: there is none */
} source = {.files = -1};

static const struct sp_source api_source;

static void topology_free(struct topology *t) {
    buf_done(&t->written);
    buf_done(&t->sent);
    free(t->name);
    free(t->error);
    free(t);
}

/* ---- status ---- */

static void on_written(void *user, const struct api_object *obj, struct slice body,
                       const struct err *err) {
    struct topology *t = user;
    (void)obj, (void)body;
    t->under_way = false;
    if (t->gone) {
        topology_free(t);
        return;
    }
    if (!err) {
        buf_clear(&t->written);
        buf_slice(&t->written, buf_view(&t->sent));
    } else if (err->reason != ERR_NOT_FOUND) {
        sp_log(source.service, "status_not_written", "topology=%s reason=\"%s\"", t->name,
               err->text);
    }
}

static void write_status(struct topology *t) {
    OWN(arena_free_p) struct arena *a = arena_new();
    char now[TIME_TEXT_MAX];
    if (t->under_way) return;
    time_format(now, clock_wall_ns());
    const struct sp_topology *running =
        t->declared ? sp_service_find(source.service, t->name) : NULL;
    struct sp_v1_topology_status *s =
        source_api_status(a, running, source.service->ctx->settings->node_name, now, &t->memory);
    buf_clear(&t->sent);
    buf_str(&t->sent, "{\"status\":");
    api_encode(&t->sent, &sp_v1_topology_status_type, s);
    buf_char(&t->sent, '}');
    if (slice_eq(buf_view(&t->sent), buf_view(&t->written))) return;
    t->under_way = true;
    api_patch(source.client, source.kind, NULL, t->name, "status", "application/merge-patch+json",
              buf_view(&t->sent), on_written, t);
}

static void on_timer(void *user) {
    struct map_entry *e;
    (void)user;
    for (size_t i = 0; (e = map_next(&source.known, &i));) write_status(e->value);
    timer_start(source.timer, STATUS_MS, 0);
}

/* ---- declarations ---- */

static int named_file(void *user, const char *name, struct arena *a, struct slice *ret,
                      struct err *err) {
    OWN(buf_done) struct buf text = {0};
    (void)user;
    if (source.files < 0)
        return err_set(err, ERR_NOT_FOUND, "%s: there is no directory etc/sp for it", name);
    int r = sp_file_read(source.files, name, FILE_BYTES_MAX, &text, err);
    if (r == 0) *ret = slice_from(arena_copy(a, text.p, text.n), text.n);
    return r;
}

static struct topology *known(const char *name) {
    struct topology *t = map_gets(&source.known, name);
    if (t) return t;
    t = calloc(1, sizeof *t);
    if (!t) abort();
    t->name = strdup(name);
    if (!t->name) abort();
    map_put(&source.known, slice_of(name), t);
    return t;
}

static void declare(const struct sp_v1_topology *object) {
    struct topology *t = known(object->metadata.name);
    struct err err = {0};
    struct sp_config *config;
    if (t->memory.generation == object->metadata.generation && !t->error) return;
    int r = sp_config_of_topology(object, source.service->ctx->settings->node_name, named_file,
                                  NULL, &config, &err);
    if (r == 0) r = sp_service_declare(source.service, &api_source, config, &err);
    t->declared |= r == 0;
    free(t->error);
    t->error = r < 0 ? strdup(err.text) : NULL;
    t->memory.error = t->error;
    t->memory.generation = object->metadata.generation;
    if (r < 0) log_error("topology_refused", "name=%s reason=\"%s\"", t->name, err.text);
    timer_start(source.timer, FIRST_MS, 0);
}

static void undeclare(const char *name) {
    struct topology *t = map_del(&source.known, slice_of(name));
    sp_service_undeclare(source.service, &api_source, name);
    if (!t) return;
    t->gone = true;
    if (!t->under_way) topology_free(t);
}

static void on_topology(void *user, enum informer_event e, const struct api_object *now,
                        const struct api_object *old) {
    (void)user;
    if (e == INFORMER_SYNCED)
        sp_service_synced(source.service, &api_source);
    else if (e == INFORMER_DELETED)
        undeclare(now->metadata.name);
    else {
        /* The same name, but another object: what was counted goes with the old one. */
        if (old && !str_eq(old->metadata.uid, now->metadata.uid)) undeclare(now->metadata.name);
        declare((const struct sp_v1_topology *)now);
    }
}

/* ---- life ---- */

static int prepare(struct sp_service *s, struct err *err) {
    OWN(free_p) char *path = service_path(s->ctx, "/etc/sp");
    (void)err;
    source.service = s;
    source.files = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static int start(struct sp_service *s, struct err *err) {
    (void)err;
    if (!str_empty(s->ctx->settings->sp_config)) { /* nothing else of Atoll is there */
        sp_service_synced(s, &api_source);
        return 0;
    }
    source.kind = api_kind_by_name("sp.atoll.dev", "v1", "Topology");
    source.client = api_client_new(s->loop, "api.sock");
    source.timer = timer_new(s->loop, on_timer, NULL);
    source.informer = informer_new(source.client, source.kind, NULL, NULL, on_topology, NULL);
    return 0;
}

static const struct sp_source api_source = {.name = "api", .prepare = prepare, .start = start};
SP_SOURCE(api_source);
