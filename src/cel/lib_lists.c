/* Functions of lists (KEP-2876's list library; cel-go, ext/lists) and sets (ext/sets). */
#include <stdlib.h>

#include "base/own.h"
#include "cel/internal.h"

static struct cel_value is_sorted(struct cel_run *run, const struct cel_value *args) {
    struct cel_list *l = args[0].list;
    for (size_t i = 1, n = cel_list_size(l); i < n; i++) {
        int c = cel_compare(cel_at(l, i - 1), cel_at(l, i));
        if (c == 2) return cel_no_overload(run);
        if (c > 0) return cel_bool(false);
    }
    return cel_bool(true);
}

static struct cel_value sum_ints(struct cel_run *run, const struct cel_value *args) {
    int64_t sum = 0;
    for (size_t i = 0, n = cel_list_size(args[0].list); i < n; i++) {
        struct cel_value v = cel_at(args[0].list, i);
        if (v.kind != CEL_INT) return cel_no_overload(run);
        if (__builtin_add_overflow(sum, v.i, &sum)) return cel_fail(run, "integer overflow");
    }
    return cel_int(sum);
}

static struct cel_value sum_uints(struct cel_run *run, const struct cel_value *args) {
    struct cel_value sum = {.kind = CEL_UINT};
    for (size_t i = 0, n = cel_list_size(args[0].list); i < n; i++) {
        struct cel_value v = cel_at(args[0].list, i);
        if (v.kind != CEL_UINT) return cel_no_overload(run);
        if (__builtin_add_overflow(sum.u, v.u, &sum.u))
            return cel_fail(run, "unsigned integer overflow");
    }
    return sum;
}

static struct cel_value sum_doubles(struct cel_run *run, const struct cel_value *args) {
    struct cel_value sum = {.kind = CEL_DOUBLE};
    for (size_t i = 0, n = cel_list_size(args[0].list); i < n; i++) {
        struct cel_value v = cel_at(args[0].list, i);
        if (v.kind != CEL_DOUBLE) return cel_no_overload(run);
        sum.d += v.d;
    }
    return sum;
}

static struct cel_value sum_durations(struct cel_run *run, const struct cel_value *args) {
    struct cel_value sum = {.kind = CEL_DURATION};
    for (size_t i = 0, n = cel_list_size(args[0].list); i < n; i++) {
        struct cel_value v = cel_at(args[0].list, i);
        if (v.kind != CEL_DURATION) return cel_no_overload(run);
        int64_t ns = (int64_t)sum.ns + v.ns;
        if (__builtin_add_overflow(sum.i, v.i + ns / 1000000000, &sum.i))
            return cel_fail(run, "duration overflow");
        sum.ns = (int32_t)(ns % 1000000000);
    }
    return sum;
}

static struct cel_value extreme(struct cel_run *run, struct cel_list *l, int wanted,
                                const char *name) {
    size_t n = cel_list_size(l);
    if (n == 0) return cel_fail(run, "%s called on empty list", name);
    struct cel_value best = cel_at(l, 0);
    for (size_t i = 1; i < n; i++) {
        int c = cel_compare(cel_at(l, i), best);
        if (c == 2) return cel_no_overload(run);
        if (c == wanted) best = cel_at(l, i);
    }
    return best;
}

static struct cel_value least(struct cel_run *run, const struct cel_value *args) {
    return extreme(run, args[0].list, -1, "min");
}
static struct cel_value greatest(struct cel_run *run, const struct cel_value *args) {
    return extreme(run, args[0].list, 1, "max");
}

static struct cel_value index_of(struct cel_run *run, const struct cel_value *args) {
    for (size_t i = 0, n = cel_list_size(args[0].list); i < n && !run->exhausted; i++)
        if (cel_equal(run, cel_at(args[0].list, i), args[1])) return cel_int((int64_t)i);
    return run->exhausted ? cel_exhausted() : cel_int(-1);
}

