#include "server/admission/authorizer.h"

#include "server/auth/authz.h"

struct cel_value admission_authorizer(struct admission *ad, const struct api_kind *form) {
    struct cel_check *about = ARENA_NEW(ad->a, struct cel_check);
    *about = (struct cel_check){.group = form->group,
                                .version = form->version,
                                .resource = form->plural,
                                .subresource = ad->subresource,
                                .ns = ad->ns,
                                .name = ad->name,
                                .verb = "",
                                .field_selector = "",
                                .label_selector = "",
                                .service_account_ns = "",
                                .service_account = ""};
    return cel_authorizer(ad->a, about);
}

static struct user service_account(struct arena *a, const char *ns, const char *name) {
    const char **groups = ARENA_ARRAY(a, const char *, 3);
    groups[0] = "system:serviceaccounts";
    groups[1] = arena_printf(a, "system:serviceaccounts:%s", ns);
    groups[2] = "system:authenticated";
    return (struct user){.name = arena_printf(a, "system:serviceaccount:%s:%s", ns, name),
                         .groups = {groups, 3}};
}

void admission_authorize(void *user, struct arena *a, const struct cel_check *check,
                         bool *ret_allowed, const char **ret_reason) {
    struct admission *ad = user;
    struct attributes at = {
        .verb = check->verb,
        .group = check->group,
        .resource = check->resource,
        .subresource = check->subresource,
        .name = check->name,
        .ns = check->ns,
        .path = check->path,
        .field_selector = str_empty(check->field_selector) ? NULL : check->field_selector,
        .label_selector = str_empty(check->label_selector) ? NULL : check->label_selector};
    struct user as = str_empty(check->service_account)
                         ? ad->c->user
                         : service_account(a, check->service_account_ns, check->service_account);
    *ret_allowed = authz_allows(ad->api->authz, &as, &at);
    *ret_reason = "";
}
