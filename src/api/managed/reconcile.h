/*
 * Sets of fields and a schema that has changed since they were written: a list or map that was
 * granular may be atomic now, and the other way round. Upstream's structured-merge-diff brings the
 * sets up to date before each write, and so does this.
 */
#pragma once

#include "api/managed/fields.h"
#include "api/managed/shape.h"

struct reconcile {
    struct arena *a;
    struct shape shape; /* of the object, by today's schema */
    struct slice live;  /* canonical JSON of the object as it is */
    bool walked;        /* all has the fields of live */
    struct fields all;
};

/* The set by today's shapes: what is below a part that is atomic now becomes that part, a part that
 * was atomic becomes all that it holds in the live object. True: it differs from f. Metadata's
 * schema never changes and is left alone, as is what has no schema. */
bool fields_reconcile(struct reconcile *r, const struct fields *f, struct fields *ret);
