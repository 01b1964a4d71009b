/* Which objects of a resource a list, watch or deletecollection is about. */
#pragma once

#include "api/values/selector.h"
#include "server/api.h"

struct selection {
    const struct api_kind *kind;  /* as stored */
    const struct api_kind *asked; /* whose field names are meant */
    const char *ns, *name;        /* "" = any */
    struct selector *labels;      /* NULL = any */
    struct field_terms fields;    /* without a positive metadata.name, which went to `name` */
    bool narrow;                  /* labels or fields are given */
};

/* From the query; everything is in the call's arena. ERR_BAD_REQUEST. */
int selection_init(struct call *c, struct selection *ret, struct err *err);
/* Labels and fields only; scratch may be reset by the caller at any time afterwards. */
bool selection_matches(const struct selection *s, struct arena *scratch, const struct object *o);
/* Also namespace and name. */
bool selection_covers(const struct selection *s, struct arena *scratch, const struct object *o);
