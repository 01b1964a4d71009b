#include "scheduler/feeds.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "scheduler/place/profiles.h"
#include "scheduler/snapshot/sources.h"

enum { FEEDS_MAX = 32 };

struct feed {
    struct feeds *all;
    const struct sched_source *source;
    struct informer *informer;
};
struct feeds {
    struct acts *acts;
    void (*again)(uint64_t delay_ms);
    struct feed v[FEEDS_MAX];
    size_t n;
    struct informer *configuration;
    struct sched_profiles *profiles; /* NULL: the default one */
};

static void source_changed(void *user, enum informer_event e, const struct api_object *now,
                           const struct api_object *old) {
    const struct feed *f = user;
    struct sched_core *core = f->all->acts->core;
    bool helps = false;
    (void)old;
    if (e == INFORMER_DELETED) {
        f->source->remove(&core->snapshot, str_or(now->metadata.namespace, ""), now->metadata.name);
        helps = f->source->gone_helps;
    } else if (e != INFORMER_SYNCED)
        helps = f->source->put(&core->snapshot, now);
    if (helps) core_wake_all(core, loop_now_ms(f->all->acts->loop));
    if (helps || e == INFORMER_SYNCED) f->all->again(0);
}

/* ---- profiles ---- */

/* Some pods may be ours now, others not any more. */
static void look_at_pods(struct feeds *f) {
    size_t at = 0;
    const struct api_object *o;
    uint64_t now_ms = loop_now_ms(f->acts->loop);
    while ((o = informer_next(f->acts->pods, &at)))
        if (informer_get(f->acts->pods, o->metadata.namespace, o->metadata.name))
            core_put_pod(f->acts->core, (const struct core_v1_pod *)o, true, now_ms);
    core_wake_all(f->acts->core, now_ms);
    f->again(0);
}

static void use(struct feeds *f, struct sched_profiles *fresh) {
    struct sched_profiles *before = f->profiles;
    f->profiles = fresh;
    snapshot_use_profiles(&f->acts->core->snapshot, fresh);
    sched_profiles_free(before);
    if (informer_synced(f->acts->pods)) look_at_pods(f);
}

static void configuration_changed(void *user, enum informer_event e, const struct api_object *now,
                                  const struct api_object *old) {
    struct feeds *f = user;
    struct sched_profiles *fresh = NULL;
    struct err err = {0};
    (void)old;
    if (e == INFORMER_SYNCED) {
        f->again(0);
        return;
    }
    if (e == INFORMER_DELETED) {
        log_info("profiles_default", "reason=deleted");
        use(f, NULL);
        return;
    }
    if (sched_profiles_of((const struct core_v1_config_map *)now, &fresh, &err) < 0) {
        log_warn("profiles_invalid", "field=\"%s\" error=\"%s\"", err.field, err.text);
        event_record(f->acts->events, now, "Warning", "InvalidConfiguration",
                     "%s%s%s; the last valid configuration stays", err.field,
                     *err.field ? ": " : "", err.text);
        return;
    }
    log_info("profiles", "count=%zu", fresh->n);
    use(f, fresh);
    event_record(f->acts->events, now, "Normal", "Configured", "%zu profile%s in use", fresh->n,
                 fresh->n == 1 ? "" : "s");
}

/* ---- life ---- */

struct feeds *feeds_new(struct api_client *client, struct acts *acts,
                        void (*again)(uint64_t delay_ms)) {
    struct feeds *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->acts = acts;
    f->again = again;
    for (const struct sched_source *s = sched_sources; s->kind; s++) {
        if (s->by_core) continue;
        if (f->n == FEEDS_MAX) abort();
        struct feed *one = &f->v[f->n++];
        *one = (struct feed){.all = f, .source = s};
        one->informer = informer_new(client, api_kind_by_name(s->group, s->version, s->kind), NULL,
                                     NULL, source_changed, one);
        if (s->keep) informer_keep(one->informer, s->keep);
    }
    f->configuration = informer_new(client, api_kind_by_name("", "v1", "ConfigMap"),
                                    "metadata.namespace=" SCHED_CONFIGURATION_NAMESPACE
                                    ",metadata.name=" SCHED_CONFIGURATION_NAME,
                                    NULL, configuration_changed, f);
    return f;
}

void feeds_free(struct feeds *f) {
    if (!f) return;
    for (size_t i = 0; i < f->n; i++) informer_free(f->v[i].informer);
    informer_free(f->configuration);
    sched_profiles_free(f->profiles);
    free(f);
}

bool feeds_synced(const struct feeds *f) {
    for (size_t i = 0; i < f->n; i++)
        if (!informer_synced(f->v[i].informer)) return false;
    return informer_synced(f->configuration);
}
