/* The language: literals, operators, macros, types, errors, limits. */
#include "base/own.h"
#include "base/test.h"
#include "cel/fixture.h"

#define CASES(...)                                                                                 \
    do {                                                                                           \
        static const struct cel_case cases[] = {__VA_ARGS__};                                      \
        cel_cases(cases, ARRAY_LEN(cases), NULL);                                                  \
    } while (0)
#define WRONG(...)                                                                                 \
    do {                                                                                           \
        static const struct cel_case cases[] = {__VA_ARGS__};                                      \
        cel_wrong_cases(cases, ARRAY_LEN(cases));                                                  \
    } while (0)

TEST(cel_literals) {
    CASES({"1", "1"}, {"-1", "-1"}, {"0x1F", "31"}, {"-0x10", "-16"}, {"1u", "1"}, {"0xFFu", "255"},
          {"9223372036854775807", "9223372036854775807"},
          {"-9223372036854775808", "-9223372036854775808"},
          {"18446744073709551615u", "18446744073709551615"}, {"1.5", "1.5"}, {".5", "0.5"},
          {"1e3", "1000"}, {"-2.5e-3", "-0.0025"}, {"true", "true"}, {"null", "null"},
          {"'a'", "\"a\""}, {"\"a'b\"", "\"a'b\""}, {"'''a\nb'''", "\"a\\nb\""},
          {"\"\"\"a\"b\"\"\"", "\"a\\\"b\""}, {"r'a\\n'", "\"a\\\\n\""}, {"'a\\n'", "\"a\\n\""},
          {"'\\x41\\u00e4\\U0001F600\\101'", "\"Aä😀A\""},
          {"'\\\\ \\' \\\" \\`'", "\"\\\\ ' \\\" `\""}, {"b'abc'", "\"YWJj\""},
          {"b'\\xff\\000'", "\"/wA=\""}, {"br'\\n'", "\"XG4=\""}, {"[]", "[]"},
          {"[1, 2,]", "[1,2]"}, {"{}", "{}"}, {"{'a': 1, 'b': 2}", "{\"a\":1,\"b\":2}"},
          {"{1: 'x', 2: 'y'}[2]", "\"y\""}, {"{true: 1}[true]", "1"}, {"1 // comment\n + 2", "3"});
    WRONG({"9223372036854775808", NULL, "invalid int literal"},
          {"1 +", NULL, "Syntax error: mismatched input '<EOF>'"}, {"'a", NULL, "Syntax error"},
          {"'\\q'", NULL, "escape"}, {"'\\ud800'", NULL, "escape"}, {"0x", NULL, "Syntax error"},
          {"1 2", NULL, "Syntax error: extraneous input '2'"}, {"[1", NULL, "Syntax error"},
          {"{1", NULL, "Syntax error"}, {"", NULL, "mismatched input '<EOF>'"},
          {"for", NULL, "reserved identifier: for"}, {"a.b{c: 1}", NULL, "Syntax error"},
          {"#", NULL, "token recognition error at: '#'"},
          {"[1, 'a']", NULL, "expected type 'int' but found 'string'"},
          {"18446744073709551616u", NULL, "invalid uint literal"}, {"(1", NULL, "expecting ')'"});
}

TEST(cel_arithmetic) {
    CASES({"1 + 2 * 3", "7"}, {"(1 + 2) * 3", "9"}, {"7 / 2", "3"}, {"-7 / 2", "-3"},
          {"7 % 3", "1"}, {"-7 % 3", "-1"}, {"7.0 / 2.0", "3.5"}, {"1u + 2u", "3"},
          {"5 - 2 - 1", "2"}, {"-n", "-7"}, {"--n", "7"}, {"-(-n)", "7"}, {"'a' + 'b'", "\"ab\""},
          {"b'a' + b'b'", "\"YWI=\""}, {"[1] + [2, 3]", "[1,2,3]"},
          {"9223372036854775807 + 1", NULL, "integer overflow"},
          {"-9223372036854775808 - 1", NULL, "integer overflow"},
          {"9223372036854775807 * 2", NULL, "integer overflow"},
          {"-(-9223372036854775808)", NULL, "integer overflow"},
          {"-9223372036854775808 / -1", NULL, "integer overflow"},
          {"0u - 1u", NULL, "unsigned integer overflow"},
          {"18446744073709551615u + 1u", NULL, "unsigned integer overflow"},
          {"1 / 0", NULL, "division by zero"}, {"1 % 0", NULL, "modulus by zero"},
          {"1u / 0u", NULL, "division by zero"}, {"1.0 / 0.0 > 1e300", "true"});
}

