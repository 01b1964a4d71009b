/* Children of the broker: who ended, told to who asked. The broker is a subreaper, so processes
 * that its execs leave behind end here too. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "proc/loop.h"

struct reaper;
typedef void reaped_fn(void *user, pid_t pid, int status);

struct reaper *reaper_new(struct loop *l);
/* To be asked before a process is started: numbers come again, and the end of somebody who had the
 * number before is not the end of that process. */
uint64_t reaper_mark(const struct reaper *r);
/* Calls fn once when pid, which was started after the mark, ends, also when it already did (then
 * from the loop, soon). */
void reaper_watch(struct reaper *r, pid_t pid, uint64_t mark, reaped_fn *fn, void *user);
/* fork() with what every child needs: default signals and mask, resource limits fit for containers.
 * Returns as fork. */
pid_t reaper_fork(void);
