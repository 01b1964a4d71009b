/*
 * In-place changes of what containers may use (pods/resize): what runs is brought to what the spec
 * says, without a restart unless the container's resizePolicy asks for one. A change for which the
 * node has no room waits, and the status says so; one that the kernel refuses is told by an Event
 * and not tried again until the spec changes.
 */
#pragma once

#include "node/pods/pod.h"
#include "wire/broker.h"

#define RESIZE_PENDING "PodResizePending"

/* A container was started with these. */
void resize_started(struct container *c, const struct broker_resources *r);
/* Starts what is missing; returns the monotonic time when to look again, 0: when something changes.
 */
uint64_t resize_step(struct pod *p, uint64_t now_ms);

/* ---- resize_status.c: pure ---- */
struct container_amounts resize_amounts(const struct broker_resources *r);
/* What the spec wants for it now. */
struct container_amounts resize_wanted(const struct container *c, int64_t node_memory_bytes);
/* It runs, and with something else than is wanted. */
bool resize_differs(const struct container *c, int64_t node_memory_bytes);
/* Whether its resizePolicy wants a restart for the way from applied to wanted. */
bool resize_restarts(const struct container *c, const struct container_amounts *wanted);
void resize_status(struct arena *a, const struct pod *p, struct core_v1_pod_status *s);
void resize_container_status(struct arena *a, const struct container *c,
                             struct core_v1_container_status *s);
