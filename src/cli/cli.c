/* The frame of every verb: choice, arguments, messages, and what several verbs ask. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/verb.h"
#include "proc/init.h"
#include "proc/ipc.h"
#include "proc/settings.h"

extern const struct verb *const __start_atoll_verbs[] __attribute__((weak));
extern const struct verb *const __stop_atoll_verbs[] __attribute__((weak));

static int by_name(const void *a, const void *b) {
    const struct verb *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

const struct verb **verbs_sorted(struct arena *a, size_t *ret_n) {
    size_t n = (size_t)(__stop_atoll_verbs - __start_atoll_verbs);
    const struct verb **v = ARENA_ARRAY(a, const struct verb *, n + 1);
    for (size_t i = 0; i < n; i++) v[i] = __start_atoll_verbs[i];
    qsort(v, n, sizeof(struct verb *), by_name);
    *ret_n = n;
    return v;
}

int verb_main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "help";
    if (str_eq(name, "--help") || str_eq(name, "-h")) name = "help";
    if (str_eq(name, "--version")) name = "version";
    for (const struct verb *const *v = __start_atoll_verbs; v < __stop_atoll_verbs; v++)
        if (str_eq((*v)->name, name))
            return (*v)->run(*v, argc > 1 ? argc - 1 : 1, argc > 1 ? argv + 1 : argv);
    fprintf(stderr, "atoll: unknown verb '%s'; `atoll help` lists them\n", name);
    return 2;
}

/* ---- messages ---- */

__attribute__((format(printf, 2, 0))) static void complain(const struct verb *v, const char *fmt,
                                                           va_list ap) {
    fprintf(stderr, "atoll %s: ", v->name);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int cli_fail(const struct verb *v, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    complain(v, fmt, ap);
    va_end(ap);
    return 1;
}

int cli_usage(const struct verb *v, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    complain(v, fmt, ap);
    va_end(ap);
    return 2;
}

int cli_err(const struct verb *v, const struct err *err) {
    if (str_starts(err->field, "--")) return cli_usage(v, "%s: %s", err->field, err->text);
    return cli_fail(v, "%s", err->text);
}

/* ---- arguments ---- */

/* What is longer than its column has a line of its own. */
static void print_option(const char *name, const char *argument, const char *help) {
    enum { COLUMN = 26 };
    int n = printf("  %s%s%s", name, argument ? " " : "", str_or(argument, ""));
    bool fits = n <= 2 + COLUMN;
    printf("%s%*s  %s\n", fits ? "" : "\n", fits ? 2 + COLUMN - n : 2 + COLUMN, "", help);
}

static void print_help(const struct verb *v, const struct cli_option *options, size_t n) {
    printf("usage: atoll %s [--root DIR]%s%s\n\n%s\n\n", v->name, *v->usage ? " " : "", v->usage,
           v->summary);
    if (v->more) printf("%s\n", v->more);
    for (size_t i = 0; i < n; i++)
        print_option(options[i].name, options[i].argument, options[i].help);
    print_option("--root", "DIR", "directory of this Atoll; default /");
    print_option("--help", NULL, "this text");
    printf("\nexit status: 0 done; 1 it did not work, a line on standard error says why; "
           "2 bad arguments\n");
}

static const struct cli_option *option_find(const struct cli_option *options, size_t n,
                                            struct slice name) {
    for (size_t i = 0; i < n; i++)
        if (slice_is(name, options[i].name)) return &options[i];
    return NULL;
}

/* One option; *i moves on when its value is the next word. */
static int option_take(const struct verb *v, const struct cli_option *o, struct slice name,
                       int argc, char **argv, int *i) {
    const char *inlined = argv[*i][name.n] == '=' ? argv[*i] + name.n + 1 : NULL;
    if (!o->argument) {
        if (inlined) return cli_usage(v, "%s takes no value", o->name);
        *o->flag = true;
        return CLI_CONTINUE;
    }
    if (!inlined) {
        if (*i + 1 >= argc) return cli_usage(v, "%s needs %s", o->name, o->argument);
        inlined = argv[++*i];
    }
    if (!*inlined) return cli_usage(v, "%s: must not be empty", o->name);
    *o->value = inlined;
    return CLI_CONTINUE;
}

int cli_parse(const struct verb *v, int argc, char **argv, const struct cli_option *options,
              size_t n_options, size_t max_words, struct cli_args *ret) {
    *ret = (struct cli_args){0};
    const struct cli_option root = {"--root", "DIR", "", &ret->root, NULL};
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        if (only_words || argv[i][0] != '-' || !argv[i][1]) {
            if (ret->n_words >= max_words || ret->n_words >= CLI_WORDS_MAX)
                return cli_usage(v, "unexpected argument '%s'", argv[i]);
            ret->words[ret->n_words++] = argv[i];
            continue;
        }
        struct slice name, rest = slice_of(argv[i]);
        slice_cut(&rest, '=', &name);
        if (slice_is(name, "--help") || slice_is(name, "-h")) {
            print_help(v, options, n_options);
            return 0;
        }
        if (slice_is(name, "--")) {
            only_words = true;
            continue;
        }
        const struct cli_option *o =
            slice_is(name, "--root") ? &root : option_find(options, n_options, name);
        if (!o) return cli_usage(v, "unknown option '%s'", argv[i]);
        int status = option_take(v, o, name, argc, argv, &i);
        if (status != CLI_CONTINUE) return status;
    }
    return CLI_CONTINUE;
}

