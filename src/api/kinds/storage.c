/* storage.k8s.io: StorageClass, VolumeAttachment, CSIDriver, CSINode, CSIStorageCapacity. */
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/values/quantity.h"

enum {
    PARAMETERS_MAX = 512,
    PARAMETERS_BYTES_MAX = 256 * 1024,
    ERROR_BYTES_MAX = 1024,
    NODE_ID_BYTES_MAX = 192,
    TOKEN_SECONDS_MIN = 600
};

static size_t map_bytes(const struct str_map *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) n += strlen(m->v[i].key) + strlen(str_or(m->v[i].value, ""));
    return n;
}

static const char *lower(struct arena *a, const char *s) {
    char *text = arena_str(a, s);
    for (char *p = text; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p | 32);
    return text;
}

void csi_name_validate(const char *name, const char *path, struct api_causes *causes) {
    if (str_empty(name)) {
        cause_required(causes, path, NULL);
        return;
    }
    if (strlen(name) > LIMIT_LABEL_BYTES) cause_too_long(causes, path, LIMIT_LABEL_BYTES);
    name_validate(causes, path, NAME_DNS_SUBDOMAIN, lower(causes->a, name));
}

/* ---- StorageClass ---- */

/* Places are told once each: keys in a term, values of a key, and the terms themselves. */
static void topologies_validate(const struct core_v1_topology_selector_term_list *terms,
                                struct api_causes *causes) {
    OWN(map_done) struct map seen = {0};
    OWN(buf_done) struct buf text = {0};
    for (size_t i = 0; i < terms->n; i++) {
        const struct core_v1_topology_selector_label_requirement_list *l =
            &terms->v[i].match_label_expressions;
        const char *path = path_of(causes, "allowedTopologies[%zu].matchLabelExpressions", i);
        OWN(map_done) struct map keys = {0};
        for (size_t j = 0; j < l->n; j++) {
            OWN(map_done) struct map values = {0};
            const char *key = str_or(l->v[j].key, "");
            if (map_seen(&keys, slice_of(key)))
                cause_duplicate(causes, path_of(causes, "%s[%zu].key", path, j), key);
            for (size_t k = 0; k < l->v[j].values.n; k++)
                if (map_seen(&values, slice_of(str_or(l->v[j].values.v[k], ""))))
                    cause_duplicate(causes, path_of(causes, "%s[%zu].values[%zu]", path, j, k),
                                    l->v[j].values.v[k]);
        }
        buf_clear(&text);
        api_encode(&text, &core_v1_topology_selector_term_type, &terms->v[i]);
        /* upstream counts a term without requirements as the same again */
        if (map_seen(&seen, buf_view(&text)) || !l->n) cause_duplicate(causes, path, "");
    }
}

static void storage_change_validate(const struct storage_v1_storage_class *c,
                                    const struct storage_v1_storage_class *old,
                                    struct api_causes *causes) {
    struct storage_v1_storage_class rest = *old;
    rest.parameters = c->parameters;
    if (!api_equal(&storage_v1_storage_class_type, &rest, old))
        cause_forbidden(causes, "parameters", "updates to parameters are forbidden.");
    if (!str_eq(c->provisioner, old->provisioner))
        cause_forbidden(causes, "provisioner", "updates to provisioner are forbidden.");
    if (!str_eq(c->reclaim_policy, old->reclaim_policy))
        cause_forbidden(causes, "reclaimPolicy", "updates to reclaimPolicy are forbidden.");
    if (!str_eq(c->volume_binding_mode, old->volume_binding_mode))
        cause_invalid(causes, "volumeBindingMode", str_or(c->volume_binding_mode, ""),
                      "field is immutable");
}

static void storage_validate(const void *obj, const void *old, const char *subresource,
                             struct api_causes *causes) {
    static const char *const reclaim[] = {"Delete", "Retain"};
    static const char *const modes[] = {"Immediate", "WaitForFirstConsumer"};
    const struct storage_v1_storage_class *c = obj;
    if (str_empty(c->provisioner))
        cause_required(causes, "provisioner", NULL);
    else
        name_validate(causes, "provisioner", NAME_QUALIFIED, lower(causes->a, c->provisioner));
    if (c->parameters.n > PARAMETERS_MAX)
        cause_too_long(causes, "parameters", PARAMETERS_MAX);
    else if (map_bytes(&c->parameters) > PARAMETERS_BYTES_MAX)
        cause_too_long(causes, "parameters", PARAMETERS_BYTES_MAX);
    for (size_t i = 0; i < c->parameters.n; i++)
        if (!*c->parameters.v[i].key)
            cause_invalid(causes, "parameters", "", "field can not be empty.");
    choice_validate(c->reclaim_policy, reclaim, 2, "reclaimPolicy", causes);
    choice_validate(c->volume_binding_mode, modes, 2, "volumeBindingMode", causes);
    topologies_validate(&c->allowed_topologies, causes);
    if (old) storage_change_validate(c, old, causes);
}

