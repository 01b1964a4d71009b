/*
 * Regular expressions in RE2's syntax (github.com/google/re2/wiki/Syntax) and with its guarantee:
 * time linear in the text. A pattern becomes a program for Pike's virtual machine (R. Cox, "Regular
 * Expression Matching: the Virtual Machine Approach"). Used by patterns of OpenAPI schemas and by
 * CEL. Text is UTF-8; a byte that is none counts as U+FFFD. No backreferences, no look-around.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct regex;

/* The compiled form is in the arena; nothing of pattern is kept. 400 says what is wrong, in RE2's
 * words ("missing closing ]: `[a`"). */
int regex_compile(struct arena *a, struct slice pattern, struct regex **ret, struct err *err);
/* Whether the text holds a match anywhere (^ and $ tie it down). */
bool regex_matches(const struct regex *re, struct slice text);
/* The leftmost match at or after byte `from`, of those the one preferred by the pattern's order and
 * greediness. */
bool regex_find(const struct regex *re, struct slice text, size_t from, size_t *ret_begin,
                size_t *ret_end);
/* Instructions: one step of the text costs at most that many. */
size_t regex_size(const struct regex *re);
