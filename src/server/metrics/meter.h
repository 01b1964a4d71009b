/*
 * Counts of requests for /metrics, by what they were for: apiserver_request_total,
 * apiserver_request_duration_seconds, apiserver_current_inflight_requests. Costs one look-up in a
 * hash table per request.
 */
#pragma once

#include "server/api.h"

/* A request begins; its answer will be counted. */
void meter_begin(struct call *c);
/* Appends all of it as Prometheus text. */
void meter_write(struct buf *b);

/* Before the sandbox closes: what is read of the process itself. */
void meter_prepare(void);
/* process_…; started_ns: wall clock. */
void meter_process(struct buf *b, int64_t started_ns);