/* ---- shared pieces ---- */

int cli_root(const struct verb *v, const struct cli_args *args, struct arena *a, const char **ret) {
    struct err err;
    /* The sockets and the lock are root's alone: another user would be told that nothing runs. */
    if (geteuid() != 0) return cli_fail(v, "needs root: run it with sudo");
    if (settings_root(args->root, false, a, ret, &err) < 0) return cli_err(v, &err);
    return CLI_CONTINUE;
}

int cli_init_status(const char *root, struct arena *a, struct init_status *ret, struct err *err) {
    if (!init_running(root)) {
        err_set(err, ERR_NOT_FOUND, "not running under %s; `atoll up` starts it",
                *root ? root : "/");
        return -ESRCH;
    }
    OWN(close_p) int fd = -1;
    OWN(buf_done) struct buf body = {0};
    int r = ipc_connect_blocking(arena_printf(a, "%s/run/atoll/init.sock", root), &fd, err);
    if (r == -EACCES || r == -EPERM) return err_set(err, ERR_FORBIDDEN, "needs root: use sudo");
    if (r == 0)
        r = ipc_call_blocking(fd, INIT_STATUS, (struct slice){0}, NULL, 0, 5000, NULL, &body, NULL,
                              0, NULL, err);
    if (r < 0) return r;
    return init_status_unpack(buf_view(&body), a, ret, err);
}

const char *cli_read_file(struct arena *a, const char *path) {
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    OWN(buf_done) struct buf b = {0};
    for (;;) {
        buf_reserve(&b, 4096);
        ssize_t n = read(fd, b.p + b.n, 4096);
        if (n < 0) return NULL;
        if (n == 0) break;
        b.n += (size_t)n;
        if (b.n > 1 << 20) return NULL;
    }
    return arena_strn(a, buf_view(&b));
}

uint64_t cli_pss_bytes(unsigned pid) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *text = cli_read_file(a, arena_printf(a, "/proc/%u/smaps_rollup", pid));
    const char *line = text ? strstr(text, "\nPss:") : NULL;
    uint64_t kib = 0;
    if (!line) return 0;
    struct slice s = slice_trim(slice_from(line + 5, strcspn(line + 5, "k")));
    return slice_u64(s, &kib) < 0 ? 0 : kib * 1024;
}
