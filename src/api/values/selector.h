/* Label and field selectors (apimachinery labels, fields). */
#pragma once

#include "api/type.h"
#include "api/types.h"

struct selector; /* parsed, in an arena */

/* "a=b,c!=d,e in (f,g),h notin (i),j,!k" */
int selector_parse(struct arena *a, const char *text, struct selector **ret, struct err *err);
/* matchLabels and matchExpressions; NULL ls matches nothing, an empty one everything. */
int selector_from_labels(struct arena *a, const struct meta_v1_label_selector *ls,
                         struct selector **ret, struct err *err);
/* An equality map (Service.spec.selector, ReplicationController). */
struct selector *selector_from_map(struct arena *a, const struct str_map *m);
bool selector_matches(const struct selector *s, const struct str_map *labels);
bool selector_empty(const struct selector *s); /* matches everything */

/* "metadata.name=x,status.phase!=Running": equality terms only. */
struct field_term {
    const char *path, *value;
    bool negate;
};
struct field_terms {
    struct field_term *v;
    size_t n;
};
int field_selector_parse(struct arena *a, const char *text, struct field_terms *ret,
                         struct err *err);
