/*
 * What is left of pods that nobody wants any more: sandboxes, links and logs without a worker. A
 * worker exists from before the first request for its pod until everything of it is removed, so
 * whatever else is found on the machine belongs to a pod that went while the agent was away.
 */
#pragma once

#include "node/agent.h"

void orphans_start(
    struct agent *g); /* once the pods are known: looks now, soon, and every minute */
void orphans_look(struct agent *g);
/* NS_POD_UID, the name of a directory of logs, in its parts; false when it is none. Pure. */
bool orphans_log_name(const char *name, struct slice *ret_ns, struct slice *ret_pod,
                      struct slice *ret_uid);
