/* JSON text that this system wrote itself, as YAML in block style. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

/* Appends the value; its lines but the first begin with `indent` spaces, the last one ends with a
 * newline. Strings are plain where no reader could take them for something else, else quoted. */
void yaml_from_json(struct buf *out, struct slice json, unsigned indent);
