#include "scheduler/place/tournament.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"

enum { FAN = 8, LINE = 64 };

uint64_t *tournament_new(size_t width) {
    size_t bytes = MAX_OF(2 * width * sizeof(uint64_t), (size_t)LINE);
    uint64_t *tree = aligned_alloc(LINE, bytes);
    if (!tree) abort();
    for (size_t level = width; level > 1; level = MAX_OF(level / FAN, (size_t)1))
        memset(tree + level, 0, level * sizeof *tree); /* between the levels nobody looks */
    tree[1] = 0;
    return tree;
}

static uint64_t best_below(const uint64_t *tree, size_t parent, size_t level) {
    size_t first = level < FAN ? level : parent * FAN, n = MIN_OF(level, (size_t)FAN);
    uint64_t best = tree[first];
    for (size_t i = 1; i < n; i++) best = MAX_OF(best, tree[first + i]);
    return best;
}

void tournament_raise(uint64_t *tree, size_t width, uint32_t *at, size_t n) {
    for (size_t i = 0; i < n; i++) at[i] += (uint32_t)width;
    for (size_t level = width; level > 1 && n; level = MAX_OF(level / FAN, (size_t)1)) {
        size_t left = 0, last = SIZE_MAX; /* neighbours have the same parent */
        for (size_t i = 0; i < n; i++) {
            size_t parent = level < FAN ? 1 : at[i] / FAN;
            if (parent == last) continue;
            last = parent;
            uint64_t best = best_below(tree, parent, level);
            if (tree[parent] == best) continue;
            tree[parent] = best;
            at[left++] = (uint32_t)parent;
        }
        n = left;
    }
}

void tournament_raise_all(uint64_t *tree, size_t width) {
    for (size_t level = width; level > 1;) {
        size_t up = MAX_OF(level / FAN, (size_t)1);
        for (size_t i = up; i < 2 * up; i++) tree[i] = best_below(tree, i, level);
        level = up;
    }
}
