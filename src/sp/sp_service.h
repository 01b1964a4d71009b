/*
 * The service `sp`: topologies by name, where they are declared (sources), and the limits they
 * share. A source is registered by one line: source_dir.c reads files, source_api.c the API.
 */
#pragma once

#include "base/map.h"
#include "proc/service.h"
#include "sp/declare/topology.h"

struct sp_service {
    struct service_ctx *ctx;
    struct loop *loop;
    struct map topologies; /* name → struct sp_topology */
    size_t n_pipes;        /* of all topologies */
    struct map users;      /* uid → how many pipes */
    struct timer *write_timer, *linger_timer;
    int run_dir;         /* run/atoll/sp */
    int spare_fd;        /* given up for a moment when descriptors run out */
    uint64_t written_ms; /* the readable files */
    bool stopping, write_soon;
    uint64_t stop_ms;
    size_t n_synced; /* sources that have declared all there is */
    uint64_t log_dropped, log_window_ms;
    struct {
        const char *event;
        unsigned n;
    } log_events[24]; /* of this window */
};

struct sp_source {
    const char *name;
    /* Before the sandbox; may be NULL. */
    int (*prepare)(struct sp_service *s, struct err *err);
    /* In the sandbox: read what is declared and watch it. */
    int (*start)(struct sp_service *s, struct err *err);
};
#define SP_SOURCE(sym)                                                                             \
    __attribute__((                                                                                \
        used, retain,                                                                              \
        section("atoll_sp_sources"))) static const struct sp_source *const sp_source_p_##sym =     \
        &sym

/* A topology is declared, or declared differently; takes over the config. An error leaves what was
 * there as it was. Two sources with one name: the first holds it. */
int sp_service_declare(struct sp_service *s, const struct sp_source *source,
                       struct sp_config *config, struct err *err);
void sp_service_undeclare(struct sp_service *s, const struct sp_source *source, const char *name);
/* The source has declared all there is (once, also when it is not used at all). When the last one
 * says so, what nobody declares is removed from the directory. */
void sp_service_synced(struct sp_service *s, const struct sp_source *source);
struct sp_topology *sp_service_find(const struct sp_service *s, const char *name);

/* sweep.c: socket files that an earlier process has left and no endpoint has; directories that no
 * topology has. */
void sp_sweep_topology(const struct sp_topology *t);
void sp_sweep_service(const struct sp_service *s);

/* Connections of one local user; root has no limit of his own. Pipes count themselves. */
bool sp_service_user_has_room(const struct sp_service *s, uid_t uid);
void sp_service_user_count(struct sp_service *s, uid_t uid, int change);

int sp_service_run_dir(void); /* of the one service of this process; -1 */

/* Somebody came or went: readable files are written soon, though once a second at most. */
void sp_service_changed(struct sp_service *s);

/* A line of the log about something that a peer can cause: at most 20 of each event in ten seconds,
 * then a count of those left out. Who causes one kind can not hide the others. */
void sp_log(struct sp_service *s, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
