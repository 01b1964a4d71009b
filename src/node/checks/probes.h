/*
 * Probes of a running container: startup first, then liveness and readiness side by side, with
 * upstream's numbers (Kubernetes: Configure Liveness, Readiness and Startup Probes).
 */
#pragma once

#include "node/agent.h"

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS };

/* What one look at a probe's result means. Pure. */
enum probe_verdict { PROBE_UNCHANGED, PROBE_PASSED, PROBE_FAILED };
struct probe_counts {
    int32_t successes, failures;
};
enum probe_verdict probe_count(struct probe_counts *n, const struct core_v1_probe *spec, bool ok);

/*
 * When to look next. While a container has never passed (waiting), it is looked at again 100 ms
 * after a failure, then 200, 400, …: early looks, between those that its period asks for. A failed
 * early look counts for nothing. See docs/decisions/0020-early-probes.md. Pure; starts zeroed.
 */
struct probe_pace {
    uint64_t due_ms, early_ms; /* the next look that counts; the next early delay */
    bool early;                /* the next look is an early one */
};
uint64_t probe_pace_next(struct probe_pace *p, uint64_t now_ms, uint64_t period_ms, bool waiting);

void probes_start(struct container *c); /* the container runs */
void probes_stop(struct container *c);  /* it does not any more, or is being stopped */
/* A named or numbered port of the container; 0 = no such. */
uint16_t probe_port(const struct core_v1_container *c, const struct int_or_string *p);
