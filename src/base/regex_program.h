/* Between regex_parse.c (pattern to tree), regex_class.c (sets of characters) and regex.c (tree to
 * program, the machine). */
#pragma once

#include "base/regex.h"

enum {
    REGEX_REPEAT_MAX = 1000, /* of {n,m}, as RE2 */
    REGEX_DEPTH_MAX = 200,   /* of groups */
    REGEX_PROGRAM_MAX = 20000,
    REGEX_PATTERN_MAX = 16 * 1024, /* bytes */
    REGEX_RUNE_MAX = 0x10ffff,
};

struct regex_range {
    uint32_t lo, hi;
};
/* Sorted, without overlaps once regex_class_finish has run. */
struct regex_class {
    struct regex_range *v;
    size_t n;
};

void regex_class_add(struct arena *a, struct regex_class *c, uint32_t lo, uint32_t hi);
void regex_class_finish(struct arena *a, struct regex_class *c, bool fold_case, bool negate);
bool regex_class_has(const struct regex_class *c, uint32_t rune);
/* The class behind a letter (\d \D \w …), added to c; false: there is none. */
bool regex_class_perl(struct arena *a, struct regex_class *c, char letter);
/* [:alpha:] and its like by name, and \p{…}. */
bool regex_class_posix(struct arena *a, struct regex_class *c, struct slice name, bool negate);
bool regex_class_unicode(struct arena *a, struct regex_class *c, struct slice name, bool negate);

enum regex_assert {
    ASSERT_TEXT_BEGIN,
    ASSERT_TEXT_END,
    ASSERT_LINE_BEGIN,
    ASSERT_LINE_END,
    ASSERT_WORD,
    ASSERT_NO_WORD
};

enum regex_node_kind {
    NODE_EMPTY,
    NODE_RUNE,
    NODE_CLASS,
    NODE_ASSERT,
    NODE_CAT,
    NODE_ALT,
    NODE_REPEAT
};

struct regex_node {
    enum regex_node_kind kind;
    uint32_t rune;
    enum regex_assert assertion;
    struct regex_class *set;
    struct { /* of CAT, ALT; the one of REPEAT */
        struct regex_node **v;
        size_t n;
    } parts;
    int min, max; /* max < 0: no limit */
    bool greedy;
};

int regex_parse(struct arena *a, struct slice pattern, struct regex_node **ret, struct err *err);

/* The character at p (p < end) and its length; U+FFFD and 1 for what is no UTF-8. */
uint32_t regex_rune(const char *p, const char *end, size_t *ret_n);
