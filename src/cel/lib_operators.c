/* Arithmetic, relations, membership. */
#include <math.h>
#include <string.h>

#include "base/own.h"
#include "cel/internal.h"

static struct cel_value overflow(struct cel_run *run, bool is_unsigned) {
    return cel_fail(run, is_unsigned ? "unsigned integer overflow" : "integer overflow");
}

static struct cel_value uint_value(uint64_t u) {
    return (struct cel_value){.kind = CEL_UINT, .u = u};
}
static struct cel_value double_value(double d) {
    return (struct cel_value){.kind = CEL_DOUBLE, .d = d};
}

#define INTEGER_OPERATION(name, builtin)                                                           \
    static struct cel_value int_##name(struct cel_run *run, const struct cel_value *args) {        \
        int64_t i;                                                                                 \
        if (builtin(args[0].i, args[1].i, &i)) return overflow(run, false);                        \
        return cel_int(i);                                                                         \
    }                                                                                              \
    static struct cel_value uint_##name(struct cel_run *run, const struct cel_value *args) {       \
        uint64_t u;                                                                                \
        if (builtin(args[0].u, args[1].u, &u)) return overflow(run, true);                         \
        return uint_value(u);                                                                      \
    }
INTEGER_OPERATION(add, __builtin_add_overflow)
INTEGER_OPERATION(sub, __builtin_sub_overflow)
INTEGER_OPERATION(mul, __builtin_mul_overflow)

#define DOUBLE_OPERATION(name, op)                                                                 \
    static struct cel_value double_##name(struct cel_run *run, const struct cel_value *args) {     \
        return double_value(args[0].d op args[1].d);                                               \
    }
DOUBLE_OPERATION(add, +)
DOUBLE_OPERATION(sub, -)
DOUBLE_OPERATION(mul, *)
DOUBLE_OPERATION(div, /)

static struct cel_value int_div(struct cel_run *run, const struct cel_value *args) {
    if (args[1].i == 0) return cel_fail(run, "division by zero");
    if (args[0].i == INT64_MIN && args[1].i == -1) return overflow(run, false);
    return cel_int(args[0].i / args[1].i);
}

static struct cel_value int_mod(struct cel_run *run, const struct cel_value *args) {
    if (args[1].i == 0) return cel_fail(run, "modulus by zero");
    if (args[0].i == INT64_MIN && args[1].i == -1) return overflow(run, false);
    return cel_int(args[0].i % args[1].i);
}

static struct cel_value uint_div(struct cel_run *run, const struct cel_value *args) {
    if (args[1].u == 0) return cel_fail(run, "division by zero");
    return uint_value(args[0].u / args[1].u);
}

static struct cel_value uint_mod(struct cel_run *run, const struct cel_value *args) {
    if (args[1].u == 0) return cel_fail(run, "modulus by zero");
    return uint_value(args[0].u % args[1].u);
}

static struct cel_value int_negate(struct cel_run *run, const struct cel_value *args) {
    if (args[0].i == INT64_MIN) return overflow(run, false);
    return cel_int(-args[0].i);
}

static struct cel_value double_negate(struct cel_run *run, const struct cel_value *args) {
    return double_value(-args[0].d);
}

static struct cel_value bool_not(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(!args[0].b);
}

static struct cel_value text_add(struct cel_run *run, const struct cel_value *args) {
    size_t n = args[0].n + args[1].n;
    if (!cel_charge_text(run, n)) return cel_exhausted();
    char *p = arena_alloc(run->a, n + 1);
    if (args[0].n) memcpy(p, args[0].p, args[0].n);
    if (args[1].n) memcpy(p + args[0].n, args[1].p, args[1].n);
    return (struct cel_value){.kind = args[0].kind, .p = p, .n = n};
}

/* ---- lists ---- */

static bool same_keys(struct cel_run *run, const struct cel_type *t, struct cel_value x,
                      struct cel_value y) {
    if (t->list_type == CEL_LIST_SET) return cel_equal(run, x, y);
    for (const char *const *key = t->list_keys; key && *key; key++) {
        struct cel_value p = cel_select(run, x, slice_of(*key));
        struct cel_value q = cel_select(run, y, slice_of(*key));
        if (p.kind != q.kind || (p.kind != CEL_ERROR && !cel_equal(run, p, q))) return false;
    }
    return true;
}

