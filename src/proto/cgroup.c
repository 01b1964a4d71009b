#include "proto/cgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"

static const struct {
    const char *name;
    enum cgroup_controller bit;
} controller_names[] = {
    {"cpu", CGROUP_CPU},         {"cpuacct", CGROUP_CPUACCT}, {"cpuset", CGROUP_CPUSET},
    {"memory", CGROUP_MEMORY},   {"pids", CGROUP_PIDS},       {"devices", CGROUP_DEVICES},
    {"freezer", CGROUP_FREEZER},
};

static unsigned controllers_of(struct slice options) {
    unsigned bits = CGROUP_OTHER;
    struct slice option;
    while (slice_cut(&options, ',', &option))
        for (size_t i = 0; i < ARRAY_LEN(controller_names); i++)
            if (slice_is(option, controller_names[i].name)) bits |= controller_names[i].bit;
    return bits & ~(unsigned)CGROUP_OTHER ? bits & ~(unsigned)CGROUP_OTHER : bits;
}

static bool path_copy(char out[CGROUP_PATH_MAX], struct slice path) {
    if (path.n >= CGROUP_PATH_MAX || memchr(path.p, '\\', path.n)) return false; /* escapes: no */
    memcpy(out, path.p, path.n);
    out[path.n] = 0;
    return true;
}

static void layout_add(struct cgroup_layout *l, const char *path, unsigned controllers) {
    for (unsigned i = 0; i < l->n; i++)
        if (str_eq(l->v[i].path, path)) {
            l->v[i].controllers = controllers;
            return;
        }
    if (l->n == CGROUP_HIERARCHIES_MAX) return;
    struct cgroup_hierarchy *h = &l->v[l->n++];
    memcpy(h->path, path, strlen(path) + 1);
    h->controllers = controllers;
}

/* Another file system on top hides what was there. */
static void layout_hide(struct cgroup_layout *l, const char *path) {
    for (unsigned i = 0; i < l->n; i++)
        if (str_eq(l->v[i].path, path)) l->v[i--] = l->v[--l->n];
    if (str_eq(l->hybrid_path, path)) l->hybrid_path[0] = 0;
    if (str_eq("/sys/fs/cgroup", path)) l->unified = false;
}

/* One line: id parent dev root mount-point options [optional…] - type source super-options */
static void layout_line(struct cgroup_layout *l, struct slice line) {
    struct slice word, mount_point = {0}, type = {0}, super = {0};
    for (int i = 0; i < 6 && slice_cut(&line, ' ', &word); i++)
        if (i == 4) mount_point = word;
    while (slice_cut(&line, ' ', &word) && !slice_is(word, "-")) {
    }
    if (!slice_cut(&line, ' ', &type)) return;
    if (slice_cut(&line, ' ', &word)) slice_cut(&line, ' ', &super);
    char path[CGROUP_PATH_MAX];
    if (!slice_starts(mount_point, "/sys/fs/cgroup") || !path_copy(path, mount_point)) return;
    if (slice_is(type, "cgroup2") && str_eq(path, "/sys/fs/cgroup")) {
        l->unified = true;
        l->n = 0;
        layout_add(l, path,
                   CGROUP_CPU | CGROUP_CPUACCT | CGROUP_CPUSET | CGROUP_MEMORY | CGROUP_PIDS |
                       CGROUP_DEVICES | CGROUP_FREEZER);
    } else if (slice_is(type, "cgroup2")) {
        memcpy(l->hybrid_path, path, sizeof path);
    } else if (slice_is(type, "cgroup")) {
        layout_add(l, path, controllers_of(super));
    } else {
        layout_hide(l, path);
    }
}

int cgroup_layout_parse(struct slice mountinfo, struct cgroup_layout *ret) {
    struct cgroup_layout l = {0};
    struct slice line;
    while (slice_cut(&mountinfo, '\n', &line)) layout_line(&l, line);
    if (!l.n) return -ENOENT;
    *ret = l;
    return 0;
}

const struct cgroup_hierarchy *cgroup_layout_find(const struct cgroup_layout *l,
                                                  enum cgroup_controller controller) {
    for (unsigned i = 0; i < l->n; i++)
        if (l->v[i].controllers & controller) return &l->v[i];
    return NULL;
}