TEST(cel_relations) {
    CASES({"1 < 2", "true"}, {"2 <= 2", "true"}, {"1 > 2", "false"}, {"2 >= 3", "false"},
          {"1 == 1", "true"}, {"1 != 1", "false"}, {"'a' < 'b'", "true"}, {"'abc' < 'abd'", "true"},
          {"1.5 < 2", "true"}, {"1u < 2", "true"}, {"-1 < 1u", "true"}, {"2 > 1.5", "true"},
          {"dyn(1) == dyn(1.0)", "true"}, {"dyn(1) == dyn(1u)", "true"},
          {"dyn(1) == dyn('1')", "false"},
          {"dyn(9007199254740993) == dyn(9007199254740992.0)", "false"},
          {"9223372036854775807 < 9223372036854775808.0", "true"}, {"[1, 2] == [1, 2]", "true"},
          {"[1, 2] == [2, 1]", "false"}, {"{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", "true"},
          {"{'a': 1} == {'a': 2}", "false"}, {"dyn([1.0]) == dyn([1])", "true"},
          {"null == null", "true"}, {"false < true", "true"}, {"b'a' < b'b'", "true"},
          {"1 in [1, 2]", "true"}, {"3 in [1, 2]", "false"}, {"'a' in {'a': 1}", "true"},
          {"'b' in {'a': 1}", "false"}, {"!(1 in [])", "true"}, {"dyn(1.0) in [1]", "true"},
          {"0.0 == -0.0", "true"}, {"double('NaN') == double('NaN')", "false"},
          {"double('NaN') < 1.0", "false"});
    WRONG({"1 == 'a'", NULL, "found no matching overload for '_==_' applied to '(int, string)'"},
          {"1 + 'a'", NULL, "found no matching overload for '_+_' applied to '(int, string)'"},
          {"1 + 1u", NULL, "found no matching overload for '_+_' applied to '(int, uint)'"},
          {"'a' < 1", NULL, "found no matching overload for '_<_' applied to '(string, int)'"},
          {"!1", NULL, "found no matching overload for '!_' applied to '(int)'"},
          {"-'a'", NULL, "found no matching overload for '-_' applied to '(string)'"},
          {"1 in ['a']", NULL,
           "found no matching overload for '@in' applied to '(int, list(string))'"},
          {"[1] + ['a']", NULL, "applied to '(list(int), list(string))'"},
          {"n == null", NULL, "applied to '(int, null)'"});
}

TEST(cel_logic) {
    CASES({"true && false", "false"}, {"true || false", "true"}, {"!true", "false"},
          {"true && true && false", "false"}, {"false || false || true", "true"},
          {"true || false && false", "true"}, {"n > 1 ? 'a' : 'b'", "\"a\""},
          {"false ? 1 : true ? 2 : 3", "2"},
          /* Errors do not count where the other side decides. */
          {"1 / 0 > 0 || true", "true"}, {"true || 1 / 0 > 0", "true"},
          {"1 / 0 > 0 && false", "false"}, {"false && 1 / 0 > 0", "false"},
          {"1 / 0 > 0 && true", NULL, "division by zero"},
          {"1 / 0 > 0 || false", NULL, "division by zero"}, {"false ? 1 / 0 : 1", "1"},
          {"true ? 1 / 0 : 1", NULL, "division by zero"}, {"self.none2 == 1 || true", "true"},
          {"self.name || true", "true"}, {"self.name || false", NULL, "no such overload"},
          {"self.on && self.replicas", NULL, "no such overload"});
    WRONG(
        {"1 && true", NULL, "found no matching overload for '_&&_' applied to '(int, bool)'"},
        {"true || 'a'", NULL, "found no matching overload for '_||_' applied to '(bool, string)'"},
        {"1 ? 2 : 3", NULL, "found no matching overload for '_?_:_' applied to '(int, int, int)'"},
        {"true ? 1 : 'a'", NULL, "'(bool, int, string)'"});
}

