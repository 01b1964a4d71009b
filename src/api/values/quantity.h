/* Quantities (apimachinery resource.Quantity): "100m", "1.5Gi", "2e3". Exact to nano; values
 * saturate at INT64. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

/* Canonical text in the arena, or NULL when s is no quantity. Keeps the family of suffix as
 * upstream does, but for binary ones that are no whole Ki: what has been stored has to be the same
 * when it is read and written again, or it would count as a change. */
const char *quantity_canonical(struct arena *a, const char *s);
bool quantity_valid(const char *s);
int64_t quantity_value(const char *s); /* rounded up to whole units; NULL or "" gives 0 */
int64_t quantity_milli(const char *s); /* rounded up to thousandths */
int quantity_cmp(const char *x, const char *y);
const char *quantity_from_milli(struct arena *a, int64_t milli); /* decimal SI: 250m, 2 */
const char *quantity_from_bytes(struct arena *a, int64_t bytes); /* binary SI where exact: 128Mi */

/* For sums: a parsed quantity in nano units, with the family of suffix it is written with. */
enum quantity_format { FORMAT_DECIMAL_SI, FORMAT_BINARY_SI, FORMAT_DECIMAL_EXPONENT };
struct quantity {
    __int128 nanos;
    enum quantity_format format;
};
bool quantity_parse(const char *s, struct quantity *q);               /* false: it is none */
const char *quantity_text(struct arena *a, const struct quantity *q); /* canonical */
/* to += q; a zero takes over q's family of suffix, as upstream does. */
void quantity_add(struct quantity *to, const struct quantity *q);
