/* Acting as somebody else (kubectl --as): each name is its own permission. */
#include "base/own.h"
#include "server/auth/authn.h"
#include "server/auth/authz.h"

static int check(struct call *c, const char *resource, const char *ns, const char *name,
                 struct err *err) {
    struct attributes at = {.verb = "impersonate",
                            .group = "",
                            .resource = resource,
                            .subresource = "",
                            .name = name,
                            .ns = ns};
    if (authz_allows(c->api->authz, &c->user, &at)) return 0;
    return err_set(err, ERR_FORBIDDEN, "%s", authz_refusal(c->a, &c->user, &at));
}

/* "system:serviceaccount:NAMESPACE:NAME" */
static bool service_account(struct arena *a, const char *user, const char **ret_ns,
                            const char **ret_name) {
    static const char prefix[] = "system:serviceaccount:";
    if (!str_starts(user, prefix)) return false;
    struct slice left = slice_of(user + sizeof prefix - 1), ns;
    if (!slice_cut(&left, ':', &ns) || !left.p || !ns.n || !left.n) return false;
    *ret_ns = arena_strn(a, ns);
    *ret_name = arena_strn(a, left);
    return true;
}

static int take_groups(struct call *c, struct user *u, struct err *err) {
    const struct http_headers *h = &c->r->headers;
    for (size_t i = 0; i < h->n; i++) {
        if (!str_eq(h->v[i].name, "impersonate-group")) continue;
        int rc = check(c, "groups", "", h->v[i].value, err);
        if (rc < 0) return rc;
        *ARENA_PUSH(c->a, &u->groups) = h->v[i].value;
    }
    return 0;
}

int authn_impersonate(struct call *c, struct err *err) {
    const struct http_headers *h = &c->r->headers;
    const char *name = http_header(h, "impersonate-user"), *sa_ns, *sa_name;
    struct user u = {.name = name};
    if (str_empty(name)) {
        bool partial = false;
        for (size_t i = 0; i < h->n; i++)
            if (str_starts(h->v[i].name, "impersonate-")) partial = true;
        if (!partial) return 0;
        return err_set(err, ERR_BAD_REQUEST,
                       "requested impersonation without impersonating a user");
    }
    for (size_t i = 0; i < h->n; i++)
        if (str_eq(h->v[i].name, "impersonate-uid") ||
            str_starts(h->v[i].name, "impersonate-extra-"))
            return err_set(err, ERR_FORBIDDEN, "impersonation of uid or extra is not supported");
    bool is_sa = service_account(c->a, name, &sa_ns, &sa_name);
    int rc =
        is_sa ? check(c, "serviceaccounts", sa_ns, sa_name, err) : check(c, "users", "", name, err);
    if (rc == 0) rc = take_groups(c, &u, err);
    if (rc < 0) return rc;
    if (is_sa && !u.groups.n) {
        *ARENA_PUSH(c->a, &u.groups) = "system:serviceaccounts";
        *ARENA_PUSH(c->a, &u.groups) = arena_printf(c->a, "system:serviceaccounts:%s", sa_ns);
    }
    *ARENA_PUSH(c->a, &u.groups) = "system:authenticated";
    c->user = u;
    return 0;
}
