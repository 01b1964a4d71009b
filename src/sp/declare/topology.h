/*
 * A topology as the service runs it: its pattern, its pipes, its socket files and edges. Made from
 * a struct sp_config; a changed config is applied as a difference: clients and links that it does
 * not concern stay.
 */
#pragma once

#include "base/vec.h"
#include "proc/loop.h"
#include "sp/declare/config.h"
#include "sp/meter.h"
#include "sp/pattern.h"

struct sp_service;
struct sp_endpoint;
struct sp_link;

struct sp_topology {
    struct sp_service *service;
    const struct sp_config *config; /* owned */
    const struct sp_pattern_ops *pattern;
    void *state; /* the pattern's */
    struct loop *loop;
    VEC(struct sp_pipe *) pipes; /* by slot; NULL = free */
    size_t n_pipes;
    void (*on_pipes)(struct sp_topology *t); /* may be NULL: some came or went */
    VEC(struct sp_endpoint *) endpoints;
    VEC(struct sp_edge *) edges;
    VEC(struct sp_link *) handshakes; /* links that are no pipes yet */
    uint64_t broken;                  /* handshakes and messages of peers that broke the rules */
    struct sp_pipe *waiting, **waiting_tail; /* whose messages are held, the longest first */
    struct timer *tick;                      /* runs while a pipe blocks others or has hung up */
    uint32_t generation;                     /* of pipe ids */
    uint32_t first_free;                     /* no free slot stands before this one */
    int accept_epoll;                        /* of the files sub@…; -1 */
    struct fd_watch *accept_watch;
    int dir_fd; /* run/atoll/sp/NAME; -1 in unit tests */
    struct sp_counters gone[SP_ROLE_COUNT], gone_local[SP_ROLE_COUNT]; /* of closed pipes; those
                                                                          of them without edge */
    struct sp_meter meter, meters[SP_ROLE_COUNT]; /* of all that comes in; of local programs */
    bool stopping, changed;                       /* changed: the readable files are out of date */
    uint64_t written_mark;
};

/* Without files and edges when service is NULL (unit tests). Takes over the config. */
struct sp_topology *sp_topology_new(struct sp_service *service, struct loop *loop,
                                    struct sp_config *config, struct err *err);
/* Closes everything and removes the files. */
void sp_topology_remove(struct sp_topology *t);
/* As remove, but the files stay: the service restarts. */
void sp_topology_free(struct sp_topology *t);
/* Applies a changed config, which it takes over. A changed pattern starts anew. */
int sp_topology_apply(struct sp_topology *t, struct sp_config *config, struct err *err);

struct sp_pipe *sp_topology_pipe(const struct sp_topology *t, uint32_t id); /* by id; NULL: gone */
/* Walks all open pipes of a role: size_t i = 0; while ((p = sp_topology_next(t, role, &i))) … */
struct sp_pipe *sp_topology_next(const struct sp_topology *t, enum sp_role role, size_t *i);
uint64_t sp_topology_now_ms(const struct sp_topology *t);
/* A pipe blocks or has hung up: limits in time are looked after from now on. */
void sp_topology_tick(struct sp_topology *t);
/* Who connects to a role, as the config says: root and whoever is listed. */
bool sp_topology_admits(const struct sp_topology *t, enum sp_role role,
                        const struct sp_credentials *who, int fd);
