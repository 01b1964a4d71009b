/* For unit tests: topologies without files, peers without descriptors, time that obeys. */
#pragma once

#include "base/test.h"
#include "sp/declare/topology.h"

enum { FAKE_MAX = 4096 };

struct fake {
    struct sp_pipe pipe; /* first */
    bool blocked;        /* its descriptor takes nothing */
    bool paused, freed;
    bool gone;  /* its peer has left, which nobody has noticed yet */
    uint32_t n; /* messages it got */
    struct sp_message *got[FAKE_MAX];
};

struct loop *fixture_loop(void); /* virtual time, one for the whole program */
void fixture_pass_ms(uint64_t ms);
/* With the config's defaults changed by `change` (may be NULL). */
struct sp_topology *fixture_topology(enum sp_pattern pattern,
                                     void (*change)(struct sp_config *config));
/* NULL: refused. Freed by fixture_end of the last topology. */
struct fake *fixture_join(struct sp_topology *t, enum sp_role role);
struct fake *fixture_join_raw(struct sp_topology *t, enum sp_role role, unsigned priority);
void fixture_leave(struct fake *f);
/* A message from the peer; false: it has to wait. */
bool fixture_say(struct fake *f, const char *body);
/* Each byte as a message of its own; how many did not have to wait. */
size_t fixture_say_each(struct fake *f, const char *bodies);
bool fixture_say_tagged(struct fake *f, const uint32_t *words, unsigned n, const char *body);
/* What it got, in order, "|" between; forgets it. Static storage. */
const char *fixture_heard(struct fake *f);
void fixture_block(struct fake *f, bool blocked);
void fixture_end(struct sp_topology *t);
