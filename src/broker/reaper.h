/* Children of the broker: who ended, told to who asked. The broker is a subreaper, so processes
 * that its execs leave behind end here too. */
#pragma once

#include <sys/types.h>

#include "proc/loop.h"

struct reaper;
typedef void reaped_fn(void *user, pid_t pid, int status);

struct reaper *reaper_new(struct loop *l);
/* Calls fn once when pid ends, also when it already did (then from the loop, soon). */
void reaper_watch(struct reaper *r, pid_t pid, reaped_fn *fn, void *user);
/* fork() with what every child needs: default signals and mask, resource limits fit for containers.
 * Returns as fork. */
pid_t reaper_fork(void);
