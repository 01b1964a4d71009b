/* NamespaceLifecycle: nothing new in a namespace that is not there or is going. */
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/storage/raw.h"

static int terminating(struct admission *ad) {
    struct api_causes causes = {.a = ad->a};
    *ARENA_PUSH(ad->a, &causes) =
        (struct api_cause){"NamespaceTerminating", "metadata.namespace",
                           arena_printf(ad->a, "namespace %s is being terminated", ad->ns)};
    const char *message =
        arena_printf(ad->a,
                     "%s \"%s\" is forbidden: unable to create new content in namespace %s because "
                     "it is being terminated",
                     resource_title(ad->a, ad->kind->group, ad->kind->plural), ad->name, ad->ns);
    reply_failure(ad->c, ERR_FORBIDDEN,
                  &(struct failure){.message = message,
                                    .name = ad->name,
                                    .group = ad->kind->group,
                                    .kind = ad->kind->plural,
                                    .causes = &causes});
    return ADMISSION_ANSWERED;
}

static int namespace_lifecycle(struct admission *ad) {
    static const char leaving[] = "\"deletionTimestamp\"";
    struct slice when;
    if (!(ad->kind->flags & API_NAMESPACED)) return 0;
    /* Asking who may do what somewhere is no content of it. */
    if (str_eq(ad->kind->plural, "localsubjectaccessreviews")) return 0;
    struct object *o = admission_find(ad, "", "namespaces", "", ad->ns);
    if (!o) return err_set(&ad->err, ERR_NOT_FOUND, "namespaces \"%s\" not found", ad->ns);
    struct slice json = object_json(o);
    if (!memmem(json.p, json.n, leaving, sizeof leaving - 1)) return 0; /* nearly always */
    return raw_path(json, "metadata.deletionTimestamp", &when) ? terminating(ad) : 0;
}

static int immortal(struct admission *ad) {
    static const char *const names[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(ad->name, names[i]))
            return admission_forbid(ad, "this namespace may not be deleted");
    return 0;
}

static const struct admission_plugin lifecycle = {.name = "NamespaceLifecycle",
                                                  .order = ORDER_NAMESPACE_LIFECYCLE,
                                                  .operations = ADMIT_CREATE,
                                                  .mutate = namespace_lifecycle,
                                                  .still = namespace_lifecycle};
ADMISSION_PLUGIN(lifecycle);

static const struct admission_plugin protect = {.name = "NamespaceLifecycle",
                                                .order = ORDER_NAMESPACE_LIFECYCLE,
                                                .operations = ADMIT_DELETE,
                                                .group = "",
                                                .plural = "namespaces",
                                                .mutate = immortal};
ADMISSION_PLUGIN(protect);
