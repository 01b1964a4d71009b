#include "wire/broker.h"

#include <errno.h>

#include "base/limits.h"

/* ---- lists ---- */

static void strings_pack(struct buf *b, uint32_t n, const char *const *v) {
    pack_u32(b, n);
    for (uint32_t i = 0; i < n; i++) pack_str(b, v[i]);
}

/* A count that the rest of the message can hold: `each` bytes an element at least. */
static uint32_t count_unpack(struct unpack *u, uint32_t limit, size_t each) {
    uint32_t n = unpack_u32(u);
    if (u->bad || n > limit || n > u->left.n / each) {
        u->bad = true;
        return 0;
    }
    return n;
}

static const char **strings_unpack(struct unpack *u, struct arena *a, uint32_t limit,
                                   uint32_t *ret_n) {
    uint32_t n = count_unpack(u, limit, 4);
    const char **v = ARENA_ARRAY(a, const char *, (size_t)n + 1);
    for (uint32_t i = 0; i < n; i++) v[i] = unpack_str(u, a);
    *ret_n = n;
    return v;
}

/* ---- resources ---- */

void broker_resources_pack(struct buf *b, const struct broker_resources *r) {
    pack_i64(b, r->cpu_shares);
    pack_i64(b, r->cpu_quota_us);
    pack_i64(b, r->memory_limit_bytes);
    pack_i64(b, r->pids_limit);
    pack_i64(b, r->oom_score_adj);
}

void broker_resources_unpack(struct unpack *u, struct broker_resources *ret) {
    ret->cpu_shares = unpack_i64(u);
    ret->cpu_quota_us = unpack_i64(u);
    ret->memory_limit_bytes = unpack_i64(u);
    ret->pids_limit = unpack_i64(u);
    ret->oom_score_adj = unpack_i64(u);
}

/* ---- pod ---- */

void broker_pod_pack(struct buf *b, const struct broker_pod *p) {
    pack_str(b, p->uid);
    pack_str(b, p->name);
    pack_str(b, p->pod_namespace);
    pack_str(b, p->hostname);
    pack_bool(b, p->host_network);
    pack_bool(b, p->host_ipc);
    pack_bool(b, p->host_pid);
    pack_bool(b, p->share_process_namespace);
    pack_str(b, p->resolv_conf);
    pack_str(b, p->etc_hosts);
    strings_pack(b, p->n_sysctls, p->sysctls);
    broker_resources_pack(b, &p->resources);
}

int broker_pod_unpack(struct slice s, struct arena *a, struct broker_pod *ret) {
    struct unpack u = unpack_init(s);
    ret->uid = unpack_str(&u, a);
    ret->name = unpack_str(&u, a);
    ret->pod_namespace = unpack_str(&u, a);
    ret->hostname = unpack_str(&u, a);
    ret->host_network = unpack_bool(&u);
    ret->host_ipc = unpack_bool(&u);
    ret->host_pid = unpack_bool(&u);
    ret->share_process_namespace = unpack_bool(&u);
    ret->resolv_conf = unpack_str(&u, a);
    ret->etc_hosts = unpack_str(&u, a);
    ret->sysctls = strings_unpack(&u, a, LIMIT_POD_SYSCTLS, &ret->n_sysctls);
    broker_resources_unpack(&u, &ret->resources);
    return unpack_end(&u);
}

/* ---- container ---- */

static void mount_pack(struct buf *b, const struct broker_mount *m) {
    pack_u8(b, m->kind);
    pack_str(b, m->source);
    pack_u8(b, m->host_type);
    pack_str(b, m->sub_path);
    pack_str(b, m->target);
    pack_bool(b, m->read_only);
    pack_u8(b, m->propagation);
}

static void mount_unpack(struct unpack *u, struct arena *a, struct broker_mount *ret) {
    ret->kind = unpack_u8(u);
    ret->source = unpack_str(u, a);
    ret->host_type = unpack_u8(u);
    ret->sub_path = unpack_str(u, a);
    ret->target = unpack_str(u, a);
    ret->read_only = unpack_bool(u);
    ret->propagation = unpack_u8(u);
}

