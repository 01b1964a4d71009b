#include "server/custom/rules_cost.h"

#include "base/own.h"
#include "cel/cel.h"

enum { TEXT_BYTES_PER_CHARACTER = 4, DATE_BYTES = 12, DURATION_BYTES = 32, TIME_BYTES = 64 };

static bool is_required(const struct schema *s, struct slice name) {
    for (size_t i = 0; i < s->required.n; i++)
        if (slice_is(name, s->required.v[i])) return true;
    return false;
}

/* The shortest JSON text of a value. */
static uint64_t bytes_min(const struct schema *s) {
    uint64_t n = 2; /* of {}, [], "" */
    if (s->flags & SCHEMA_INT_OR_STRING) return 1;
    switch (s->type) {
    case SCHEMA_BOOLEAN: return 4;
    case SCHEMA_ANY:
    case SCHEMA_INTEGER:
    case SCHEMA_NUMBER: return 1;
    case SCHEMA_STRING:
    case SCHEMA_ARRAY: return n;
    case SCHEMA_OBJECT: break;
    }
    for (size_t i = 0; i < s->properties.n; i++) {
        const struct schema_property *p = &s->properties.v[i];
        if (is_required(s, p->name) && !p->schema->default_)
            n += p->name.n + 4 + bytes_min(p->schema);
    }
    return n;
}

static uint64_t bounded(int64_t given, uint64_t otherwise) {
    return given > 0 ? (uint64_t)given : given == 0 ? 1 : otherwise;
}

static uint64_t text_max(const struct schema *s) {
    const struct schema_limits *l = s->limits;
    uint64_t longest = 0;
    if (l && l->enums.n) {
        for (size_t i = 0; i < l->enums.n; i++)
            if (l->enums.v[i].text.n > longest) longest = l->enums.v[i].text.n;
        return longest + 1;
    }
    if (l && l->max_length >= 0)
        return bounded(MIN_OF(l->max_length, (int64_t)CEL_REQUEST_BYTES_MAX), 1) *
               TEXT_BYTES_PER_CHARACTER;
    if (l && str_eq(l->format, "date")) return DATE_BYTES;
    if (l && str_eq(l->format, "duration")) return DURATION_BYTES;
    if (l && str_eq(l->format, "date-time")) return TIME_BYTES;
    return CEL_REQUEST_BYTES_MAX - 2;
}

uint64_t rules_size_max(const struct schema *s) {
    const struct schema_limits *l = s->limits;
    if (s->flags & SCHEMA_INT_OR_STRING) return 0;
    if (s->type == SCHEMA_STRING) return text_max(s);
    if (s->type == SCHEMA_ARRAY) {
        uint64_t one = (s->items ? bytes_min(s->items) : 1) + 1;
        return bounded(l ? l->max_items : -1, (CEL_REQUEST_BYTES_MAX - 2) / one);
    }
    if (s->type == SCHEMA_OBJECT && s->additional) {
        uint64_t one = bytes_min(s->additional) + 6;
        return bounded(l ? l->max_properties : -1, (CEL_REQUEST_BYTES_MAX - 2) / one);
    }
    return 0;
}

double rules_places_max(const struct schema *s) {
    return CEL_REQUEST_BYTES_MAX / (double)(bytes_min(s) + 1);
}

const char *rules_cost_text(struct arena *a, const char *name, double cost, double max) {
    double factor = cost / max;
    const char *times = factor > 100   ? "more than 100x"
                        : factor < 1.5 ? arena_printf(a, "%fx", factor)
                                       : arena_printf(a, "%.1fx", factor);
    return arena_printf(a,
                        "%s exceeds budget by factor of %s (try simplifying the rule, or adding "
                        "maxItems, maxProperties, and maxLength where arrays, maps, and strings "
                        "are declared)",
                        name, times);
}
