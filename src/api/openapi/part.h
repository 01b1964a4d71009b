/*
 * The document of another server (Swagger 2.0) as far as it is about one group version: what an
 * aggregated API adds to /openapi/v2. The other server is not trusted: its part is bounded, is
 * about its own group only, and is whole (no reference leads nowhere: clients refuse the document
 * then, and with it everybody's kinds).
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct openapi_part {
    struct slice paths;       /* members of "paths", a comma before each */
    struct slice definitions; /* a JSON object */
};

/* The paths below /apis/GROUP/VERSION and the definitions of its kinds, with all that these refer
 * to. 400: it is no such document. */
int openapi_part_read(struct slice document, const char *group, const char *version,
                      struct buf *ret_paths, struct buf *ret_definitions, struct err *err);
