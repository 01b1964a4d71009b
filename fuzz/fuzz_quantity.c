/* Any text: parsing must not fail badly, and the canonical form must be a fixed point. */
#include <stdlib.h>
#include <string.h>

#include "api/values/quantity.h"
#include "base/own.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *text = arena_strn(a, slice_from(data, size));
    const char *canonical = quantity_canonical(a, text);
    if (!canonical) {
        FUZZ_ASSERT(!quantity_valid(text));
        return 0;
    }
    const char *again = quantity_canonical(a, canonical);
    FUZZ_ASSERT(again && strcmp(again, canonical) == 0);
    FUZZ_ASSERT(quantity_cmp(text, canonical) == 0);
    FUZZ_ASSERT(quantity_value(text) == quantity_value(canonical));
    FUZZ_ASSERT(quantity_milli(text) == quantity_milli(canonical));
    return 0;
}
