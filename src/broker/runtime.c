#include "broker/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/paths.h"

static const char *const program_dirs[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                           "/usr/bin",        "/sbin",          "/bin"};

static char *program_find(const char *name) {
    char path[PATH_MAX];
    if (name[0] == '/') return access(name, X_OK) == 0 ? strdup(name) : NULL;
    for (size_t i = 0; i < ARRAY_LEN(program_dirs); i++) {
        snprintf(path, sizeof path, "%s/%s", program_dirs[i], name);
        if (access(path, X_OK) == 0) return strdup(path);
    }
    return NULL;
}

static char *shim_find(void) {
    static const char *const beside[] = {"atoll-shim", "shim/atoll-shim",
                                         "../libexec/atoll/atoll-shim"};
    char exe[PATH_MAX], path[PATH_MAX + 64];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n < 0) return NULL;
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (slash) *slash = 0;
    for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
        snprintf(path, sizeof path, "%s/%s", exe, beside[i]);
        if (access(path, X_OK) == 0) return strdup(path);
    }
    return NULL;
}

void runtime_find(struct broker *b) {
    OWN(free_p) char *setting = service_path(b->ctx, "/etc/atoll/runtime");
    OWN(close_p) int fd = open(setting, O_RDONLY | O_CLOEXEC);
    OWN(free_p) char *text = NULL;
    size_t n = 0;
    if (fd >= 0 && path_read(fd, PATH_MAX, &text, &n) == 0) {
        struct slice name = slice_trim(slice_from(text, n));
        text[name.p + name.n - text] = 0;
        b->runtime = program_find(name.p);
    } else {
        b->runtime = program_find("crun");
        if (!b->runtime) b->runtime = program_find("runc");
    }
    const char *slash = b->runtime ? strrchr(b->runtime, '/') : NULL;
    b->runtime_is_crun = slash && str_starts(slash, "/crun");
    b->shim_program = shim_find();
    if (!b->runtime)
        log_error("runtime_missing", "text=\"no container runtime: install crun (or runc)\"");
    if (!b->shim_program) log_error("shim_missing", "text=\"no atoll-shim beside atoll\"");
}

static void add(struct runtime_args *r, const char *arg) {
    if (r->n < RUNTIME_ARGS_MAX) r->v[r->n++] = arg;
}

static void add_common(const struct broker *b, const char *log, struct runtime_args *r) {
    *r = (struct runtime_args){0};
    add(r, b->runtime);
    add(r, "--root");
    add(r, b->runtime_state_path);
    if (b->runtime_is_crun) add(r, "--cgroup-manager=cgroupfs");
    add(r, "--log");
    add(r, log);
}

void runtime_run(const struct broker *b, const char *bundle, const char *id, const char *console,
                 struct arena *a, struct runtime_args *ret) {
    add_common(b, arena_printf(a, "%s/runtime.log", bundle), ret);
    add(ret, "run");
    add(ret, "--detach");
    add(ret, "--bundle");
    add(ret, bundle);
    add(ret, "--pid-file");
    add(ret, arena_printf(a, "%s/pid", bundle));
    if (console) {
        add(ret, "--console-socket");
        add(ret, console);
    }
    add(ret, id);
}

void runtime_exec(const struct broker *b, const char *id, const char *process, const char *pid_file,
                  const char *log, const char *console, struct arena *a, struct runtime_args *ret) {
    (void)a;
    add_common(b, log, ret);
    add(ret, "exec");
    add(ret, "--detach");
    add(ret, "--process");
    add(ret, process);
    add(ret, "--pid-file");
    add(ret, pid_file);
    if (console) {
        add(ret, "--console-socket");
        add(ret, console);
    }
    add(ret, id);
}

void runtime_forget(struct broker *b, const char *id) {
    OWN(close_p) int dir = open(b->runtime_state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t budget = 64;
    if (dir >= 0) path_remove(dir, id, &budget);
}

void runtime_message(struct slice text, char out[512]) {
    text = slice_trim(text);
    const char *line = text.p;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\n') line = text.p + i + 1;
    struct slice last = text.n ? slice_from(line, text.n - (size_t)(line - text.p)) : text;
    const char *msg = last.n ? memmem(last.p, last.n, "msg=\"", 5) : NULL;
    if (msg) {
        last = slice_from(msg + 5, last.n - (size_t)(msg + 5 - last.p));
        if (last.n && last.p[last.n - 1] == '"') last.n--;
    }
    size_t n = 0;
    for (size_t i = 0; i < last.n && n < 511; i++) {
        if (msg && last.p[i] == '\\' && i + 1 < last.n) i++;
        out[n++] = (unsigned char)last.p[i] < ' ' ? ' ' : last.p[i];
    }
    out[n] = 0;
}
