#include "api/kinds/data.h"

#include <string.h>

#define IMMUTABLE_MESSAGE "field is immutable when `immutable` is set"

size_t data_bytes(const struct str_map *data, bool base64) {
    size_t n = 0;
    for (size_t i = 0; i < data->n; i++) {
        size_t length = data->v[i].value ? strlen(data->v[i].value) : 0;
        n += base64 ? length / 4 * 3 : length;
    }
    return n;
}

void immutable_validate(const bool *immutable, struct api_causes *causes) {
    if (!immutable || !*immutable) cause_forbidden(causes, "immutable", IMMUTABLE_MESSAGE);
}

void data_unchanged_validate(const struct str_map *data, const struct str_map *old,
                             const char *field, struct api_causes *causes) {
    bool same = data->n == old->n;
    for (size_t i = 0; i < data->n && same; i++)
        same = str_eq(data->v[i].key, old->v[i].key) && str_eq(data->v[i].value, old->v[i].value);
    if (!same) cause_forbidden(causes, field, IMMUTABLE_MESSAGE);
}
