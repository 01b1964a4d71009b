/* Traces out of CSV files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "sim/replay.h"

enum { COLUMNS_MAX = 32, LINE_MAX_BYTES = 4096 };

struct table { /* a CSV file that is read line by line */
    FILE *file;
    const char *path;
    size_t line;
    char names[LINE_MAX_BYTES], row[LINE_MAX_BYTES];
    char *name[COLUMNS_MAX], *cell[COLUMNS_MAX];
    size_t n;
};

static size_t split(char *line, char *cells[COLUMNS_MAX]) {
    size_t n = 0;
    line[strcspn(line, "\r\n")] = 0;
    for (char *cell; n < COLUMNS_MAX && (cell = strsep(&line, ","));) cells[n++] = cell;
    return n;
}

static int table_open(struct table *t, const char *path, struct err *err) {
    t->path = path;
    t->file = fopen(path, "re");
    if (!t->file) return err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    t->line = 1;
    if (!fgets(t->names, sizeof t->names, t->file))
        return err_set(err, ERR_INVALID, "%s: no line with the names of columns", path);
    t->n = split(t->names, t->name);
    return 0;
}

/* False at the end. */
static bool table_next(struct table *t) {
    if (!fgets(t->row, sizeof t->row, t->file)) return false;
    t->line++;
    size_t n = split(t->row, t->cell);
    for (; n < t->n; n++) t->cell[n] = t->name[0] + strlen(t->name[0]); /* empty */
    return true;
}

static const char *cell(const struct table *t, const char *name) {
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->name[i], name)) return t->cell[i];
    return "";
}

static int number(const struct table *t, const char *name, int64_t max, int64_t *ret,
                  struct err *err) {
    const char *text = cell(t, name);
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < 0 || n > max)
        return err_set(err, ERR_INVALID, "%s:%zu: %s: \"%.40s\" is no number up to %lld", t->path,
                       t->line, name, text, (long long)max);
    *ret = n;
    return 0;
}

static char *copy(const char *s) {
    char *p = strdup(s);
    if (!p) abort();
    return p;
}

/* Beyond GPU_MODELS_MAX all count as the last. */
static unsigned model_of(struct trace *t, const char *name) {
    for (size_t i = 0; i < t->models.n; i++)
        if (!strcmp(t->models.v[i], name)) return (unsigned)i;
    if (t->models.n == GPU_MODELS_MAX) return GPU_MODELS_MAX - 1;
    vec_push(&t->models, copy(name));
    return (unsigned)t->models.n - 1;
}

static int load_nodes(struct trace *t, struct table *csv, struct err *err) {
    int64_t cpu, memory, devices;
    while (table_next(csv)) {
        int rc = number(csv, "cpu_milli", INT32_MAX, &cpu, err);
        if (!rc) rc = number(csv, "memory_mib", INT32_MAX, &memory, err);
        if (!rc) rc = number(csv, "gpu", GPU_DEVICES_MAX, &devices, err);
        if (rc < 0) return rc;
        struct replay_node n = {.name = copy(cell(csv, "sn")),
                                .room = {.cpu_milli = cpu, .usable = -1, .n = (uint8_t)devices},
                                .memory_mib = memory};
        n.room.model = (uint8_t)model_of(t, cell(csv, "model"));
        for (int i = 0; i < devices; i++) n.room.idle[i] = GPU_WHOLE;
        t->gpu_milli += devices * GPU_WHOLE;
        vec_push(&t->nodes, n);
    }
    return 0;
}

static uint32_t models_of(struct trace *t, char *spec) {
    uint32_t mask = 0;
    for (char *name; (name = strsep(&spec, "|"));)
        if (*name) mask |= 1u << model_of(t, name);
    return mask;
}

static int load_pods(struct trace *t, struct table *csv, struct err *err) {
    int64_t cpu, memory, devices, milli;
    while (table_next(csv)) {
        int rc = number(csv, "cpu_milli", INT32_MAX, &cpu, err);
        if (!rc) rc = number(csv, "memory_mib", INT32_MAX, &memory, err);
        if (!rc) rc = number(csv, "num_gpu", GPU_DEVICES_MAX, &devices, err);
        if (!rc) rc = number(csv, "gpu_milli", GPU_WHOLE, &milli, err);
        if (rc < 0) return rc;
        if (devices > 1 && milli != GPU_WHOLE)
            return err_set(err, ERR_INVALID, "%s:%zu: gpu_milli: must be %d of several GPUs",
                           csv->path, csv->line, GPU_WHOLE);
        struct replay_pod p = {.name = copy(cell(csv, "name")), .memory_mib = memory};
        p.ask = (struct gpu_ask){.cpu_milli = cpu,
                                 .devices = (uint16_t)devices,
                                 .milli = (uint16_t)(devices ? milli : 0)};
        OWN(free_p) char *spec = copy(cell(csv, "gpu_spec"));
        p.ask.models = models_of(t, spec);
        if (!devices) p.ask.models = 0;
        vec_push(&t->pods, p);
    }
    return 0;
}

static int by_name(const void *x, const void *y) {
    return strcmp(((const struct replay_pod *)x)->name, ((const struct replay_pod *)y)->name);
}

static bool same_shape(const struct replay_pod *x, const struct replay_pod *y) {
    return x->ask.cpu_milli == y->ask.cpu_milli && x->ask.models == y->ask.models &&
           x->ask.devices == y->ask.devices && x->ask.milli == y->ask.milli &&
           x->memory_mib == y->memory_mib;
}

static void name_shapes(struct trace *t) {
    VEC(size_t) first = {0};
    for (size_t i = 0; i < t->pods.n; i++) {
        size_t j = 0;
        while (j < first.n && !same_shape(&t->pods.v[i], &t->pods.v[first.v[j]])) j++;
        if (j == first.n) vec_push(&first, i);
        t->pods.v[i].shape = (uint32_t)j;
    }
    t->n_shapes = (uint32_t)first.n;
    vec_done(&first);
}

int trace_load(struct trace *t, const char *nodes_csv, const char *pods_csv, struct err *err) {
    OWN(free_p) struct table *csv = calloc(2, sizeof *csv);
    if (!csv) abort();
    int rc = table_open(&csv[0], nodes_csv, err);
    if (!rc) rc = load_nodes(t, &csv[0], err);
    if (!rc) rc = table_open(&csv[1], pods_csv, err);
    if (!rc) rc = load_pods(t, &csv[1], err);
    for (int i = 0; i < 2; i++)
        if (csv[i].file) fclose(csv[i].file);
    if (!rc && (!t->nodes.n || !t->pods.n || !t->gpu_milli))
        rc = err_set(err, ERR_INVALID, "the trace has no nodes with GPUs, or no pods");
    if (rc < 0) return rc;
    qsort(t->pods.v, t->pods.n, sizeof *t->pods.v, by_name);
    name_shapes(t);
    return 0;
}

void trace_done(struct trace *t) {
    for (size_t i = 0; i < t->nodes.n; i++) free(t->nodes.v[i].name);
    for (size_t i = 0; i < t->pods.n; i++) free(t->pods.v[i].name);
    for (size_t i = 0; i < t->models.n; i++) free(t->models.v[i]);
    vec_done(&t->nodes);
    vec_done(&t->pods);
    vec_done(&t->models);
}
