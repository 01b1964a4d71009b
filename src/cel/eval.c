/* The evaluator: walks the checked tree. An error is a value (CEL_ERROR), so that && and || can
 * pass over it when the other side decides. */
#include <errno.h>
#include <stdio.h>

#include "base/own.h"
#include "base/regex.h"
#include "cel/internal.h"

struct cel_value cel_fail(struct cel_run *run, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    struct slice s = slice_of(arena_vprintf(run->a, fmt, ap));
    va_end(ap);
    return (struct cel_value){.kind = CEL_ERROR, .p = s.p, .n = s.n};
}

struct cel_value cel_exhausted(void) {
    static const char why[] = CEL_OUT_OF_BUDGET;
    return (struct cel_value){.kind = CEL_ERROR, .p = why, .n = sizeof why - 1};
}

bool cel_charge(struct cel_run *run, uint64_t units) {
    if (run->exhausted) return false;
    if (units > run->budget || arena_used(run->a) > run->arena_limit) {
        run->budget = 0;
        run->exhausted = true;
        return false;
    }
    run->budget -= units;
    return true;
}

bool cel_charge_text(struct cel_run *run, size_t n) {
    if (n > CEL_MEMORY_MAX) n = SIZE_MAX / 2;
    return cel_charge(run, n / 10 + 1);
}

struct cel_value cel_no_overload(struct cel_run *run) {
    return cel_fail(run, "no such overload");
}

struct cel_value cel_bytes(struct slice s) {
    return (struct cel_value){.kind = CEL_BYTES, .p = s.p, .n = s.n};
}

struct cel_value cel_time(enum cel_kind kind, int64_t seconds, int32_t ns) {
    return (struct cel_value){.kind = kind, .i = seconds, .ns = ns};
}

struct cel_value cel_copy_text(struct cel_run *run, const struct buf *b) {
    if (!cel_charge_text(run, b->n)) return cel_exhausted();
    return cel_string(slice_from(arena_strn(run->a, buf_view(b)), b->n));
}

static bool is_error(struct cel_value v) { return v.kind == CEL_ERROR; }

static struct cel_value value(struct cel_run *run, const struct cel_node *n) {
    return cel_node_value(run, n);
}

/* ---- access ---- */

static struct cel_value no_key(struct cel_run *run, struct slice name) {
    return cel_fail(run, "no such key: %.*s", (int)MIN_OF(name.n, (size_t)200), name.p);
}

static struct cel_value some(struct cel_run *run, struct cel_value v) {
    return cel_optional(run->a, &v);
}
static struct cel_value none(struct cel_run *run) { return cel_optional(run->a, NULL); }

/* 1: *ret is set; 0: there is no such field; -1: no fields at all. */
static int find_field(struct cel_run *run, struct cel_value from, struct slice name,
                      struct cel_value *ret) {
    if (from.kind != CEL_MAP && from.kind != CEL_OBJECT) return -1;
    return cel_find(run, from.map, cel_string(name), ret);
}

struct cel_value cel_select(struct cel_run *run, struct cel_value from, struct slice name) {
    struct cel_value v;
    int rc = find_field(run, from, name, &v);
    if (rc < 0) return cel_no_overload(run);
    return rc ? v : no_key(run, name);
}

static struct cel_value select_optional(struct cel_run *run, struct cel_value from,
                                        struct slice name) {
    struct cel_value v;
    int rc = find_field(run, from, name, &v);
    if (rc < 0) return cel_no_overload(run);
    if (rc && is_error(v)) return v;
    return rc ? (v.kind == CEL_OPTIONAL ? v : some(run, v)) : none(run);
}

static struct cel_value eval_select(struct cel_run *run, const struct cel_node *n) {
    struct cel_value from = value(run, n->target);
    if (is_error(from)) return from;
    if (from.kind == CEL_OPTIONAL)
        return from.optional ? select_optional(run, *from.optional, n->name) : from;
    return n->optional_select ? select_optional(run, from, n->name)
                              : cel_select(run, from, n->name);
}

static struct cel_value eval_has(struct cel_run *run, const struct cel_node *n) {
    struct cel_value from = value(run, n->target), v;
    if (is_error(from)) return from;
    if (from.kind == CEL_OPTIONAL) {
        if (!from.optional) return cel_bool(false);
        from = *from.optional;
    }
    int rc = find_field(run, from, n->name, &v);
    if (rc < 0) return cel_no_overload(run);
    return cel_bool(rc > 0);
}

/* The position that a number stands for; false: none. */
static bool position(struct cel_value key, size_t *ret) {
    if (key.kind == CEL_INT && key.i >= 0)
        *ret = (size_t)key.i;
    else if (key.kind == CEL_UINT)
        *ret = (size_t)key.u;
    else if (key.kind == CEL_DOUBLE && key.d >= 0 && key.d < 1e15 &&
             (double)(int64_t)key.d == key.d)
        *ret = (size_t)key.d;
    else
        return false;
    return true;
}

