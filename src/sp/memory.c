#include "sp/memory.h"

#include "base/limits.h"
#include "sp/sp_service.h"

enum { RELIEF_MS = 20, PATIENCE = 50, CUT_AT_ONCE = 16 };

static size_t limit_bytes = LIMIT_SP_MEMORY_BYTES;
static uint64_t unfinished_bytes;
static VEC(struct sp_topology *) topologies;
static struct timer *timer;
static unsigned rounds; /* without success */

bool sp_memory_short(void) { return sp_message_total_bytes() + unfinished_bytes > limit_bytes; }

void sp_memory_holding(struct sp_pipe *p, uint64_t bytes) {
    unfinished_bytes += bytes - p->holding;
    p->holding = bytes;
}

void sp_memory_limit(size_t bytes) { limit_bytes = bytes ? bytes : LIMIT_SP_MEMORY_BYTES; }

/* ---- relief ---- */

static bool may_lose(const struct sp_pipe *p) {
    return p->out.limits->policy != SP_BLOCK && p->out.limits->policy != SP_DISCONNECT;
}

static void halve(struct sp_pipe *p) {
    for (uint32_t n = p->out.n / 2; n; n--) {
        sp_message_unref(sp_queue_take(&p->out));
        p->out.dropped++;
        sp_pipe_lost(p, 1, "the service is short of memory");
    }
}

static void shed(struct sp_topology *t) {
    if (t->pattern->shed) t->pattern->shed(t);
    for (size_t i = 0; i < t->pipes.n && sp_memory_short(); i++) {
        struct sp_pipe *p = t->pipes.v[i];
        if (p && !p->closing && may_lose(p)) halve(p);
    }
}

static uint64_t held_by(const struct sp_pipe *p) { return p->out.bytes + p->holding; }

static void cut_off_largest(void) {
    struct sp_pipe *largest = NULL;
    for (size_t k = 0; k < topologies.n; k++)
        for (size_t i = 0; i < topologies.v[k]->pipes.n; i++) {
            struct sp_pipe *p = topologies.v[k]->pipes.v[i];
            if (p && !p->closing && (!largest || held_by(p) > held_by(largest))) largest = p;
        }
    if (!largest || !held_by(largest)) return;
    struct sp_topology *t = largest->topology;
    if (t->service)
        sp_log(t->service, "memory_short", "topology=%s pid=%d peer=\"%s\" bytes=%llu",
               t->config->name, (int)largest->who.pid, largest->who.name,
               (unsigned long long)held_by(largest));
    sp_pipe_close(largest, "holds too much of the service's memory");
}

static void on_relief(void *user) {
    (void)user;
    for (size_t i = 0; i < topologies.n && sp_memory_short(); i++) shed(topologies.v[i]);
    if (sp_memory_short()) {
        rounds++;
        for (int i = 0; rounds > PATIENCE && i < CUT_AT_ONCE; i++) cut_off_largest();
        timer_start(timer, RELIEF_MS, 0);
        return;
    }
    rounds = 0;
    for (size_t i = 0; i < topologies.n; i++) sp_topology_resume(topologies.v[i]);
    sp_pipes_flush();
}

bool sp_memory_holds(struct sp_pipe *p) {
    if (!sp_memory_short()) return false;
    sp_pipe_hold(p);
    if (!timer) timer = timer_new(p->topology->loop, on_relief, NULL);
    if (!timer_active(timer)) timer_start(timer, RELIEF_MS, 0);
    return true;
}

/* ---- who is there ---- */

void sp_memory_join(struct sp_topology *t) { vec_push(&topologies, t); }

void sp_memory_leave(struct sp_topology *t) {
    for (size_t i = 0; i < topologies.n; i++) {
        if (topologies.v[i] != t) continue;
        vec_swap_remove(&topologies, i);
        break;
    }
    if (topologies.n) return;
    vec_done(&topologies);
    timer_free(timer);
    timer = NULL;
    rounds = 0;
}
