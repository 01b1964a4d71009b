/* What the tests of CEL share: expressions with what they give. */
#pragma once

#include "cel/cel.h"

struct cel_case {
    const char *expression;
    const char *gives;   /* as JSON; NULL: an error */
    const char *problem; /* that the error holds: at run time when gives is NULL */
};

/* Variables: self (any document), pod (a typed Pod), n (int), s (string), list (list(int)),
 * authorizer. self is parsed from that text; NULL: a document of all kinds. */
void cel_cases(const struct cel_case *v, size_t n, const char *self);
/* Expressions that do not compile. */
void cel_wrong_cases(const struct cel_case *v, size_t n);
struct cel_env *cel_fixture_env(struct arena *a);
