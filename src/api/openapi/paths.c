/* Operations of a kind: what a client finds under "paths". */
#include <stdio.h>
#include <string.h>

#include "api/openapi/schema.h"
#include "api/table.h"
#include "base/own.h"

enum { /* what an operation takes and gives */
       OP_BODY = 1,
       OP_PATCH = 2,
       OP_LIST = 4,
       OP_WRITE = 8,
       OP_DELETE = 16,
};
struct operation {
    const char *method, *action;
    unsigned flags;
};
static const struct operation on_collection[] = {
    {"get", "list", OP_LIST},
    {"post", "post", OP_BODY | OP_WRITE},
    {"delete", "deletecollection", OP_LIST | OP_DELETE}};
static const struct operation on_object[] = {{"get", "get", 0},
                                             {"put", "put", OP_BODY | OP_WRITE},
                                             {"patch", "patch", OP_PATCH | OP_WRITE},
                                             {"delete", "delete", OP_DELETE}};
static const struct operation on_status[] = {
    {"get", "get", 0}, {"put", "put", OP_BODY | OP_WRITE}, {"patch", "patch", OP_PATCH | OP_WRITE}};
static const struct operation on_all[] = {{"get", "list", OP_LIST}};
static const struct operation on_virtual[] = {{"post", "post", OP_BODY | OP_WRITE}};

struct parameter {
    const char *name, *type, *doc;
    unsigned flags; /* of the operations that take it; 0: all */
};
static const struct parameter parameters[] = {
    {"pretty", "string", "Indents the answer.", 0},
    {"dryRun", "string", "All: checks everything, stores nothing.", OP_WRITE | OP_DELETE},
    {"fieldManager", "string", "Who writes, for managedFields.", OP_WRITE},
    {"fieldValidation", "string", "Unknown and duplicate fields: Ignore, Warn or Strict.",
     OP_WRITE},
    {"force", "boolean", "Apply takes over fields of other managers.", OP_PATCH},
    {"gracePeriodSeconds", "integer", "Seconds until the object is gone.", OP_DELETE},
    {"propagationPolicy", "string", "Dependents: Orphan, Background or Foreground.", OP_DELETE},
    {"labelSelector", "string", "Only objects with these labels.", OP_LIST},
    {"fieldSelector", "string", "Only objects with these fields.", OP_LIST},
    {"limit", "integer", "At most this many objects; the answer says how to continue.", OP_LIST},
    {"continue", "string", "Goes on with a limited list.", OP_LIST},
    {"resourceVersion", "string", "How old the answer may be.", OP_LIST},
    {"resourceVersionMatch", "string", "Exact or NotOlderThan.", OP_LIST},
    {"sendInitialEvents", "boolean", "A watch begins with what is there.", OP_LIST},
    {"allowWatchBookmarks", "boolean", "A watch may send bookmarks.", OP_LIST},
    {"timeoutSeconds", "integer", "A watch or list ends after this time.", OP_LIST},
    {"watch", "boolean", "Streams changes instead of listing.", OP_LIST}};

static void write_parameter(struct buf *b, enum openapi_version v, const struct parameter *p,
                            const char *in) {
    const char *required = strcmp(in, "path") == 0 ? ",\"required\":true" : "";
    buf_printf(b, "{\"name\":\"%s\",\"in\":\"%s\",\"description\":\"%s\"%s", p->name, in, p->doc,
               required);
    if (v == OPENAPI_V3)
        buf_printf(b, ",\"schema\":{\"type\":\"%s\",\"uniqueItems\":true}}", p->type);
    else
        buf_printf(b, ",\"type\":\"%s\",\"uniqueItems\":true}", p->type);
}

static void write_parameters(struct buf *b, enum openapi_version v, const struct operation *op,
                             const char *body) {
    bool first = true;
    buf_str(b, "\"parameters\":[");
    for (size_t i = 0; i < ARRAY_LEN(parameters); i++) {
        if (parameters[i].flags && !(parameters[i].flags & op->flags)) continue;
        if (!first) buf_char(b, ',');
        first = false;
        write_parameter(b, v, &parameters[i], "query");
    }
    if (v == OPENAPI_V2 && body) {
        buf_str(b, ",{\"name\":\"body\",\"in\":\"body\",\"required\":true,\"schema\":{");
        openapi_ref(b, v, body);
        buf_str(b, "}}");
    }
    buf_char(b, ']');
}

static void write_body(struct buf *b, enum openapi_version v, const struct operation *op,
                       const char *schema, bool custom) {
    static const char *const patches[] = {
        "application/json-patch+json", "application/merge-patch+json",
        "application/apply-patch+yaml", "application/strategic-merge-patch+json"};
    static const char *const any[] = {"*/*"};
    const char *const *types = op->flags & OP_PATCH ? patches : any;
    /* Clients choose by this list: custom resources have no strategic merge. */
    size_t n = op->flags & OP_PATCH ? ARRAY_LEN(patches) - custom : ARRAY_LEN(any);
    if (v == OPENAPI_V2) {
        for (size_t i = 0; i < n; i++)
            buf_printf(b, "%s\"%s\"", i ? "," : ",\"consumes\":[", types[i]);
        buf_char(b, ']');
        return;
    }
    buf_str(b, ",\"requestBody\":{\"content\":{");
    for (size_t i = 0; i < n; i++) {
        buf_printf(b, "%s\"%s\":{\"schema\":{", i ? "," : "", types[i]);
        openapi_ref(b, v, schema);
        buf_str(b, "}}");
    }
    buf_printf(b, "},\"required\":true}");
}

