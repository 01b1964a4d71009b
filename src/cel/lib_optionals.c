/* Optional values (cel-go, OptionalTypes). */
#include "base/own.h"
#include "cel/internal.h"

static struct cel_value of(struct cel_run *run, const struct cel_value *args) {
    return cel_optional(run->a, &args[0]);
}

static struct cel_value none(struct cel_run *run, const struct cel_value *args) {
    return cel_optional(run->a, NULL);
}

static bool zero(struct cel_value v) {
    switch (v.kind) {
    case CEL_NULL: return true;
    case CEL_BOOL: return !v.b;
    case CEL_INT:
    case CEL_UINT: return v.u == 0;
    case CEL_DOUBLE: return v.d == 0;
    case CEL_STRING:
    case CEL_BYTES: return v.n == 0;
    case CEL_TIMESTAMP:
    case CEL_DURATION: return v.i == 0 && v.ns == 0;
    case CEL_LIST: return cel_list_size(v.list) == 0;
    case CEL_MAP:
    case CEL_OBJECT: return !v.map->get && cel_map_size(v.map) == 0;
    case CEL_OPTIONAL: return !v.optional;
    default: return false;
    }
}

static struct cel_value of_non_zero(struct cel_run *run, const struct cel_value *args) {
    return cel_optional(run->a, zero(args[0]) ? NULL : &args[0]);
}

static struct cel_value has_value(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(args[0].optional != NULL);
}

static struct cel_value content(struct cel_run *run, const struct cel_value *args) {
    return args[0].optional ? *args[0].optional : cel_fail(run, "optional.none() dereference");
}

static struct cel_value or_value(struct cel_run *run, const struct cel_value *args) {
    return args[0].optional ? *args[0].optional : args[1];
}

static struct cel_value either(struct cel_run *run, const struct cel_value *args) {
    return args[args[0].optional ? 0 : 1];
}

static struct cel_value first(struct cel_run *run, const struct cel_value *args) {
    if (cel_list_size(args[0].list) == 0) return cel_optional(run->a, NULL);
    struct cel_value v = cel_at(args[0].list, 0);
    return cel_optional(run->a, &v);
}

static struct cel_value last(struct cel_run *run, const struct cel_value *args) {
    size_t n = cel_list_size(args[0].list);
    if (n == 0) return cel_optional(run->a, NULL);
    struct cel_value v = cel_at(args[0].list, n - 1);
    return cel_optional(run->a, &v);
}

static const struct cel_function functions[] = {
    {"optional.of(A) optional<A>", of, COST_ONE},
    {"optional.none() optional<A>", none, COST_ONE},
    {"optional.ofNonZeroValue(A) optional<A>", of_non_zero, COST_ONE},
    {"optional<A>|hasValue() bool", has_value, COST_ONE},
    {"optional<A>|value() A", content, COST_ONE},
    {"optional<A>|orValue(A) A", or_value, COST_ONE},
    {"optional<A>|or(optional<A>) optional<A>", either, COST_ONE},
    {"list<A>|first() optional<A>", first, COST_ONE},
    {"list<A>|last() optional<A>", last, COST_ONE},
};
const struct cel_library cel_lib_optionals = {functions, ARRAY_LEN(functions)};
