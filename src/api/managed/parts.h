/*
 * The named parts of one value (members of an object, items of a list by key): found by name, first
 * where the last hit says, else by search. Stays fast for many parts.
 */
#pragma once

#include "base/arena.h"
#include "base/slice.h"

struct part {
    struct slice name;
    struct slice value; /* text, or */
    void *item;         /* whatever the user keeps */
    bool seen;
};

struct parts {
    struct part *v;
    size_t n;
    struct part **sorted; /* made by the first search that needs it; of equal names the first */
    size_t n_sorted;
    size_t hint;
};

struct part *parts_add(struct arena *a, struct parts *p, struct slice name);
/* A part of that name, or NULL; of several the one behind the last hit, else the first. Nothing is
 * added afterwards. */
struct part *parts_find(struct arena *a, struct parts *p, struct slice name);
