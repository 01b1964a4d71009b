#include "base/regex.h"

#include <errno.h>
#include <string.h>

#include "base/regex_program.h"

enum op { OP_RUNE, OP_CLASS, OP_SPLIT, OP_JUMP, OP_ASSERT, OP_MATCH };

struct instruction {
    enum op op;
    uint32_t x, y; /* targets, the preferred one first; x: a rune or an assertion */
    const struct regex_class *set;
};

/* A thread of the machine: where it is and where its match began. */
struct thread {
    uint32_t at;
    size_t begin;
};

/* Threads in order of preference; seen[at] == generation says that `at` is among them already. */
struct threads {
    struct thread *v;
    size_t n;
};

struct regex {
    struct instruction *code;
    size_t n, cap;
    bool anchored; /* every match begins at the begin of the text */
    /* Memory of the machine, reused by every match. */
    struct threads now, then;
    uint32_t *seen, *stack;
    uint32_t generation;
};

uint32_t regex_rune(const char *text, const char *end, size_t *ret_n) {
    const unsigned char *p = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    uint32_t c = p[0];
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : c >= 0xe0 && c < 0xf0 ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    *ret_n = 1;
    if (n == 1) return c;
    if (n == 0 || n > left) return 0xfffd;
    c &= 0xffU >> (n + 1);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0xfffd;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[n] || c > REGEX_RUNE_MAX || (c >= 0xd800 && c < 0xe000)) return 0xfffd;
    *ret_n = n;
    return c;
}

/* ---- tree to program ---- */

static struct instruction *emit(struct arena *a, struct regex *re, enum op op) {
    static struct instruction nowhere;
    if (re->n >= REGEX_PROGRAM_MAX) {
        re->n = REGEX_PROGRAM_MAX + 1;
        return &nowhere;
    }
    if (re->n == re->cap) {
        size_t cap = re->cap ? 2 * re->cap : 16;
        struct instruction *code = ARENA_ARRAY(a, struct instruction, cap);
        if (re->n) memcpy(code, re->code, re->n * sizeof *code);
        re->code = code;
        re->cap = cap;
    }
    struct instruction *in = &re->code[re->n++];
    in->op = op;
    return in;
}

static bool too_large(const struct regex *re) { return re->n > REGEX_PROGRAM_MAX; }

static uint32_t here(const struct regex *re) { return (uint32_t)re->n; }

static void emit_node(struct arena *a, struct regex *re, const struct regex_node *node);

/* A split whose one way goes on here, and the other somewhere not known yet. */
static uint32_t emit_split(struct arena *a, struct regex *re) {
    uint32_t at = here(re);
    emit(a, re, OP_SPLIT);
    return at;
}

static void patch_split(struct regex *re, uint32_t at, uint32_t in, uint32_t out, bool greedy) {
    if (too_large(re)) return;
    re->code[at].x = greedy ? in : out;
    re->code[at].y = greedy ? out : in;
}

/* x{min,}, whose last x is a loop; x* is (x+)?, so that x decides the same way in both. */
static void emit_loop(struct arena *a, struct regex *re, const struct regex_node *node) {
    uint32_t skip = here(re);
    if (node->min == 0) emit(a, re, OP_SPLIT);
    uint32_t loop = here(re);
    emit_node(a, re, node->parts.v[0]);
    uint32_t again = emit_split(a, re);
    patch_split(re, again, loop, again + 1, node->greedy);
    if (node->min == 0) patch_split(re, skip, loop, again + 1, node->greedy);
}

static void emit_repeat(struct arena *a, struct regex *re, const struct regex_node *node) {
    const struct regex_node *what = node->parts.v[0];
    bool loops = node->max < 0;
    for (int i = 0; i < node->min - loops && !too_large(re); i++) {
        uint32_t before = here(re);
        emit_node(a, re, what);
        if (here(re) == before) return; /* nothing, however often */
    }
    if (loops) {
        emit_loop(a, re, node);
        return;
    }
    /* (x(x(x)?)?)?: each split leaves to the end. */
    uint32_t first = here(re);
    int n = node->max - node->min;
    uint32_t *splits = ARENA_ARRAY(a, uint32_t, (size_t)n + 1);
    for (int i = 0; i < n && !too_large(re); i++) {
        splits[i] = emit_split(a, re);
        emit_node(a, re, what);
    }
    for (int i = 0; i < n && here(re) > first; i++)
        patch_split(re, splits[i], splits[i] + 1, here(re), node->greedy);
}

static void emit_choice(struct arena *a, struct regex *re, const struct regex_node *node) {
    uint32_t *jumps = ARENA_ARRAY(a, uint32_t, node->parts.n);
    for (size_t i = 0; i < node->parts.n && !too_large(re); i++) {
        bool last = i + 1 == node->parts.n;
        uint32_t split = last ? 0 : emit_split(a, re);
        emit_node(a, re, node->parts.v[i]);
        if (last) break;
        jumps[i] = here(re);
        emit(a, re, OP_JUMP);
        patch_split(re, split, split + 1, here(re), true);
    }
    for (size_t i = 0; i + 1 < node->parts.n && !too_large(re); i++)
        re->code[jumps[i]].x = here(re);
}

