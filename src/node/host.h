/* What this machine is: read once, before the sandbox closes. */
#pragma once

#include "node/agent.h"

int host_read(struct host_info *h, const struct service_ctx *ctx, struct err *err);
/* Present pressure, from descriptors that stay open. */
int64_t host_memory_available(const struct host_info *h); /* bytes; -1 = unknown */
/* Shares of the state file system, in percent; -1 = unknown. */
void host_disk_available(const struct host_info *h, int *ret_percent_bytes,
                         int *ret_percent_inodes);
