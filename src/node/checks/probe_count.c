/* What the results of a probe add up to, and when to look again. Pure. */
#include "node/checks/probes.h"

enum probe_verdict probe_count(struct probe_counts *n, const struct core_v1_probe *spec, bool ok) {
    int32_t need = ok ? spec->success_threshold : spec->failure_threshold;
    int32_t *count = ok ? &n->successes : &n->failures;
    if (need <= 0) need = ok ? 1 : 3;
    *(ok ? &n->failures : &n->successes) = 0;
    if (*count < INT32_MAX) ++*count;
    if (*count < need) return PROBE_UNCHANGED;
    return ok ? PROBE_PASSED : PROBE_FAILED;
}

enum { EARLY_FIRST_MS = 100 };

uint64_t probe_pace_next(struct probe_pace *p, uint64_t now_ms, uint64_t period_ms, bool waiting) {
    if (p->early && now_ms >= p->due_ms) { /* the early look took until the one that counts */
        p->early = false;
        return 0;
    }
    if (!p->early) p->due_ms = now_ms + period_ms;
    if (!p->early_ms) p->early_ms = EARLY_FIRST_MS;
    p->early = waiting && now_ms + p->early_ms < p->due_ms;
    if (!p->early) return p->due_ms - now_ms;
    uint64_t delay_ms = p->early_ms;
    p->early_ms *= 2;
    return delay_ms;
}
