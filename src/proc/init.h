/*
 * init: `atoll up`. Makes the directories and sockets of the authority table, spawns one process
 * per row, restarts what dies, and stops all in reverse order. It reads no network and parses
 * nothing but requests of root on init.sock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "proc/service.h"

enum init_event {
    INIT_PROGRESS, /* one line about what happened */
    INIT_READY,    /* store, keys and api serve */
    INIT_STOPPED
};

struct init_options {
    struct settings settings;
    bool report_forbidden; /* --debug-sandbox */
    void (*tell)(void *user, enum init_event e, const char *line);
    void *user;
};

/* Is another Atoll running under this root? Returns its pid or 0. */
int init_running(const char *root);
/* Does the root hold state of an earlier run? */
bool init_has_state(const char *root);
/* Directories and the lock. Must come first; -EBUSY when another Atoll holds the lock. */
int init_claim(const char *root, struct err *err);
/* Runs until told to stop. Returns 0 after an ordered stop, else err says why nothing runs. */
int init_run(const struct init_options *o, struct err *err);

/* ---- init.sock: for the verbs of root ---- */

enum init_msg {
    INIT_STATUS = 1, /* → INIT_STATUS_OK: init_status */
    INIT_STATUS_OK = 2,
    INIT_STOP = 3, /* stops everything; the connection closes when init is gone */
    INIT_HOLD = 4, /* str service → INIT_HOLD_OK once it is stopped; it is not restarted */
    INIT_HOLD_OK = 5,
};

struct init_service_status {
    const char *name;
    uint32_t pid; /* 0 = not running */
    uint32_t restarts;
    uint64_t uptime_ms;
    bool ready;
    const char *failure; /* why it last gave up, "" = it never did */
};

struct init_status {
    uint32_t pid;
    uint64_t uptime_ms, ready_ms; /* ready_ms: from start to ready; 0 = not yet */
    struct settings settings;
    uint32_t n_services;
    struct init_service_status *services;
};

void init_status_pack(struct buf *b, const struct init_status *s);
int init_status_unpack(struct slice body, struct arena *a, struct init_status *ret,
                       struct err *err);
