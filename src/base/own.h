/* Ownership in one word at the declaration: OWN(free_p) char *s; OWN(close_p) int fd = -1; TAKE(s)
 * moves out. */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OWN(fn) __attribute__((cleanup(fn)))

/* Moves a pointer out of an owned variable; the variable becomes NULL. */
#define TAKE(p)                                                                                    \
    ({                                                                                             \
        __auto_type take_tmp_ = (p);                                                               \
        (p) = NULL;                                                                                \
        take_tmp_;                                                                                 \
    })

/* Moves a descriptor out of an owned variable; the variable becomes -1. */
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int take_fd_ = (fd);                                                                       \
        (fd) = -1;                                                                                 \
        take_fd_;                                                                                  \
    })

static inline void free_p(void *p) { free(*(void **)p); }

/* close() is never retried: on Linux the descriptor is gone even after EINTR. */
static inline void close_p(const int *fd) {
    if (*fd >= 0) close(*fd);
}

static inline void fclose_p(FILE **f) {
    if (*f) fclose(*f);
}

static inline void closedir_p(DIR **d) {
    if (*d) closedir(*d);
}

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
