/* Pattern and text, divided by a line break: what compiles runs, and search and find agree. */
#include <string.h>

#include "base/own.h"
#include "base/regex.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *cut = size ? memchr(data, '\n', size) : NULL;
    size_t pattern_n = cut ? (size_t)(cut - (const char *)data) : size;
    struct slice pattern = slice_from(data, pattern_n);
    struct slice text = cut ? slice_from(cut + 1, size - pattern_n - 1) : SLICE("");
    struct regex *re = NULL;
    struct err err = {0};
    size_t begin = 0, end = 0;
    if (regex_compile(a, pattern, &re, &err) < 0) {
        FUZZ_ASSERT(err.reason != ERR_NONE);
        return 0;
    }
    bool found = regex_find(re, text, 0, &begin, &end);
    FUZZ_ASSERT(found == regex_matches(re, text));
    FUZZ_ASSERT(!found || (begin <= end && end <= text.n));
    return 0;
}