void broker_container_pack(struct buf *b, const struct broker_container *c) {
    pack_str(b, c->uid);
    pack_str(b, c->id);
    pack_str(b, c->name);
    pack_str(b, c->pod_namespace);
    pack_str(b, c->pod_name);
    pack_u32(b, c->attempt);
    strings_pack(b, c->n_layers, c->layers);
    strings_pack(b, c->n_args, c->args);
    strings_pack(b, c->n_env, c->env);
    pack_u32(b, c->n_mounts);
    for (uint32_t i = 0; i < c->n_mounts; i++) mount_pack(b, &c->mounts[i]);
    pack_str(b, c->cwd);
    pack_str(b, c->user_spec);
    pack_i64(b, c->run_as_user);
    pack_i64(b, c->run_as_group);
    pack_u32(b, c->n_groups);
    for (uint32_t i = 0; i < c->n_groups; i++) pack_i64(b, c->groups[i]);
    pack_bool(b, c->privileged);
    pack_bool(b, c->allow_privilege_escalation);
    pack_bool(b, c->read_only_rootfs);
    pack_bool(b, c->run_as_non_root);
    pack_bool(b, c->tty);
    pack_bool(b, c->stdin_open);
    pack_bool(b, c->stdin_once);
    strings_pack(b, c->n_cap_add, c->cap_add);
    strings_pack(b, c->n_cap_drop, c->cap_drop);
    pack_str(b, c->seccomp);
    pack_bool(b, c->proc_mount_unmasked);
    broker_resources_pack(b, &c->resources);
    pack_str(b, c->termination_path);
}

static void container_lists_unpack(struct unpack *u, struct arena *a,
                                   struct broker_container *ret) {
    ret->layers = strings_unpack(u, a, LIMIT_IMAGE_LAYERS, &ret->n_layers);
    ret->args = strings_unpack(u, a, LIMIT_CONTAINER_ARGS, &ret->n_args);
    ret->env = strings_unpack(u, a, LIMIT_CONTAINER_ENV, &ret->n_env);
    ret->n_mounts = count_unpack(u, LIMIT_CONTAINER_MOUNTS, 16);
    ret->mounts = ARENA_ARRAY(a, struct broker_mount, (size_t)ret->n_mounts + 1);
    for (uint32_t i = 0; i < ret->n_mounts; i++) mount_unpack(u, a, &ret->mounts[i]);
}

int broker_container_unpack(struct slice s, struct arena *a, struct broker_container *ret) {
    struct unpack u = unpack_init(s);
    ret->uid = unpack_str(&u, a);
    ret->id = unpack_str(&u, a);
    ret->name = unpack_str(&u, a);
    ret->pod_namespace = unpack_str(&u, a);
    ret->pod_name = unpack_str(&u, a);
    ret->attempt = unpack_u32(&u);
    container_lists_unpack(&u, a, ret);
    ret->cwd = unpack_str(&u, a);
    ret->user_spec = unpack_str(&u, a);
    ret->run_as_user = unpack_i64(&u);
    ret->run_as_group = unpack_i64(&u);
    ret->n_groups = count_unpack(&u, LIMIT_CONTAINER_GROUPS, 8);
    ret->groups = ARENA_ARRAY(a, int64_t, (size_t)ret->n_groups + 1);
    for (uint32_t i = 0; i < ret->n_groups; i++) ret->groups[i] = unpack_i64(&u);
    ret->privileged = unpack_bool(&u);
    ret->allow_privilege_escalation = unpack_bool(&u);
    ret->read_only_rootfs = unpack_bool(&u);
    ret->run_as_non_root = unpack_bool(&u);
    ret->tty = unpack_bool(&u);
    ret->stdin_open = unpack_bool(&u);
    ret->stdin_once = unpack_bool(&u);
    ret->cap_add = strings_unpack(&u, a, LIMIT_CONTAINER_CAPABILITIES, &ret->n_cap_add);
    ret->cap_drop = strings_unpack(&u, a, LIMIT_CONTAINER_CAPABILITIES, &ret->n_cap_drop);
    ret->seccomp = unpack_str(&u, a);
    ret->proc_mount_unmasked = unpack_bool(&u);
    broker_resources_unpack(&u, &ret->resources);
    ret->termination_path = unpack_str(&u, a);
    return unpack_end(&u);
}