static const struct api_column storage_columns[] = {
    COLUMN_NAME,
    COLUMN("Provisioner", "Who makes the volumes."),
    COLUMN("ReclaimPolicy", "What happens to volumes whose claim is gone."),
    COLUMN("VolumeBindingMode", "When a volume is made."),
    COLUMN("AllowVolumeExpansion", "Whether claims may be made larger."),
    COLUMN_AGE,
};

static bool is_default(const struct meta_v1_object_meta *m) {
    return str_eq(str_map_get(&m->annotations, "storageclass.kubernetes.io/is-default-class"),
                  "true") ||
           str_eq(str_map_get(&m->annotations, "storageclass.beta.kubernetes.io/is-default-class"),
                  "true");
}

static void storage_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct storage_v1_storage_class *c = obj;
    const char *name = str_or(c->metadata.name, "");
    cells[0] = cell_text(is_default(&c->metadata) ? arena_printf(a, "%s (default)", name) : name);
    cells[1] = cell_text(c->provisioner);
    cells[2] = cell_text(str_or(c->reclaim_policy, "Delete"));
    cells[3] = cell_text(str_or(c->volume_binding_mode, "<unset>"));
    cells[4] =
        cell_text(c->allow_volume_expansion && *c->allow_volume_expansion ? "true" : "false");
    cells[5] = cell_age(a, &c->metadata, now_ns);
}

static const struct api_behavior storage_behavior = {
    .group = "storage.k8s.io",
    .kind = "StorageClass",
    .validate = storage_validate,
    .columns = storage_columns,
    .n_columns = ARRAY_LEN(storage_columns),
    .row = storage_row,
};
API_BEHAVIOR(storage_behavior);

/* ---- VolumeAttachment ---- */

static void attachment_prepare(struct arena *a, void *obj, const void *old) {
    struct storage_v1_volume_attachment *v = obj;
    if (!old) v->status = (struct storage_v1_volume_attachment_status){0};
}

static void attachment_status_validate(const struct storage_v1_volume_attachment_status *s,
                                       struct api_causes *causes) {
    const struct {
        const char *field;
        const struct storage_v1_volume_error *error;
    } errors[] = {{"status.attachError.message", s->attach_error},
                  {"status.detachError.message", s->detach_error}};
    if (map_bytes(&s->attachment_metadata) > PARAMETERS_BYTES_MAX)
        cause_too_long(causes, "status.attachmentMetadata", PARAMETERS_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_LEN(errors); i++)
        if (errors[i].error && strlen(str_or(errors[i].error->message, "")) > ERROR_BYTES_MAX)
            cause_too_long(causes, errors[i].field, ERROR_BYTES_MAX);
}

