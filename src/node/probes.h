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

void probes_start(struct container *c); /* the container runs */
void probes_stop(struct container *c);  /* it does not any more, or is being stopped */
/* A named or numbered port of the container; 0 = no such. */
uint16_t probe_port(const struct core_v1_container *c, const struct int_or_string *p);