void broker_container_state_pack(struct buf *b, const struct broker_container_state *c) {
    pack_str(b, c->uid);
    pack_str(b, c->id);
    pack_str(b, c->name);
    pack_str(b, c->pod_namespace);
    pack_str(b, c->pod_name);
    pack_u32(b, c->attempt);
    pack_bool(b, c->running);
    pack_u32(b, c->pid);
    pack_u32(b, c->exit_code);
    pack_u32(b, c->signal);
    pack_bool(b, c->oom_killed);
    pack_i64(b, c->started_ns);
    pack_i64(b, c->finished_ns);
    pack_str(b, c->message);
}

int broker_container_state_unpack(struct unpack *u, struct arena *a,
                                  struct broker_container_state *ret) {
    ret->uid = unpack_str(u, a);
    ret->id = unpack_str(u, a);
    ret->name = unpack_str(u, a);
    ret->pod_namespace = unpack_str(u, a);
    ret->pod_name = unpack_str(u, a);
    ret->attempt = unpack_u32(u);
    ret->running = unpack_bool(u);
    ret->pid = unpack_u32(u);
    ret->exit_code = unpack_u32(u);
    ret->signal = unpack_u32(u);
    ret->oom_killed = unpack_bool(u);
    ret->started_ns = unpack_i64(u);
    ret->finished_ns = unpack_i64(u);
    ret->message = unpack_str(u, a);
    return u->bad ? -EBADMSG : 0;
}

/* ---- exec ---- */

void broker_exec_pack(struct buf *b, const struct broker_exec *e) {
    pack_str(b, e->uid);
    pack_str(b, e->id);
    strings_pack(b, e->n_args, e->args);
    pack_bool(b, e->tty);
    pack_bool(b, e->want_stdin);
    pack_bool(b, e->want_stdout);
    pack_bool(b, e->want_stderr);
}

int broker_exec_unpack(struct slice s, struct arena *a, struct broker_exec *ret) {
    struct unpack u = unpack_init(s);
    ret->uid = unpack_str(&u, a);
    ret->id = unpack_str(&u, a);
    ret->args = strings_unpack(&u, a, LIMIT_CONTAINER_ARGS, &ret->n_args);
    ret->tty = unpack_bool(&u);
    ret->want_stdin = unpack_bool(&u);
    ret->want_stdout = unpack_bool(&u);
    ret->want_stderr = unpack_bool(&u);
    return unpack_end(&u);
}

/* ---- volumes ---- */

void broker_volume_pack(struct buf *b, const struct broker_volume *v) {
    pack_str(b, v->uid);
    pack_str(b, v->name);
    pack_bool(b, v->memory);
    pack_i64(b, v->size_bytes);
    pack_u32(b, v->mode);
    pack_i64(b, v->group);
}

int broker_volume_unpack(struct slice s, struct arena *a, struct broker_volume *ret) {
    struct unpack u = unpack_init(s);
    ret->uid = unpack_str(&u, a);
    ret->name = unpack_str(&u, a);
    ret->memory = unpack_bool(&u);
    ret->size_bytes = unpack_i64(&u);
    ret->mode = unpack_u32(&u);
    ret->group = unpack_i64(&u);
    return unpack_end(&u);
}

void broker_volume_write_pack(struct buf *b, const struct broker_volume_write *v) {
    pack_str(b, v->uid);
    pack_str(b, v->name);
    pack_i64(b, v->group);
    pack_u32(b, v->n_files);
    for (uint32_t i = 0; i < v->n_files; i++) {
        pack_str(b, v->files[i].path);
        pack_slice(b, v->files[i].data);
        pack_u32(b, v->files[i].mode);
        pack_i64(b, v->files[i].owner);
    }
}

int broker_volume_write_unpack(struct slice s, struct arena *a, struct broker_volume_write *ret) {
    struct unpack u = unpack_init(s);
    ret->uid = unpack_str(&u, a);
    ret->name = unpack_str(&u, a);
    ret->group = unpack_i64(&u);
    ret->n_files = count_unpack(&u, LIMIT_VOLUME_FILES, 20);
    ret->files = ARENA_ARRAY(a, struct broker_file, (size_t)ret->n_files + 1);
    for (uint32_t i = 0; i < ret->n_files; i++) {
        struct broker_file *f = &ret->files[i];
        f->path = unpack_str(&u, a);
        f->data = unpack_slice(&u); /* borrowed from the message */
        f->mode = unpack_u32(&u);
        f->owner = unpack_i64(&u);
    }
    return unpack_end(&u);
}
