#include "base/own.h"
#include "base/test.h"
#include "cel/cel.h"

/* names: 100 texts of at most 1000 bytes; free: a list without a bound. */
static double cost(struct arena *a, const char *expression) {
    struct cel_env *env = cel_env_new(a);
    struct cel_program *p = NULL;
    const char *problem = "";
    struct cel_type *text = ARENA_NEW(a, struct cel_type);
    *text = (struct cel_type){.kind = CEL_STRING, .size_max = 1000};
    struct cel_type *names = cel_list_type(a, text);
    names->size_max = 100;
    cel_declare(env, "name", text);
    cel_declare(env, "names", names);
    cel_declare(env, "any", cel_type(CEL_DYN));
    if (cel_compile(a, env, expression, &p, &problem) < 0) fail_msg("%s", problem);
    return cel_cost_estimate(p);
}

TEST(cel_cost_grows_with_what_the_types_allow) {
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_true(cost(a, "name == 'x'") < 5);
    assert_true(cost(a, "name == names[0]") >= 100);
    double once = cost(a, "names.all(n, n != '')");
    assert_true(once >= 100 * 3 && once < 100 * 20);
    double twice = cost(a, "names.all(n, names.exists_one(m, m == 'x'))");
    assert_true(twice >= once * 50);
    assert_true(cost(a, "names.all(n, names.exists_one(m, m == n))") >= 100 * 100 * 100);
    assert_true(cost(a, "any.all(x, x == 1)") > 1000000);
    assert_true(cost(a, "names.map(n, n + 'x').all(n, n != '')") > 2 * once);
    assert_true(cost(a, "name.matches('^[a-z]{1,63}$')") >= 100);
    assert_true(cost(a, "name.split(',').all(p, p != '')") >= 1000 * 3);
    assert_true(cost(a, "true ? name == 'x' : names.all(n, n != '')") >= once);
}
