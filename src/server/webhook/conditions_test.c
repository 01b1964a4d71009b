#include "base/test.h"

#include "base/own.h"
#include "server/webhook/hooks.h"

static struct webhook_conditions *compiled(struct arena *a, const char *expression,
                                           const char **ret_problem) {
    struct admissionregistration_v1_match_condition_list list = {0};
    struct admissionregistration_v1_match_condition one = {.name = "c", .expression = expression};
    *ARENA_PUSH(a, &list) = one;
    return webhook_conditions_new(a, &list, ret_problem);
}

TEST(conditions_of_a_webhook_know_the_fields_of_the_request) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const char *const good[] = {"request.kind.group == 'apps'", "request.dryRun",
                                       "'system:nodes' in request.userInfo.groups",
                                       "request.options.anything == 1"};
    static const char *const bad[] = {"request.nothing == 'x'", "request.kind.plural == 'x'",
                                      "request.operation == 1"};
    const char *problem = NULL;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) assert_non_null(compiled(a, good[i], &problem));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        problem = NULL;
        assert_null(compiled(a, bad[i], &problem));
        assert_true(str_starts(problem, "matchConditions[0].expression: compilation failed:"));
    }
}
