/*
 * The service as a whole stays bounded, whatever its limits per queue add up to: when messages and
 * unfinished frames take more than LIMIT_SP_MEMORY_BYTES, nobody is read from until they take less.
 * Receivers that may lose messages lose some then; when that does not help for a second, who holds
 * the most is cut off.
 */
#pragma once

#include "sp/declare/topology.h"

bool sp_memory_short(void);
/* Before reading from a peer. True: memory is short; the pipe is paused and gets its turn later. */
bool sp_memory_holds(struct sp_pipe *p);
/* How many bytes of messages that are not whole yet the pipe holds now; 0 when it goes. */
void sp_memory_holding(struct sp_pipe *p, uint64_t bytes);
/* Everybody whose queues can be made shorter is known here; for topology.c. */
void sp_memory_join(struct sp_topology *t);
void sp_memory_leave(struct sp_topology *t);
void sp_memory_limit(size_t bytes); /* tests; 0: the usual one */
