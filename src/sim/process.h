/*
 * The processes of the control plane, as real as they are: the engine with the reconcilers, and the
 * service `scheduler`. They are killed between two of their events and begin anew with nothing but
 * what the API tells them.
 */
#pragma once

#include "client/engine.h"
#include "sim/core.h"

#define SIM_CONTROLLERS "controllers.sock"
#define SIM_SCHEDULER "api.sock"

/* Makes both and starts them. list NULL: every reconciler that is linked in. */
void processes_start(struct sim *s, const struct reconciler *const *list, size_t n);
void processes_free(struct sim *s);
/* Kills it, if it runs; it starts again after that time. */
void process_kill(struct sim *s, const char *name, uint64_t down_us);
/* Kills all and starts them at once: everything is looked at again. */
void processes_restart(struct sim *s);
