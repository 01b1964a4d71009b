/* What the results of a probe add up to. Pure. */
#include "node/probes.h"

enum probe_verdict probe_count(struct probe_counts *n, const struct core_v1_probe *spec, bool ok) {
    int32_t need = ok ? spec->success_threshold : spec->failure_threshold;
    int32_t *count = ok ? &n->successes : &n->failures;
    if (need <= 0) need = ok ? 1 : 3;
    *(ok ? &n->failures : &n->successes) = 0;
    if (*count < INT32_MAX) ++*count;
    if (*count < need) return PROBE_UNCHANGED;
    return ok ? PROBE_PASSED : PROBE_FAILED;
}
