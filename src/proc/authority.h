/*
 * The authority table: the whole privilege story of Atoll on one screen. A service has what its
 * row says and nothing else; init builds sockets and directories from it, the sandbox enforces it,
 * `atoll debug authority` prints it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

/* System call profiles, composable; see seccomp.c for what each holds. */
enum authority_calls {
    CALLS_BASE = 1,           /* memory, time, poll, reading and writing descriptors one has */
    CALLS_CONNECT = 2,        /* unix sockets: connect to other services */
    CALLS_FILES_READ = 4,     /* open, stat, list */
    CALLS_FILES_WRITE = 8,    /* create, write, rename, lock, sync; includes reading */
    CALLS_INET = 16,          /* IPv4 and IPv6 sockets */
    CALLS_NETLINK = 32,       /* netlink sockets */
    CALLS_THREADS = 64,       /* threads, and mapping code (dlopen) */
    CALLS_SPAWN = 128,        /* processes, and what a throw-away unpacking child needs */
    CALLS_UNRESTRICTED = 256, /* no filter: only for the broker */
    CALLS_UNPACK = 512        /* mknod, for what an unpacking child makes */
};

/* Landlock rights on a path. */
enum {
    PATH_READ = 1,
    PATH_WRITE = 2,
    PATH_EXECUTE = 4,
    PATH_WHITEOUT = 8 /* character devices: without CAP_MKNOD only 0/0, the mark of overlayfs */
};
/* Landlock rights on TCP. */
enum { TCP_CONNECT = 1, TCP_BIND = 2 };

struct authority_path {
    const char *path; /* "@/x" lies below the root, "%exe" is this executable, "%config" the
                         directory of settings.sp_config */
    unsigned access;
};

enum { AUTHORITY_LIST_MAX = 12 };

struct authority {
    const char *name;
    uid_t uid;             /* 0 = root */
    const char *user_why;  /* one sentence: why it has what it has */
    unsigned calls;        /* CALLS_* */
    uint64_t capabilities; /* bits 1 << CAP_*; only for uid != 0 */
    bool keeps_root;       /* all capabilities, no Landlock */
    bool mount_namespace;  /* joins the pinned mount namespace of the pods */
    bool awaited;          /* clients wait for it: it runs before all others */
    bool follows;          /* works on what others told: who serves clients runs first */
    unsigned tcp;          /* TCP_* */
    struct authority_path paths[AUTHORITY_LIST_MAX];
    const char *socket; /* name in run/atoll, handed over as "listen"; NULL = serves nothing */
    unsigned socket_mode;
    const char *peers[AUTHORITY_LIST_MAX]; /* services that may connect, besides root */
    const char *fds[4];                    /* further descriptors by name */
    const char *state_dir;                 /* below var/lib/atoll; NULL = none */
    unsigned state_mode;
    bool state_of_root;  /* the directory belongs to root, not to the service */
    unsigned stage;      /* start order; stop is the reverse */
    unsigned open_files; /* RLIMIT_NOFILE */
    unsigned processes;  /* RLIMIT_NPROC */
    unsigned data_mib;   /* RLIMIT_DATA */
};

extern const struct authority authority_table[];
extern const size_t authority_count;

const struct authority *authority_find(const char *name); /* NULL when unknown */
void authority_print(struct buf *b);                      /* the table as text */
/* The uids that may connect to a service's socket, besides root. Returns how many. */
size_t authority_peers(const char *name, uid_t ret[AUTHORITY_LIST_MAX]);