TEST(cel_documents) {
    CASES({"self.name", "\"web\""}, {"self.replicas", "3"}, {"self.weight", "0.5"},
          {"self.replicas + 1", "4"}, {"self.on", "true"}, {"self.none", "null"},
          {"self.labels.app", "\"web\""}, {"self.labels['tier']", "\"front\""},
          {"self['a-b']", "1"}, {"self.ports[1]", "443"}, {"self.items[1].name", "\"b\""},
          {"self.items[2].size", NULL, "no such key: size"},
          {"self.missing", NULL, "no such key: missing"},
          {"self.ports[2]", NULL, "index out of bounds: 2"},
          {"self.ports[-1]", NULL, "index out of bounds: -1"}, {"has(self.name)", "true"},
          {"has(self.missing)", "false"}, {"has(self.none)", "true"},
          {"has(self.labels.app)", "true"}, {"has(self.missing.x)", NULL, "no such key: missing"},
          {"self.text", "\"aä\\n\\\"q\\\"\""}, {"size(self.labels)", "2"}, {"size(self.list)", "0"},
          {"self.large == 9007199254740993", "true"}, {"self.nested.deep.er[1][1][0]", "3"},
          {"self.labels", "{\"app\":\"web\",\"tier\":\"front\"}"}, {"'app' in self.labels", "true"},
          {"80 in self.ports", "true"}, {"self.labels == {'tier': 'front', 'app': 'web'}", "true"},
          {"self.name.foo", NULL, "no such overload"}, {"self.name[0]", NULL, "no such overload"},
          {"self.name.startsWith('w')", "true"},
          {"self.replicas.startsWith('w')", NULL, "no such overload"}, {"self == self", "true"},
          {"self.empty == {}", "true"});
}

TEST(cel_typed_objects) {
    CASES({"pod.metadata.name", "\"p\""}, {"pod.metadata.labels['app']", "\"web\""},
          {"pod.metadata.creationTimestamp < timestamp('2025-01-01T00:00:00Z')", "true"},
          {"pod.metadata.creationTimestamp.getFullYear()", "2024"},
          {"pod.spec.containers.all(c, c.image.startsWith('registry.example/'))", "true"},
          {"pod.spec.containers[0].ports[0].containerPort", "80"},
          {"has(pod.spec.containers[0].securityContext.runAsNonRoot)", "false"},
          {"pod.spec.hostNetwork", "false"}, {"pod.metadata.__namespace__", "\"ns\""},
          {"pod.metadata.namespace", "\"ns\""},
          {"pod.spec.nodeName", NULL, "no such key: nodeName"},
          {"has(pod.spec) && pod.spec != null", "true"},
          {"pod.spec.containers.filter(c, has(c.securityContext)).size()", "1"});
    WRONG({"pod.foo", NULL, "ERROR: <input>:1:4: undefined field 'foo'\n | pod.foo\n | ...^"},
          {"pod.spec.containers.name", NULL,
           "type 'list(io.k8s.api.core.v1.Container)' does not support field selection"},
          {"pod.spec.containers[0].imgae", NULL, "undefined field 'imgae'"},
          {"has(pod.spec.hostnet)", NULL, "undefined field 'hostnet'"},
          {"pod.metadata.name + 1", NULL, "'_+_' applied to '(string, int)'"},
          {"pod.spec.containers.all(c, c.name)", NULL,
           "found no matching overload for '_&&_' applied to '(bool, string)'"},
          {"pod.metadata.labels.app == 1", NULL, "'(string, int)'"},
          {"n.foo", NULL, "type 'int' does not support field selection"});
}

