/* quantity(): amounts as resources are written (KEP-2876). */
#include <string.h>

#include "base/own.h"
#include "cel/internal.h"

enum { NANO = 1000000000 };

static bool parse(struct cel_run *run, struct cel_value s, struct cel_opaque *o) {
    o->kind = CEL_QUANTITY;
    if (s.n > 128 || memchr(s.p ? s.p : "", 0, s.n)) return false;
    return quantity_parse(arena_strn(run->a, cel_slice(s)), &o->quantity);
}

static struct cel_value quantity(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque o = {0};
    if (parse(run, args[0], &o)) return cel_opaque(run, &o);
    return cel_fail(run, "quantities must match the regular expression "
                         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}

static struct cel_value is_quantity(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque o = {0};
    return cel_bool(parse(run, args[0], &o));
}

static __int128 nanos(struct cel_value v) { return v.opaque->quantity.nanos; }

static struct cel_value sign(struct cel_run *run, const struct cel_value *args) {
    return cel_int(nanos(args[0]) < 0 ? -1 : nanos(args[0]) > 0);
}
static struct cel_value is_greater(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(nanos(args[0]) > nanos(args[1]));
}
static struct cel_value is_less(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(nanos(args[0]) < nanos(args[1]));
}
static struct cel_value compare_to(struct cel_run *run, const struct cel_value *args) {
    return cel_int(nanos(args[0]) < nanos(args[1]) ? -1 : nanos(args[0]) > nanos(args[1]));
}

static struct cel_value combined(struct cel_run *run, struct cel_value x, __int128 y,
                                 int sign_of_y) {
    struct cel_opaque o = *x.opaque;
    bool over = sign_of_y > 0 ? __builtin_add_overflow(o.quantity.nanos, y, &o.quantity.nanos)
                              : __builtin_sub_overflow(o.quantity.nanos, y, &o.quantity.nanos);
    return over ? cel_fail(run, "integer overflow") : cel_opaque(run, &o);
}

static struct cel_value add(struct cel_run *run, const struct cel_value *args) {
    return combined(run, args[0], nanos(args[1]), 1);
}
static struct cel_value add_int(struct cel_run *run, const struct cel_value *args) {
    return combined(run, args[0], (__int128)args[1].i * NANO, 1);
}
static struct cel_value sub(struct cel_run *run, const struct cel_value *args) {
    return combined(run, args[0], nanos(args[1]), -1);
}
static struct cel_value sub_int(struct cel_run *run, const struct cel_value *args) {
    return combined(run, args[0], (__int128)args[1].i * NANO, -1);
}

static bool integer(struct cel_value v, int64_t *ret) {
    __int128 whole = nanos(v) / NANO;
    *ret = (int64_t)whole;
    return nanos(v) % NANO == 0 && whole >= INT64_MIN && whole <= INT64_MAX;
}

static struct cel_value is_integer(struct cel_run *run, const struct cel_value *args) {
    int64_t i;
    return cel_bool(integer(args[0], &i));
}
static struct cel_value as_integer(struct cel_run *run, const struct cel_value *args) {
    int64_t i;
    return integer(args[0], &i) ? cel_int(i) : cel_fail(run, "cannot convert value to integer");
}
static struct cel_value as_float(struct cel_run *run, const struct cel_value *args) {
    return (struct cel_value){.kind = CEL_DOUBLE, .d = (double)nanos(args[0]) / NANO};
}

static const struct cel_function functions[] = {
    {"quantity(string) quantity", quantity, COST_SIZE},
    {"isQuantity(string) bool", is_quantity, COST_SIZE},
    {"quantity|sign() int", sign, COST_ONE},
    {"quantity|isGreaterThan(quantity) bool", is_greater, COST_ONE},
    {"quantity|isLessThan(quantity) bool", is_less, COST_ONE},
    {"quantity|compareTo(quantity) int", compare_to, COST_ONE},
    {"quantity|add(quantity) quantity", add, COST_ONE},
    {"quantity|add(int) quantity", add_int, COST_ONE},
    {"quantity|sub(quantity) quantity", sub, COST_ONE},
    {"quantity|sub(int) quantity", sub_int, COST_ONE},
    {"quantity|isInteger() bool", is_integer, COST_ONE},
    {"quantity|asInteger() int", as_integer, COST_ONE},
    {"quantity|asApproximateFloat() double", as_float, COST_ONE},
};
const struct cel_library cel_lib_quantity = {functions, ARRAY_LEN(functions)};