/* 1: *ret is set; 0: there is nothing; -1: *ret is the error. */
static int find_index(struct cel_run *run, struct cel_value from, struct cel_value key,
                      struct cel_value *ret) {
    size_t i = 0;
    if (from.kind == CEL_MAP || from.kind == CEL_OBJECT) return cel_find(run, from.map, key, ret);
    if (from.kind != CEL_LIST ||
        (key.kind != CEL_INT && key.kind != CEL_UINT && key.kind != CEL_DOUBLE)) {
        *ret = cel_no_overload(run);
        return -1;
    }
    if (!position(key, &i) || i >= cel_list_size(from.list)) return 0;
    *ret = cel_at(from.list, i);
    return 1;
}

static struct cel_value cel_index(struct cel_run *run, struct cel_value from,
                                  struct cel_value key) {
    struct cel_value v;
    int rc = find_index(run, from, key, &v);
    if (rc) return v;
    if (from.kind == CEL_LIST) {
        OWN(buf_done) struct buf b = {0};
        cel_encode(&b, key);
        return cel_fail(run, "index out of bounds: %s", b.p);
    }
    if (key.kind == CEL_STRING) return no_key(run, cel_slice(key));
    OWN(buf_done) struct buf b = {0};
    cel_encode(&b, key);
    return no_key(run, buf_view(&b));
}

static struct cel_value eval_index(struct cel_run *run, const struct cel_value *args,
                                   bool optional) {
    struct cel_value from = args[0], v;
    if (from.kind == CEL_OPTIONAL) {
        if (!from.optional) return from;
        from = *from.optional;
        optional = true;
    }
    if (!optional) return cel_index(run, from, args[1]);
    int rc = find_index(run, from, args[1], &v);
    if (rc < 0 || (rc && is_error(v))) return v;
    return rc ? some(run, v) : none(run);
}

/* ---- calls ---- */

static uint64_t cost_of(const struct cel_overload *o, const struct cel_value *args) {
    switch (o->function->cost) {
    case COST_SIZE: return 1 + (o->n ? cel_size(args[0]) : 0) / 10;
    case COST_SIZES: {
        uint64_t sum = 1;
        for (unsigned i = 0; i < o->n; i++) sum += cel_size(args[i]) / 10;
        return sum;
    }
    case COST_PRODUCT: {
        uint64_t x = cel_size(args[0]) + 1, y = o->n > 1 ? cel_size(args[1]) + 1 : 1;
        return 1 + (x / 10 + 1) * (y / 10 + 1);
    }
    case COST_NONE: return 0;
    case COST_ONE: break;
    }
    return 1;
}

static bool accepts(const struct cel_overload *o, const struct cel_value *args) {
    for (unsigned i = 0; i < o->n; i++)
        if (!cel_fits(args[i], o->args[i])) return false;
    return true;
}

static struct cel_value cel_call(struct cel_run *run, const struct cel_node *n,
                                 const struct cel_value *args, size_t n_args) {
    for (size_t i = 0; i < n->n_overloads; i++) {
        const struct cel_overload *o = n->overloads[i];
        if (!accepts(o, args)) continue;
        if (!cel_charge(run, cost_of(o, args))) return cel_exhausted();
        return o->function->fn(run, args);
    }
    return cel_no_overload(run);
}

/* matches() with a pattern that is a literal: compiled once. */
static struct cel_value eval_matches(struct cel_run *run, const struct cel_node *n) {
    struct cel_value s = value(run, n->target ? n->target : n->args.v[0]);
    if (is_error(s)) return s;
    if (s.kind != CEL_STRING) return cel_no_overload(run);
    if (!cel_charge(run, 1 + (s.n / 10 + 1) * (regex_size(n->regex) / 4 + 1)))
        return cel_exhausted();
    return cel_bool(regex_matches(n->regex, cel_slice(s)));
}

static struct cel_value eval_call(struct cel_run *run, const struct cel_node *n) {
    struct cel_value args[CEL_ARGS_MAX];
    size_t k = 0;
    if (n->regex) return eval_matches(run, n);
    if (n->target) args[k++] = value(run, n->target);
    for (size_t i = 0; i < n->args.n; i++) args[k++] = value(run, n->args.v[i]);
    for (size_t i = 0; i < k; i++)
        if (is_error(args[i])) return args[i];
    if (slice_is(n->name, "_[_]") || slice_is(n->name, "_[?_]")) {
        if (!cel_charge(run, 1)) return cel_exhausted();
        return eval_index(run, args, n->name.n == 5);
    }
    return cel_call(run, n, args, k);
}

/* ---- logic ---- */

