/* Secret: types and the keys they demand, validation, Table columns. */
#include <jansson.h>
#include <string.h>

#include "api/kinds/data.h"

/* stringData is a way to write data; it is never stored. */
static void secret_defaults(struct arena *a, void *obj) {
    struct core_v1_secret *s = obj;
    struct str_map coded = {0};
    for (size_t i = 0; i < s->string_data.n; i++) {
        OWN(buf_done) struct buf b = {0};
        const char *value = str_or(s->string_data.v[i].value, "");
        buf_base64(&b, value, strlen(value));
        *ARENA_PUSH(a, &coded) =
            (struct str_pair){s->string_data.v[i].key, arena_strn(a, buf_view(&b))};
    }
    str_map_merge(a, &s->data, &coded);
    s->string_data = (struct str_map){0};
}

static void require(const struct core_v1_secret *s, const char *key, struct api_causes *causes) {
    if (!str_map_get(&s->data, key)) cause_required(causes, path_of(causes, "data[%s]", key), NULL);
}

/* The value is never quoted: it is secret. */
static void json_validate(const struct core_v1_secret *s, const char *key,
                          struct api_causes *causes) {
    OWN(buf_done) struct buf b = {0};
    const char *value = str_map_get(&s->data, key);
    require(s, key, causes);
    if (!value) return;
    json_t *v = buf_unbase64(&b, slice_of(value)) == 0 ? json_loadb(b.p, b.n, 0, NULL) : NULL;
    if (!v)
        cause_invalid(causes, path_of(causes, "data[%s]", key), "<secret contents redacted>",
                      "not a JSON document");
    json_decref(v);
}

static void docker_config(const struct core_v1_secret *s, struct api_causes *causes) {
    json_validate(s, ".dockerconfigjson", causes);
}

static void docker_cfg(const struct core_v1_secret *s, struct api_causes *causes) {
    json_validate(s, ".dockercfg", causes);
}

static void basic_auth(const struct core_v1_secret *s, struct api_causes *causes) {
    if (str_map_get(&s->data, "username") || str_map_get(&s->data, "password")) return;
    require(s, "username", causes);
    require(s, "password", causes);
}

static void ssh_auth(const struct core_v1_secret *s, struct api_causes *causes) {
    if (str_empty(str_map_get(&s->data, "ssh-privatekey")))
        cause_required(causes, "data[ssh-privatekey]", NULL);
}

static void tls(const struct core_v1_secret *s, struct api_causes *causes) {
    require(s, "tls.crt", causes);
    require(s, "tls.key", causes);
}

static void account_token(const struct core_v1_secret *s, struct api_causes *causes) {
    const char *annotation = "kubernetes.io/service-account.name";
    if (str_empty(str_map_get(&s->metadata.annotations, annotation)))
        cause_required(causes, path_of(causes, "metadata.annotations[%s]", annotation), NULL);
}

static const struct {
    const char *type;
    void (*validate)(const struct core_v1_secret *s, struct api_causes *causes);
} types[] = {
    {"kubernetes.io/dockerconfigjson", docker_config},
    {"kubernetes.io/dockercfg", docker_cfg},
    {"kubernetes.io/basic-auth", basic_auth},
    {"kubernetes.io/ssh-auth", ssh_auth},
    {"kubernetes.io/tls", tls},
    {"kubernetes.io/service-account-token", account_token},
};

static void secret_validate(const void *obj, const void *old_obj, const char *subresource,
                            struct api_causes *causes) {
    const struct core_v1_secret *s = obj, *old = old_obj;
    if (data_bytes(&s->data, true) > DATA_BYTES_MAX) cause_too_long(causes, "data", DATA_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq(s->type, types[i].type)) types[i].validate(s, causes);
    if (!old || !old->immutable || !*old->immutable) return;
    immutable_validate(s->immutable, causes);
    data_unchanged_validate(&s->data, &old->data, "data", causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Type", "What the secret is for."),
    COLUMN_INT("Data", "Number of entries."),
    COLUMN_AGE,
};

static void secret_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct core_v1_secret *s = obj;
    cells[0] = cell_text(s->metadata.name);
    cells[1] = cell_text(s->type);
    cells[2] = cell_int((int64_t)s->data.n);
    cells[3] = cell_age(a, &s->metadata, now_ns);
}

static const char *const fields[] = {"type", NULL};

static const char *secret_field(struct arena *a, const void *obj, const char *path) {
    const struct core_v1_secret *s = obj;
    return str_eq(path, "type") ? str_or(s->type, "") : NULL;
}

static const struct api_behavior secret_behavior = {
    .group = "",
    .kind = "Secret",
    .defaults = secret_defaults,
    .validate = secret_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = secret_row,
    .field = secret_field,
    .fields = fields,
};
API_BEHAVIOR(secret_behavior);
