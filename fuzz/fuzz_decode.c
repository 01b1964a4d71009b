/* Any text through any type: decode, default, validate, copy, encode. What was encoded decodes to
 * the same again. The first byte chooses the type. */
#include <stdlib.h>

#include "api/table.h"
#include "base/own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    const struct api_type *t = api_type_table[data[0] % api_type_table_n];
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf first = {0}, second = {0};
    struct str_list warnings = {0};
    const struct api_decode_opts opts = {.unknown = API_UNKNOWN_WARN, .warnings = &warnings};
    struct api_causes causes = {.a = a};
    void *obj, *again;
    struct err err;
    if (api_decode(a, t, slice_from(data + 1, size - 1), &opts, &obj, &err) < 0) return 0;
    api_default(a, t, obj);
    api_validate(t, obj, obj, "", &causes);
    api_encode(&first, t, obj);
    if (api_decode(a, t, buf_view(&first), NULL, &again, &err) < 0) abort();
    api_encode(&second, t, again);
    if (!slice_eq(buf_view(&first), buf_view(&second))) abort();
    if (!api_equal(t, again, api_copy(a, t, again))) abort();
    return 0;
}
