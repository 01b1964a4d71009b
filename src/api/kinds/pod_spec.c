/* Rules of a pod spec as a whole, and of the templates of controllers. */
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/values/selector.h"

enum { DNS_NAMESERVERS_MAX = 3, DNS_SEARCHES_MAX = 32 };

/* A domain, perhaps with a dot at its end and underscores, as in _tcp.example.com; "." is the root.
 */
static void search_validate(const char *search, const char *path, struct api_causes *causes) {
    char *name = arena_str(causes->a, search);
    size_t n = strlen(name);
    if (str_eq(name, ".")) return;
    if (n && name[n - 1] == '.') name[n - 1] = 0;
    for (char *p = name; *p; p++)
        if (*p == '_') *p = 'a';
    const char *messages[NAME_MESSAGES_MAX];
    size_t n_messages = name_messages(causes->a, NAME_DNS_SUBDOMAIN, name, messages);
    for (size_t i = 0; i < n_messages; i++) cause_invalid(causes, path, search, messages[i]);
}

static void dns_validate(const struct core_v1_pod_spec *spec, const char *path,
                         struct api_causes *causes) {
    const struct core_v1_pod_dns_config *dns = spec->dns_config;
    if (str_eq(spec->dns_policy, "None") && !dns)
        cause_required(causes, path_of(causes, "%s.dnsConfig", path),
                       "must provide `dnsConfig` when `dnsPolicy` is None");
    if (!dns) return;
    const char *servers = path_of(causes, "%s.dnsConfig.nameservers", path);
    if (str_eq(spec->dns_policy, "None") && dns->nameservers.n == 0)
        cause_required(causes, servers,
                       "must provide at least one DNS nameserver when `dnsPolicy` is None");
    if (dns->nameservers.n > DNS_NAMESERVERS_MAX)
        cause_invalid_int(causes, servers, (int64_t)dns->nameservers.n,
                          "must not have more than 3 nameservers");
    for (size_t i = 0; i < dns->nameservers.n; i++)
        if (!ip_valid(dns->nameservers.v[i]))
            cause_invalid(causes, path_of(causes, "%s[%zu]", servers, i),
                          str_or(dns->nameservers.v[i], ""), CAUSE_IP);
    if (dns->searches.n > DNS_SEARCHES_MAX)
        cause_invalid_int(causes, path_of(causes, "%s.dnsConfig.searches", path),
                          (int64_t)dns->searches.n, "must not have more than 32 search paths");
    for (size_t i = 0; i < dns->searches.n; i++)
        search_validate(str_or(dns->searches.v[i], ""),
                        path_of(causes, "%s.dnsConfig.searches[%zu]", path, i), causes);
    for (size_t i = 0; i < dns->options.n; i++)
        if (str_empty(dns->options.v[i].name))
            cause_required(causes, path_of(causes, "%s.dnsConfig.options[%zu]", path, i),
                           "must not be empty");
}

static void toleration_validate(const struct core_v1_toleration *t, const char *path,
                                struct api_causes *causes) {
    bool exists = str_eq(t->operator, "Exists");
    if (str_empty(t->key) && !exists)
        cause_invalid(causes, path_of(causes, "%s.operator", path), str_or(t->operator, ""),
                      "operator must be Exists when `key` is empty, which means \"match all values "
                      "and all keys\"");
    if (t->toleration_seconds && !str_eq(t->effect, "NoExecute"))
        cause_invalid(causes, path_of(causes, "%s.effect", path), str_or(t->effect, ""),
                      "effect must be 'NoExecute' when `tolerationSeconds` is set");
    if (exists && !str_empty(t->value))
        cause_invalid(causes, path_of(causes, "%s.operator", path), t->value,
                      "value must be empty when `operator` is 'Exists'");
    else if (!exists) {
        const char *messages[NAME_MESSAGES_MAX];
        if (name_messages(causes->a, NAME_LABEL_VALUE, t->value, messages))
            cause_invalid(causes, path_of(causes, "%s.operator", path), t->value, messages[0]);
    }
}

static void node_affinity(const struct core_v1_node_affinity *n, const char *path,
                          struct api_causes *causes) {
    if (n->required_during_scheduling_ignored_during_execution)
        node_selector_validate(
            n->required_during_scheduling_ignored_during_execution,
            path_of(causes, "%s.requiredDuringSchedulingIgnoredDuringExecution", path), causes);
    for (size_t i = 0; i < n->preferred_during_scheduling_ignored_during_execution.n; i++)
        node_selector_term_validate(
            &n->preferred_during_scheduling_ignored_during_execution.v[i].preference,
            path_of(causes, "%s.preferredDuringSchedulingIgnoredDuringExecution[%zu].preference",
                    path, i),
            causes);
}

