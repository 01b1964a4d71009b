/*
 * What init gives to a service it spawns: descriptor 3 is a sealed text of key=value lines (the
 * settings, then the keys below), further descriptors follow by number. Nothing else is inherited
 * but standard error, which is the log.
 */
#pragma once

#include "base/arena.h"
#include "proc/settings.h"

enum { HANDOVER_FD = 3, HANDOVER_READY_FD = 4, HANDOVER_FIRST_FD = 5, HANDOVER_FDS_MAX = 8 };

struct handover_fd {
    const char *name;
    int fd;
};

struct handover {
    struct settings settings;
    struct handover_fd fds[HANDOVER_FDS_MAX];
    size_t n_fds;
    pid_t init_pid;
    bool report_forbidden; /* see sandbox_options */
};

/* Writes the text into a fresh memory file and returns its descriptor, or -errno. */
int handover_make(const struct handover *h, struct err *err);
int handover_read(int fd, struct arena *a, struct handover *ret, struct err *err);