static struct cel_value eval_logic(struct cel_run *run, const struct cel_node *n, bool decides) {
    struct cel_value x = value(run, n->args.v[0]);
    if (x.kind == CEL_BOOL && x.b == decides) return x;
    if (run->exhausted) return cel_exhausted();
    struct cel_value y = value(run, n->args.v[1]);
    if (run->exhausted) return cel_exhausted();
    if (y.kind == CEL_BOOL && y.b == decides) return y;
    if (is_error(x)) return x;
    if (is_error(y)) return y;
    return x.kind == CEL_BOOL && y.kind == CEL_BOOL ? y : cel_no_overload(run);
}

static struct cel_value eval_choice(struct cel_run *run, const struct cel_node *n) {
    struct cel_value v = value(run, n->args.v[0]);
    if (is_error(v)) return v;
    if (v.kind != CEL_BOOL) return cel_no_overload(run);
    return value(run, n->args.v[v.b ? 1 : 2]);
}

/* ---- literals ---- */

/* An element that may be left out: 1 = *v is what to put in, 0 = nothing, -1 = *v is an error. */
static int element(struct cel_run *run, const struct cel_node *n, bool optional,
                   struct cel_value *v) {
    *v = value(run, n);
    if (is_error(*v)) return -1;
    if (!optional) return 1;
    if (v->kind != CEL_OPTIONAL) {
        *v = cel_no_overload(run);
        return -1;
    }
    if (!v->optional) return 0;
    *v = *v->optional;
    return 1;
}

static struct cel_value eval_list(struct cel_run *run, const struct cel_node *n) {
    if (!cel_charge(run, 10)) return cel_exhausted();
    struct cel_value *v = ARENA_ARRAY(run->a, struct cel_value, n->args.n);
    size_t k = 0;
    for (size_t i = 0; i < n->args.n; i++) {
        int rc = element(run, n->args.v[i], n->optional && n->optional[i], &v[k]);
        if (rc < 0) return v[k];
        k += (size_t)rc;
    }
    return cel_list(run->a, v, k);
}

static struct cel_value new_map(struct cel_run *run, struct cel_entry *v, size_t n) {
    struct cel_map *m = ARENA_NEW(run->a, struct cel_map);
    m->v = v;
    m->n = n;
    m->a = run->a;
    cel_map_index(m);
    return (struct cel_value){.kind = CEL_MAP, .map = m};
}

static bool key_kind(enum cel_kind kind) {
    return kind == CEL_STRING || kind == CEL_INT || kind == CEL_UINT || kind == CEL_BOOL;
}

static struct cel_value eval_map(struct cel_run *run, const struct cel_node *n) {
    if (!cel_charge(run, 30)) return cel_exhausted();
    struct cel_map *m = ARENA_NEW(run->a, struct cel_map);
    m->v = ARENA_ARRAY(run->a, struct cel_entry, n->args.n / 2);
    m->a = run->a;
    for (size_t i = 0; i + 1 < n->args.n; i += 2) {
        struct cel_value key = value(run, n->args.v[i]), v, other;
        if (is_error(key)) return key;
        int rc = element(run, n->args.v[i + 1], n->optional && n->optional[i / 2], &v);
        if (rc < 0) return v;
        if (!key_kind(key.kind)) return cel_fail(run, "unsupported key type");
        if (cel_find(run, m, key, &other)) return cel_fail(run, "Failed with repeated key");
        if (rc) m->v[m->n++] = (struct cel_entry){key, v};
    }
    return new_map(run, m->v, m->n);
}

/* ---- macros ---- */

struct walk {
    struct cel_run *run;
    const struct cel_node *n;
    struct cel_value range;
    size_t size;
};

static struct cel_value begin(struct cel_run *run, const struct cel_node *n, struct walk *w) {
    *w = (struct walk){.run = run, .n = n, .range = value(run, n->target)};
    if (is_error(w->range)) return w->range;
    if (w->range.kind == CEL_LIST)
        w->size = cel_list_size(w->range.list);
    else if (w->range.kind == CEL_MAP || w->range.kind == CEL_OBJECT)
        w->size = cel_map_size(w->range.map);
    else
        return cel_no_overload(run);
    return cel_null();
}

/* Sets the variables to what stands at i; false when the budget is used up. */
static bool visit(struct walk *w, size_t i) {
    struct cel_value *vars = w->run->locals + w->n->slot;
    bool two = w->n->n_vars == 2;
    if (!cel_charge(w->run, 2)) return false;
    if (w->range.kind == CEL_LIST) {
        vars[0] = two ? cel_int((int64_t)i) : cel_at(w->range.list, i);
        if (two) vars[1] = cel_at(w->range.list, i);
    } else {
        vars[0] = cel_key_at(w->range.map, i);
        if (two) vars[1] = cel_value_at(w->range.map, i);
    }
    return true;
}