static struct cel_value last_index_of(struct cel_run *run, const struct cel_value *args) {
    for (size_t i = cel_list_size(args[0].list); i-- > 0 && !run->exhausted;)
        if (cel_equal(run, cel_at(args[0].list, i), args[1])) return cel_int((int64_t)i);
    return run->exhausted ? cel_exhausted() : cel_int(-1);
}

/* ---- lists made of lists ---- */

static struct cel_value *copy(struct cel_run *run, struct cel_list *l, size_t *ret_n) {
    size_t n = cel_list_size(l);
    if (!cel_charge(run, n)) return NULL;
    struct cel_value *v = ARENA_ARRAY(run->a, struct cel_value, n + 1);
    for (size_t i = 0; i < n; i++) v[i] = cel_at(l, i);
    *ret_n = n;
    return v;
}

static struct cel_value slice_list(struct cel_run *run, const struct cel_value *args) {
    size_t n;
    int64_t from = args[1].i, to = args[2].i;
    struct cel_value *v = copy(run, args[0].list, &n);
    if (!v) return cel_exhausted();
    if (from < 0 || to < 0)
        return cel_fail(run, "cannot slice(%lld, %lld), negative indexes not supported",
                        (long long)from, (long long)to);
    if (from > to)
        return cel_fail(
            run, "cannot slice(%lld, %lld), start index must be less than or equal to end index",
            (long long)from, (long long)to);
    if ((uint64_t)to > n)
        return cel_fail(run, "cannot slice(%lld, %lld), list is length %zu", (long long)from,
                        (long long)to, n);
    return cel_list(run->a, v + from, (size_t)(to - from));
}

static struct cel_value reversed(struct cel_run *run, const struct cel_value *args) {
    size_t n;
    struct cel_value *v = copy(run, args[0].list, &n);
    if (!v) return cel_exhausted();
    for (size_t i = 0; i < n / 2; i++) {
        struct cel_value swap = v[i];
        v[i] = v[n - 1 - i];
        v[n - 1 - i] = swap;
    }
    return cel_list(run->a, v, n);
}

static struct cel_value distinct(struct cel_run *run, const struct cel_value *args) {
    size_t n, k = 0;
    struct cel_value *v = copy(run, args[0].list, &n);
    if (!v) return cel_exhausted();
    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        if (!cel_charge(run, k / 4 + 1)) return cel_exhausted();
        while (j < k && !cel_equal(run, v[j], v[i])) j++;
        if (run->exhausted) return cel_exhausted();
        if (j == k) v[k++] = v[i];
    }
    return cel_list(run->a, v, k);
}

static int compare(const void *x, const void *y) {
    int c = cel_compare(*(const struct cel_value *)x, *(const struct cel_value *)y);
    return c == 2 ? 0 : c;
}

static struct cel_value sorted(struct cel_run *run, const struct cel_value *args) {
    size_t n, levels = 1;
    struct cel_value *v = copy(run, args[0].list, &n);
    while (v && (size_t)1 << levels < n) levels++;
    if (!v || !cel_charge(run, n * levels)) return cel_exhausted();
    for (size_t i = 1; i < n; i++)
        if (v[i].kind != v[0].kind || cel_compare(v[i], v[0]) == 2)
            return cel_fail(run, "list elements must have the same type");
    qsort(v, n, sizeof *v, compare);
    return cel_list(run->a, v, n);
}

struct value_list {
    struct cel_value *v;
    size_t n;
};

static bool flatten_into(struct cel_run *run, struct cel_list *l, int64_t depth,
                         struct value_list *to) {
    for (size_t i = 0, n = cel_list_size(l); i < n; i++) {
        struct cel_value v = cel_at(l, i);
        if (!cel_charge(run, 1)) return false;
        if (v.kind == CEL_LIST && depth > 0) {
            if (!flatten_into(run, v.list, depth - 1, to)) return false;
        } else {
            *ARENA_PUSH(run->a, to) = v;
        }
    }
    return true;
}

static struct cel_value flatten_by(struct cel_run *run, struct cel_list *l, int64_t depth) {
    struct value_list made = {0};
    if (depth < 0) return cel_fail(run, "level must be non-negative");
    if (!flatten_into(run, l, MIN_OF(depth, (int64_t)CEL_DEPTH_MAX), &made)) return cel_exhausted();
    return cel_list(run->a, made.v, made.n);
}

