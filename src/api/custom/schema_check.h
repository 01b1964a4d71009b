/* Between schema_check.c (the structural part) and schema_check_alternatives.c. */
#pragma once

#include "api/custom/schema.h"

struct schema_checker {
    struct value_path path;
    struct api_causes *causes;
};

/* The path, with a member behind it unless that is NULL. */
const char *schema_check_at(struct schema_checker *c, const char *member);
/* Absent, null, false, or without content. */
bool schema_check_empty(const struct value *v);
/* What is told about every schema, alternatives included. */
void schema_check_unsupported(struct schema_checker *c, const struct value *v);
/* allOf, anyOf, oneOf and not of v: what may not be said there, and that all they name is named
 * outside too. */
void schema_check_alternatives(struct schema_checker *c, const struct value *v);