uint64_t cgroup_weight_of_shares(uint64_t shares) {
    if (shares < 2) shares = 2;
    if (shares > 262144) shares = 262144;
    return 1 + (shares - 2) * 9999 / 262142;
}

static struct cgroup_write *add(struct cgroup_write *out, unsigned *n,
                                enum cgroup_controller controller, const char *file) {
    struct cgroup_write *w = &out[(*n)++];
    w->controller = controller;
    w->file = file;
    w->may_fail = false;
    return w;
}

static void number(struct cgroup_write *w, uint64_t v) {
    snprintf(w->text, sizeof w->text, "%" PRIu64, v);
}

static unsigned writes_v1(const struct cgroup_limits *l, struct cgroup_write *out) {
    unsigned n = 0;
    if (l->cpu_shares >= 0) number(add(out, &n, CGROUP_CPU, "cpu.shares"), (uint64_t)l->cpu_shares);
    if (l->cpu_quota_us >= 0) {
        number(add(out, &n, CGROUP_CPU, "cpu.cfs_period_us"),
               l->cpu_period_us > 0 ? (uint64_t)l->cpu_period_us : 100000);
        number(add(out, &n, CGROUP_CPU, "cpu.cfs_quota_us"), (uint64_t)l->cpu_quota_us);
    }
    uint64_t memory = (uint64_t)l->memory_limit_bytes;
    if (l->memory_limit_bytes >= 0 && l->swap_accounted) {
        struct cgroup_write *lower = add(out, &n, CGROUP_MEMORY, "memory.limit_in_bytes");
        lower->may_fail = true;
        number(lower, memory);
        number(add(out, &n, CGROUP_MEMORY, "memory.memsw.limit_in_bytes"), memory);
    }
    if (l->memory_limit_bytes >= 0)
        number(add(out, &n, CGROUP_MEMORY, "memory.limit_in_bytes"), memory);
    if (l->pids_limit >= 0) number(add(out, &n, CGROUP_PIDS, "pids.max"), (uint64_t)l->pids_limit);
    return n;
}

static unsigned writes_v2(const struct cgroup_limits *l, struct cgroup_write *out) {
    unsigned n = 0;
    if (l->cpu_shares >= 0)
        number(add(out, &n, CGROUP_CPU, "cpu.weight"),
               cgroup_weight_of_shares((uint64_t)l->cpu_shares));
    if (l->cpu_quota_us >= 0) {
        struct cgroup_write *w = add(out, &n, CGROUP_CPU, "cpu.max");
        snprintf(w->text, sizeof w->text, "%" PRId64 " %" PRId64, l->cpu_quota_us,
                 l->cpu_period_us > 0 ? l->cpu_period_us : 100000);
    }
    if (l->memory_limit_bytes >= 0)
        number(add(out, &n, CGROUP_MEMORY, "memory.max"), (uint64_t)l->memory_limit_bytes);
    if (l->memory_limit_bytes >= 0 && l->swap_accounted)
        number(add(out, &n, CGROUP_MEMORY, "memory.swap.max"), 0);
    if (l->pids_limit >= 0) number(add(out, &n, CGROUP_PIDS, "pids.max"), (uint64_t)l->pids_limit);
    return n;
}

unsigned cgroup_limit_writes(const struct cgroup_limits *limits, bool unified,
                             struct cgroup_write out[CGROUP_WRITES_MAX]) {
    return unified ? writes_v2(limits, out) : writes_v1(limits, out);
}

int cgroup_value(struct slice text, const char *key, uint64_t *ret) {
    struct slice line, name;
    while (slice_cut(&text, '\n', &line))
        if (slice_cut(&line, ' ', &name) && slice_is(name, key))
            return slice_u64(slice_trim(line), ret) < 0 ? -ENOENT : 0;
    return -ENOENT;
}

int cgroup_number(struct slice text, uint64_t *ret) {
    text = slice_trim(text);
    if (slice_is(text, "max")) {
        *ret = UINT64_MAX;
        return 0;
    }
    return slice_u64(text, ret) < 0 ? -EINVAL : 0;
}