static void attachment_validate(const void *obj, const void *old_obj, const char *subresource,
                                struct api_causes *causes) {
    const struct storage_v1_volume_attachment *v = obj, *old = old_obj;
    const struct storage_v1_volume_attachment_source *s = &v->spec.source;
    attachment_status_validate(&v->status, causes);
    csi_name_validate(v->spec.attacher, "spec.attacher", causes);
    name_validate(causes, "spec.nodeName", NAME_DNS_SUBDOMAIN, str_or(v->spec.node_name, ""));
    if (!s->inline_volume_spec && !s->persistent_volume_name)
        cause_required(causes, "spec.source",
                       "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    else if (s->inline_volume_spec && s->persistent_volume_name)
        cause_forbidden(causes, "spec.source",
                        "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    else if (s->inline_volume_spec)
        volume_spec_validate(s->inline_volume_spec, true, "spec.source.inlineVolumeSpec", causes);
    else if (!*s->persistent_volume_name)
        cause_required(causes, "spec.source.persistentVolumeName",
                       "must specify non empty persistentVolumeName");
    if (old && !api_equal(&storage_v1_volume_attachment_spec_type, &v->spec, &old->spec))
        cause_invalid_raw(causes, "spec",
                          type_json(causes->a, &storage_v1_volume_attachment_spec_type, &v->spec),
                          "field is immutable");
}

static const struct api_column attachment_columns[] = {
    COLUMN_NAME,
    {"Attacher", "string", "name", "Who attaches it.", 0},
    COLUMN("PV", "The volume."),
    COLUMN("Node", "The node."),
    COLUMN("Attached", "Whether it is attached."),
    COLUMN_AGE,
};

static void attachment_row(struct arena *a, const void *obj, int64_t now_ns,
                           struct api_cell *cells) {
    const struct storage_v1_volume_attachment *v = obj;
    cells[0] = cell_text(v->metadata.name);
    cells[1] = cell_text(v->spec.attacher);
    cells[2] = cell_text(v->spec.source.persistent_volume_name);
    cells[3] = cell_text(v->spec.node_name);
    cells[4] = cell_text(v->status.attached ? "true" : "false");
    cells[5] = cell_age(a, &v->metadata, now_ns);
}

static const struct api_behavior attachment_behavior = {
    .group = "storage.k8s.io",
    .kind = "VolumeAttachment",
    .prepare = attachment_prepare,
    .validate = attachment_validate,
    .columns = attachment_columns,
    .n_columns = ARRAY_LEN(attachment_columns),
    .row = attachment_row,
};
API_BEHAVIOR(attachment_behavior);

/* ---- CSIDriver ---- */

static void driver_defaults(struct arena *a, void *obj) {
    struct storage_v1_csi_driver *d = obj;
    if (!d->spec.volume_lifecycle_modes.n)
        *ARENA_PUSH(a, &d->spec.volume_lifecycle_modes) = "Persistent";
}

static void driver_validate(const void *obj, const void *old, const char *subresource,
                            struct api_causes *causes) {
    static const char *const policies[] = {"File", "None", "ReadWriteOnceWithFSType"};
    static const char *const modes[] = {"Ephemeral", "Persistent"};
    const struct storage_v1_csi_driver *d = obj;
    const struct storage_v1_token_request_list *tokens = &d->spec.token_requests;
    OWN(map_done) struct map audiences = {0};
    choice_validate(d->spec.fs_group_policy, policies, 3, "spec.fsGroupPolicy", causes);
    for (size_t i = 0; i < d->spec.volume_lifecycle_modes.n; i++)
        choice_validate(str_or(d->spec.volume_lifecycle_modes.v[i], ""), modes, 2,
                        path_of(causes, "spec.volumeLifecycleModes[%zu]", i), causes);
    for (size_t i = 0; i < tokens->n; i++) {
        const char *audience = str_or(tokens->v[i].audience, "");
        const char *path = path_of(causes, "spec.tokenRequests[%zu]", i);
        const int64_t *seconds = tokens->v[i].expiration_seconds;
        if (map_seen(&audiences, slice_of(audience)))
            cause_duplicate(causes, path_of(causes, "%s.audience", path), audience);
        if (seconds && *seconds < TOKEN_SECONDS_MIN)
            cause_invalid_int(causes, path_of(causes, "%s.expirationSeconds", path), *seconds,
                              "may not specify a duration less than 10 minutes");
        if (seconds && *seconds > INT64_C(1) << 32)
            cause_invalid_int(causes, path_of(causes, "%s.expirationSeconds", path), *seconds,
                              "may not specify a duration larger than 2^32 seconds");
    }
}

static const struct api_column driver_columns[] = {
    COLUMN_NAME,
    COLUMN("AttachRequired", "Whether volumes must be attached to a node first."),
    COLUMN("PodInfoOnMount", "Whether the driver is told which pod it mounts for."),
    COLUMN("StorageCapacity", "Whether pods wait for a node with enough space."),
    COLUMN("TokenRequests", "Tokens that the driver gets."),
    COLUMN("RequiresRepublish", "Whether the driver is called again and again."),
    COLUMN("Modes", "What it can do."),
    COLUMN_AGE,
};

static const char *flag_text(const bool *flag, bool absent) {
    return (flag ? *flag : absent) ? "true" : "false";
}

static void driver_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct storage_v1_csi_driver *d = obj;
    OWN(buf_done) struct buf tokens = {0};
    OWN(buf_done) struct buf modes = {0};
    for (size_t i = 0; i < d->spec.token_requests.n; i++)
        text_join(&tokens, ",", str_or(d->spec.token_requests.v[i].audience, ""));
    for (size_t i = 0; i < d->spec.volume_lifecycle_modes.n; i++)
        text_join(&modes, ",", str_or(d->spec.volume_lifecycle_modes.v[i], ""));
    cells[0] = cell_text(d->metadata.name);
    cells[1] = cell_text(flag_text(d->spec.attach_required, true));
    cells[2] = cell_text(flag_text(d->spec.pod_info_on_mount, false));
    cells[3] = cell_text(flag_text(d->spec.storage_capacity, false));
    cells[4] = cell_text(text_copy(a, &tokens, "<unset>"));
    cells[5] = cell_text(flag_text(d->spec.requires_republish, false));
    cells[6] = cell_text(text_copy(a, &modes, NONE_TEXT));
    cells[7] = cell_age(a, &d->metadata, now_ns);
}

static const struct api_behavior driver_behavior = {
    .group = "storage.k8s.io",
    .kind = "CSIDriver",
    .defaults = driver_defaults,
    .validate = driver_validate,
    .columns = driver_columns,
    .n_columns = ARRAY_LEN(driver_columns),
    .row = driver_row,
};
API_BEHAVIOR(driver_behavior);

/* ---- CSINode ---- */

static void node_driver_validate(const struct storage_v1_csi_node_driver *d, const char *path,
                                 struct api_causes *causes) {
    const char *id = path_of(causes, "%s.nodeID", path), *name = path_of(causes, "%s.name", path);
    csi_name_validate(d->name, name, causes);
    if (str_empty(d->node_id)) cause_required(causes, id, NULL);
    if (strlen(str_or(d->node_id, "")) > NODE_ID_BYTES_MAX)
        cause_invalid(causes, id, d->node_id,
                      path_of(causes, "must be %d characters or less", NODE_ID_BYTES_MAX));
    if (d->allocatable && d->allocatable->count && *d->allocatable->count < 0)
        cause_invalid_int(causes, path_of(causes, "%s.allocatable.count", path),
                          *d->allocatable->count, "must be greater than or equal to 0");
    OWN(map_done) struct map keys = {0};
    for (size_t i = 0; i < d->topology_keys.n; i++) {
        const char *key = str_or(d->topology_keys.v[i], "");
        if (map_seen(&keys, slice_of(key))) cause_duplicate(causes, path, key);
        name_validate(causes, path, NAME_QUALIFIED, key);
    }
}

static void node_validate(const void *obj, const void *old_obj, const char *subresource,
                          struct api_causes *causes) {
    const struct storage_v1_csi_node *n = obj, *old = old_obj;
    OWN(map_done) struct map drivers = {0};
    for (size_t i = 0; i < n->spec.drivers.n; i++) {
        struct storage_v1_csi_node_driver *d = &n->spec.drivers.v[i];
        const char *path = path_of(causes, "spec.drivers[%zu]", i);
        node_driver_validate(d, path, causes);
        if (map_put(&drivers, slice_of(str_or(d->name, "")), d))
            cause_duplicate(causes, path_of(causes, "%s.name", path), str_or(d->name, ""));
    }
    for (size_t i = 0; old && i < old->spec.drivers.n; i++) {
        const struct storage_v1_csi_node_driver *was = &old->spec.drivers.v[i];
        const struct storage_v1_csi_node_driver *now = map_gets(&drivers, str_or(was->name, ""));
        if (now && !api_equal(&storage_v1_csi_node_driver_type, now, was))
            cause_invalid_raw(causes, "CSINodeDriver",
                              type_json(causes->a, &storage_v1_csi_node_driver_type, now),
                              "field is immutable");
    }
}

static const struct api_column node_columns[] = {
    COLUMN_NAME,
    COLUMN_INT("Drivers", "Number of CSI drivers on the node."),
    COLUMN_AGE,
};

static void node_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct storage_v1_csi_node *n = obj;
    cells[0] = cell_text(n->metadata.name);
    cells[1] = cell_int((int64_t)n->spec.drivers.n);
    cells[2] = cell_age(a, &n->metadata, now_ns);
}

