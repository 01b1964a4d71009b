/* The OCI runtime: crun, or runc. Which one and how it is called. */
#pragma once

#include "base/arena.h"
#include "base/slice.h"

struct broker;

enum { RUNTIME_ARGS_MAX = 24 };
struct runtime_args {
    const char *v[RUNTIME_ARGS_MAX + 1]; /* NULL at the end */
    uint32_t n;
};

/* Looks for the runtime named in ROOT/etc/atoll/runtime (a name or an absolute path), else crun,
 * else runc, and for atoll-shim beside this program. */
void runtime_find(struct broker *b);
/* Create and start detached; console NULL without a terminal. */
void runtime_run(const struct broker *b, const char *bundle, const char *id, const char *console,
                 struct arena *a, struct runtime_args *ret);
/* Run process.json in the container, detached. */
void runtime_exec(const struct broker *b, const char *id, const char *process, const char *pid_file,
                  const char *log, const char *console, struct arena *a, struct runtime_args *ret);
/* Removes the runtime's own state of a container that is gone, without running it. */
void runtime_forget(struct broker *b, const char *id);
/* The message in a runtime's log or error output (plain text, logfmt's msg="…" of runc), one line.
 */
void runtime_message(struct slice text, char out[512]);
