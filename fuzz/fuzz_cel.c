/* Expression and document, divided by a NUL or a lone line "---": what compiles can be evaluated,
 * within its budget, and the result written. */
#include <string.h>

#include "api/registry.h"
#include "base/own.h"
#include "cel/cel.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    const char *text = arena_strn(a, slice_from(data, size)), *cut = strstr(text, "\n---\n");
    const char *document = cut ? cut + 5 : "{\"spec\":{\"a\":[1,\"b\",null]}}";
    const struct api_kind *pod = api_kind_by_name("", "v1", "Pod");
    const struct cel_type *types[] = {cel_type(CEL_DYN), cel_api_type(a, pod->type)};
    const char *problem = NULL;
    const char *source = arena_strn(a, slice_from(text, cut ? (size_t)(cut - text) : strlen(text)));
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct cel_env *env = cel_env_new(a);
        struct cel_program *p = NULL;
        cel_declare(env, "self", types[i]);
        cel_declare(env, "authorizer", cel_type(CEL_AUTHORIZER));
        if (cel_compile(a, env, source, &p, &problem) < 0) {
            FUZZ_ASSERT(problem && *problem);
            continue;
        }
        struct cel_check request = {.group = "", .resource = "pods", .ns = "", .name = ""};
        struct cel_value vars[] = {cel_json(a, types[i], slice_of(document)),
                                   cel_authorizer(a, &request)};
        struct cel_run run = {.a = a, .vars = vars, .n_vars = 2, .budget = 20000};
        struct cel_value v;
        if (cel_eval(p, &run, &v, &problem) == 0)
            cel_encode(&b, v);
        else
            FUZZ_ASSERT(problem && *problem);
    }
    return 0;
}
