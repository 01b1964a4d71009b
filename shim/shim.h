/*
 * atoll-shim: the parent of all containers of one pod. It survives every other Atoll process, keeps
 * the containers' standard streams and exit statuses, and knows nothing of Kubernetes. Static and
 * small on purpose: one runs per pod (goal: ≤ 300 KiB resident), so no stdio, no locale, no
 * threads; memory is taken when a container starts and given back when it is forgotten.
 *
 * Start: cwd = the pod's run directory, descriptor 3 = the listening socket.
 * Regular files are written synchronously: a stalled log disk stalls this pod's streams (that is
 * back-pressure on its writers), never another pod. A full disk drops log records, nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

/* The loop: whatever is registered with epoll starts with this. */
struct source {
    void (*fn)(struct source *s, uint32_t events);
    int fd;
    uint32_t events;
};
int source_add(struct source *s, int fd, uint32_t events,
               void (*fn)(struct source *s, uint32_t events));
void source_set(struct source *s, uint32_t events);
void source_close(struct source *s); /* unregisters and closes; no-op when closed */

/* A growing byte queue. */
struct bytes {
    char *p;
    size_t n, cap;
};
bool bytes_add(struct bytes *b, const void *p, size_t n); /* false: out of memory */
void bytes_drop(struct bytes *b, size_t n);               /* from the front; frees when empty */
void bytes_free(struct bytes *b);
void bytes_u32(struct bytes *b, uint32_t v);
void bytes_u64(struct bytes *b, uint64_t v);
void bytes_str(struct bytes *b, const char *s, size_t n);

/* A frame's body being read; `bad` sticks. */
struct reader {
    const unsigned char *p;
    size_t n;
    bool bad;
};
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
/* A NUL-terminated copy on the heap, at most max bytes long and without NUL; NULL when bad. */
char *read_str(struct reader *r, size_t max);

/* The log file of one container, in CRI format. */
struct log {
    char *path;
    int fd;
    uint64_t size_bytes, limit_bytes;
    uint32_t files;
};
int log_open(struct log *l, char *path, uint64_t limit_bytes, uint32_t files); /* takes path */
void log_close(struct log *l);
/* Consumes from `pending` all complete lines (and, when `final`, the rest) and writes them as
 * records of `stream`. Returns how many bytes were consumed. */
size_t log_lines(struct log *l, const char *stream, const char *pending, size_t n, bool final);

struct container;
struct conn;

enum stream_name { STREAM_STDOUT, STREAM_STDERR };
struct stream {
    struct source source; /* fd -1 = closed */
    struct container *container;
    enum stream_name name;
    char *pending; /* an unfinished line; SHIM_LINE_BYTES_MAX, taken with the first one */
    size_t n_pending;
};

enum container_state { CONTAINER_STARTING, CONTAINER_RUNNING, CONTAINER_EXITED };
struct container {
    struct container *next;
    char *id, *pid_file, *exit_file;
    enum container_state state;
    uint8_t flags;
    pid_t pid, runtime_pid;
    uint32_t exit_code, exit_signal;
    int64_t started_ns, finished_ns;
    struct log log;
    struct stream streams[2];
    struct source console; /* listening for the runtime to hand over the terminal */
    struct source input;   /* write end of standard input (pipe), or the terminal duplicated */
    struct bytes input_queue;
    bool input_end;       /* close when the queue is empty */
    struct conn *starter; /* who waits for the start; NULL when gone */
    uint32_t starter_id;
};

struct start {
    char *id, *log_path, *pid_file, *exit_file, *console;
    uint8_t flags;
    uint64_t log_bytes;
    uint32_t log_files, n_args;
    char *args[SHIM_ARGS_MAX + 1];
};

extern struct container *containers;
struct container *container_find(const char *id);
/* Starts; takes the strings of s that it keeps (NULLs them). 0 or an errno. */
int container_start(struct start *s, struct conn *starter, uint32_t request);
void container_child_exited(pid_t pid, int status); /* any child of this process ended */
void container_input(struct container *c, const void *p, size_t n);
void container_input_end(struct container *c);
bool container_input_full(const struct container *c);
void container_resize(struct container *c, uint16_t width, uint16_t height);
void container_free(struct container *c); /* unlinks and frees */
void container_kill_all(void);

/* Connections. */
int conn_listen(int fd);
void conn_reply(struct conn *c, uint16_t type, uint32_t id, const void *body, size_t n);
/* To all but who asked for the start and gets a reply: his connection may be kept open by a child
 * of a broker that is dead, while the next broker waits. */
void conn_broadcast_started(const struct container *c);
void conn_broadcast_exit(const struct container *c);
void conn_output(const struct container *c, enum stream_name name, const char *p, size_t n);
void conn_resume_input(const struct container *c); /* room in the stdin queue again */
void conn_forget_container(const struct container *c);

int64_t wall_ns(void);
size_t put_u64(char *out, uint64_t v); /* decimal digits, no NUL; returns their count (≤ 20) */