static const struct api_behavior node_behavior = {
    .group = "storage.k8s.io",
    .kind = "CSINode",
    .validate = node_validate,
    .columns = node_columns,
    .n_columns = ARRAY_LEN(node_columns),
    .row = node_row,
};
API_BEHAVIOR(node_behavior);

/* ---- CSIStorageCapacity ---- */

static void capacity_validate(const void *obj, const void *old, const char *subresource,
                              struct api_causes *causes) {
    const struct storage_v1_csi_storage_capacity *c = obj;
    const struct {
        const char *field, *value;
    } amounts[] = {{"capacity", c->capacity}, {"maximumVolumeSize", c->maximum_volume_size}};
    if (c->node_topology) label_selector_validate(causes, "nodeTopology", c->node_topology);
    name_validate(causes, "storageClassName", NAME_DNS_SUBDOMAIN,
                  str_or(c->storage_class_name, ""));
    for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
        if (amounts[i].value && quantity_cmp(amounts[i].value, "0") < 0)
            cause_invalid(causes, amounts[i].field, amounts[i].value,
                          "must be greater than or equal to 0");
}

static const struct api_column capacity_columns[] = {
    COLUMN_NAME,
    COLUMN("StorageClassName", "The StorageClass."),
    COLUMN("Capacity", "The space that is free."),
};

static void capacity_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct storage_v1_csi_storage_capacity *c = obj;
    cells[0] = cell_text(c->metadata.name);
    cells[1] = cell_text(c->storage_class_name);
    cells[2] = cell_text(str_or(c->capacity, "<unset>"));
}

static const struct api_behavior capacity_behavior = {
    .group = "storage.k8s.io",
    .kind = "CSIStorageCapacity",
    .validate = capacity_validate,
    .columns = capacity_columns,
    .n_columns = ARRAY_LEN(capacity_columns),
    .row = capacity_row,
};
API_BEHAVIOR(capacity_behavior);
