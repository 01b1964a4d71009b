/* atoll sp graph: topologies drawn, as text and as SVG. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/sp/sp_cli.h"

/* ---- sides ---- */

static bool is_left(const char *role) {
    return str_eq(role, "pub") || str_eq(role, "push") || str_eq(role, "req") ||
           str_eq(role, "surveyor");
}

static void put(struct arena *a, struct sp_sides *s, bool left, const char *text, bool bad) {
    struct sp_label l = {text, bad};
    if (left)
        *ARENA_PUSH(a, &s->left) = l;
    else
        *ARENA_PUSH(a, &s->right) = l;
}

/* A program that publishes is on the left; so is an edge on which this side subscribes, for its
 * messages come in. */
void sp_graph_sides(struct arena *a, const struct sp_view *v, struct sp_sides *ret) {
    *ret = (struct sp_sides){0};
    for (size_t i = 0; i < v->roles.n; i++) {
        const struct sp_facts *r = &v->roles.v[i];
        uint64_t n = sp_fact_number(r, "clients");
        put(a, ret, is_left(r->name), arena_printf(a, "%llu %s", (unsigned long long)n, r->name),
            false);
    }
    for (size_t i = 0; i < v->edges.n; i++) {
        const struct sp_facts *e = &v->edges.v[i];
        const char *role = sp_fact(e, "role"), *dial = sp_fact(e, "dial");
        const char *who = sp_fact(e, "organisation");
        bool both = str_eq(role, "bus") || str_eq(role, "pair"), connected;
        connected = sp_fact_number(e, "peers") > 0;
        const char *text =
            arena_printf(a, "%s%s%s%s %s %s%s", e->name, *who ? " (" : "", who, *who ? ")" : "",
                         *dial ? "dials" : "listens", *dial ? dial : sp_fact(e, "listen"),
                         connected ? "" : arena_printf(a, " [%s]", sp_fact(e, "state")));
        put(a, ret, !both && !is_left(role), text, !connected);
    }
}

/* ---- text ---- */

/* By the directions that meet: 1 left, 2 right, 4 up, 8 down. */
static const char *const joints[16] = {" ", "╴", "╶", "─", "╵", "┘", "└", "┴",
                                       "╷", "┐", "┌", "┬", "│", "┤", "├", "┼"};

static size_t columns_of(const char *utf8) {
    size_t n = 0;
    for (; *utf8; utf8++) n += ((unsigned char)*utf8 & 0xc0) != 0x80;
    return n;
}

struct spine {
    size_t first, last, n; /* rows with a label */
    size_t top, bottom;    /* rows that the line spans */
};

static struct spine spine_of(size_t n, size_t rows, size_t middle) {
    struct spine s = {.n = n};
    s.first = (rows - n) / 2;
    s.last = n ? s.first + n - 1 : s.first;
    s.top = MIN_OF(s.first, middle);
    s.bottom = MAX_OF(s.last, middle);
    return s;
}

static bool has_label(const struct spine *s, size_t row) {
    return s->n && row >= s->first && row <= s->last;
}

static const char *joint(const struct spine *s, size_t row, size_t middle, bool left_side) {
    if (!s->n || row < s->top || row > s->bottom) return joints[0];
    bool outward = has_label(s, row), inward = row == middle;
    unsigned bits = (left_side ? outward : inward) | (left_side ? inward : outward) << 1 |
                    (row > s->top) << 2 | (row < s->bottom) << 3;
    return joints[bits];
}

void sp_graph_text_draw(struct arena *a, const struct sp_view *v, struct buf *out) {
    struct sp_sides sides;
    sp_graph_sides(a, v, &sides);
    size_t rows = MAX_OF(MAX_OF(sides.left.n, sides.right.n), (size_t)1), middle = (rows - 1) / 2;
    struct spine left = spine_of(sides.left.n, rows, middle);
    struct spine right = spine_of(sides.right.n, rows, middle);
    size_t width = 0;
    const char *centre = arena_printf(a, " %s (%s) ", v->name, sp_fact(&v->values, "pattern"));
    for (size_t i = 0; i < sides.left.n; i++)
        width = MAX_OF(width, columns_of(sides.left.v[i].text));
    for (size_t row = 0; row < rows; row++) {
        bool l = has_label(&left, row), r = has_label(&right, row);
        const char *text = l ? sides.left.v[row - left.first].text : "";
        buf_printf(out, "%s%*s %s%s%s", text, (int)(width - columns_of(text)), "", l ? "──" : "  ",
                   joint(&left, row, middle, true), row == middle && left.n ? "─▶" : "  ");
        if (row == middle)
            buf_str(out, centre);
        else
            buf_printf(out, "%*s", (int)columns_of(centre), "");
        buf_printf(out, "%s%s%s %s", row == middle && right.n ? "──" : "  ",
                   joint(&right, row, middle, false), r ? "─▶" : "  ",
                   r ? sides.right.v[row - right.first].text : "");
        while (out->n && out->p[out->n - 1] == ' ') out->p[--out->n] = 0;
        buf_char(out, '\n');
    }
}

/* ---- the verb ---- */

static int write_file(const char *path, const struct buf *text, struct err *err) {
    OWN(fclose_p) FILE *f = fopen(path, "we");
    if (!f || fwrite(text->p, 1, text->n, f) != text->n || fflush(f))
        return err_errno(err, errno, "%s", path);
    return 0;
}

static int views_read(const char *root, const struct cli_args *args, struct arena *a,
                      struct sp_view **ret, size_t *ret_n, struct err *err) {
    struct sp_names names = {(const char **)args->words, args->n_words};
    int r = args->n_words ? 0 : sp_view_names(root, a, &names, err);
    if (r < 0) return r;
    *ret = ARENA_ARRAY(a, struct sp_view, names.n + 1);
    for (*ret_n = 0; r == 0 && *ret_n < names.n; ++*ret_n)
        r = sp_view_read(root, names.v[*ret_n], a, &(*ret)[*ret_n], err);
    return r;
}

static int graph_run(const struct verb *v, int argc, char **argv) {
    const char *svg = NULL, *root;
    const struct cli_option options[] = {
        {"--svg", "FILE", "draws into an SVG file instead", &svg, NULL}};
    struct cli_args args;
    struct err err = {0};
    struct sp_view *views;
    size_t n;
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf out = {0};
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), CLI_WORDS_MAX, &args);
    if (status != CLI_CONTINUE) return status;
    status = sp_cli_root(v, &args, a, &root);
    if (status != CLI_CONTINUE) return status;
    if (views_read(root, &args, a, &views, &n, &err) < 0) return cli_err(v, &err);
    if (svg) {
        sp_graph_svg_draw(a, views, n, &out);
        return write_file(svg, &out, &err) < 0 ? cli_err(v, &err) : 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (i) buf_char(&out, '\n');
        sp_graph_text_draw(a, &views[i], &out);
    }
    fputs(str_or(out.p, ""), stdout);
    return 0;
}

const struct verb sp_graph_verb = {
    "sp graph", "[TOPOLOGY…] [--svg FILE]",
    "draws topologies: where messages come from on the left, where they go on the right",
    graph_run};
