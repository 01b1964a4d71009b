/* What ConfigMap and Secret have in common. */
#pragma once

#include "api/kinds/kinds.h"

enum { DATA_BYTES_MAX = 1024 * 1024 }; /* upstream's MaxSecretSize */

/* Bytes of all values; base64 text counts as what it stands for. */
size_t data_bytes(const struct str_map *data, bool base64);
/* The immutable flag of an object that had it: it stays. */
void immutable_validate(const bool *immutable, struct api_causes *causes);
void data_unchanged_validate(const struct str_map *data, const struct str_map *old,
                             const char *field, struct api_causes *causes);
