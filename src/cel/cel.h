/*
 * CEL, the Common Expression Language, as Kubernetes 1.32 uses it (github.com/google/cel-spec,
 * KEP-2876, KEP-3488): rules of custom resources, admission policies, match conditions.
 *
 * An expression is compiled once against an environment (its variables and their types) and then
 * evaluated as often as needed. Documents are JSON texts that are looked at where they stand: a
 * value that no expression asks for is never parsed. Everything lives in the arenas that are passed
 * in; nothing here does I/O. An evaluation is bounded by a cost budget (upstream's units), so that
 * no expression can hold up the process.
 *
 *   struct cel_env *env = cel_env_new(a);
 *   cel_declare(env, "self", cel_object_type(a, "Widget", widget_field, schema));
 *   cel_compile(a, env, "self.size > 3", &program, &problem);        problem: what to tell the user
 *   struct cel_value vars[] = {cel_json(a, self_type, text)};        in the order of declaration
 *   struct cel_run run = {.a = a, .vars = vars, .n_vars = 1, .budget = CEL_COST_PER_CALL};
 *   cel_eval(program, &run, &result, &problem);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

enum cel_kind {
    CEL_DYN, /* of types only: known at run time */
    CEL_NULL,
    CEL_BOOL,
    CEL_INT,
    CEL_UINT,
    CEL_DOUBLE,
    CEL_STRING,
    CEL_BYTES,
    CEL_TIMESTAMP,
    CEL_DURATION,
    CEL_LIST,
    CEL_MAP,
    CEL_OBJECT, /* a map with known fields */
    CEL_TYPE,
    CEL_OPTIONAL,
    CEL_URL,
    CEL_QUANTITY,
    CEL_IP,
    CEL_CIDR,
    CEL_FORMAT,
    CEL_AUTHORIZER,
    CEL_PATH_CHECK,
    CEL_GROUP_CHECK,
    CEL_RESOURCE_CHECK,
    CEL_DECISION,
    CEL_PARAM, /* of types only: a variable of the type checker */
    CEL_ERROR, /* of values only, inside the evaluator */
    CEL_RAW,   /* of values only: JSON text that nobody has looked at yet */
    CEL_KIND_COUNT
};

/* ---- types ---- */

struct cel_type;
/* The type of a field (JSON name), or NULL when there is none. Memory may come from a. */
typedef const struct cel_type *cel_field_fn(struct arena *a, const struct cel_type *t,
                                            struct slice name);

/* How lists compare and join (x-kubernetes-list-type). */
enum cel_list_type { CEL_LIST_ATOMIC, CEL_LIST_SET, CEL_LIST_MAP };

struct cel_type {
    enum cel_kind kind;
    const char *name;            /* of objects, for messages */
    const struct cel_type *key;  /* of maps */
    const struct cel_type *elem; /* element of lists, value of maps, content of optionals */
    cel_field_fn *field;         /* of objects; NULL: any field, of type dyn */
    const void *source;          /* of objects: for `field` */
    enum cel_list_type list_type;
    const char *const *list_keys; /* of CEL_LIST_MAP, NULL-terminated */
    uint64_t size_max;            /* bytes of text, elements: no value has more; 0: not known */
    struct cel_type *bound;       /* of CEL_PARAM: what it turned out to be */
};

/* Types without parts: CEL_DYN … CEL_DURATION, CEL_URL … */
const struct cel_type *cel_type(enum cel_kind kind);
struct cel_type *cel_list_type(struct arena *a, const struct cel_type *elem);
struct cel_type *cel_map_type(struct arena *a, const struct cel_type *key,
                              const struct cel_type *value);
struct cel_type *cel_optional_type(struct arena *a, const struct cel_type *elem);
/* In expressions, properties whose names are no identifiers are written as Kubernetes escapes them
 * (a__dash__b, __namespace__); `field` gets the true name. */
struct cel_type *cel_object_type(struct arena *a, const char *name, cel_field_fn *field,
                                 const void *source);
struct api_type;
/* The type of a built-in kind or one of its parts, from its table. */
const struct cel_type *cel_api_type(struct arena *a, const struct api_type *t);
/* int, list(string), map(string, dyn), Widget: as messages write it. */
const char *cel_type_text(struct arena *a, const struct cel_type *t);

/* ---- values ---- */

struct cel_list;
struct cel_map;
struct cel_opaque;

struct cel_value {
    enum cel_kind kind;
    int32_t ns; /* of CEL_TIMESTAMP and CEL_DURATION: nanoseconds, 0 … 999999999 */
    union {
        bool b;
        int64_t i; /* of CEL_TIMESTAMP, CEL_DURATION too: whole seconds */
        uint64_t u;
        double d;
        struct {
            const char *p; /* of CEL_STRING (UTF-8), CEL_BYTES, CEL_ERROR (why), CEL_RAW */
            size_t n;
        };
        struct cel_list *list;
        struct cel_map *map; /* of CEL_MAP and CEL_OBJECT */
        struct cel_opaque *opaque;
        const struct cel_value *optional; /* NULL: none */
        const struct cel_type *type;
    };
};

