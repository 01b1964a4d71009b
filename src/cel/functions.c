/* The table of all functions, made from their signatures at first use. */
#include "cel/internal.h"

#include <assert.h>

#include "base/map.h"
#include "base/own.h"

static const struct cel_library *const libraries[] = {
    &cel_lib_operators, &cel_lib_convert,       &cel_lib_strings,    &cel_lib_lists,
    &cel_lib_optionals, &cel_lib_times,         &cel_lib_format,     &cel_lib_regex,
    &cel_lib_urls,      &cel_lib_quantity,      &cel_lib_addresses,  &cel_lib_math,
    &cel_lib_sets,      &cel_lib_named_formats, &cel_lib_authorizer,
};

static const struct {
    const char *name;
    enum cel_kind kind;
} type_words[] = {
    {"dyn", CEL_DYN},
    {"null", CEL_NULL},
    {"bool", CEL_BOOL},
    {"int", CEL_INT},
    {"uint", CEL_UINT},
    {"double", CEL_DOUBLE},
    {"string", CEL_STRING},
    {"bytes", CEL_BYTES},
    {"timestamp", CEL_TIMESTAMP},
    {"duration", CEL_DURATION},
    {"list", CEL_LIST},
    {"map", CEL_MAP},
    {"type", CEL_TYPE},
    {"optional", CEL_OPTIONAL},
    {"url", CEL_URL},
    {"quantity", CEL_QUANTITY},
    {"ip", CEL_IP},
    {"cidr", CEL_CIDR},
    {"format", CEL_FORMAT},
    {"authorizer", CEL_AUTHORIZER},
    {"pathcheck", CEL_PATH_CHECK},
    {"groupcheck", CEL_GROUP_CHECK},
    {"resourcecheck", CEL_RESOURCE_CHECK},
    {"decision", CEL_DECISION},
};

/* Type variables of signatures: told from others by address, replaced when instantiated. */
static struct cel_type params[2] = {{.kind = CEL_PARAM, .name = "A"},
                                    {.kind = CEL_PARAM, .name = "B"}};
static struct arena *arena;
static struct map table;

static void spaces(const char **p) {
    while (**p == ' ') ++*p;
}

static const struct cel_type *read_type(const char **p) {
    spaces(p);
    const char *from = *p;
    while (**p >= 'A' && **p <= 'z') ++*p;
    struct slice word = slice_from(from, (size_t)(*p - from));
    if (slice_is(word, "A") || slice_is(word, "B")) return &params[word.p[0] - 'A'];
    size_t i = 0;
    while (i < ARRAY_LEN(type_words) && !slice_is(word, type_words[i].name)) i++;
    assert(i < ARRAY_LEN(type_words)); /* a signature with a misspelt type */
    if (**p != '<') return cel_type(type_words[i].kind);
    ++*p;
    struct cel_type *t = ARENA_NEW(arena, struct cel_type);
    t->kind = type_words[i].kind;
    t->elem = read_type(p);
    if (**p == ',') {
        ++*p;
        t->key = t->elem;
        t->elem = read_type(p);
    }
    assert(**p == '>');
    ++*p;
    return t;
}

static struct cel_overload *read_signature(const struct cel_function *f) {
    const char *p = f->signature, *bar = strchr(p, '|'), *open;
    struct cel_overload *o = ARENA_NEW(arena, struct cel_overload);
    o->function = f;
    if (bar && bar != p && bar[1] != '|' && bar[-1] != '_') {
        o->member = true;
        o->args[o->n++] = read_type(&p);
        p = bar + 1;
    }
    open = strchr(p, '(');
    assert(open);
    o->name = slice_from(p, (size_t)(open - p));
    for (p = open + 1; *p != ')';) {
        assert(o->n < CEL_ARGS_MAX);
        o->args[o->n++] = read_type(&p);
        if (*p == ',') p++;
        spaces(&p);
    }
    p++;
    o->result = read_type(&p);
    assert(*p == 0);
    return o;
}

static void fill(void) {
    arena = arena_new();
    for (size_t l = 0; l < ARRAY_LEN(libraries); l++) {
        for (size_t i = 0; i < libraries[l]->n; i++) {
            struct cel_overload *o = read_signature(&libraries[l]->v[i]);
            struct cel_overload *first = map_get(&table, o->name), *last = first;
            if (!first) {
                map_put(&table, o->name, o);
                continue;
            }
            while (last->next) last = (struct cel_overload *)last->next;
            last->next = o;
        }
    }
}

const struct cel_overload *cel_overloads(struct slice name) {
    if (!arena) fill();
    return map_get(&table, name);
}
