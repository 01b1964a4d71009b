/* math.* (cel-go, ext/math). */
#include <math.h>

#include "base/own.h"
#include "cel/internal.h"

static struct cel_value pick(struct cel_run *run, const struct cel_value *args, size_t n,
                             int wanted) {
    struct cel_value best = args[0];
    for (size_t i = 0; i < n; i++) {
        if (args[i].kind != CEL_INT && args[i].kind != CEL_UINT && args[i].kind != CEL_DOUBLE)
            return cel_no_overload(run);
        if (cel_compare(args[i], best) == wanted) best = args[i];
    }
    return best;
}

static struct cel_value pick_list(struct cel_run *run, struct cel_list *l, int wanted,
                                  const char *name) {
    size_t n = cel_list_size(l);
    if (n == 0) return cel_fail(run, "math.@%s(list) argument must not be empty", name);
    for (size_t i = 0; i < n; i++) cel_at(l, i);
    return pick(run, l->v, n, wanted);
}

#define PICK(name, wanted)                                                                         \
    static struct cel_value name##1(struct cel_run * run, const struct cel_value *args) {          \
        return args[0].kind == CEL_LIST                                                            \
                   ? pick_list(run, args[0].list, wanted, wanted < 0 ? "min" : "max")              \
                   : pick(run, args, 1, wanted);                                                   \
    }                                                                                              \
    static struct cel_value name##2(struct cel_run * run, const struct cel_value *args) {          \
        return pick(run, args, 2, wanted);                                                         \
    }                                                                                              \
    static struct cel_value name##3(struct cel_run * run, const struct cel_value *args) {          \
        return pick(run, args, 3, wanted);                                                         \
    }                                                                                              \
    static struct cel_value name##4(struct cel_run * run, const struct cel_value *args) {          \
        return pick(run, args, 4, wanted);                                                         \
    }                                                                                              \
    static struct cel_value name##5(struct cel_run * run, const struct cel_value *args) {          \
        return pick(run, args, 5, wanted);                                                         \
    }
PICK(greatest, 1)
PICK(least, -1)

#define PICK_ROWS(name, fn)                                                                        \
    {"math." name "(list<A>) A", fn##1, COST_SIZE}, {"math." name "(int) int", fn##1, COST_ONE},   \
        {"math." name "(uint) uint", fn##1, COST_ONE},                                             \
        {"math." name "(double) double", fn##1, COST_ONE},                                         \
        {"math." name "(A,A) A", fn##2, COST_ONE}, {"math." name "(A,A,A) A", fn##3, COST_ONE},    \
        {"math." name "(A,A,A,A) A", fn##4, COST_ONE}, {                                           \
        "math." name "(A,A,A,A,A) A", fn##5, COST_ONE                                              \
    }

static struct cel_value double_value(double d) {
    return (struct cel_value){.kind = CEL_DOUBLE, .d = d};
}

#define ROUNDED(name, fn)                                                                          \
    static struct cel_value name(struct cel_run *run, const struct cel_value *args) {              \
        return double_value(fn(args[0].d));                                                        \
    }
ROUNDED(ceiling, ceil)
ROUNDED(floored, floor)
ROUNDED(rounded, round)
ROUNDED(truncated, trunc)
ROUNDED(square_root, sqrt)
ROUNDED(absolute_double, fabs)

static struct cel_value absolute(struct cel_run *run, const struct cel_value *args) {
    if (args[0].kind == CEL_UINT) return args[0];
    if (args[0].i == INT64_MIN) return cel_fail(run, "integer overflow");
    return cel_int(args[0].i < 0 ? -args[0].i : args[0].i);
}

static struct cel_value sign(struct cel_run *run, const struct cel_value *args) {
    struct cel_value v = args[0];
    switch (v.kind) {
    case CEL_INT: return cel_int(v.i < 0 ? -1 : v.i > 0);
    case CEL_UINT: v.u = v.u > 0; return v;
    default: return isnan(v.d) ? v : double_value(v.d < 0 ? -1 : v.d > 0);
    }
}

static struct cel_value is_nan(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(isnan(args[0].d));
}
static struct cel_value is_inf(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(isinf(args[0].d));
}
static struct cel_value is_finite(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(isfinite(args[0].d));
}

/* The bits are the same for both kinds of integers. */
#define BITS(name, op)                                                                             \
    static struct cel_value name(struct cel_run *run, const struct cel_value *args) {              \
        struct cel_value v = args[0];                                                              \
        v.u = v.u op args[1].u;                                                                    \
        return v;                                                                                  \
    }
BITS(bit_and, &)
BITS(bit_or, |)
BITS(bit_xor, ^)

static struct cel_value bit_not(struct cel_run *run, const struct cel_value *args) {
    struct cel_value v = args[0];
    v.u = ~v.u;
    return v;
}

static struct cel_value shifted(struct cel_run *run, const struct cel_value *args, bool left) {
    struct cel_value v = args[0];
    if (args[1].i < 0)
        return cel_fail(run, "math.bitShift%s() negative offset: %lld", left ? "Left" : "Right",
                        (long long)args[1].i);
    uint64_t by = args[1].u;
    v.u = by > 63 ? 0 : left ? v.u << by : v.u >> by;
    return v;
}

static struct cel_value shift_left(struct cel_run *run, const struct cel_value *args) {
    return shifted(run, args, true);
}
static struct cel_value shift_right(struct cel_run *run, const struct cel_value *args) {
    return shifted(run, args, false);
}

#define BIT_ROWS(name, fn)                                                                         \
    {"math." name "(int,int) int", fn, COST_ONE}, { "math." name "(uint,uint) uint", fn, COST_ONE }

static const struct cel_function functions[] = {
    PICK_ROWS("greatest", greatest),
    PICK_ROWS("least", least),
    {"math.ceil(double) double", ceiling, COST_ONE},
    {"math.floor(double) double", floored, COST_ONE},
    {"math.round(double) double", rounded, COST_ONE},
    {"math.trunc(double) double", truncated, COST_ONE},
    {"math.sqrt(double) double", square_root, COST_ONE},
    {"math.abs(int) int", absolute, COST_ONE},
    {"math.abs(uint) uint", absolute, COST_ONE},
    {"math.abs(double) double", absolute_double, COST_ONE},
    {"math.sign(int) int", sign, COST_ONE},
    {"math.sign(uint) uint", sign, COST_ONE},
    {"math.sign(double) double", sign, COST_ONE},
    {"math.isNaN(double) bool", is_nan, COST_ONE},
    {"math.isInf(double) bool", is_inf, COST_ONE},
    {"math.isFinite(double) bool", is_finite, COST_ONE},
    BIT_ROWS("bitAnd", bit_and),
    BIT_ROWS("bitOr", bit_or),
    BIT_ROWS("bitXor", bit_xor),
    {"math.bitNot(int) int", bit_not, COST_ONE},
    {"math.bitNot(uint) uint", bit_not, COST_ONE},
    {"math.bitShiftLeft(int,int) int", shift_left, COST_ONE},
    {"math.bitShiftLeft(uint,int) uint", shift_left, COST_ONE},
    {"math.bitShiftRight(int,int) int", shift_right, COST_ONE},
    {"math.bitShiftRight(uint,int) uint", shift_right, COST_ONE},
};
const struct cel_library cel_lib_math = {functions, ARRAY_LEN(functions)};