static void write_response(struct buf *b, enum openapi_version v, const char *schema) {
    buf_str(b, ",\"responses\":{\"200\":{\"description\":\"OK\",");
    buf_str(b,
            v == OPENAPI_V3 ? "\"content\":{\"application/json\":{\"schema\":{" : "\"schema\":{");
    openapi_ref(b, v, schema);
    buf_str(b, v == OPENAPI_V3 ? "}}}}" : "}}");
    buf_str(b, ",\"401\":{\"description\":\"Unauthorized\"}}");
}

/* core_v1 → CoreV1, for operation ids */
static void write_identifier(struct buf *b, const struct api_kind *k, const struct operation *op,
                             const char *suffix) {
    OWN(buf_done) struct buf group = {0};
    struct slice head, rest = slice_of(*k->group ? k->group : "core");
    slice_cut(&rest, '.', &head);
    buf_slice(&group, head);
    buf_str(&group, k->version);
    group.p[0] = (char)(group.p[0] - 'a' + 'A');
    group.p[head.n] = (char)(group.p[head.n] - 'a' + 'A');
    const char *verb = strcmp(op->action, "post") == 0               ? "create"
                       : strcmp(op->action, "get") == 0              ? "read"
                       : strcmp(op->action, "put") == 0              ? "replace"
                       : strcmp(op->action, "deletecollection") == 0 ? "deleteCollection"
                                                                     : op->action;
    buf_printf(b, "\"operationId\":\"%s%s%s%s%s\"", verb, group.p,
               k->flags & API_NAMESPACED && strcmp(suffix, "ForAllNamespaces") != 0 ? "Namespaced"
                                                                                    : "",
               k->kind, suffix);
}

static void write_operation(struct buf *b, enum openapi_version v, const struct api_kind *k,
                            const struct operation *op, const char *suffix) {
    OWN(buf_done) struct buf list = {0}, name = {0};
    openapi_kind_name(&name, k);
    const char *body = op->flags & OP_PATCH    ? OPENAPI_META "Patch"
                       : op->flags & OP_BODY   ? name.p
                       : op->flags & OP_DELETE ? OPENAPI_META "DeleteOptions"
                                               : NULL;
    openapi_list_name(&list, k);
    buf_printf(b, "\"%s\":{\"description\":\"%s %s\",\"tags\":[\"%s_%s\"],", op->method, op->action,
               k->plural, *k->group ? k->group : "core", k->version);
    write_identifier(b, k, op, suffix);
    buf_char(b, ',');
    write_parameters(b, v, op, body);
    if (body) write_body(b, v, op, body, k->custom);
    write_response(b, v,
                   op->flags & OP_DELETE ? OPENAPI_META "Status"
                   : op->flags & OP_LIST ? list.p
                                         : name.p);
    buf_printf(b,
               ",\"x-kubernetes-action\":\"%s\",\"x-kubernetes-group-version-kind\":", op->action);
    openapi_gvk(b, k, k->kind);
    buf_char(b, '}');
}

static void write_path(struct buf *b, enum openapi_version v, const struct api_kind *k,
                       const struct operation *operations, size_t n, bool in_namespace,
                       const char *tail, const char *suffix, bool *first) {
    static const struct parameter of_namespace = {"namespace", "string", "The namespace.", 0};
    static const struct parameter of_name = {"name", "string", "The name of the object.", 0};
    bool named = str_starts(tail, "/{name}");
    buf_printf(b, "%s\"/%s/%s%s/%s%s\":{", *first ? "" : ",", *k->group ? "apis" : "api",
               k->api_version, in_namespace ? "/namespaces/{namespace}" : "", k->plural, tail);
    *first = false;
    for (size_t i = 0; i < n; i++) {
        if (i) buf_char(b, ',');
        write_operation(b, v, k, &operations[i], suffix);
    }
    if (in_namespace || named) {
        buf_str(b, ",\"parameters\":[");
        if (named) write_parameter(b, v, &of_name, "path");
        if (named && in_namespace) buf_char(b, ',');
        if (in_namespace) write_parameter(b, v, &of_namespace, "path");
        buf_char(b, ']');
    }
    buf_char(b, '}');
}

void openapi_kind_paths(struct buf *b, enum openapi_version v, const struct api_kind *k,
                        bool *first) {
    bool in = k->flags & API_NAMESPACED;
    if (k->flags & API_READ_ONLY) {
        write_path(b, v, k, on_all, ARRAY_LEN(on_all), in, "", "", first);
        write_path(b, v, k, on_object, 1, in, "/{name}", "", first);
        return;
    }
    if (k->flags & API_VIRTUAL) {
        write_path(b, v, k, on_virtual, ARRAY_LEN(on_virtual), in, "", "", first);
        return;
    }
    size_t all = ARRAY_LEN(on_collection) - !!(k->flags & API_NO_COLLECTION_DELETE); /* the last */
    write_path(b, v, k, on_collection, all, in, "", "", first);
    write_path(b, v, k, on_object, ARRAY_LEN(on_object), in, "/{name}", "", first);
    if (k->flags & API_HAS_STATUS)
        write_path(b, v, k, on_status, ARRAY_LEN(on_status), in, "/{name}/status", "Status", first);
    if (in) write_path(b, v, k, on_all, ARRAY_LEN(on_all), false, "", "ForAllNamespaces", first);
}
