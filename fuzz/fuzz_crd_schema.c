/* First line: the schema of a definition; the rest: an object. What the schema's check lets through
 * must build; an object that was pruned and completed is so when it comes again. */
#include "api/custom/custom.h"
#include "base/own.h"
#include "fuzz/fuzz.h"

static void walk_object(struct arena *a, const struct schema *s, struct slice text) {
    struct value v;
    struct api_causes causes = {.a = a};
    struct str_list unknown = {0};
    OWN(buf_done) struct buf once = {0}, twice = {0};
    if (value_parse(a, text, "", &unknown, &v, NULL) < 0) return;
    schema_prune(a, s, true, &v, "", &unknown);
    schema_default(a, s, &v);
    value_encode(&once, &v);
    schema_validate_kubernetes(s, &v, "", &causes);
    schema_validate(s, &v, "", &causes);
    FUZZ_ASSERT(value_parse(a, buf_view(&once), "", NULL, &v, NULL) == 0);
    schema_prune(a, s, true, &v, "", NULL);
    value_encode(&twice, &v);
    FUZZ_ASSERT(slice_eq(buf_view(&once), buf_view(&twice)) || s->flags & SCHEMA_HAS_DEFAULTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct slice rest = slice_from(data, size), line = {0};
    struct value document;
    struct schema *s = NULL;
    struct jsonpath *path;
    struct err err = {0};
    struct api_causes causes = {.a = a};
    slice_cut(&rest, '\n', &line);
    const char *text = arena_strn(a, line);
    if (jsonpath_parse(a, text, &path, &err) == 0 && rest.p &&
        value_parse(a, rest, "", NULL, &document, NULL) == 0)
        jsonpath_first(path, &document);
    if (value_parse(a, line, "", NULL, &document, &err) < 0) return 0;
    bool builds = schema_build(a, &document, &s, &err) == 0;
    schema_check(&document, builds ? s : NULL, true, "schema", &causes);
    FUZZ_ASSERT(builds || causes.n || err.reason != ERR_NONE);
    if (builds && rest.p) walk_object(a, s, rest);
    return 0;
}
