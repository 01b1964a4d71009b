/* atoll sp send: takes a sending role and sends words or lines; prints answers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "cli/sp/sp_cli.h"

struct sending {
    const struct verb *verb;
    int fd, timeout_ms;
    bool one_answer, answers; /* req; surveyor */
};

static int answers_print(struct sending *s) {
    OWN(buf_done) struct buf b = {0};
    struct err err = {0};
    for (bool any = false;; any = true) {
        int r = sp_cli_receive(s->fd, s->timeout_ms, &b, &err);
        if (r == -EAGAIN && any) return 0;
        if (r == -EAGAIN) return cli_fail(s->verb, "no answer came in time");
        if (r < 0) return cli_err(s->verb, &err);
        if (r == 0) return cli_fail(s->verb, "the service has closed the connection");
        if (s->answers && !b.n) return 0; /* the survey is over */
        OWN(buf_done) struct buf line = {0};
        sp_cli_escape(&line, buf_view(&b));
        puts(str_or(line.p, ""));
        if (s->one_answer) return 0;
    }
}

static int send_one(struct sending *s, struct slice message) {
    if (send(s->fd, message.p, message.n, MSG_NOSIGNAL) < 0)
        return cli_fail(s->verb,
                        errno == EMSGSIZE ? "the message is too large for this door: %s"
                                          : "cannot send: %s",
                        strerror(errno));
    return s->one_answer || s->answers ? answers_print(s) : 0;
}

static int send_lines(struct sending *s) {
    OWN(free_p) char *line = NULL;
    size_t size = 0;
    ssize_t n;
    int status = 0;
    while (status == 0 && (n = getline(&line, &size, stdin)) >= 0) {
        if (n && line[n - 1] == '\n') n--;
        status = send_one(s, slice_from(line, (size_t)n));
    }
    return status;
}

static int send_run(const struct verb *v, int argc, char **argv) {
    const char *timeout = NULL, *root;
    struct sending s = {.verb = v, .timeout_ms = 10000};
    const struct cli_option options[] = {
        {"--timeout", "SECONDS", "waits so long for an answer; default 10", &timeout, NULL}};
    struct cli_args args;
    struct err err = {0};
    struct sp_view view;
    OWN(arena_free_p) struct arena *a = arena_new();
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), CLI_WORDS_MAX, &args);
    if (status != CLI_CONTINUE) return status;
    status = sp_cli_timeout(v, timeout, &s.timeout_ms);
    if (status != CLI_CONTINUE) return status;
    status = sp_cli_topology(v, &args, a, &root, &view);
    if (status != CLI_CONTINUE) return status;
    const char *role = str_or(sp_cli_role(sp_fact(&view.values, "pattern"), true), "");
    OWN(close_p) int fd = -1;
    if (sp_cli_connect(root, args.words[0], role, &fd, &err) < 0) return cli_err(v, &err);
    s.fd = fd;
    s.one_answer = str_eq(role, "req");
    s.answers = str_eq(role, "surveyor");
    if (args.n_words == 1) return send_lines(&s);
    for (size_t i = 1; status == CLI_CONTINUE && i < args.n_words; i++)
        if ((status = send_one(&s, slice_of(args.words[i]))) == 0) status = CLI_CONTINUE;
    return status == CLI_CONTINUE ? 0 : status;
}

const struct verb sp_send_verb = {
    "sp send", "TOPOLOGY [MESSAGE…]",
    "sends each word as a message, or without words each line of standard input; prints the answer "
    "to a request and all answers to a survey",
    send_run};
