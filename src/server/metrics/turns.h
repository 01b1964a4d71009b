/*
 * How long the turns of the loop are: whoever sends a request during one waits for its end.
 * atoll_loop_turn_seconds in /metrics.
 */
#pragma once

#include "base/buf.h"
#include "proc/loop.h"

void turns_measure(struct loop *l);
void turns_write(struct buf *b);