static inline struct cel_value cel_null(void) { return (struct cel_value){.kind = CEL_NULL}; }
static inline struct cel_value cel_bool(bool b) {
    return (struct cel_value){.kind = CEL_BOOL, .b = b};
}
static inline struct cel_value cel_int(int64_t i) {
    return (struct cel_value){.kind = CEL_INT, .i = i};
}
static inline struct cel_value cel_string(struct slice s) {
    return (struct cel_value){.kind = CEL_STRING, .p = s.p, .n = s.n};
}
static inline struct cel_value cel_text(const char *s) { return cel_string(slice_of(s)); }
static inline struct slice cel_slice(struct cel_value v) { return slice_from(v.p, v.n); }

/* A JSON text as a value of type t (cel_type(CEL_DYN) when nothing is known). The text is borrowed
 * and must be well-formed; a part that does not fit its type has the type it looks like. A text
 * that is empty or does not parse gives null. */
struct cel_value cel_json(struct arena *a, const struct cel_type *t, struct slice json);
/* content NULL: optional.none(). */
struct cel_value cel_optional(struct arena *a, const struct cel_value *content);
/* Lists and maps from values; all borrowed. */
struct cel_value cel_list(struct arena *a, const struct cel_value *v, size_t n);
/* An object whose fields are worked out when first asked for. get returns 1 and *ret (perhaps a
 * CEL_ERROR), or 0: no such field. `run` is the evaluation that asks. */
struct cel_run;
typedef int cel_get_fn(struct cel_run *run, void *user, struct slice name, struct cel_value *ret);
struct cel_value cel_computed(struct arena *a, cel_get_fn *get, void *user);
/* A value as JSON text, for messages, audit annotations and patches. */
void cel_encode(struct buf *b, struct cel_value v);

/* ---- programs ---- */

struct cel_env;
struct cel_program;

struct cel_env *cel_env_new(struct arena *a);
/* A variable. name and type are borrowed. */
void cel_declare(struct cel_env *env, const char *name, const struct cel_type *type);

/* 0 or -EINVAL; *ret_problem then says all that is wrong, each with its place, in upstream's form
 * (several lines): ERROR: <input>:1:5: undefined field 'foo'\n | self.foo\n | ....^ */
int cel_compile(struct arena *a, const struct cel_env *env, const char *source,
                struct cel_program **ret, const char **ret_problem);
/* The type of the result. */
const struct cel_type *cel_program_type(const struct cel_program *p);
/* Whether a variable is used: `oldSelf` makes a rule one about transitions. */
bool cel_program_uses(const struct cel_program *p, const char *variable);
/* The most that an evaluation can cost, from the bounds (size_max) in the types of the variables.
 * What has no bound and is not walked over is taken as small. */
double cel_cost_estimate(const struct cel_program *p);

enum {
    CEL_COST_PER_CALL = 1000000,     /* of one expression */
    CEL_COST_BUDGET = 10000000,      /* of all expressions of one policy or one object */
    CEL_EXPRESSION_MAX = 10 * 1024,  /* bytes of one expression */
    CEL_REQUEST_BYTES_MAX = 3 << 20, /* that estimates take a document to have at most */
};

/* What authorizer.….check() asks. Texts are "" when not given. */
struct cel_check {
    const char *path; /* of a non-resource check, else NULL */
    const char *group, *version, *resource, *subresource, *ns, *name, *verb;
    const char *field_selector, *label_selector;
    const char *service_account_ns, *service_account; /* "" = who made the request */
};
/* Fills in whether it is allowed and, in memory of a, why. */
typedef void cel_authorize_fn(void *user, struct arena *a, const struct cel_check *check,
                              bool *ret_allowed, const char **ret_reason);

struct cel_run {
    struct arena *a;              /* results and what comes and goes */
    const struct cel_value *vars; /* in the order of declaration */
    size_t n_vars;
    uint64_t budget; /* cost units left; an evaluation takes from it what it used, and never more
                        than CEL_COST_PER_CALL */
    cel_authorize_fn *authorize; /* NULL: nothing is allowed */
    void *user;                  /* for authorize */
    /* The rest is the evaluator's. */
    struct cel_value *locals;
    size_t arena_limit;
    unsigned depth;
    bool exhausted; /* the budget was used up */
};

/* 0, or -EINVAL with the reason in *ret_problem ("no such key: foo"; run->exhausted says whether it
 * was the budget). */
int cel_eval(const struct cel_program *p, struct cel_run *run, struct cel_value *ret,
             const char **ret_problem);
#define CEL_OUT_OF_BUDGET "operation cancelled: actual cost limit exceeded"

/* The value of variable `authorizer`, and of authorizer.requestResource. */
struct cel_value cel_authorizer(struct arena *a, const struct cel_check *request);
