/*
 * Verbs of the command line: one file per verb in verbs/, registered by one line at its end. A
 * verb parses its arguments with cli_parse, does its work, and returns the exit status: 0 well, 1
 * it did not work (one line on standard error says why and what to do), 2 bad arguments.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct verb {
    const char *name;
    const char *usage;   /* arguments, as shown after the name */
    const char *summary; /* one line */
    int (*run)(const struct verb *v, int argc, char **argv); /* argv[0] is the verb */
    const char *more; /* of --help, lines "  %-26s  %s" about words; NULL: no more to say */
};

#define VERB(sym)                                                                                  \
    __attribute__((used, retain,                                                                   \
                   section("atoll_verbs"))) static const struct verb *const verb_p_##sym = &sym

/* Runs the verb that argv[1] names. */
int verb_main(int argc, char **argv);
/* All verbs by name. */
const struct verb **verbs_sorted(struct arena *a, size_t *ret_n);

/* ---- arguments ---- */

struct cli_option {
    const char *name;     /* "--listen" */
    const char *argument; /* "ADDR:PORT"; NULL = a flag */
    const char *help;
    const char **value; /* for options with an argument */
    bool *flag;         /* for flags */
};

enum { CLI_WORDS_MAX = 16, CLI_CONTINUE = -1 };

struct cli_args {
    const char *root; /* --root, as typed; NULL = "/". Every verb takes it. */
    const char *words[CLI_WORDS_MAX];
    size_t n_words;
};

/* Reads options (--name VALUE or --name=VALUE) and at most max_words other words. Returns
 * CLI_CONTINUE, or the status to exit with: help was asked for (0), or an error was printed (2). */
int cli_parse(const struct verb *v, int argc, char **argv, const struct cli_option *options,
              size_t n_options, size_t max_words, struct cli_args *ret);

/* "atoll VERB: …" on standard error; return 1 and 2. */
int cli_fail(const struct verb *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cli_usage(const struct verb *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for an err: status 2 when it is about an option, else 1. */
int cli_err(const struct verb *v, const struct err *err);

/* ---- what several verbs need ---- */

struct init_status;
/* The absolute root; prints and returns an exit status on failure, CLI_CONTINUE when well. */
int cli_root(const struct verb *v, const struct cli_args *args, struct arena *a, const char **ret);
/* Asks the running init. -ESRCH when none runs under the root. */
int cli_init_status(const char *root, struct arena *a, struct init_status *ret, struct err *err);
/* PSS of a process in bytes, 0 when unknown. */
uint64_t cli_pss_bytes(unsigned pid);
/* Reads a small file into the arena; NULL when it cannot be read. */
const char *cli_read_file(struct arena *a, const char *path);
