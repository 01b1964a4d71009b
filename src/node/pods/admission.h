/* Does a pod that was bound here fit? The last word after the scheduler's. Pure but for the list
 * of pods. */
#pragma once

#include "node/agent.h"

/* 0, or -errno with the pod's status reason (OutOfcpu, OutOfmemory, OutOfpods, NodePorts) and the
 * message. */
int admit(const struct pod *p, const char **ret_reason, struct err *err);
