/*
 * Inside src/cel. The way of an expression: lex.c → parse.c (macros expanded by macro.c) → check.c
 * (types, overloads resolved) → eval.c, which walks the tree. functions.c holds the table of all
 * functions; lib_*.c are their bodies. value.c: equality, order, access; json.c: documents.
 */
#pragma once

#include "api/values/quantity.h"
#include "cel/cel.h"

enum {
    CEL_DEPTH_MAX = 120,       /* nesting of expressions */
    CEL_NODES_MAX = 20000,     /* of one expression */
    CEL_LOCALS_MAX = 64,       /* variables of macros, nested */
    CEL_ISSUES_MAX = 16,       /* reported for one expression */
    CEL_ARGS_MAX = 16,         /* of operators and functions; not of list literals */
    CEL_MEMORY_MAX = 64 << 20, /* bytes of one evaluation */
};

/* ---- issues ---- */

struct cel_source {
    struct arena *a;
    struct slice text;
    struct {
        uint32_t at;
        const char *what;
    } issues[CEL_ISSUES_MAX];
    size_t n_issues, nodes;
};
void cel_issue(struct cel_source *s, uint32_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Everything wrong, in upstream's form. */
const char *cel_issues_text(struct cel_source *s);

/* ---- lex.c ---- */

enum cel_token_kind {
    TOKEN_END,
    TOKEN_IDENT,
    TOKEN_LITERAL,
    TOKEN_OPERATOR, /* text is the operator */
    TOKEN_BAD       /* an issue has been noted */
};
struct cel_token {
    enum cel_token_kind kind;
    uint32_t at;
    struct slice text;
    struct cel_value value; /* of literals */
};
struct cel_lexer {
    struct cel_source *s;
    const char *p, *end;
};
struct cel_token cel_lex(struct cel_lexer *l);
/* literal.c: the text between the quotes, unescaped. */
int cel_unescape(struct arena *a, struct slice text, bool raw, bool bytes, struct slice *ret);

/* ---- the tree ---- */

enum cel_node_kind {
    NODE_LITERAL,
    NODE_IDENT,
    NODE_SELECT, /* target.name */
    NODE_CALL,   /* name(args), or target.name(args); operators too */
    NODE_AND,    /* args */
    NODE_OR,
    NODE_CHOICE, /* args: condition, then, else */
    NODE_LIST,   /* args */
    NODE_MAP,    /* args: key, value, key, value … */
    NODE_HAS,    /* has(target.name) */
    /* Macros with a range (target), names of one or two variables and args. */
    NODE_ALL,
    NODE_EXISTS,
    NODE_EXISTS_ONE,
    NODE_COLLECT, /* map and filter: args: condition (may be NULL), result (NULL: the variable) */
    NODE_COLLECT_MAP, /* transformMap: the same */
    NODE_BIND,        /* cel.bind(name, args[0], args[1]) */
    NODE_OPT_MAP,     /* target.optMap(name, args[0]) */
    NODE_OPT_FLAT_MAP
};

struct cel_overload;

struct cel_node {
    enum cel_node_kind kind;
    uint32_t at;
    struct slice name;    /* identifier, field (true name), function */
    struct slice spelled; /* a field as written */
    struct slice vars[2]; /* of macros */
    unsigned n_vars;
    struct cel_value value; /* of literals */
    struct cel_node *target;
    struct {
        struct cel_node **v;
        size_t n;
    } args;
    const bool *optional; /* of list elements and map entries: `?` stood before it; or NULL */
    bool optional_select; /* target.?name */
    bool local;           /* NODE_IDENT: slot is one of run->locals, else of run->vars */
    unsigned slot;        /* of macros: of the first of their variables */
    const struct cel_type *type;
    const struct cel_overload *const *overloads; /* NODE_CALL: those that may fit */
    size_t n_overloads;
    struct regex *regex; /* of matches() with a literal pattern */
};

/* The tree of a source, or NULL and issues. */
struct cel_node *cel_parse(struct cel_source *s);
struct cel_node *cel_node_new(struct cel_source *s, enum cel_node_kind kind, uint32_t at);
/* macro.c: the node that a call stands for when it is a macro, the call itself when it is none. */
struct cel_node *cel_expand(struct cel_source *s, struct cel_node *call);
/* __namespace__ → namespace, a__dash__b → a-b. */
struct slice cel_unescape_name(struct arena *a, struct slice name);

/* ---- types ---- */

static inline const struct cel_type *cel_actual(const struct cel_type *t) {
    while (t->kind == CEL_PARAM && t->bound) t = t->bound;
    return t;
}
/* Undoes bindings of type variables when an overload does not fit after all. */
struct cel_trail {
    struct arena *a;
    struct cel_type **v;
    size_t n;
};
/* Whether a value of type `from` may stand where `to` is wanted; binds type variables. */
bool cel_assign(struct cel_trail *trail, const struct cel_type *to, const struct cel_type *from);
void cel_trail_undo(struct cel_trail *trail, size_t n);
struct cel_type *cel_param(struct arena *a);
/* The name that type(x) has: int, list, google.protobuf.Timestamp. */
const char *cel_kind_name(enum cel_kind kind);

/* ---- functions ---- */

typedef struct cel_value cel_fn(struct cel_run *run, const struct cel_value *args);

/* What a call costs, besides its arguments (upstream's runtime costs). */
enum cel_cost {
    COST_ONE,
    COST_SIZE,    /* of the first argument: a tenth per byte of text, one per element */
    COST_SIZES,   /* of all arguments */
    COST_PRODUCT, /* of the first two: search in text, sets */
    COST_NONE     /* the body counts itself */
};

struct cel_function {
    /* "RECEIVER|name(TYPE, TYPE) RESULT"; types: bool int … list<A> map<A,B> optional<A> A B dyn.
     */
    const char *signature;
    cel_fn *fn;
    enum cel_cost cost;
};

struct cel_overload {
    const struct cel_function *function;
    struct slice name;
    bool member;
    unsigned n; /* arguments, the receiver among them */
    const struct cel_type *args[CEL_ARGS_MAX];
    const struct cel_type *result;
    const struct cel_overload *next; /* of the same name */
};
/* The first overload of that name, or NULL. */
const struct cel_overload *cel_overloads(struct slice name);

struct cel_library {
    const struct cel_function *v;
    size_t n;
};
extern const struct cel_library cel_lib_operators, cel_lib_convert, cel_lib_strings, cel_lib_lists,
    cel_lib_optionals, cel_lib_times, cel_lib_format, cel_lib_regex, cel_lib_urls, cel_lib_quantity,
    cel_lib_addresses, cel_lib_math, cel_lib_authorizer, cel_lib_named_formats, cel_lib_sets;

/* ---- check.c ---- */

struct cel_variable {
    const char *name;
    const struct cel_type *type;
};
struct cel_env {
    struct arena *a;
    struct cel_variable *v;
    size_t n;
};
struct cel_program {
    struct cel_node *root;
    const struct cel_env *env;
    bool *used; /* by variable */
    unsigned n_locals;
};
int cel_check(struct cel_source *s, const struct cel_env *env, struct cel_program *program);

/* ---- values ---- */

struct cel_list {
    struct cel_value *v; /* may be CEL_RAW: read by cel_at */
    size_t n;
    struct arena *a;
    const struct cel_type *type; /* of the list, or NULL */
    struct slice json;           /* not read yet */
};
struct cel_entry {
    struct cel_value key, value;
};
struct cel_map {
    struct cel_entry *v; /* values may be CEL_RAW: read by cel_find */
    size_t n;
    uint32_t *index; /* hash table of v by string key, of a power of two; NULL while n is small */
    size_t index_n;
    struct arena *a;
    const struct cel_type *type;
    struct slice json;
    cel_get_fn *get; /* computed */
    void *user;
};

/* Values of the libraries' own types. */
struct cel_opaque {
    enum cel_kind kind;
    struct slice text; /* of URLs: as written */
    struct {
        struct slice scheme, host, path, query;
    } url;
    struct quantity quantity;
    uint8_t address[16]; /* of ip and cidr; IPv4 in the first four */
    bool v6;
    unsigned prefix;
    const char *format;     /* name of a format */
    struct cel_check check; /* of authorizers and checks */
    const struct cel_check *request;
    bool allowed; /* of decisions */
    const char *reason;
};
struct cel_value cel_opaque(struct cel_run *run, const struct cel_opaque *o);

size_t cel_list_size(struct cel_list *l);
struct cel_value cel_at(struct cel_list *l, size_t i);
size_t cel_map_size(struct cel_map *m);
struct cel_value cel_key_at(struct cel_map *m, size_t i);
struct cel_value cel_value_at(struct cel_map *m, size_t i);
/* Finds a key (numbers by value, whatever their kind). */
bool cel_find(struct cel_run *run, struct cel_map *m, struct cel_value key, struct cel_value *ret);
void cel_map_index(struct cel_map *m);

bool cel_equal(struct cel_run *run, struct cel_value x, struct cel_value y);
/* -1, 0, 1; 2: there is no order between them (NaN, kinds). */
int cel_compare(struct cel_value x, struct cel_value y);
bool cel_fits(struct cel_value v, const struct cel_type *t); /* by kind, for dispatch */
/* As a number of characters of text or elements; 1 for anything else. */
size_t cel_size(struct cel_value v);

/* ---- eval.c ---- */

/* A CEL_ERROR value. */
struct cel_value cel_fail(struct cel_run *run, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Takes cost units; false when there are none left (run->exhausted). */
bool cel_charge(struct cel_run *run, uint64_t units);
/* Takes what n bytes of text cost, and says whether there is memory for them. */
bool cel_charge_text(struct cel_run *run, size_t n);
struct cel_value cel_exhausted(void);
struct cel_value cel_node_value(struct cel_run *run, const struct cel_node *n);
struct cel_value cel_no_overload(struct cel_run *run);
struct cel_value cel_bytes(struct slice s);
struct cel_value cel_time(enum cel_kind kind, int64_t seconds, int32_t ns);
/* A copy in the run's arena. */
struct cel_value cel_copy_text(struct cel_run *run, const struct buf *b);
struct cel_value cel_select(struct cel_run *run, struct cel_value from, struct slice name);

/* ---- what libraries share ---- */

/* UTF-8 */
size_t cel_runes(struct slice s);
size_t cel_rune_offset(struct slice s, size_t rune); /* byte of the n-th character, or s.n */
bool cel_utf8_valid(struct slice s);
/* text.c: as string(x) writes it. */
void cel_put_double(struct buf *b, double d);
void cel_put_duration(struct buf *b, int64_t seconds, int32_t ns);
void cel_put_timestamp(struct buf *b, int64_t seconds, int32_t ns);
bool cel_parse_timestamp(struct slice s, int64_t *ret_s, int32_t *ret_ns);
bool cel_parse_duration(struct slice s, int64_t *ret_s, int32_t *ret_ns);
bool cel_parse_int(struct slice s, int64_t *ret);
bool cel_parse_double(struct slice s, double *ret);
/* lib_format.c: the texts of lib_quantity.c and lib_addresses.c, for string(x) and messages. */
bool cel_opaque_text(struct buf *b, struct cel_value v);
bool cel_opaque_equal(struct cel_value x, struct cel_value y);