static void pod_term(const struct core_v1_pod_affinity_term *t, const char *path,
                     struct api_causes *causes) {
    if (t->label_selector)
        label_selector_validate(causes, path_of(causes, "%s.labelSelector", path),
                                t->label_selector);
    if (t->namespace_selector)
        label_selector_validate(causes, path_of(causes, "%s.namespaceSelector", path),
                                t->namespace_selector);
    for (size_t i = 0; i < t->namespaces.n; i++)
        name_validate(causes, path_of(causes, "%s.namespace", path), NAME_DNS_LABEL,
                      t->namespaces.v[i]);
}

static void pod_terms(const struct core_v1_pod_affinity_term_list *required,
                      const struct core_v1_weighted_pod_affinity_term_list *preferred,
                      const char *path, struct api_causes *causes) {
    for (size_t i = 0; i < required->n; i++)
        pod_term(&required->v[i],
                 path_of(causes, "%s.requiredDuringSchedulingIgnoredDuringExecution[%zu]", path, i),
                 causes);
    for (size_t i = 0; i < preferred->n; i++)
        pod_term(&preferred->v[i].pod_affinity_term,
                 path_of(causes,
                         "%s.preferredDuringSchedulingIgnoredDuringExecution[%zu].podAffinityTerm",
                         path, i),
                 causes);
}

static void affinity_validate(const struct core_v1_affinity *f, const char *path,
                              struct api_causes *causes) {
    if (f->node_affinity)
        node_affinity(f->node_affinity, path_of(causes, "%s.nodeAffinity", path), causes);
    if (f->pod_affinity)
        pod_terms(&f->pod_affinity->required_during_scheduling_ignored_during_execution,
                  &f->pod_affinity->preferred_during_scheduling_ignored_during_execution,
                  path_of(causes, "%s.podAffinity", path), causes);
    if (f->pod_anti_affinity)
        pod_terms(&f->pod_anti_affinity->required_during_scheduling_ignored_during_execution,
                  &f->pod_anti_affinity->preferred_during_scheduling_ignored_during_execution,
                  path_of(causes, "%s.podAntiAffinity", path), causes);
}

static void match_label_keys_validate(const struct core_v1_topology_spread_constraint *c,
                                      const char *path, struct api_causes *causes) {
    if (c->match_label_keys.n && !c->label_selector)
        cause_forbidden(causes, path, "must not be specified when labelSelector is not set");
    OWN(map_done) struct map selected = {0};
    const struct meta_v1_label_selector *s = c->label_selector;
    for (size_t i = 0; s && c->match_label_keys.n && i < s->match_expressions.n; i++)
        map_seen(&selected, slice_of(str_or(s->match_expressions.v[i].key, "")));
    for (size_t i = 0; i < c->match_label_keys.n; i++) {
        const char *key = c->match_label_keys.v[i], *at = path_of(causes, "%s[%zu]", path, i);
        name_validate(causes, at, NAME_QUALIFIED, key);
        if (map_gets(&selected, key) || (s && str_map_get(&s->match_labels, key)))
            cause_invalid(causes, at, key, "exists in both matchLabelKeys and labelSelector");
    }
}

static void spread_validate(const struct core_v1_topology_spread_constraint *c, struct map *seen,
                            const char *path, struct api_causes *causes) {
    const char *min_domains = path_of(causes, "%s.minDomains", path);
    if (c->max_skew <= 0)
        cause_invalid_int(causes, path_of(causes, "%s.maxSkew", path), c->max_skew,
                          "must be greater than zero");
    if (c->min_domains && *c->min_domains <= 0)
        cause_invalid_int(causes, min_domains, *c->min_domains, "must be greater than zero");
    if (c->min_domains && !str_eq(c->when_unsatisfiable, "DoNotSchedule"))
        cause_invalid_int(causes, min_domains, *c->min_domains,
                          "can only use minDomains if whenUnsatisfiable=DoNotSchedule");
    if (c->label_selector)
        label_selector_validate(causes, path_of(causes, "%s.labelSelector", path),
                                c->label_selector);
    match_label_keys_validate(c, path_of(causes, "%s.matchLabelKeys", path), causes);
    const char *pair =
        path_of(causes, "{%s, %s}", str_or(c->topology_key, ""), str_or(c->when_unsatisfiable, ""));
    if (map_seen(seen, slice_of(pair)))
        cause_duplicate(causes, path_of(causes, "%s.{topologyKey, whenUnsatisfiable}", path), pair);
}

static void placement_validate(const struct core_v1_pod_spec *spec, const char *path,
                               struct api_causes *causes) {
    for (size_t i = 0; i < spec->tolerations.n; i++)
        toleration_validate(&spec->tolerations.v[i],
                            path_of(causes, "%s.tolerations[%zu]", path, i), causes);
    if (spec->affinity)
        affinity_validate(spec->affinity, path_of(causes, "%s.affinity", path), causes);
    OWN(map_done) struct map spreads = {0};
    for (size_t i = 0; i < spec->topology_spread_constraints.n; i++)
        spread_validate(&spec->topology_spread_constraints.v[i], &spreads,
                        path_of(causes, "%s.topologySpreadConstraints[%zu]", path, i), causes);
    if (!str_empty(spec->node_name))
        name_validate(causes, path_of(causes, "%s.nodeName", path), NAME_DNS_SUBDOMAIN,
                      spec->node_name);
    if (spec->scheduling_gates.n > 0 && !str_empty(spec->node_name))
        cause_forbidden(causes, path_of(causes, "%s.nodeName", path),
                        "cannot be set until all schedulingGates have been cleared");
}

