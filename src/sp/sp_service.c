#include "sp/sp_service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "sp/endpoints/endpoint.h"
#include "sp/status.h"

enum { WRITE_MS = 1000, SETTLE_MS = 10, STOP_CHECK_MS = 10, LOG_WINDOW_MS = 10000 };

extern const struct sp_source *const __start_atoll_sp_sources[] __attribute__((weak));
extern const struct sp_source *const __stop_atoll_sp_sources[] __attribute__((weak));

static struct sp_service sp = {.run_dir = -1};

int sp_service_run_dir(void) { return sp.run_dir; }

/* A topology and who has declared it. */
struct declared {
    struct sp_topology *topology;
    const struct sp_source *source;
};

/* ---- log ---- */

static bool log_has_room(struct sp_service *s, const char *event) {
    for (size_t i = 0; i < ARRAY_LEN(s->log_events); i++) {
        if (s->log_events[i].event && !str_eq(s->log_events[i].event, event)) continue;
        s->log_events[i].event = event;
        return s->log_events[i].n++ < LIMIT_SP_LOG_LINES;
    }
    return false;
}

void sp_log(struct sp_service *s, const char *event, const char *fmt, ...) {
    char text[512];
    uint64_t now = loop_now_ms(s->loop);
    if (now - s->log_window_ms >= LOG_WINDOW_MS) {
        if (s->log_dropped)
            log_warn("lines_left_out", "n=%llu", (unsigned long long)s->log_dropped);
        s->log_window_ms = now;
        s->log_dropped = 0;
        memset(s->log_events, 0, sizeof s->log_events);
    }
    if (!log_has_room(s, event)) {
        s->log_dropped++;
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_warn(event, "%s", text);
}

/* ---- declarations ---- */

struct sp_topology *sp_service_find(const struct sp_service *s, const char *name) {
    struct declared *d = map_gets(&s->topologies, name);
    return d ? d->topology : NULL;
}

/* All topologies, in no order: size_t i = 0; while ((t = sp_service_next(s, &i))) … */
static struct sp_topology *sp_service_next(const struct sp_service *s, size_t *i) {
    struct map_entry *e = map_next(&s->topologies, i);
    return e ? ((struct declared *)e->value)->topology : NULL;
}

/* ---- how many connections each user has ---- */

bool sp_service_user_has_room(const struct sp_service *s, uid_t uid) {
    const uint32_t *n = map_get(&s->users, slice_from(&uid, sizeof uid));
    return uid == 0 || !n || *n < LIMIT_SP_PIPES_PER_USER;
}

void sp_service_user_count(struct sp_service *s, uid_t uid, int change) {
    struct slice key = slice_from(&uid, sizeof uid);
    uint32_t *n = map_get(&s->users, key);
    if (!n) {
        n = calloc(1, sizeof *n);
        if (!n) abort();
        map_put(&s->users, key, n);
    }
    *n = (uint32_t)((int)*n + change);
    if (*n) return;
    map_del(&s->users, key);
    free(n);
}

static int change(struct declared *d, struct sp_config *config, struct err *err) {
    const struct sp_config *old = d->topology->config;
    if (slice_eq(old->canonical, config->canonical) && old->generation == config->generation &&
        config->canonical.n) {
        sp_config_free(config);
        return 0;
    }
    return sp_topology_apply(d->topology, config, err);
}

int sp_service_declare(struct sp_service *s, const struct sp_source *source,
                       struct sp_config *config, struct err *err) {
    struct declared *d = map_gets(&s->topologies, config->name);
    if (d && d->source != source) {
        int r = err_set(err, ERR_CONFLICT, "topology %s is declared by %s already", config->name,
                        d->source->name);
        sp_config_free(config);
        return r;
    }
    if (d && d->topology->config->pattern == config->pattern) return change(d, config, err);
    if (d) sp_service_undeclare(s, source, config->name);
    if (s->topologies.n >= LIMIT_SP_TOPOLOGIES) {
        sp_config_free(config);
        return err_set(err, ERR_TOO_MANY_REQUESTS, "there are %d topologies", LIMIT_SP_TOPOLOGIES);
    }
    d = calloc(1, sizeof *d);
    if (!d) abort();
    OWN(free_p) char *name = strdup(config->name);
    d->source = source;
    d->topology = sp_topology_new(s, s->loop, config, err);
    if (!d->topology) {
        free(d);
        return err_wrap(err, "topology %s", name);
    }
    map_put(&s->topologies, slice_of(name), d);
    sp_status_write(d->topology);
    log_info("topology_declared", "name=%s pattern=%s source=%s", name, d->topology->pattern->name,
             source->name);
    return 0;
}

void sp_service_undeclare(struct sp_service *s, const struct sp_source *source, const char *name) {
    struct declared *d = map_gets(&s->topologies, name);
    if (!d || d->source != source) return;
    log_info("topology_removed", "name=%s", name);
    map_del(&s->topologies, slice_of(name));
    sp_topology_remove(d->topology);
    free(d);
}

void sp_service_synced(struct sp_service *s, const struct sp_source *source) {
    size_t all = (size_t)(__stop_atoll_sp_sources - __start_atoll_sp_sources);
    if (++s->n_synced == all) sp_sweep_service(s);
}

static void on_write(void *user) {
    struct sp_service *s = user;
    struct sp_topology *t;
    s->written_ms = loop_now_ms(s->loop);
    for (size_t i = 0; (t = sp_service_next(s, &i));) sp_status_write(t);
    timer_start(s->write_timer, WRITE_MS, 0);
    s->write_soon = false;
}

void sp_service_changed(struct sp_service *s) {
    if (s->write_soon || !s->write_timer || s->stopping) return;
    uint64_t since = loop_now_ms(s->loop) - s->written_ms;
    s->write_soon = true;
    timer_start(s->write_timer, since < WRITE_MS ? WRITE_MS - since : SETTLE_MS, 0);
}

/* ---- life ---- */

/* Made here, since the service also runs without init. */
static int run_dir_open(struct sp_service *s, struct err *err) {
    static const struct {
        const char *below;
        mode_t mode;
    } dirs[] = {{"/run", 0755}, {"/run/atoll", 0711}, {"/run/atoll/sp", 0755}};
    uid_t uid = service_uid("sp");
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        OWN(free_p) char *path = service_path(s->ctx, dirs[i].below);
        bool made = mkdir(path, dirs[i].mode) == 0;
        if (!made && errno != EEXIST) return err_errno(err, errno, "%s", path);
        if (made && chmod(path, dirs[i].mode) < 0) return err_errno(err, errno, "%s", path);
    }
    OWN(free_p) char *path = service_path(s->ctx, "/run/atoll/sp");
    s->run_dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->run_dir < 0) return err_errno(err, errno, "%s", path);
    if (geteuid() == 0 && (fchown(s->run_dir, uid, uid) < 0 || fchmod(s->run_dir, 0755) < 0))
        return err_errno(err, errno, "%s", path);
    return 0;
}