/* Sets and lists with keys join as Kubernetes merges them: an element of y takes the place of the
 * one that is the same. */
static struct cel_value list_add(struct cel_run *run, const struct cel_value *args) {
    struct cel_list *x = args[0].list, *y = args[1].list;
    size_t nx = cel_list_size(x), ny = cel_list_size(y), n = nx;
    bool merges = x->type && x->type->list_type != CEL_LIST_ATOMIC;
    if (!cel_charge(run, nx + ny)) return cel_exhausted();
    struct cel_value *v = ARENA_ARRAY(run->a, struct cel_value, nx + ny);
    for (size_t i = 0; i < nx; i++) v[i] = cel_at(x, i);
    for (size_t k = 0; k < ny; k++) {
        struct cel_value e = cel_at(y, k);
        size_t i = n;
        if (merges) {
            if (!cel_charge(run, n / 10 + 1)) return cel_exhausted();
            for (i = 0; i < n && !same_keys(run, x->type, v[i], e);) i++;
        }
        v[i] = e;
        if (i == n) n++;
    }
    struct cel_value made = cel_list(run->a, v, n);
    made.list->type = x->type;
    return made;
}

static struct cel_value in_list(struct cel_run *run, const struct cel_value *args) {
    for (size_t i = 0, n = cel_list_size(args[1].list); i < n; i++) {
        if (!cel_charge(run, 1)) return cel_exhausted();
        if (cel_equal(run, args[0], cel_at(args[1].list, i))) return cel_bool(true);
    }
    return run->exhausted ? cel_exhausted() : cel_bool(false);
}

static struct cel_value in_map(struct cel_run *run, const struct cel_value *args) {
    struct cel_value v;
    return cel_bool(cel_find(run, args[1].map, args[0], &v));
}

/* ---- times ---- */

enum { NS = 1000000000 };
#define TIMESTAMP_MIN (-62135596800)
#define TIMESTAMP_MAX 253402300799
#define DURATION_MAX 315576000000

static struct cel_value time_made(struct cel_run *run, enum cel_kind kind, int64_t s, int64_t ns) {
    if (ns >= NS) {
        ns -= NS;
        s++;
    } else if (ns < 0) {
        ns += NS;
        s--;
    }
    if (kind == CEL_TIMESTAMP ? s < TIMESTAMP_MIN || s > TIMESTAMP_MAX
                              : s < -DURATION_MAX || s > DURATION_MAX)
        return cel_fail(run, kind == CEL_TIMESTAMP ? "timestamp overflow" : "duration overflow");
    return cel_time(kind, s, (int32_t)ns);
}

static struct cel_value time_add(struct cel_run *run, const struct cel_value *args) {
    bool point = args[0].kind == CEL_TIMESTAMP || args[1].kind == CEL_TIMESTAMP;
    return time_made(run, point ? CEL_TIMESTAMP : CEL_DURATION, args[0].i + args[1].i,
                     (int64_t)args[0].ns + args[1].ns);
}

static struct cel_value time_sub(struct cel_run *run, const struct cel_value *args) {
    bool point = args[0].kind == CEL_TIMESTAMP && args[1].kind == CEL_DURATION;
    return time_made(run, point ? CEL_TIMESTAMP : CEL_DURATION, args[0].i - args[1].i,
                     (int64_t)args[0].ns - args[1].ns);
}

/* ---- relations ---- */

static struct cel_value equals(struct cel_run *run, const struct cel_value *args) {
    bool same = cel_equal(run, args[0], args[1]);
    return run->exhausted ? cel_exhausted() : cel_bool(same);
}

static struct cel_value differs(struct cel_run *run, const struct cel_value *args) {
    bool same = cel_equal(run, args[0], args[1]);
    return run->exhausted ? cel_exhausted() : cel_bool(!same);
}

static struct cel_value less(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(cel_compare(args[0], args[1]) == -1);
}
static struct cel_value less_equal(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(cel_compare(args[0], args[1]) <= 0);
}
static struct cel_value greater(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(cel_compare(args[0], args[1]) == 1);
}
static struct cel_value greater_equal(struct cel_run *run, const struct cel_value *args) {
    int c = cel_compare(args[0], args[1]);
    return cel_bool(c == 0 || c == 1);
}