TEST(cel_macros) {
    CASES({"[1, 2, 3].all(x, x > 0)", "true"}, {"[1, 2, 3].all(x, x > 1)", "false"},
          {"[].all(x, x > 0)", "true"}, {"[1, 2, 3].exists(x, x == 2)", "true"},
          {"[].exists(x, true)", "false"}, {"[1, 2, 2].exists_one(x, x == 2)", "false"},
          {"[1, 2, 3].exists_one(x, x == 2)", "true"}, {"[1, 2, 3].map(x, x * 2)", "[2,4,6]"},
          {"[1, 2, 3].map(x, x > 1, x * 2)", "[4,6]"}, {"[1, 2, 3].filter(x, x % 2 == 1)", "[1,3]"},
          {"{'a': 1, 'b': 2}.all(k, k < 'c')", "true"}, {"{'a': 1}.map(k, k + '!')", "[\"a!\"]"},
          {"{'a': 1, 'b': 2}.filter(k, k == 'b')", "[\"b\"]"},
          {"self.items.map(i, i.name)", "[\"a\",\"b\",\"c\"]"},
          {"self.labels.exists(k, self.labels[k] == 'front')", "true"},
          {"[[1, 2], [3]].map(l, l.map(x, x + n))", "[[8,9],[10]]"},
          {"[1].map(x, [2].map(x, x))", "[[2]]"}, {"[1, 2].all(i, v, i < v)", "true"},
          {"{'a': 'a'}.exists(k, v, k == v)", "true"},
          {"[5, 6].transformList(i, v, i * v)", "[0,6]"},
          {"[5, 6].transformList(i, v, i > 0, v)", "[6]"},
          {"{'a': 1, 'b': 2}.transformMap(k, v, v * 10)", "{\"a\":10,\"b\":20}"},
          {"cel.bind(x, n * 2, x + x)", "28"},
          {"cel.bind(x, [1, 2], cel.bind(y, x.size(), x.all(z, z <= y)))", "true"},
          /* An error counts only where nothing decides. */
          {"[1, 0].all(x, 1 / x > 5)", "false"}, {"[0, 1].exists(x, 1 / x == 1)", "true"},
          {"[0, 1].all(x, 1 / x == 1)", NULL, "division by zero"},
          {"[0].exists_one(x, 1 / x == 1)", NULL, "division by zero"},
          {"[0].map(x, 1 / x)", NULL, "division by zero"},
          {"self.name.all(x, true)", NULL, "no such overload"});
    WRONG({"n.all(x, true)", NULL,
           "expression of type 'int' cannot be range of a comprehension (must be list, map, or "
           "dynamic)"},
          {"[1].all(x, 1)", NULL, "'_&&_' applied to '(bool, int)'"},
          {"[1].filter(x, 'a')", NULL, "'_?_:_'"},
          {"[1].all(1, true)", NULL, "argument must be a simple name"},
          {"[1].all(x, y)", NULL, "undeclared reference to 'y' (in container '')"},
          {"[1].map(x, x) + x", NULL, "undeclared reference to 'x'"},
          {"has(n)", NULL, "invalid argument to has() macro"},
          {"has(1 + 1)", NULL, "invalid argument to has() macro"});
}

TEST(cel_optionals) {
    CASES({"self.?name.orValue('x')", "\"web\""}, {"self.?missing.orValue('x')", "\"x\""},
          {"self.?missing.deeper.orValue(1)", "1"}, {"self.?labels.app.value()", "\"web\""},
          {"self.?missing.hasValue()", "false"}, {"self.?name.hasValue()", "true"},
          {"self.labels[?'app'].orValue('')", "\"web\""},
          {"self.labels[?'x'].orValue('y')", "\"y\""}, {"[1, 2][?5].orValue(9)", "9"},
          {"optional.of(1).value()", "1"}, {"optional.none().hasValue()", "false"},
          {"optional.ofNonZeroValue('').hasValue()", "false"},
          {"optional.ofNonZeroValue(0).orValue(5)", "5"},
          {"optional.ofNonZeroValue(3).orValue(5)", "3"},
          {"optional.none().or(optional.of(2)).value()", "2"},
          {"optional.of(2).optMap(x, x * 2).value()", "4"},
          {"optional.of(2).optFlatMap(x, x > 5 ? optional.of(x) : optional.none()).hasValue()",
           "false"},
          {"self.?labels.app.optMap(x, x + '!').orValue('')", "\"web!\""},
          {"[?self.?missing, ?self.?name]", "[\"web\"]"},
          {"{?'a': self.?missing, ?'b': self.?name}", "{\"b\":\"web\"}"},
          {"optional.of(1) == optional.of(1)", "true"},
          {"optional.none() == optional.of(1)", "false"}, {"has(self.?labels.app)", "true"},
          {"has(self.?missing.app)", "false"}, {"self.?missing[?0].hasValue()", "false"},
          {"self.?ports[0].value()", "80"}, {"pod.?spec.?nodeName.orValue('none')", "\"none\""},
          {"optional.none().value()", NULL, "optional.none() dereference"},
          {"self.?name.orValue(1 == 1 ? 'b' : 'c')", "\"web\""});
    WRONG({"n.optMap(x, x)", NULL, "found no matching overload for 'optMap'"},
          {"pod.?nothing", NULL, "undefined field 'nothing'"},
          {"[?1]", NULL, "expected type 'optional_type' but found 'int'"});
}