static struct cel_value flatten(struct cel_run *run, const struct cel_value *args) {
    return flatten_by(run, args[0].list, 1);
}
static struct cel_value flatten_deep(struct cel_run *run, const struct cel_value *args) {
    return flatten_by(run, args[0].list, args[1].i);
}

static struct cel_value range_of(struct cel_run *run, const struct cel_value *args) {
    int64_t n = args[0].i;
    if (n < 0 || !cel_charge(run, (uint64_t)n))
        return n < 0 ? cel_list(run->a, NULL, 0) : cel_exhausted();
    struct cel_value *v = ARENA_ARRAY(run->a, struct cel_value, (size_t)n);
    for (int64_t i = 0; i < n; i++) v[i] = cel_int(i);
    return cel_list(run->a, v, (size_t)n);
}

static const struct cel_function functions[] = {
    {"list<A>|isSorted() bool", is_sorted, COST_SIZE},
    {"list<int>|sum() int", sum_ints, COST_SIZE},
    {"list<uint>|sum() uint", sum_uints, COST_SIZE},
    {"list<double>|sum() double", sum_doubles, COST_SIZE},
    {"list<duration>|sum() duration", sum_durations, COST_SIZE},
    {"list<A>|min() A", least, COST_SIZE},
    {"list<A>|max() A", greatest, COST_SIZE},
    {"list<A>|indexOf(A) int", index_of, COST_SIZE},
    {"list<A>|lastIndexOf(A) int", last_index_of, COST_SIZE},
    {"list<A>|slice(int,int) list<A>", slice_list, COST_ONE},
    {"list<A>|reverse() list<A>", reversed, COST_ONE},
    {"list<A>|distinct() list<A>", distinct, COST_ONE},
    {"list<A>|sort() list<A>", sorted, COST_ONE},
    {"list<list<A>>|flatten() list<A>", flatten, COST_ONE},
    {"list<dyn>|flatten(int) list<dyn>", flatten_deep, COST_ONE},
    {"lists.range(int) list<int>", range_of, COST_ONE},
};
const struct cel_library cel_lib_lists = {functions, ARRAY_LEN(functions)};

/* ---- sets ---- */

static bool has(struct cel_run *run, struct cel_list *l, struct cel_value v) {
    for (size_t i = 0, n = cel_list_size(l); i < n && cel_charge(run, 1); i++)
        if (cel_equal(run, cel_at(l, i), v)) return true;
    return false;
}

static bool has_all(struct cel_run *run, struct cel_list *l, struct cel_list *wanted) {
    for (size_t i = 0, n = cel_list_size(wanted); i < n; i++)
        if (!has(run, l, cel_at(wanted, i))) return false;
    return true;
}

static struct cel_value answer(struct cel_run *run, bool b) {
    return run->exhausted ? cel_exhausted() : cel_bool(b);
}

static struct cel_value set_contains(struct cel_run *run, const struct cel_value *args) {
    return answer(run, has_all(run, args[0].list, args[1].list));
}

static struct cel_value set_equivalent(struct cel_run *run, const struct cel_value *args) {
    return answer(run, has_all(run, args[0].list, args[1].list) &&
                           has_all(run, args[1].list, args[0].list));
}

static struct cel_value set_intersects(struct cel_run *run, const struct cel_value *args) {
    bool found = false;
    for (size_t i = 0, n = cel_list_size(args[0].list); i < n && !found; i++)
        found = has(run, args[1].list, cel_at(args[0].list, i));
    return answer(run, found);
}

static const struct cel_function set_functions[] = {
    {"sets.contains(list<A>,list<A>) bool", set_contains, COST_ONE},
    {"sets.equivalent(list<A>,list<A>) bool", set_equivalent, COST_ONE},
    {"sets.intersects(list<A>,list<A>) bool", set_intersects, COST_ONE},
};
const struct cel_library cel_lib_sets = {set_functions, ARRAY_LEN(set_functions)};
