/* atoll sp tail: takes a receiving role and prints what comes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "cli/sp/sp_cli.h"

struct tail {
    const struct verb *verb;
    int fd, timeout_ms;
    uint64_t left; /* messages to print */
    bool raw;
    size_t echoes; /* subscriptions that have not been confirmed yet */
    const struct cli_args *args;
};

/* What comes back when a subscription has become active. */
static bool is_echo(const struct tail *t, struct slice message) {
    if (!t->echoes || !message.n || message.p[0] != '+') return false;
    struct slice prefix = slice_from(message.p + 1, message.n - 1);
    if (t->args->n_words == 1) return !prefix.n;
    for (size_t i = 1; i < t->args->n_words; i++)
        if (slice_is(prefix, t->args->words[i])) return true;
    return false;
}

static int subscribe(struct tail *t, struct err *err) {
    for (size_t i = 1; i < MAX_OF(t->args->n_words, (size_t)2); i++) {
        OWN(buf_done) struct buf b = {0};
        buf_char(&b, '+');
        if (i < t->args->n_words) buf_str(&b, t->args->words[i]);
        if (send(t->fd, b.p, b.n, MSG_NOSIGNAL) < 0) return err_errno(err, errno, "subscribe");
        t->echoes++;
    }
    return 0;
}

static void print(const struct tail *t, struct slice message) {
    OWN(buf_done) struct buf line = {0};
    if (t->raw)
        buf_slice(&line, message);
    else
        sp_cli_escape(&line, message);
    buf_char(&line, '\n');
    fwrite(line.p, 1, line.n, stdout);
    fflush(stdout);
}

static int follow(struct tail *t) {
    OWN(buf_done) struct buf b = {0};
    struct err err = {0};
    while (t->left) {
        int r = sp_cli_receive(t->fd, t->timeout_ms, &b, &err);
        if (r == -EAGAIN) return cli_fail(t->verb, "nothing more came in time");
        if (r < 0) return cli_err(t->verb, &err);
        if (r == 0) return cli_fail(t->verb, "the service has closed the connection");
        if (is_echo(t, buf_view(&b))) {
            t->echoes--;
            continue;
        }
        print(t, buf_view(&b));
        t->left--;
    }
    return 0;
}

static int tail_run(const struct verb *v, int argc, char **argv) {
    const char *count = NULL, *timeout = NULL, *filter = NULL, *root;
    struct tail t = {.verb = v, .left = UINT64_MAX, .timeout_ms = -1};
    const struct cli_option options[] = {
        {"--count", "N", "ends after so many messages", &count, NULL},
        {"--timeout", "SECONDS", "fails when nothing comes for so long", &timeout, NULL},
        {"--filter", "NAME", "takes the subscription file sub@NAME instead of prefixes", &filter,
         NULL},
        {"--raw", NULL, "bytes as they are; otherwise control bytes are shown as \\xNN", NULL,
         &t.raw},
    };
    struct cli_args args;
    struct err err = {0};
    struct sp_view view;
    OWN(arena_free_p) struct arena *a = arena_new();
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), CLI_WORDS_MAX, &args);
    if (status != CLI_CONTINUE) return status;
    if (count && slice_u64(slice_of(count), &t.left) < 0)
        return cli_usage(v, "--count: not a number");
    status = sp_cli_timeout(v, timeout, &t.timeout_ms);
    if (status != CLI_CONTINUE) return status;
    status = sp_cli_topology(v, &args, a, &root, &view);
    if (status != CLI_CONTINUE) return status;
    const char *role = sp_cli_role(sp_fact(&view.values, "pattern"), false);
    bool subscribes = str_eq(role, "sub") && !filter;
    if (!role || (!str_eq(role, "sub") && (filter || args.n_words > 1)))
        return cli_usage(v, "only topologies of the pattern pubsub have subscriptions");
    OWN(close_p) int fd = -1;
    const char *file = filter ? arena_printf(a, "sub@%s", filter) : role;
    if (sp_cli_connect(root, args.words[0], file, &fd, &err) < 0) return cli_err(v, &err);
    t.fd = fd;
    t.args = &args;
    if (subscribes && subscribe(&t, &err) < 0) return cli_err(v, &err);
    return follow(&t);
}

const struct verb sp_tail_verb = {
    "sp tail", "TOPOLOGY [PREFIX…]",
    "prints the messages of a topology, one a line; of pipeline, reqrep and survey it takes them "
    "as a worker would",
    tail_run};