TEST(cel_types_and_conversions) {
    CASES({"type(1) == int", "true"}, {"type('a') == string", "true"}, {"type({}) == map", "true"},
          {"type(1.0) != int", "true"}, {"type(null) == null_type", "true"},
          {"type(type(1)) == type", "true"}, {"type(self.name) == string", "true"},
          {"type(timestamp(0)) == google.protobuf.Timestamp", "true"}, {"int('42')", "42"},
          {"int(3.9)", "3"}, {"int(-3.9)", "-3"}, {"int(5u)", "5"}, {"uint(5)", "5"},
          {"double(1)", "1"}, {"double('1.5')", "1.5"}, {"string(1)", "\"1\""},
          {"string(1.5)", "\"1.5\""}, {"string(true)", "\"true\""}, {"string(b'abc')", "\"abc\""},
          {"string(1e100)", "\"1e+100\""}, {"string(0.1)", "\"0.1\""},
          {"string(100000.0)", "\"100000\""}, {"string(duration('1h'))", "\"3600s\""},
          {"string(duration('-1.5s'))", "\"-1.5s\""},
          {"string(timestamp('2024-02-29T12:00:00.5+01:00'))", "\"2024-02-29T11:00:00.5Z\""},
          {"bytes('a')", "\"YQ==\""}, {"bool('true')", "true"},
          {"bool('x')", NULL, "type conversion error"}, {"int('x')", NULL, "type conversion error"},
          {"uint(-1)", NULL, "unsigned integer overflow"}, {"int(1e30)", NULL, "integer overflow"},
          {"int(18446744073709551615u)", NULL, "integer overflow"},
          {"string(b'\\xff')", NULL, "invalid UTF-8"},
          {"int(timestamp('1970-01-01T00:01:00Z'))", "60"}, {"size('äb')", "2"},
          {"size(b'\\xc3\\xa4')", "2"}, {"'abc'.size()", "3"}, {"[1, 2].size()", "2"},
          {"dyn('a') + 'b'", "\"ab\""}, {"dyn(1) + 'b'", NULL, "no such overload"},
          {"[dyn(1), 'a']", "[1,\"a\"]"});
    WRONG(
        {"foo", NULL,
         "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo\n | ^"},
        {"foo(1)", NULL, "undeclared reference to 'foo'"},
        {"n.foo()", NULL, "undeclared reference to 'foo'"},
        {"size(1)", NULL, "found no matching overload for 'size' applied to '(int)'"},
        {"s.contains(1)", NULL,
         "found no matching overload for 'contains' applied to 'string.(int)'"},
        {"s.size(1)", NULL, "applied to 'string.(int)'"}, {"int([])", NULL, "applied to '(list("},
        {"n.matches('a')", NULL, "applied to 'int.(string)'"},
        {"s.matches('[')", NULL, "missing closing ]"},
        {"1 +\n  foo", NULL,
         "ERROR: <input>:2:3: undeclared reference to 'foo' (in container '')\n |   foo\n | ..^"});
}

TEST(cel_times) {
    CASES({"timestamp('2024-01-31T00:00:00Z') + duration('24h')", "\"2024-02-01T00:00:00Z\""},
          {"timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z')", "\"86400s\""},
          {"timestamp('2024-01-01T00:00:00Z') - duration('1ns')",
           "\"2023-12-31T23:59:59.999999999Z\""},
          {"duration('1h') + duration('30m') == duration('90m')", "true"},
          {"duration('1h') > duration('59m59s')", "true"}, {"duration('1.5h').getMinutes()", "90"},
          {"duration('-90s').getMinutes()", "-1"}, {"duration('1500ms').getMilliseconds()", "1500"},
          {"timestamp('2024-02-29T23:30:15.123Z').getMonth()", "1"},
          {"timestamp('2024-02-29T23:30:15.123Z').getDate()", "29"},
          {"timestamp('2024-02-29T23:30:15.123Z').getDayOfMonth()", "28"},
          {"timestamp('2024-02-29T23:30:15.123Z').getDayOfWeek()", "4"},
          {"timestamp('2024-02-29T23:30:15.123Z').getDayOfYear()", "59"},
          {"timestamp('2024-02-29T23:30:15.123Z').getHours()", "23"},
          {"timestamp('2024-02-29T23:30:15.123Z').getHours('+02:00')", "1"},
          {"timestamp('2024-02-29T23:30:15.123Z').getDate('-05:00')", "29"},
          {"timestamp('2024-02-29T23:30:15.123Z').getSeconds()", "15"},
          {"timestamp('2024-02-29T23:30:15.123Z').getMilliseconds()", "123"},
          {"timestamp('2024-02-30T00:00:00Z')", NULL, "type conversion error"},
          {"timestamp('yesterday')", NULL, "type conversion error"},
          {"duration('1 hour')", NULL, "type conversion error"},
          {"timestamp('9999-12-31T23:59:59Z') + duration('1s')", NULL, "timestamp overflow"});
}

