/* What an expression can cost at most, from the sizes that its types allow. Sums and products of
 * doubles: they cannot overflow, and nobody needs the last digit. */
#include "base/own.h"
#include "cel/internal.h"

/* Of a value: what working it out costs, and how large it is (bytes of text, elements). */
struct estimate {
    double cost, size;
};

struct estimator {
    double locals[CEL_LOCALS_MAX]; /* sizes */
};

/* Elements that a document without a bound can hold: "0," is one. */
static const double unbounded_elements = CEL_REQUEST_BYTES_MAX / 2.0;

static struct estimate estimate(struct estimator *e, const struct cel_node *n);

/* What is known of the type counts, what was worked out from the parts is the second best. */
static double size_of(const struct cel_type *t, double otherwise) {
    t = cel_actual(t);
    if (t->kind == CEL_OPTIONAL && t->elem) t = cel_actual(t->elem);
    return t->size_max ? (double)t->size_max : otherwise;
}

static double least(double x, double y) { return x < y ? x : y; }
static double most(double x, double y) { return x > y ? x : y; }

static bool is_comparison(struct slice name) {
    static const char *const names[] = {"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_is(name, names[i])) return true;
    return false;
}

static bool is_index(struct slice name) {
    return slice_is(name, "_[_]") || slice_is(name, "_[?_]");
}

/* Of the call alone. Text costs a tenth per byte, patterns a quarter. */
static double call_cost(const struct cel_node *n, const double *sizes, size_t k) {
    double first = k ? sizes[0] : 0, second = k > 1 ? sizes[1] : 0;
    if (is_comparison(n->name)) return most(1, least(first, second) / 10);
    if (slice_is(n->name, "@in")) return most(1, second);
    if (slice_is(n->name, "matches") || slice_is(n->name, "find") || slice_is(n->name, "findAll"))
        return (first / 10 + 1) * (second / 4 + 1);
    if (slice_is(n->name, "size")) return 1;
    if (slice_is(n->name, "startsWith") || slice_is(n->name, "endsWith")) return 1 + second / 10;
    switch (n->n_overloads ? n->overloads[0]->function->cost : COST_ONE) {
    case COST_SIZE: return 1 + first / 10;
    case COST_SIZES: {
        double sum = 1;
        for (size_t i = 0; i < k; i++) sum += sizes[i] / 10;
        return sum;
    }
    case COST_PRODUCT: return 1 + (first / 10 + 1) * (second / 10 + 1);
    case COST_NONE:
    case COST_ONE: break;
    }
    return slice_is(n->name, "_+_") ? 1 + (first + second) / 10 : 1;
}

static struct estimate call(struct estimator *e, const struct cel_node *n) {
    double sizes[CEL_ARGS_MAX] = {0}, sum = 0, largest = 0;
    size_t k = 0;
    for (size_t i = n->target ? 0 : 1; i <= n->args.n && k < CEL_ARGS_MAX; i++) {
        struct estimate one = estimate(e, i ? n->args.v[i - 1] : n->target);
        sizes[k++] = one.size;
        sum += one.cost;
        largest = most(largest, one.size);
    }
    double made = slice_is(n->name, "_+_") && k == 2 ? sizes[0] + sizes[1] : largest;
    if (is_index(n->name)) made = 0;
    return (struct estimate){sum + call_cost(n, sizes, k), size_of(n->type, made)};
}

static double elements(const struct cel_node *range, double worked_out) {
    const struct cel_type *t = cel_actual(range->type);
    if (t->kind != CEL_LIST && t->kind != CEL_MAP) return most(worked_out, unbounded_elements);
    return size_of(t, worked_out);
}

/* Each step reads the result so far and asks whether to go on. */
static struct estimate macro(struct estimator *e, const struct cel_node *n) {
    enum { STEP_COST = 3, COLLECT_COST = 12, RESULT_COST = 1 };
    struct estimate range = estimate(e, n->target), body = {0};
    double times = elements(n->target, range.size);
    bool collects = n->kind == NODE_COLLECT || n->kind == NODE_COLLECT_MAP;
    for (unsigned i = 0; i < n->n_vars; i++) e->locals[n->slot + i] = 0;
    for (size_t i = 0; i < n->args.n; i++)
        if (n->args.v[i]) body.cost += estimate(e, n->args.v[i]).cost;
    body.cost += collects ? COLLECT_COST : STEP_COST;
    return (struct estimate){range.cost + times * body.cost + RESULT_COST, collects ? times : 0};
}

/* A name for one value: cel.bind, optMap. */
static struct estimate named(struct estimator *e, const struct cel_node *n) {
    bool bind = n->kind == NODE_BIND;
    struct estimate v = estimate(e, bind ? n->args.v[0] : n->target);
    e->locals[n->slot] = v.size;
    struct estimate body = estimate(e, n->args.v[bind ? 1 : 0]);
    return (struct estimate){v.cost + body.cost + 1, body.size};
}

static struct estimate parts(struct estimator *e, const struct cel_node *n) {
    struct estimate sum = {0};
    for (size_t i = 0; i < n->args.n; i++) sum.cost += estimate(e, n->args.v[i]).cost;
    sum.size = (double)n->args.n;
    return sum;
}

static struct estimate choice(struct estimator *e, const struct cel_node *n) {
    struct estimate condition = estimate(e, n->args.v[0]), yes = estimate(e, n->args.v[1]),
                    no = estimate(e, n->args.v[2]);
    return (struct estimate){condition.cost + most(yes.cost, no.cost),
                             size_of(n->type, most(yes.size, no.size))};
}

static struct estimate estimate(struct estimator *e, const struct cel_node *n) {
    enum { LIST_COST = 10, MAP_COST = 30 };
    struct estimate sum;
    switch (n->kind) {
    case NODE_LITERAL: {
        bool text = n->value.kind == CEL_STRING || n->value.kind == CEL_BYTES;
        return (struct estimate){0, text ? (double)n->value.n : 1};
    }
    case NODE_IDENT:
        return (struct estimate){1, size_of(n->type, n->local ? e->locals[n->slot] : 0)};
    case NODE_SELECT:
    case NODE_HAS: return (struct estimate){estimate(e, n->target).cost + 1, size_of(n->type, 0)};
    case NODE_CALL: return call(e, n);
    case NODE_AND:
    case NODE_OR: return parts(e, n);
    case NODE_CHOICE: return choice(e, n);
    case NODE_LIST: sum = parts(e, n); return (struct estimate){LIST_COST + sum.cost, sum.size};
    case NODE_MAP: sum = parts(e, n); return (struct estimate){MAP_COST + sum.cost, sum.size / 2};
    case NODE_BIND:
    case NODE_OPT_MAP:
    case NODE_OPT_FLAT_MAP: return named(e, n);
    case NODE_ALL:
    case NODE_EXISTS:
    case NODE_EXISTS_ONE:
    case NODE_COLLECT:
    case NODE_COLLECT_MAP: break;
    }
    return macro(e, n);
}

double cel_cost_estimate(const struct cel_program *p) {
    struct estimator e = {0};
    return estimate(&e, p->root).cost;
}
