/* The end of a container's log, for terminationMessagePolicy FallbackToLogsOnError. */
#pragma once

#include "node/agent.h"

/* At most 80 lines and 2048 bytes of text; "" when there is none. fn is called once, later. */
void log_tail(struct container *c, void (*fn)(void *user, const char *text), void *user);
