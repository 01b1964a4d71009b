/* The network objects of one Atoll on the host: bridge "atINSTANCE", nftables table
 * "ip atoll_INSTANCE". */
#pragma once

#include <stdbool.h>

bool host_bridge_exists(const char *instance);
void host_bridge_remove(const char *instance); /* ports are detached by the kernel */
bool host_table_exists(const char *instance);
void host_table_remove(const char *instance);