static int prepare(struct service_ctx *ctx, struct err *err) {
    struct sp_service *s = &sp;
    *s = (struct sp_service){.ctx = ctx, .loop = ctx->loop, .run_dir = -1, .spare_fd = -1};
    int r = run_dir_open(s, err);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (const struct sp_source *const *p = __start_atoll_sp_sources;
         r == 0 && p < __stop_atoll_sp_sources; p++)
        if ((*p)->prepare) r = (*p)->prepare(s, err);
    return r;
}

static int start(struct service_ctx *ctx, struct err *err) {
    struct sp_service *s = &sp;
    s->write_timer = timer_new(s->loop, on_write, s);
    timer_start(s->write_timer, WRITE_MS, 0);
    for (const struct sp_source *const *p = __start_atoll_sp_sources; p < __stop_atoll_sp_sources;
         p++) {
        int r = (*p)->start ? (*p)->start(s, err) : 0;
        if (r < 0) return err_wrap(err, "%s", (*p)->name);
    }
    service_ready(ctx);
    return 0;
}

/* ---- stopping: what was accepted is delivered within the linger time ---- */

static bool something_waits(const struct sp_service *s, uint64_t waited_ms) {
    struct sp_topology *t;
    for (size_t i = 0; (t = sp_service_next(s, &i));)
        for (size_t k = 0; waited_ms < t->config->linger_ms && k < t->pipes.n; k++)
            if (t->pipes.v[k] && (t->pipes.v[k]->out.n || t->pipes.v[k]->held.n)) return true;
    return false;
}

static void on_linger(void *user) {
    struct sp_service *s = user;
    if (something_waits(s, loop_now_ms(s->loop) - s->stop_ms)) return;
    struct sp_topology *t;
    timer_stop(s->linger_timer); /* it may be due again already */
    timer_stop(s->write_timer);
    for (size_t i = 0; (t = sp_service_next(s, &i));) {
        sp_status_write(t);
        sp_topology_free(t); /* clients see the end; files stay for the next process */
    }
    loop_stop(s->loop);
}

static bool stop(struct service_ctx *ctx) {
    struct sp_service *s = &sp;
    if (s->stopping) return true;
    s->stopping = true;
    s->stop_ms = loop_now_ms(s->loop);
    s->linger_timer = timer_new(s->loop, on_linger, s);
    timer_start(s->linger_timer, STOP_CHECK_MS, STOP_CHECK_MS);
    return true;
}

const struct service sp_service = {.name = "sp", .prepare = prepare, .start = start, .stop = stop};
SERVICE(sp_service);
