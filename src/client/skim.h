/* Walks the members of a JSON object or the elements of an array without decoding them: for list
 * answers and watch lines, whose items are decoded one by one. Trusts that strings are valid;
 * bounded by LIMIT_JSON_DEPTH. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct skim {
    struct slice left; /* what stands after the last value */
    bool bad;          /* malformed; walking ends */
};

/* s is an object or array with its brackets. */
struct skim skim_init(struct slice s);
/* The next member: the key without quotes (escapes are left as they are) and the value's bytes.
 * False at the end or when malformed. */
bool skim_member(struct skim *k, struct slice *ret_key, struct slice *ret_value);
bool skim_element(struct skim *k, struct slice *ret_value);
/* The value of a top-level member; empty with p == NULL when absent. */
struct slice skim_get(struct slice object, const char *key);
/* A string value without its quotes, "" when it is no string or holds escapes. */
struct slice skim_string(struct slice value);
