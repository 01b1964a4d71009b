/* Topologies as their readable files show them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/sp/sp_cli.h"

enum { FILE_BYTES_MAX = 16 << 20 };

const char *sp_fact(const struct sp_facts *f, const char *key) {
    for (size_t i = 0; i < f->n; i++)
        if (str_eq(f->v[i].key, key)) return f->v[i].value;
    return "";
}

uint64_t sp_fact_number(const struct sp_facts *f, const char *key) {
    uint64_t n = 0;
    slice_u64(slice_of(sp_fact(f, key)), &n);
    return n;
}

static void fact_add(struct arena *a, struct sp_facts *f, struct slice key, struct slice value) {
    __auto_type fact = ARENA_PUSH(a, f);
    fact->key = arena_strn(a, key);
    fact->value = arena_strn(a, value);
}

/* "NAME k=v k=v error=the rest of the line" */
static void facts_parse(struct arena *a, struct slice line, struct sp_facts *ret) {
    struct slice word;
    slice_cut(&line, ' ', &word);
    ret->name = arena_strn(a, word);
    while (line.p) {
        struct slice value, key;
        if (slice_starts(line, "error=")) {
            fact_add(a, ret, SLICE("error"), slice_from(line.p + 6, line.n - 6));
            return;
        }
        slice_cut(&line, ' ', &value);
        slice_cut(&value, '=', &key);
        if (value.p) fact_add(a, ret, key, value);
    }
}

void sp_view_parse(struct arena *a, const char *text, struct sp_view *ret) {
    struct slice rest = slice_of(text), line;
    *ret = (struct sp_view){.name = ""};
    while (slice_cut(&rest, '\n', &line)) {
        struct slice key;
        if (!slice_cut(&line, ' ', &key) || !line.p) continue;
        if (slice_is(key, "role"))
            facts_parse(a, line, ARENA_PUSH(a, &ret->roles));
        else if (slice_is(key, "edge"))
            facts_parse(a, line, ARENA_PUSH(a, &ret->edges));
        else
            fact_add(a, &ret->values, key, line);
    }
    ret->name = sp_fact(&ret->values, "topology");
}

static const char *directory(const char *root, struct arena *a) {
    return arena_printf(a, "%s/run/atoll/sp", root);
}

static int by_text(const void *x, const void *y) {
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

int sp_view_names(const char *root, struct arena *a, struct sp_names *ret, struct err *err) {
    const char *path = directory(root, a);
    OWN(closedir_p) DIR *d = opendir(path);
    *ret = (struct sp_names){0};
    if (!d && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "no scalability service has run here: %s is missing",
                       path);
    if (!d) return err_errno(err, errno, "%s", path);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.' &&
            faccessat(dirfd(d), arena_printf(a, "%s/status", e->d_name), F_OK, 0) == 0)
            *ARENA_PUSH(a, ret) = arena_str(a, e->d_name);
    if (ret->n) qsort(ret->v, ret->n, sizeof *ret->v, by_text);
    return 0;
}

const char *sp_view_file(const char *root, const char *name, const char *file, struct arena *a) {
    OWN(buf_done) struct buf text = {0};
    char piece[16 * 1024];
    const char *path = arena_printf(a, "%s/%s/%s", directory(root, a), name, file);
    OWN(fclose_p) FILE *f = strchr(name, '/') ? NULL : fopen(path, "re");
    if (!f) return NULL;
    for (size_t n; text.n < FILE_BYTES_MAX && (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_append(&text, piece, n);
    return arena_strn(a, buf_view(&text));
}

int sp_view_read(const char *root, const char *name, struct arena *a, struct sp_view *ret,
                 struct err *err) {
    const char *text = sp_view_file(root, name, "status", a);
    if (!text)
        return err_set(err, ERR_NOT_FOUND, "no topology \"%s\"; `atoll sp ls` shows those of %s",
                       name, directory(root, a));
    sp_view_parse(a, text, ret);
    ret->name = arena_str(a, name);
    return 0;
}
