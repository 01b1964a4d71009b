/* authorizer.group(…).resource(…).check(verb) and its like (KEP-3488). */
#include "base/own.h"
#include "cel/internal.h"

enum { CHECK_COST = 350000 }; /* upstream's, so that a policy asks only a few times */

struct cel_value cel_authorizer(struct arena *a, const struct cel_check *request) {
    struct cel_opaque *o = ARENA_NEW(a, struct cel_opaque);
    o->kind = CEL_AUTHORIZER;
    o->check = (struct cel_check){.group = "",
                                  .version = "*",
                                  .resource = "",
                                  .subresource = "",
                                  .ns = "",
                                  .name = "",
                                  .verb = "",
                                  .field_selector = "",
                                  .label_selector = "",
                                  .service_account_ns = "",
                                  .service_account = ""};
    o->request = request;
    return (struct cel_value){.kind = CEL_AUTHORIZER, .opaque = o};
}

static const char *text(struct cel_run *run, struct cel_value v) {
    return arena_strn(run->a, cel_slice(v));
}

/* A changed copy. */
static struct cel_opaque *step(struct cel_run *run, struct cel_value from, enum cel_kind kind) {
    struct cel_opaque *o = arena_copy(run->a, from.opaque, sizeof *from.opaque);
    o->kind = kind;
    return o;
}

static struct cel_value value_of(struct cel_opaque *o) {
    return (struct cel_value){.kind = o->kind, .opaque = o};
}

#define STEP(name, to, member)                                                                     \
    static struct cel_value name(struct cel_run *run, const struct cel_value *args) {              \
        struct cel_opaque *o = step(run, args[0], to);                                             \
        o->check.member = text(run, args[1]);                                                      \
        return value_of(o);                                                                        \
    }
STEP(path, CEL_PATH_CHECK, path)
STEP(group, CEL_GROUP_CHECK, group)
STEP(resource, CEL_RESOURCE_CHECK, resource)
STEP(subresource, CEL_RESOURCE_CHECK, subresource)
STEP(in_namespace, CEL_RESOURCE_CHECK, ns)
STEP(name, CEL_RESOURCE_CHECK, name)
STEP(field_selector, CEL_RESOURCE_CHECK, field_selector)
STEP(label_selector, CEL_RESOURCE_CHECK, label_selector)

static struct cel_value service_account(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque *o = step(run, args[0], CEL_AUTHORIZER);
    o->check.service_account_ns = text(run, args[1]);
    o->check.service_account = text(run, args[2]);
    return value_of(o);
}

static struct cel_value request_resource(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque *o = step(run, args[0], CEL_RESOURCE_CHECK);
    if (!o->request) return cel_fail(run, "authorizer.requestResource is not available");
    struct cel_check check = *o->request;
    check.service_account_ns = o->check.service_account_ns;
    check.service_account = o->check.service_account;
    o->check = check;
    return value_of(o);
}

static struct cel_value check(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque *o = step(run, args[0], CEL_DECISION);
    if (!cel_charge(run, CHECK_COST)) return cel_exhausted();
    o->check.verb = text(run, args[1]);
    o->reason = "";
    if (run->authorize) run->authorize(run->user, run->a, &o->check, &o->allowed, &o->reason);
    return value_of(o);
}

static struct cel_value allowed(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(args[0].opaque->allowed);
}
static struct cel_value reason(struct cel_run *run, const struct cel_value *args) {
    return cel_text(args[0].opaque->reason);
}
/* Decisions here come from memory: they cannot fail. */
static struct cel_value errored(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(false);
}
static struct cel_value error(struct cel_run *run, const struct cel_value *args) {
    return cel_text("");
}

static const struct cel_function functions[] = {
    {"authorizer|path(string) pathcheck", path, COST_ONE},
    {"authorizer|group(string) groupcheck", group, COST_ONE},
    {"authorizer|serviceAccount(string,string) authorizer", service_account, COST_ONE},
    {"authorizer|requestResource() resourcecheck", request_resource, COST_ONE},
    {"groupcheck|resource(string) resourcecheck", resource, COST_ONE},
    {"resourcecheck|subresource(string) resourcecheck", subresource, COST_ONE},
    {"resourcecheck|namespace(string) resourcecheck", in_namespace, COST_ONE},
    {"resourcecheck|name(string) resourcecheck", name, COST_ONE},
    {"resourcecheck|fieldSelector(string) resourcecheck", field_selector, COST_ONE},
    {"resourcecheck|labelSelector(string) resourcecheck", label_selector, COST_ONE},
    {"pathcheck|check(string) decision", check, COST_NONE},
    {"resourcecheck|check(string) decision", check, COST_NONE},
    {"decision|allowed() bool", allowed, COST_ONE},
    {"decision|reason() string", reason, COST_ONE},
    {"decision|errored() bool", errored, COST_ONE},
    {"decision|error() string", error, COST_ONE},
};
const struct cel_library cel_lib_authorizer = {functions, ARRAY_LEN(functions)};