static void host_aliases_validate(const struct core_v1_pod_spec *spec, const char *path,
                                  struct api_causes *causes) {
    for (size_t i = 0; i < spec->host_aliases.n; i++)
        for (size_t j = 0; j < spec->host_aliases.v[i].hostnames.n; j++)
            name_validate(causes, path_of(causes, "%s.hostAliases.hostnames", path),
                          NAME_DNS_SUBDOMAIN, spec->host_aliases.v[i].hostnames.v[j]);
}

void pod_spec_validate(const struct core_v1_pod_spec *spec, const char *path,
                       struct api_causes *causes) {
    volumes_validate(spec, path, causes);
    containers_validate(spec, path, causes);
    security_validate(spec, path, causes);
    dns_validate(spec, path, causes);
    placement_validate(spec, path, causes);
    host_aliases_validate(spec, path, causes);
    if (!str_empty(spec->service_account_name))
        name_validate(causes, path_of(causes, "%s.serviceAccountName", path), NAME_DNS_SUBDOMAIN,
                      spec->service_account_name);
    if (!str_empty(spec->priority_class_name))
        name_validate(causes, path_of(causes, "%s.priorityClassName", path), NAME_DNS_SUBDOMAIN,
                      spec->priority_class_name);
    for (size_t i = 0; i < spec->readiness_gates.n; i++)
        name_validate(causes, path_of(causes, "%s.readinessGates[%zu].conditionType", path, i),
                      NAME_QUALIFIED, spec->readiness_gates.v[i].condition_type);
}

/* {"app":"x"} for a message. */
const char *labels_json(struct arena *a, const struct str_map *labels) {
    OWN(buf_done) struct buf b = {0};
    buf_char(&b, '{');
    for (size_t i = 0; i < labels->n; i++) {
        if (i) buf_char(&b, ',');
        buf_json_str(&b, slice_of(labels->v[i].key));
        buf_char(&b, ':');
        buf_json_str(&b, slice_of(str_or(labels->v[i].value, "")));
    }
    buf_char(&b, '}');
    return arena_strn(a, buf_view(&b));
}

static void selector_validate(const struct meta_v1_label_selector *selector,
                              const struct core_v1_pod_template_spec *pod_template,
                              const char *workload, struct api_causes *causes) {
    struct selector *parsed;
    if (!selector) {
        cause_required(causes, "spec.selector", NULL);
        return;
    }
    label_selector_validate(causes, "spec.selector", selector);
    if (selector->match_labels.n == 0 && selector->match_expressions.n == 0)
        cause_invalid_raw(causes, "spec.selector", "{}",
                          path_of(causes, "empty selector is invalid for %s", workload));
    else if (selector_from_labels(causes->a, selector, &parsed, NULL) == 0 &&
             !selector_matches(parsed, &pod_template->metadata.labels))
        cause_invalid_raw(causes, "spec.template.metadata.labels",
                          labels_json(causes->a, &pod_template->metadata.labels),
                          "`selector` does not match template `labels`");
}

void pod_template_validate(const struct core_v1_pod_template_spec *pod_template, const char *path,
                           const char *title, struct api_causes *causes) {
    static const char *const policies[] = {"Always"};
    const struct core_v1_pod_spec *spec = &pod_template->spec;
    pod_spec_validate(spec, path_of(causes, "%s.spec", path), causes);
    if (spec->ephemeral_containers.n > 0)
        cause_forbidden(causes, path_of(causes, "%s.spec.ephemeralContainers", path),
                        "ephemeral containers not allowed in pod template");
    if (!title) return;
    if (!str_eq(spec->restart_policy, "Always"))
        cause_not_supported(causes, path_of(causes, "%s.spec.restartPolicy", path),
                            str_or(spec->restart_policy, ""), policies, 1);
    if (spec->active_deadline_seconds)
        cause_forbidden(causes, path_of(causes, "%s.spec.activeDeadlineSeconds", path),
                        path_of(causes, "activeDeadlineSeconds in %s is not Supported", title));
}

void workload_validate(const struct meta_v1_label_selector *selector,
                       const struct core_v1_pod_template_spec *pod_template, const char *workload,
                       struct api_causes *causes) {
    const char *title = str_eq(workload, "statefulset") ? "StatefulSet"
                        : str_eq(workload, "daemonset") ? "DaemonSet"
                                                        : "ReplicaSet";
    selector_validate(selector, pod_template, workload, causes);
    pod_template_validate(pod_template, "spec.template", title, causes);
}
