/* JSON text that this system wrote itself, indented by two spaces a level: one value a line,
 * nothing between the brackets of what is empty. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

struct json_indent {
    unsigned depth;
    bool in_string, escaped;
    bool opened; /* a bracket was the last thing written */
};

/* Appends the next part of a text, cut anywhere; *j begins as {0}. */
void json_indent(struct json_indent *j, struct buf *out, struct slice part);
