/*
 * One connection of api: prelude → resolve → connect → TLS → answer, then bytes both ways with
 * back-pressure until both sides have ended. It lives by itself and frees itself.
 */
#pragma once

#include "proc/loop.h"

/* Takes fd (non-blocking, a permitted peer). *count is decremented when it is over. */
void pipe_new(struct loop *l, int fd, size_t *count);
