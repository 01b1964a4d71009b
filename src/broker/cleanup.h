/* Taking things away without stalling the loop: processes are killed, mounts undone, directories
 * and control groups removed; what is busy is tried again, what may wait for a disk is done by
 * forked children. */
#pragma once

#include "base/err.h"

struct broker;

struct cleanup {
    char cgroup[256]; /* below the hierarchies; "" = none */
    char *mounts[2];  /* prefixes, NULL = none; malloc'd, taken */
    struct cleanup_dir {
        char *parent, *name; /* malloc'd, taken; NULL = none */
    } dirs[2];
    /* Called once, from the loop. err NULL = all is gone. */
    void (*done)(void *user, const struct err *err);
    void *user;
};

void cleanup_start(struct broker *b, const struct cleanup *job);
