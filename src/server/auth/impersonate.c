/* Acting as somebody else (kubectl --as): user, uid, each group and each extra value is a
 * permission of its own. */
#include "base/own.h"
#include "server/auth/authn.h"
#include "server/auth/authz.h"

#define EXTRA_HEADER "impersonate-extra-"
#define ACCOUNT_PREFIX "system:serviceaccount:"

struct wanted {
    const char *group, *resource, *subresource, *ns, *name;
};

static int check(struct call *c, const struct wanted *w, struct err *err) {
    struct attributes at = {.verb = "impersonate",
                            .group = w->group,
                            .resource = w->resource,
                            .subresource = w->subresource,
                            .name = w->name,
                            .ns = w->ns};
    if (authz_allows(c->api->authz, &c->user, &at)) return 0;
    return err_set(err, ERR_FORBIDDEN, "%s", authz_refusal(c->a, &c->user, &at));
}

/* "system:serviceaccount:NAMESPACE:NAME" */
static bool service_account(struct arena *a, const char *user, const char **ret_ns,
                            const char **ret_name) {
    if (!str_starts(user, ACCOUNT_PREFIX)) return false;
    struct slice left = slice_of(user + sizeof ACCOUNT_PREFIX - 1), ns;
    if (!slice_cut(&left, ':', &ns) || !left.p || !ns.n || !left.n) return false;
    *ret_ns = arena_strn(a, ns);
    *ret_name = arena_strn(a, left);
    return true;
}

static int take_groups(struct call *c, struct user *u, struct err *err) {
    const struct http_headers *h = &c->r->headers;
    for (size_t i = 0; i < h->n; i++) {
        if (!str_eq(h->v[i].name, "impersonate-group")) continue;
        int rc = check(c, &(struct wanted){"", "groups", "", "", h->v[i].value}, err);
        if (rc < 0) return rc;
        *ARENA_PUSH(c->a, &u->groups) = h->v[i].value;
    }
    return 0;
}

/* Header names are case-insensitive; what is no letter of a header is percent-encoded. */
static const char *extra_key(struct arena *a, const char *text) {
    const char *path;
    struct http_query none = {0};
    if (http_split_target(a, arena_printf(a, "/%s", text), &path, &none, NULL) < 0) return text;
    return path + 1;
}

static int take_extra(struct call *c, struct user *u, struct err *err) {
    const struct http_headers *h = &c->r->headers;
    for (size_t i = 0; i < h->n; i++) {
        if (!str_starts(h->v[i].name, EXTRA_HEADER)) continue;
        const char *key = extra_key(c->a, h->v[i].name + sizeof EXTRA_HEADER - 1);
        int rc = check(
            c, &(struct wanted){"authentication.k8s.io", "userextras", key, "", h->v[i].value},
            err);
        if (rc < 0) return rc;
        authn_add_extra(c->a, u, key, h->v[i].value);
    }
    return 0;
}

static int take_uid(struct call *c, struct user *u, struct err *err) {
    u->uid = http_header(&c->r->headers, "impersonate-uid");
    if (str_empty(u->uid)) return 0;
    return check(c, &(struct wanted){"authentication.k8s.io", "uids", "", "", u->uid}, err);
}

static int no_user(struct call *c, struct err *err) {
    const struct http_headers *h = &c->r->headers;
    for (size_t i = 0; i < h->n; i++)
        if (str_starts(h->v[i].name, "impersonate-"))
            return err_set(err, ERR_INTERNAL, "requested [%s] without impersonating a user",
                           h->v[i].name);
    return 0;
}

int authn_impersonate(struct call *c, struct err *err) {
    const char *name = http_header(&c->r->headers, "impersonate-user"), *sa_ns, *sa_name;
    struct user u = {.name = name};
    if (str_empty(name)) return no_user(c, err);
    bool is_sa = service_account(c->a, name, &sa_ns, &sa_name);
    struct wanted account = {"", "serviceaccounts", "", is_sa ? sa_ns : "", is_sa ? sa_name : ""};
    int rc = check(c, is_sa ? &account : &(struct wanted){"", "users", "", "", name}, err);
    if (rc == 0) rc = take_uid(c, &u, err);
    if (rc == 0) rc = take_groups(c, &u, err);
    if (rc == 0) rc = take_extra(c, &u, err);
    if (rc < 0) return rc;
    if (is_sa && !u.groups.n) {
        authn_add_group(c->a, &u, "system:serviceaccounts");
        authn_add_group(c->a, &u, arena_printf(c->a, "system:serviceaccounts:%s", sa_ns));
    }
    bool nobody = str_eq(name, "system:anonymous");
    for (size_t i = 0; i < u.groups.n; i++)
        nobody = nobody || str_eq(u.groups.v[i], "system:unauthenticated");
    authn_add_group(c->a, &u, nobody ? "system:unauthenticated" : "system:authenticated");
    c->impersonator = ARENA_NEW(c->a, struct user);
    *c->impersonator = c->user;
    c->user = u;
    return 0;
}
