/* matches, find, findAll. */
#include "base/own.h"
#include "base/regex.h"
#include "cel/internal.h"

/* false: *ret is the error. */
static bool compile(struct cel_run *run, const struct cel_value *args, struct regex **ret_regex,
                    struct cel_value *ret) {
    struct err err = {0};
    *ret = cel_exhausted();
    if (!cel_charge(run, 10 + args[1].n)) return false;
    if (regex_compile(run->a, cel_slice(args[1]), ret_regex, &err) < 0) {
        *ret = cel_fail(run, "%s", err.text);
        return false;
    }
    return cel_charge(run, 1 + (args[0].n / 10 + 1) * (regex_size(*ret_regex) / 4 + 1));
}

static struct cel_value matches(struct cel_run *run, const struct cel_value *args) {
    struct regex *re = NULL;
    struct cel_value v;
    return compile(run, args, &re, &v) ? cel_bool(regex_matches(re, cel_slice(args[0]))) : v;
}

static struct cel_value find(struct cel_run *run, const struct cel_value *args) {
    struct regex *re = NULL;
    struct cel_value v;
    size_t begin = 0, end = 0;
    if (!compile(run, args, &re, &v)) return v;
    if (!regex_find(re, cel_slice(args[0]), 0, &begin, &end)) return cel_text("");
    return cel_string(slice_from(args[0].p + begin, end - begin));
}

static struct cel_value find_some(struct cel_run *run, const struct cel_value *args,
                                  int64_t limit) {
    struct {
        struct cel_value *v;
        size_t n;
    } found = {0};
    struct slice s = cel_slice(args[0]);
    struct regex *re = NULL;
    struct cel_value v;
    size_t from = 0, begin = 0, end = 0, last = SIZE_MAX;
    if (!compile(run, args, &re, &v)) return v;
    while (limit != 0 && from <= s.n && regex_find(re, s, from, &begin, &end)) {
        if (!cel_charge(run, 2 + ((s.n - from) / 100 + 1) * (regex_size(re) / 16 + 1)))
            return cel_exhausted();
        bool empty_after_last = begin == end && begin == last;
        if (!empty_after_last) {
            *ARENA_PUSH(run->a, &found) = cel_string(slice_from(s.p + begin, end - begin));
            limit -= limit > 0;
        }
        last = end;
        from = end > begin
                   ? end
                   : begin + MAX_OF(cel_rune_offset(slice_from(s.p + begin, s.n - begin), 1),
                                    (size_t)1);
    }
    return cel_list(run->a, found.v, found.n);
}

static struct cel_value find_all(struct cel_run *run, const struct cel_value *args) {
    return find_some(run, args, -1);
}
static struct cel_value find_first(struct cel_run *run, const struct cel_value *args) {
    return find_some(run, args, args[2].i);
}

static const struct cel_function functions[] = {
    {"string|matches(string) bool", matches, COST_NONE},
    {"matches(string,string) bool", matches, COST_NONE},
    {"string|find(string) string", find, COST_NONE},
    {"string|findAll(string) list<string>", find_all, COST_NONE},
    {"string|findAll(string,int) list<string>", find_first, COST_NONE},
};
const struct cel_library cel_lib_regex = {functions, ARRAY_LEN(functions)};
