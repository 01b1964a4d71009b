/* State of containers and what their end leaves behind. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "broker/broker_internal.h"

struct box *box_new(struct pod *p, const char *id, const char *name, uint32_t attempt) {
    struct box *x = calloc(1, sizeof *x);
    if (!x) abort();
    x->pod = p;
    snprintf(x->id, sizeof x->id, "%s", id);
    x->name = strdup(name);
    x->attempt = attempt;
    vec_push(&p->boxes, x);
    return x;
}

void box_free(struct box *x) {
    struct pod *p = x->pod;
    for (size_t i = 0; i < p->boxes.n; i++)
        if (p->boxes.v[i] == x) {
            vec_remove(&p->boxes, i);
            break;
        }
    if (x->starter.client) {
        struct err err;
        err_set(&err, ERR_UNAVAILABLE, "the container was removed while it started");
        call_fail(&x->starter, &err);
    }
    free(x->name);
    free(x->message);
    free(x);
}

void box_cgroup(const struct broker *b, const char *uid, const char *id, char out[256]) {
    snprintf(out, 256, "%s/pod%s%s%s", b->cgroups.base, uid, id ? "/" : "", id ? id : "");
}

/* The last bytes of the file that is mounted at terminationMessagePath: it is ours, the container
 * can write into it but not replace it. */
static char *termination_message(const struct box *x) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/c/%s/termination", x->pod->broker->pods_path, x->pod->uid,
             x->id);
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    char text[LIMIT_TERMINATION_MESSAGE_BYTES + 1];
    ssize_t n = 0;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        off_t from = st.st_size > LIMIT_TERMINATION_MESSAGE_BYTES
                         ? st.st_size - LIMIT_TERMINATION_MESSAGE_BYTES
                         : 0;
        n = pread(fd, text, LIMIT_TERMINATION_MESSAGE_BYTES, from);
    }
    if (n < 0) n = 0;
    for (ssize_t i = 0; i < n; i++)
        if (!text[i]) text[i] = ' ';
    text[n] = 0;
    return strdup(text);
}

static void event_send(const struct box *x) {
    OWN(buf_done) struct buf b = {0};
    pack_str(&b, x->pod->uid);
    pack_str(&b, x->id);
    pack_u32(&b, x->exit_code);
    pack_u32(&b, x->signal);
    pack_bool(&b, x->oom_killed);
    pack_i64(&b, x->started_ns);
    pack_i64(&b, x->finished_ns);
    pack_str(&b, x->message);
    struct broker *broker = x->pod->broker;
    for (size_t i = 0; i < broker->clients.n; i++)
        if (broker->clients.v[i]->ipc)
            ipc_send(broker->clients.v[i]->ipc, BROKER_CONTAINER_EVENT, 0, buf_view(&b), NULL, 0);
}

void box_exited(struct box *x, uint32_t code, uint32_t signal, int64_t started_ns,
                int64_t finished_ns) {
    char cgroup[256];
    box_cgroup(x->pod->broker, x->pod->uid, x->id, cgroup);
    x->phase = PHASE_EXITED;
    x->pid = 0;
    x->exit_code = code;
    x->signal = signal;
    x->started_ns = started_ns;
    x->finished_ns = finished_ns;
    if (x->pod->host_pid ||
        x->pod->share_pids) /* no init of its own whose end takes the others along */
        cgroups_signal(&x->pod->broker->cgroups, cgroup, SIGKILL);
    x->oom_killed = cgroups_oom_killed(&x->pod->broker->cgroups, cgroup);
    free(x->message);
    x->message = termination_message(x);
    if (!x->starter.client) event_send(x);
}

void box_state(const struct box *x, struct broker_container_state *ret) {
    *ret = (struct broker_container_state){
        .uid = x->pod->uid,
        .id = x->id,
        .name = x->name,
        .pod_namespace = x->pod->pod_namespace,
        .pod_name = x->pod->name,
        .attempt = x->attempt,
        .running = x->phase != PHASE_EXITED,
        .pid = x->pid,
        .exit_code = x->exit_code,
        .signal = x->signal,
        .oom_killed = x->oom_killed,
        .started_ns = x->started_ns,
        .finished_ns = x->finished_ns,
        .message = str_or(x->message, ""),
    };
}
