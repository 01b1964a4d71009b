/* Label selectors and field selectors; one that parses must be able to match. */
#include "api/values/selector.h"
#include "base/own.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct str_pair pairs[] = {{"app", "web"}, {"n", "5"}};
    static const struct str_map labels = {pairs, 2};
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *text = arena_strn(a, slice_from(data, size));
    struct selector *s = NULL;
    struct field_terms terms = {0};
    struct err err = {0};
    if (selector_parse(a, text, &s, &err) == 0) {
        bool matches = selector_matches(s, &labels);
        FUZZ_ASSERT(!selector_empty(s) || matches);
    } else
        FUZZ_ASSERT(err.reason != ERR_NONE);
    if (field_selector_parse(a, text, &terms, &err) == 0)
        for (size_t i = 0; i < terms.n; i++) FUZZ_ASSERT(terms.v[i].path && terms.v[i].value);
    return 0;
}
