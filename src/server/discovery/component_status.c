/* ComponentStatus: the checks of /readyz that stand for a part of the system, as objects. */
#include "base/own.h"
#include "server/api.h"
#include "server/media/protobuf.h"
#include "server/media/table.h"

/* Which checks those are, and what people know the part as. */
static const struct {
    const char *check, *name;
} parts[] = {{"etcd", "etcd-0"}, {"keys", "keys"}, {"informer-sync", "cache"}};

static const char *part_name(const char *check) {
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (str_eq(parts[i].check, check)) return parts[i].name;
    return NULL;
}

static struct slice status_json(struct arena *a, const char *name, bool ok) {
    struct core_v1_component_condition healthy = {.type = "Healthy",
                                                  .status = ok ? "True" : "False"};
    if (ok)
        healthy.message = "ok";
    else
        healthy.error = "the check failed";
    const struct core_v1_component_status s = {.api_version = "v1",
                                               .kind = "ComponentStatus",
                                               .metadata = {.name = name},
                                               .conditions = {&healthy, 1}};
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, &core_v1_component_status_type, &s);
    return slice_from(arena_copy(a, b.p, b.n), b.n);
}

static void get(struct call *c) {
    const char *check, *name;
    bool ok;
    for (size_t i = 0; health_check(c->api, i, &check, &ok); i++) {
        name = part_name(check);
        if (!name || !str_eq(name, c->route.name)) continue;
        reply_object(c, 200, status_json(c->a, name, ok));
        return;
    }
    reply_not_found(c, c->route.name);
}

static void list_protobuf(struct call *c, const struct slice *items, size_t n) {
    OWN(buf_done) struct buf messages = {0}, all = {0};
    for (size_t i = 0; i < n; i++) {
        OWN(buf_done) struct buf one = {0};
        protobuf_message(&one, c->a, c->kind->type, items[i]);
        protobuf_item_head(&messages, one.n);
        buf_slice(&messages, buf_view(&one));
    }
    protobuf_list_head(&all, c->kind->api_version, c->kind->list_kind, SLICE(""), messages.n);
    buf_slice(&all, buf_view(&messages));
    struct http_headers h = reply_warnings(c);
    request_respond(c->r, 200, "application/vnd.kubernetes.protobuf", buf_view(&all), &h);
}

static void list_json(struct call *c, const struct slice *items, size_t n) {
    OWN(buf_done) struct buf b = {0};
    const struct list_meta none = {.remaining = -1};
    bool table = c->form == ANSWER_TABLE;
    if (table)
        table_head(&b, c, &none, true);
    else
        buf_str(&b, "{\"kind\":\"ComponentStatusList\",\"apiVersion\":\"v1\",\"metadata\":{},"
                    "\"items\":[");
    for (size_t i = 0; i < n; i++) {
        if (table) {
            table_row(&b, c, c->a, items[i]);
            continue;
        }
        if (i) buf_char(&b, ',');
        buf_slice(&b, items[i]);
    }
    if (table)
        table_tail(&b);
    else
        buf_str(&b, "]}\n");
    struct http_headers h = reply_warnings(c);
    c->media = MEDIA_JSON; /* metadata alone comes as JSON too */
    request_respond(c->r, 200, content_type(c), buf_view(&b), &h);
}

static void list(struct call *c) {
    struct slice items[ARRAY_LEN(parts)];
    const char *check;
    size_t n = 0;
    bool ok;
    for (size_t i = 0; health_check(c->api, i, &check, &ok) && n < ARRAY_LEN(items); i++) {
        const char *name = part_name(check);
        if (name) items[n++] = status_json(c->a, name, ok);
    }
    if (c->media == MEDIA_PROTOBUF && c->form == ANSWER_OBJECT)
        list_protobuf(c, items, n);
    else
        list_json(c, items, n);
}

void component_status_handle(struct call *c) {
    *ARENA_PUSH(c->a, &c->warnings) = "v1 ComponentStatus is deprecated in v1.19+";
    if (str_eq(c->route.verb, "get")) {
        get(c);
    } else if (str_eq(c->route.verb, "list")) {
        list(c);
    } else {
        reply_method_not_allowed(c);
    }
}
