/*
 * The claims that a pod mounts: each is asked for by name until it is bound, then its volume, and
 * whether that can be reached from here. The node may see no others, and may not watch these. What
 * was found once stays for the pod's life: a binding does not change.
 */
#pragma once

#include "api/types.h"
#include "base/err.h"
#include "proc/loop.h"

struct pod;

/* The volume behind a claim of the pod's namespace, valid as long as the pod. own: the claim must
 * have been made for this very pod. -EAGAIN: it is being asked for, the pod is kicked afterwards;
 * else err says why it cannot be mounted now. */
int pod_claim_get(struct pod *p, const char *name, bool own,
                  const struct core_v1_persistent_volume **ret, struct err *err);
/* Asks again for those that failed, when they are due; returns when to look again, 0 = never. */
uint64_t pod_claims_refresh(struct pod *p, uint64_t now_ms);
void pod_claims_done(struct pod *p);
