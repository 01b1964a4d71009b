/*
 * Where a connection may lead. A tenant who may write Endpoints, or who controls a name, must not
 * reach through Atoll what only this machine can reach: its loopback, link-local services (cloud
 * metadata), broadcast and multicast.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "wire/egress.h"

/* address: IPv4 or IPv6; an IPv4 address that is mapped into IPv6 counts as what it is. */
bool policy_allows(enum egress_policy policy, const struct sockaddr *address);
