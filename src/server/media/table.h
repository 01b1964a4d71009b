/* The two other forms of an answer: Table (what kubectl prints) and PartialObjectMetadata. */
#pragma once

#include "server/api.h"

/* Metadata of a list answer. */
struct list_meta {
    uint64_t revision;
    const char *next;  /* continue token; NULL = complete */
    int64_t remaining; /* −1 = not known */
};
void list_meta_encode(struct buf *b, const struct list_meta *m); /* the object {…} */

/* {"kind":"Table",…,"rows":[ … ]}: head, rows with commas between, tail. */
void table_head(struct buf *b, struct call *c, const struct list_meta *m, bool with_columns);
void table_row(struct buf *b, struct call *c, struct arena *scratch, struct slice json);
void table_tail(struct buf *b);
/* A whole Table with one row. */
void table_object(struct buf *b, struct call *c, struct slice json);
/* metadata NULL = that of json. */
void partial_encode(struct buf *b, struct slice json, const char *metadata, const char *version);