static void emit_node(struct arena *a, struct regex *re, const struct regex_node *node) {
    if (too_large(re)) return;
    switch (node->kind) {
    case NODE_EMPTY: return;
    case NODE_RUNE: emit(a, re, OP_RUNE)->x = node->rune; return;
    case NODE_CLASS: emit(a, re, OP_CLASS)->set = node->set; return;
    case NODE_ASSERT: emit(a, re, OP_ASSERT)->x = node->assertion; return;
    case NODE_CAT:
        for (size_t i = 0; i < node->parts.n; i++) emit_node(a, re, node->parts.v[i]);
        return;
    case NODE_ALT: emit_choice(a, re, node); return;
    case NODE_REPEAT: emit_repeat(a, re, node); return;
    }
}

int regex_compile(struct arena *a, struct slice pattern, struct regex **ret, struct err *err) {
    struct regex_node *tree;
    int rc = regex_parse(a, pattern, &tree, err);
    if (rc < 0) return rc;
    struct regex *re = ARENA_NEW(a, struct regex);
    emit_node(a, re, tree);
    emit(a, re, OP_MATCH);
    if (too_large(re))
        return err_set(err, ERR_INVALID, "error parsing regexp: expression too large");
    re->anchored = re->code[0].op == OP_ASSERT && re->code[0].x == ASSERT_TEXT_BEGIN;
    re->now.v = ARENA_ARRAY(a, struct thread, re->n);
    re->then.v = ARENA_ARRAY(a, struct thread, re->n);
    re->seen = ARENA_ARRAY(a, uint32_t, re->n);
    re->stack = ARENA_ARRAY(a, uint32_t, 2 * re->n + 2);
    *ret = re;
    return 0;
}

size_t regex_size(const struct regex *re) { return re->n; }

/* ---- the machine ---- */

static bool word_at(struct slice text, size_t i) {
    if (i >= text.n) return false;
    char c = text.p[i];
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool holds(enum regex_assert kind, struct slice text, size_t at) {
    bool edge = (at > 0 && word_at(text, at - 1)) != word_at(text, at);
    switch (kind) {
    case ASSERT_TEXT_BEGIN: return at == 0;
    case ASSERT_TEXT_END: return at == text.n;
    case ASSERT_LINE_BEGIN: return at == 0 || text.p[at - 1] == '\n';
    case ASSERT_LINE_END: return at == text.n || text.p[at] == '\n';
    case ASSERT_WORD: return edge;
    case ASSERT_NO_WORD: return !edge;
    }
    return false;
}

/* Adds the thread and all that it reaches without reading a character, in order of preference. */
static void follow(struct regex *re, struct threads *list, struct thread t, struct slice text,
                   size_t at) {
    size_t n = 0;
    re->stack[n++] = t.at;
    while (n) {
        uint32_t pc = re->stack[--n];
        const struct instruction *in = &re->code[pc];
        if (re->seen[pc] == re->generation) continue;
        re->seen[pc] = re->generation;
        if (in->op == OP_SPLIT) {
            re->stack[n++] = in->y;
            re->stack[n++] = in->x;
        } else if (in->op == OP_JUMP) {
            re->stack[n++] = in->x;
        } else if (in->op == OP_ASSERT) {
            if (holds((enum regex_assert)in->x, text, at)) re->stack[n++] = pc + 1;
        } else {
            list->v[list->n++] = (struct thread){pc, t.begin};
        }
    }
}

static void next_generation(struct regex *re) {
    if (++re->generation == 0) {
        memset(re->seen, 0, re->n * sizeof *re->seen);
        re->generation = 1;
    }
}

/* One character (n bytes at `at`) for all threads. Returns true when one of them has matched before
 * reading it, the rest being less preferred. */
static bool step(struct regex *re, uint32_t rune, bool end, struct slice text, size_t at, size_t n,
                 size_t *ret_begin) {
    next_generation(re);
    re->then.n = 0;
    for (size_t i = 0; i < re->now.n; i++) {
        struct thread t = re->now.v[i];
        const struct instruction *in = &re->code[t.at];
        if (in->op == OP_MATCH) {
            *ret_begin = t.begin;
            return true;
        }
        if (end) continue;
        if (in->op == OP_RUNE ? in->x == rune : regex_class_has(in->set, rune))
            follow(re, &re->then, (struct thread){t.at + 1, t.begin}, text, at + n);
    }
    return false;
}

static bool search(const struct regex *constant, struct slice text, size_t from, bool any,
                   size_t *ret_begin, size_t *ret_end) {
    struct regex *re = (struct regex *)constant; /* only the machine's memory changes */
    bool found = false;
    re->now.n = 0;
    next_generation(re);
    for (size_t at = from, n = 0;; at += n) {
        bool end = at >= text.n;
        uint32_t rune = end ? 0 : regex_rune(text.p + at, text.p + text.n, &n);
        /* seen[] still holds what `now` was made of: the new thread is the least preferred. */
        if (!found && (!re->anchored || at == 0))
            follow(re, &re->now, (struct thread){0, at}, text, at);
        if (!re->now.n && (found || re->anchored)) return found;
        if (step(re, rune, end, text, at, n, ret_begin)) {
            found = true;
            *ret_end = at;
            if (any) return true;
        }
        if (end) return found;
        struct threads swap = re->now;
        re->now = re->then;
        re->then = swap;
    }
}

bool regex_matches(const struct regex *re, struct slice text) {
    size_t begin, end;
    return search(re, text, 0, true, &begin, &end);
}

bool regex_find(const struct regex *re, struct slice text, size_t from, size_t *ret_begin,
                size_t *ret_end) {
    if (from > text.n) return false;
    return search(re, text, from, false, ret_begin, ret_end);
}