/* all (decides = false) and exists (true): errors count only when nothing else decides. */
static struct cel_value eval_quantifier(struct cel_run *run, const struct cel_node *n,
                                        bool decides) {
    struct walk w;
    struct cel_value error = begin(run, n, &w);
    if (is_error(error)) return error;
    for (size_t i = 0; i < w.size; i++) {
        if (!visit(&w, i)) return cel_exhausted();
        struct cel_value v = value(run, n->args.v[0]);
        if (run->exhausted) return cel_exhausted();
        if (v.kind == CEL_BOOL && v.b == decides) return v;
        if (v.kind != CEL_BOOL && !is_error(error)) error = is_error(v) ? v : cel_no_overload(run);
    }
    return is_error(error) ? error : cel_bool(!decides);
}

static struct cel_value eval_exists_one(struct cel_run *run, const struct cel_node *n) {
    struct walk w;
    struct cel_value v = begin(run, n, &w);
    size_t found = 0;
    if (is_error(v)) return v;
    for (size_t i = 0; i < w.size; i++) {
        if (!visit(&w, i)) return cel_exhausted();
        v = value(run, n->args.v[0]);
        if (is_error(v)) return v;
        if (v.kind != CEL_BOOL) return cel_no_overload(run);
        found += v.b;
    }
    return cel_bool(found == 1);
}

static struct cel_value eval_collect(struct cel_run *run, const struct cel_node *n) {
    struct {
        struct cel_value *v;
        size_t n;
    } made = {0};
    struct {
        struct cel_entry *v;
        size_t n;
    } entries = {0};
    struct walk w;
    struct cel_value v = begin(run, n, &w);
    if (is_error(v)) return v;
    for (size_t i = 0; i < w.size; i++) {
        if (!visit(&w, i)) return cel_exhausted();
        if (n->args.v[0]) {
            v = value(run, n->args.v[0]);
            if (is_error(v)) return v;
            if (v.kind != CEL_BOOL) return cel_no_overload(run);
            if (!v.b) continue;
        }
        struct cel_value key = run->locals[n->slot];
        v = n->args.v[1] ? value(run, n->args.v[1]) : key;
        if (is_error(v)) return v;
        if (!cel_charge(run, 1)) return cel_exhausted();
        if (n->kind == NODE_COLLECT_MAP)
            *ARENA_PUSH(run->a, &entries) = (struct cel_entry){key, v};
        else
            *ARENA_PUSH(run->a, &made) = v;
    }
    return n->kind == NODE_COLLECT_MAP ? new_map(run, entries.v, entries.n)
                                       : cel_list(run->a, made.v, made.n);
}

static struct cel_value eval_bind(struct cel_run *run, const struct cel_node *n) {
    struct cel_value v = value(run, n->args.v[0]);
    if (is_error(v)) return v;
    run->locals[n->slot] = v;
    return value(run, n->args.v[1]);
}

static struct cel_value eval_opt_map(struct cel_run *run, const struct cel_node *n) {
    struct cel_value v = value(run, n->target);
    if (is_error(v)) return v;
    if (v.kind != CEL_OPTIONAL) return cel_no_overload(run);
    if (!v.optional) return v;
    run->locals[n->slot] = *v.optional;
    v = value(run, n->args.v[0]);
    return is_error(v) || n->kind == NODE_OPT_FLAT_MAP ? v : some(run, v);
}

struct cel_value cel_node_value(struct cel_run *run, const struct cel_node *n) {
    switch (n->kind) {
    case NODE_LITERAL: return n->value;
    case NODE_IDENT:
        if (!cel_charge(run, 1)) return cel_exhausted();
        return n->local ? run->locals[n->slot] : run->vars[n->slot];
    case NODE_SELECT: return cel_charge(run, 1) ? eval_select(run, n) : cel_exhausted();
    case NODE_HAS: return cel_charge(run, 1) ? eval_has(run, n) : cel_exhausted();
    case NODE_CALL: return eval_call(run, n);
    case NODE_AND: return eval_logic(run, n, false);
    case NODE_OR: return eval_logic(run, n, true);
    case NODE_CHOICE: return eval_choice(run, n);
    case NODE_LIST: return eval_list(run, n);
    case NODE_MAP: return eval_map(run, n);
    case NODE_ALL: return eval_quantifier(run, n, false);
    case NODE_EXISTS: return eval_quantifier(run, n, true);
    case NODE_EXISTS_ONE: return eval_exists_one(run, n);
    case NODE_COLLECT:
    case NODE_COLLECT_MAP: return eval_collect(run, n);
    case NODE_BIND: return eval_bind(run, n);
    case NODE_OPT_MAP:
    case NODE_OPT_FLAT_MAP: return eval_opt_map(run, n);
    }
    return cel_no_overload(run);
}
