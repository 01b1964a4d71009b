/*
 * Is a history of operations on one key linearizable? (Herlihy and Wing 1990; the search is Wing
 * and Gong's with the memory of Lowe, "Testing for linearizability", 2017.) Objects are
 * independent, so a history of many keys is decomposed and each key is checked by itself.
 *
 * Every write writes a value of its own, a number > 0; 0 = there is no object. An operation whose
 * answer never came (end == UINT64_MAX) may have happened at any time after its begin, or never.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINEAR_OPS_MAX = 64 };

enum linear_kind {
    LINEAR_CREATE, /* 0 → value; fails when there is one */
    LINEAR_UPDATE, /* seen → value; fails on any other state */
    LINEAR_PATCH,  /* anything but 0 → value; fails on 0 */
    LINEAR_DELETE, /* anything but 0 → 0; fails on 0 */
    LINEAR_READ,   /* returns value */
};

struct linear_op {
    enum linear_kind kind;
    bool unknown;        /* the answer never came */
    bool failed;         /* AlreadyExists, Conflict or NotFound: the state was not what it needs */
    uint64_t value;      /* written or read */
    uint64_t seen;       /* LINEAR_UPDATE: the value it was based on */
    uint64_t revision;   /* of a write that succeeded, of an object read; 0 = not known */
    uint64_t begin, end; /* ns, one clock */
};

/* n ≤ LINEAR_OPS_MAX. initial: the value at the begin. */
bool linear_check(const struct linear_op *ops, size_t n, uint64_t initial);
