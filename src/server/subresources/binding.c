/* Binding a pod to a node: the scheduler's one write. */
#include "api/rules/pods.h"
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/media/body.h"
#include "server/verbs/write.h"

static int build(struct write *w, struct object *current, const struct api_object *old,
                 struct api_object **ret, struct err *err) {
    struct call *c = w->c;
    const struct core_v1_binding *binding = w->user;
    struct api_object *o = api_object_copy(c->a, c->kind, old);
    struct core_v1_pod *pod = (void *)o;
    const char *node = binding->target.name, *why = NULL;
    if (!str_empty(binding->metadata.uid) && !str_eq(binding->metadata.uid, o->metadata.uid))
        why = arena_printf(c->a,
                           "Precondition failed: UID in precondition: %s, UID in object meta: %s",
                           binding->metadata.uid, o->metadata.uid);
    else if (!str_empty(o->metadata.deletion_timestamp))
        why = arena_printf(c->a, "pod %s is being deleted, cannot be assigned to a host",
                           o->metadata.name);
    else if (!str_empty(pod->spec.node_name))
        why = arena_printf(c->a, "pod %s is already assigned to node \"%s\"", o->metadata.name,
                           pod->spec.node_name);
    if (why) {
        reply_failure(
            c, ERR_CONFLICT,
            &(struct failure){.message = arena_printf(
                                  c->a, "Operation cannot be fulfilled on pods/binding \"%s\": %s",
                                  c->route.name, why),
                              .name = c->route.name,
                              .kind = "pods/binding"});
        return 1;
    }
    pod->spec.node_name = node;
    pod_condition_set(c->a, pod, "PodScheduled", "True", NULL, NULL, time_now(c));
    str_map_merge(c->a, &o->metadata.annotations, &binding->metadata.annotations);
    *ret = o;
    return 0;
}

static void answer(struct write *w, struct slice json) { reply_success(w->c, 201, NULL, NULL); }

/* Admission has been asked about the Binding, so it is not about the change of the pod. */
void binding_create(struct call *c, struct api_object *obj) {
    struct core_v1_binding *binding = (void *)obj;
    struct api_causes causes = {.a = c->a};
    if (!str_empty(binding->target.kind) && !str_eq(binding->target.kind, "Node")) {
        static const char *const kinds[] = {"Node"};
        cause_not_supported(&causes, "target.kind", binding->target.kind, kinds, 1);
    }
    if (str_empty(binding->target.name)) cause_required(&causes, "target.name", NULL);
    if (causes.n) {
        reply_invalid(c, str_or(binding->metadata.name, ""), &causes);
        return;
    }
    c->kind = api_kind_by_plural("", "v1", "pods");
    c->resource = cache_of_kind(&c->api->cache, c->kind);
    if (!*c->route.name) c->route.name = str_or(binding->metadata.name, "");
    write_existing(c, &(struct write){.build = build,
                                      .answer = answer,
                                      .subresource = "binding",
                                      .admitted = true,
                                      .untracked = true,
                                      .user = obj});
}

static void on_admitted(struct admission *ad, int result) {
    if (result != ADMISSION_OK) {
        admission_refused(ad, result);
        return;
    }
    admission_over(ad, false);
    binding_create(ad->c, ad->object);
}

void binding_subresource(struct call *c) {
    struct err err;
    struct slice json;
    struct api_object *obj;
    const struct api_kind *k = api_kind_by_plural("", "v1", "bindings");
    if (!str_eq(c->route.verb, "create")) {
        reply_method_not_allowed(c);
        return;
    }
    if (body_options(c, &err) < 0 || body_json(c, &json, &err) < 0 ||
        body_object(c, k, json, &obj, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    struct admission *ad = admission_new(c, ADMIT_CREATE, NULL, NULL);
    ad->object = obj;
    ad->object_kind = k;
    admission_ask(ad, on_admitted);
}
