/* DefaultIngressClass: Ingresses that name no class get the one marked as default. */
#include "server/admission/default_class.h"

static struct default_class classes = {
    .group = "networking.k8s.io",
    .plural = "ingressclasses",
    .annotations = {"ingressclass.kubernetes.io/is-default-class", NULL},
    .as_of = UINT64_MAX};

static int default_ingress_class(struct admission *ad) {
    struct networking_v1_ingress *i = (void *)ad->object;
    if (i->spec.ingress_class_name ||
        str_map_get(&i->metadata.annotations, "kubernetes.io/ingress.class"))
        return 0;
    const char *name = default_class_name(&classes, ad);
    if (name) i->spec.ingress_class_name = arena_str(ad->a, name);
    return 0;
}

static const struct admission_plugin plugin = {.name = "DefaultIngressClass",
                                               .order = ORDER_DEFAULT_INGRESS_CLASS,
                                               .operations = ADMIT_CREATE,
                                               .group = "networking.k8s.io",
                                               .plural = "ingresses",
                                               .mutate = default_ingress_class};
ADMISSION_PLUGIN(plugin);
