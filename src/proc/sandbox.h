/*
 * Takes away from the calling process everything that its row of the authority table does not
 * give: resource limits, Landlock, capabilities, user, no_new_privs, seccomp. Irreversible. Runs
 * as root, single-threaded, after the service's prepare().
 */
#pragma once

#include "base/err.h"
#include "proc/authority.h"

struct sandbox_options {
    const char *root;      /* of the Atoll: "@/…" paths lie below it */
    pid_t parent;          /* init: the process dies with it; 0 = no matter */
    const char *config;    /* what "%config" stands for; NULL or "": nothing */
    bool keep_user;        /* run alone by somebody who is not root: with his rights at most */
    bool report_forbidden; /* debugging: forbidden calls are logged and fail with EPERM */
};

int sandbox_apply(const struct authority *row, const struct sandbox_options *o, struct err *err);

/* The parts, in the order they are applied. */
int landlock_apply(const struct authority *row, const struct sandbox_options *o, struct err *err);
int seccomp_apply(unsigned calls, bool report_forbidden, struct err *err);
