/*
 * The node's streaming server on node.sock: HTTP/1.1 for the api service, which forwards logs,
 * exec, attach and port-forward of pods here. Only api and root may connect.
 */
#pragma once

#include "node/agent.h"

int streams_start(struct agent *g, int listen_fd, struct streams **ret, struct err *err);
