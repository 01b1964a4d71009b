/* Sets of completion indexes as Jobs write them: "1,3-5". Kept as runs in order, so a million
 * indexes that succeeded one after the other are one run. Pure, in an arena. */
#pragma once

#include "base/arena.h"

struct index_run {
    int32_t first, last;
};
struct index_set {
    struct index_run *v;
    size_t n;
};
struct index_list {
    int32_t *v;
    size_t n;
};

/* Reads what a status or a policy says; indexes from limit on and parts that are no indexes are
 * left out. */
struct index_set index_set_parse(struct arena *a, const char *text, int32_t limit);
/* With the indexes of more; sorts more. */
struct index_set index_set_with(struct arena *a, struct index_set s, struct index_list more);
struct index_set index_set_union(struct arena *a, struct index_set x, struct index_set y);
bool index_set_has(struct index_set s, int32_t index);
int64_t index_set_count(struct index_set s);
/* How many indexes are in both. */
int64_t index_set_common(struct index_set x, struct index_set y);
/* The smallest index that is not in the set and not less than from. */
int32_t index_set_gap(struct index_set s, int32_t from);
/* NULL when it is empty. A run of two is "1,2". */
const char *index_set_text(struct arena *a, struct index_set s);