#define RELATION(name, fn)                                                                         \
    {name "(int,int) bool", fn, COST_ONE}, {name "(uint,uint) bool", fn, COST_ONE},                \
        {name "(double,double) bool", fn, COST_ONE}, {name "(string,string) bool", fn, COST_SIZE}, \
        {name "(bool,bool) bool", fn, COST_ONE}, {name "(bytes,bytes) bool", fn, COST_SIZE},       \
        {name "(timestamp,timestamp) bool", fn, COST_ONE},                                         \
        {name "(duration,duration) bool", fn, COST_ONE}, {name "(int,uint) bool", fn, COST_ONE},   \
        {name "(int,double) bool", fn, COST_ONE}, {name "(uint,int) bool", fn, COST_ONE},          \
        {name "(uint,double) bool", fn, COST_ONE}, {name "(double,int) bool", fn, COST_ONE}, {     \
        name "(double,uint) bool", fn, COST_ONE                                                    \
    }

static const struct cel_function functions[] = {
    {"_+_(int,int) int", int_add, COST_ONE},
    {"_+_(uint,uint) uint", uint_add, COST_ONE},
    {"_+_(double,double) double", double_add, COST_ONE},
    {"_+_(string,string) string", text_add, COST_NONE},
    {"_+_(bytes,bytes) bytes", text_add, COST_NONE},
    {"_+_(list<A>,list<A>) list<A>", list_add, COST_NONE},
    {"_+_(timestamp,duration) timestamp", time_add, COST_ONE},
    {"_+_(duration,timestamp) timestamp", time_add, COST_ONE},
    {"_+_(duration,duration) duration", time_add, COST_ONE},
    {"_-_(int,int) int", int_sub, COST_ONE},
    {"_-_(uint,uint) uint", uint_sub, COST_ONE},
    {"_-_(double,double) double", double_sub, COST_ONE},
    {"_-_(timestamp,timestamp) duration", time_sub, COST_ONE},
    {"_-_(timestamp,duration) timestamp", time_sub, COST_ONE},
    {"_-_(duration,duration) duration", time_sub, COST_ONE},
    {"_*_(int,int) int", int_mul, COST_ONE},
    {"_*_(uint,uint) uint", uint_mul, COST_ONE},
    {"_*_(double,double) double", double_mul, COST_ONE},
    {"_/_(int,int) int", int_div, COST_ONE},
    {"_/_(uint,uint) uint", uint_div, COST_ONE},
    {"_/_(double,double) double", double_div, COST_ONE},
    {"_%_(int,int) int", int_mod, COST_ONE},
    {"_%_(uint,uint) uint", uint_mod, COST_ONE},
    {"-_(int) int", int_negate, COST_ONE},
    {"-_(double) double", double_negate, COST_ONE},
    {"!_(bool) bool", bool_not, COST_ONE},
    {"_==_(A,A) bool", equals, COST_ONE},
    {"_!=_(A,A) bool", differs, COST_ONE},
    RELATION("_<_", less),
    RELATION("_<=_", less_equal),
    RELATION("_>_", greater),
    RELATION("_>=_", greater_equal),
    {"@in(A,list<A>) bool", in_list, COST_NONE},
    {"@in(A,map<A,B>) bool", in_map, COST_ONE},
    /* Known to the evaluator by their nodes. */
    {"_&&_(bool,bool) bool", NULL, COST_NONE},
    {"_||_(bool,bool) bool", NULL, COST_NONE},
    {"_?_:_(bool,A,A) A", NULL, COST_NONE},
    {"_[_](list<A>,int) A", NULL, COST_NONE},
    {"_[_](map<A,B>,A) B", NULL, COST_NONE},
    {"_[_](optional<list<A>>,int) optional<A>", NULL, COST_NONE},
    {"_[_](optional<map<A,B>>,A) optional<B>", NULL, COST_NONE},
    {"_[?_](list<A>,int) optional<A>", NULL, COST_NONE},
    {"_[?_](map<A,B>,A) optional<B>", NULL, COST_NONE},
    {"_[?_](optional<list<A>>,int) optional<A>", NULL, COST_NONE},
    {"_[?_](optional<map<A,B>>,A) optional<B>", NULL, COST_NONE},
};
const struct cel_library cel_lib_operators = {functions, ARRAY_LEN(functions)};