/* ---- limits ---- */

static uint64_t spent(const char *expression, bool *exhausted) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct cel_env *env = cel_env_new(a);
    struct cel_program *p = NULL;
    const char *problem = "";
    struct cel_value v;
    struct cel_run run = {.a = a, .budget = CEL_COST_PER_CALL};
    if (cel_compile(a, env, expression, &p, &problem) < 0) fail_msg("%s", problem);
    int rc = cel_eval(p, &run, &v, &problem);
    if (run.exhausted) assert_string_equal(problem, CEL_OUT_OF_BUDGET);
    assert_true(!run.exhausted || rc < 0);
    *exhausted = run.exhausted;
    return CEL_COST_PER_CALL - run.budget;
}

TEST(cel_evaluation_costs_and_ends_with_the_budget) {
    bool exhausted;
    assert_true(spent("1 + 1", &exhausted) >= 1 && !exhausted);
    assert_true(spent("lists.range(1000).all(x, x >= 0)", &exhausted) > 3000 && !exhausted);
    spent("lists.range(1000).all(x, lists.range(1000).all(y, x + y >= 0))", &exhausted);
    assert_true(exhausted);
    /* Nor do && and || pass over it. */
    spent("lists.range(1000).all(x, lists.range(1000).all(y, x + y >= 0)) || true", &exhausted);
    assert_true(exhausted);
    spent("cel.bind(a, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', lists.range(60).map(i, "
          "lists.range(1000).map(j, a.replace('x', a).replace('x', a)))).size()",
          &exhausted);
    assert_true(exhausted);
}

TEST(cel_one_expression_never_uses_the_budget_of_all) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct cel_program *p = NULL;
    const char *problem = "";
    struct cel_value v;
    struct cel_run run = {.a = a, .budget = 3 * CEL_COST_PER_CALL};
    assert_int_equal(cel_compile(a, cel_env_new(a),
                                 "lists.range(1000).all(x, lists.range(1000).all(y, x + y >= 0))",
                                 &p, &problem),
                     0);
    assert_int_not_equal(cel_eval(p, &run, &v, &problem), 0);
    assert_true(run.exhausted);
    assert_int_equal(run.budget, 2 * CEL_COST_PER_CALL);
}

TEST(cel_doubling_ends_with_the_budget) {
    OWN(buf_done) struct buf b = {0};
    bool exhausted;
    buf_str(&b, "cel.bind(a0, [1, 2, 3, 4], ");
    for (int i = 1; i < 40; i++) buf_printf(&b, "cel.bind(a%d, a%d + a%d, ", i, i - 1, i - 1);
    buf_str(&b, "a39.size()");
    for (int i = 0; i < 40; i++) buf_char(&b, ')');
    spent(b.p, &exhausted);
    assert_true(exhausted);
}

static void nested(const char *open, const char *middle, const char *close, size_t n) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct cel_program *p = NULL;
    const char *problem = "";
    for (size_t i = 0; i < n; i++) buf_str(&b, open);
    buf_str(&b, middle);
    for (size_t i = 0; i < n; i++) buf_str(&b, close);
    assert_int_not_equal(cel_compile(a, cel_fixture_env(a), b.p, &p, &problem), 0);
    assert_non_null(strstr(problem, "limit"));
}

TEST(cel_compiles_only_so_much) {
    nested("(", "1", ")", 1000);
    nested("[", "1", "]", 1000);
    nested("!", "true", "", 1000);
    nested("", "self", ".a", 1000);
    nested("1 + ", "1", "", 1000);
    nested("true ? 1 : ", "1", "", 500);
    nested("'0123456789' + ", "''", "", 2000);
}

TEST(cel_long_chains_of_logic_compile) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct cel_program *p = NULL;
    const char *problem = "";
    for (size_t i = 0; i < 800; i++) buf_str(&b, "n != 1 && ");
    buf_str(&b, "true");
    assert_int_equal(cel_compile(a, cel_fixture_env(a), b.p, &p, &problem), 0);
    assert_true(cel_program_uses(p, "n"));
    assert_false(cel_program_uses(p, "s"));
    assert_int_equal(cel_program_type(p)->kind, CEL_BOOL);
}
