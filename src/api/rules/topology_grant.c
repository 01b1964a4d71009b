#include "api/rules/topology_grant.h"

#include <errno.h>
#include <string.h>

#include "api/values/names.h"
#include "base/limits.h"
#include "base/own.h"

/* All roles; of those of one pattern the first is named first. */
static const char *const roles[] = {"pub", "sub",      "push",       "pull", "req",
                                    "rep", "surveyor", "respondent", "bus",  "pair"};
enum { PATTERN_PAIRS_END = 8 }; /* before here, roles 2n and 2n+1 are of one pattern */

static size_t role_number(struct slice name) {
    size_t i = 0;
    while (i < ARRAY_LEN(roles) && !slice_is(name, roles[i])) i++;
    return i;
}

static int wrong(struct err *err, struct slice item, const char *why) {
    err_set(err, ERR_INVALID, "item \"%.*s\": %s", (int)MIN_OF(item.n, (size_t)128), item.p, why);
    return -EINVAL;
}

static struct topology_grant *grant_of(struct arena *a, struct topology_grants *l,
                                       struct slice topology) {
    for (size_t i = 0; i < l->n; i++)
        if (slice_is(topology, l->v[i].topology)) return &l->v[i];
    if (l->n == TOPOLOGY_GRANTS_MAX) return NULL;
    l->v[l->n] = (struct topology_grant){.topology = arena_strn(a, topology)};
    return &l->v[l->n++];
}

static int item_parse(struct arena *a, struct slice item, struct topology_grants *l,
                      struct err *err) {
    const char *messages[NAME_MESSAGES_MAX];
    struct slice topology, role = item;
    slice_cut(&role, ':', &topology);
    if (!role.p) return wrong(err, item, "must be TOPOLOGY:ROLE");
    size_t number = role_number(role);
    if (number == ARRAY_LEN(roles)) return wrong(err, item, "no such role");
    if (!topology.n || topology.n > LIMIT_LABEL_BYTES ||
        name_messages(a, NAME_DNS_SUBDOMAIN, arena_strn(a, topology), messages))
        return wrong(err, item, "not a name of a topology");
    struct topology_grant *g = grant_of(a, l, topology);
    if (!g) return wrong(err, item, "more than 32 topologies");
    if (!g->roles) {
        g->roles = roles[number];
        return 0;
    }
    size_t other = role_number(slice_of(g->roles));
    if (other == number || other >= PATTERN_PAIRS_END || other / 2 != number / 2)
        return wrong(err, item,
                     other == number ? "asked for twice"
                                     : "is of another pattern than the item "
                                       "before of the same topology");
    g->roles = arena_printf(a, "%s+%s", roles[MIN_OF(other, number)], roles[MAX_OF(other, number)]);
    return 0;
}

int topology_grants_parse(struct arena *a, const char *annotation, struct topology_grants *ret,
                          struct err *err) {
    struct slice rest = slice_of(annotation), item;
    *ret = (struct topology_grants){0};
    if (str_empty(annotation)) return 0;
    while (slice_cut(&rest, ',', &item)) {
        int r = item_parse(a, slice_trim(item), ret, err);
        if (r < 0) return r;
    }
    return 0;
}

static bool names_role(const struct sp_v1_topology_access *x, struct slice role) {
    for (size_t i = 0; i < x->roles.n; i++)
        if (slice_is(role, x->roles.v[i])) return true;
    return !x->roles.n;
}

static bool names_pod(const struct sp_v1_topology_access *x, const char *ns,
                      const char *service_account) {
    if (str_list_has(&x->namespaces, ns) || str_list_has(&x->namespaces, "*")) return true;
    for (size_t i = 0; i < x->service_accounts.n; i++)
        if (str_eq(x->service_accounts.v[i].namespace, ns) &&
            str_eq(x->service_accounts.v[i].name, service_account))
            return true;
    return false;
}

int topology_granted(const struct sp_v1_topology *t, const struct topology_grant *g, const char *ns,
                     const char *service_account, struct err *err) {
    struct slice rest = slice_of(g->roles), role;
    while (slice_cut(&rest, '+', &role)) {
        bool granted = false;
        for (size_t i = 0; i < t->spec.access.n && !granted; i++)
            granted = names_role(&t->spec.access.v[i], role) &&
                      names_pod(&t->spec.access.v[i], ns, service_account);
        if (granted) continue;
        err_set(err, ERR_FORBIDDEN,
                "topology \"%s\" does not grant the role \"%.*s\" to pods of the service account "
                "\"%s/%s\"",
                g->topology, (int)role.n, role.p, ns, service_account);
        return -EACCES;
    }
    return 0;
}
