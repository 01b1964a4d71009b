/*
 * What the sub-verbs of `atoll sp` share: what the readable files under run/atoll/sp say (they work
 * without the API), and connections to socket files.
 */
#pragma once

#include "base/buf.h"
#include "cli/verb.h"

/* "k=v" words of one line. */
struct sp_facts {
    const char *name; /* the word after the line's first */
    struct {
        const char *key, *value;
    } * v;
    size_t n;
};
/* "" when it is not there. */
const char *sp_fact(const struct sp_facts *f, const char *key);
uint64_t sp_fact_number(const struct sp_facts *f, const char *key);

struct sp_facts_list {
    struct sp_facts *v;
    size_t n;
};
/* A topology as its file `status` shows it. */
struct sp_view {
    const char *name;
    struct sp_facts values; /* lines "key value" */
    struct sp_facts_list roles, edges;
};

struct sp_names {
    const char **v;
    size_t n;
};
/* Names of all topologies, sorted. */
int sp_view_names(const char *root, struct arena *a, struct sp_names *ret, struct err *err);
int sp_view_read(const char *root, const char *name, struct arena *a, struct sp_view *ret,
                 struct err *err);
/* One of the files, at most 16 MiB of it; NULL when it cannot be read. */
const char *sp_view_file(const char *root, const char *name, const char *file, struct arena *a);
/* For tests: status of a topology from text. */
void sp_view_parse(struct arena *a, const char *text, struct sp_view *ret);

/* Drawings: programs and edges that messages come from, the topology, those they go to. */
void sp_graph_text_draw(struct arena *a, const struct sp_view *v, struct buf *out);
void sp_graph_svg_draw(struct arena *a, const struct sp_view *v, size_t n, struct buf *out);
/* The labels of both sides; `bad` ones are not connected. */
struct sp_label {
    const char *text;
    bool bad;
};
struct sp_sides {
    struct {
        struct sp_label *v;
        size_t n;
    } left, right;
};
void sp_graph_sides(struct arena *a, const struct sp_view *v, struct sp_sides *ret);

/* ---- socket files ---- */

/* The role that sends (true) or receives in a pattern; NULL: no such pattern. */
const char *sp_cli_role(const char *pattern, bool sends);
/* Connects to run/atoll/sp/TOPOLOGY/FILE. Blocking. */
int sp_cli_connect(const char *root, const char *topology, const char *file, int *ret_fd,
                   struct err *err);
/* 1: *ret is a message in buffer; 0: the end; -EAGAIN: nothing came within timeout_ms (< 0: wait).
 */
int sp_cli_receive(int fd, int timeout_ms, struct buf *buffer, struct err *err);
/* Control characters and bytes that are no UTF-8 as \xNN. */
void sp_cli_escape(struct buf *out, struct slice bytes);

/* Root of the arguments, for verbs that need no privilege. */
int sp_cli_root(const struct verb *v, const struct cli_args *args, struct arena *a,
                const char **ret);
/* What verbs about one topology begin with: the first word's, and the root. CLI_CONTINUE or an exit
 * status. */
int sp_cli_topology(const struct verb *v, const struct cli_args *args, struct arena *a,
                    const char **ret_root, struct sp_view *ret);
/* --timeout in whole seconds; NULL leaves *ret_ms as it is. CLI_CONTINUE or an exit status. */
int sp_cli_timeout(const struct verb *v, const char *text, int *ret_ms);

extern const struct verb sp_ls_verb, sp_show_verb, sp_graph_verb, sp_tail_verb, sp_send_verb,
    sp_bench_verb, sp_filter_verb;
