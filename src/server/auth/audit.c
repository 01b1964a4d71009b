#include "server/auth/audit.h"

#include <inttypes.h>

#include "api/codec/redact.h"
#include "base/own.h"
#include "base/times.h"
#include "proto/json.h"
#include "server/auth/audit_policy.h"
#include "server/auth/auth.h"
#include "server/auth/authz.h"
#include "server/media/body.h"
#include "server/media/protobuf.h"

static struct {
    struct audit_policy *policy; /* NULL = the default */
    char prefix[40];             /* random, of this process; a count follows */
    uint64_t count;
} audit;

struct audit_record {
    struct audit_decision decision;
    struct user user;    /* before impersonation */
    int64_t received_ns; /* 0: only the request knows, to the millisecond */
    const char *decided, *reason;
    int status; /* of a long answer */
    struct str_map annotations;
};

int audit_prepare(const struct settings *s, struct err *err) {
    OWN(buf_done) struct buf text = {0};
    if (!str_empty(s->auth.audit_policy_file)) {
        int rc = auth_read_file("--audit-policy-file", s->auth.audit_policy_file, &text, err);
        if (rc == 0) rc = audit_policy_parse(buf_view(&text), &audit.policy, err);
        if (rc < 0) return err_wrap(err, "--audit-policy-file %s", s->auth.audit_policy_file);
    }
    return audit_log_open(s->root, err);
}

void audit_start(struct api *api) {
    snprintf(audit.prefix, sizeof audit.prefix, "%.24s", uuid_new(api->arena));
    audit_log_start(api->loop);
}

/* ---- one event ---- */

enum { NS_PER_MS = 1000000 };

/* Behind something else, or, without its comma, behind an opening bracket. Every write has such a
 * line: no printf on its usual way. */
#define KEY(name) SLICE(",\"" name "\":")

static void put_key(struct buf *b, struct slice key) {
    size_t comma = b->p[b->n - 1] == '{';
    buf_append(b, key.p + comma, key.n - comma);
}

static void put_text(struct buf *b, struct slice key, const char *value) {
    if (str_empty(value)) return;
    put_key(b, key);
    buf_json_str(b, slice_of(value));
}

static void put_texts(struct buf *b, const struct str_list *l) {
    buf_char(b, '[');
    for (size_t i = 0; i < l->n; i++) {
        if (i) buf_char(b, ',');
        buf_json_str(b, slice_of(l->v[i]));
    }
    buf_char(b, ']');
}

static void put_user(struct buf *b, struct slice key, const struct user *u) {
    put_key(b, key);
    buf_char(b, '{');
    put_text(b, KEY("username"), u->name);
    put_text(b, KEY("uid"), u->uid);
    if (u->groups.n) {
        put_key(b, KEY("groups"));
        put_texts(b, &u->groups);
    }
    if (u->extra.n) buf_str(b, ",\"extra\":{");
    for (size_t i = 0; i < u->extra.n; i++) {
        if (i) buf_char(b, ',');
        buf_json_str(b, slice_of(u->extra.v[i].key));
        buf_char(b, ':');
        put_texts(b, &u->extra.v[i].value);
    }
    buf_str(b, u->extra.n ? "}}" : "}");
}

static void put_object_ref(struct buf *b, const struct route *r) {
    if (!r->is_resource) return;
    buf_slice(b, SLICE(",\"objectRef\":{"));
    put_text(b, KEY("resource"), r->plural);
    put_text(b, KEY("namespace"), r->ns);
    put_text(b, KEY("name"), r->name);
    put_text(b, KEY("apiGroup"), r->group);
    put_text(b, KEY("apiVersion"), r->version);
    put_text(b, KEY("subresource"), r->subresource);
    buf_char(b, '}');
}

static void json_free(json_t **v) { json_decref(*v); }

/* JSON on one line without its secrets, or nothing when it is none. */
static void put_body(struct buf *b, const char *key, const struct call *c, struct slice body) {
    OWN(json_free) json_t *doc = NULL;
    OWN(buf_done) struct buf plain = {0};
    if (slice_starts(body, "k8s") && protobuf_to_json(body, &plain, NULL) == 0)
        body = buf_view(&plain);
    if (!body.n || json_parse(body, &doc, NULL) < 0 || !json_is_object(doc)) return;
    api_redact(doc, c->kind);
    json_t *meta = json_object_get(doc, "metadata");
    if (c->audit->decision.omit_managed_fields && meta) json_object_del(meta, "managedFields");
    OWN(free_p) char *text = json_dumps(doc, JSON_COMPACT);
    if (text) buf_printf(b, ",\"%s\":%s", key, text);
}

static void put_bodies(struct buf *b, const struct call *c, struct slice answer) {
    const struct audit_record *a = c->audit;
    if (a->decision.level < AUDIT_REQUEST || !c->route.is_resource) return;
    struct slice json;
    if (c->r->body.n && body_json((struct call *)(uintptr_t)c, &json, NULL) == 0)
        put_body(b, "requestObject", c, json);
    if (a->decision.level == AUDIT_REQUEST_RESPONSE) put_body(b, "responseObject", c, answer);
}

static void put_status(struct buf *b, int status, struct slice body) {
    buf_slice(b, SLICE(",\"responseStatus\":{\"metadata\":{}"));
    if (status >= 400) {
        OWN(json_free) json_t *doc = NULL;
        buf_str(b, ",\"status\":\"Failure\"");
        if (body.n && json_parse(body, &doc, NULL) == 0) {
            put_text(b, KEY("message"), json_string_value(json_object_get(doc, "message")));
            put_text(b, KEY("reason"), json_string_value(json_object_get(doc, "reason")));
        }
    }
    put_key(b, KEY("code"));
    buf_i64(b, status);
    buf_char(b, '}');
}

static void put_time(struct buf *b, struct slice key, int64_t at_ns) {
    char text[TIME_TEXT_MAX];
    time_format_micro(text, at_ns);
    put_key(b, key);
    buf_char(b, '"');
    buf_str(b, text);
    buf_char(b, '"');
}

static void put_annotations(struct buf *b, const struct audit_record *a) {
    if (!a->decided && !a->annotations.n) return;
    buf_slice(b, SLICE(",\"annotations\":{"));
    if (a->decided) {
        put_text(b, KEY("authorization.k8s.io/decision"), a->decided);
        put_key(b, KEY("authorization.k8s.io/reason"));
        buf_json_str(b, slice_of(str_or(a->reason, "")));
    }
    for (size_t i = 0; i < a->annotations.n; i++) {
        if (str_empty(a->annotations.v[i].value)) continue;
        if (b->p[b->n - 1] != '{') buf_char(b, ',');
        buf_json_str(b, slice_of(a->annotations.v[i].key));
        buf_char(b, ':');
        buf_json_str(b, slice_of(a->annotations.v[i].value));
    }
    buf_char(b, '}');
}

static void write_event(const struct call *c, const char *stage, int status, struct slice body) {
    const struct audit_record *a = c->audit;
    const struct request *r = c->r;
    OWN(buf_give) struct buf b = buf_take();
    enum audit_level level = a->decision.level ? a->decision.level : AUDIT_METADATA;
    buf_slice(&b, SLICE("{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\""));
    put_text(&b, KEY("level"), audit_level_name(level));
    put_text(&b, KEY("auditID"), r->audit_id);
    put_text(&b, KEY("stage"), stage);
    put_text(&b, KEY("requestURI"), r->target);
    put_text(&b, KEY("verb"), c->route.verb);
    put_user(&b, KEY("user"), &a->user);
    if (c->impersonator) put_user(&b, KEY("impersonatedUser"), &c->user);
    if (r->peer->kind == PEER_TLS && r->peer->address) {
        put_key(&b, KEY("sourceIPs"));
        buf_char(&b, '[');
        buf_json_str(&b, slice_of(r->peer->address));
        buf_char(&b, ']');
    }
    put_text(&b, KEY("userAgent"), http_header(&r->headers, "user-agent"));
    put_object_ref(&b, &c->route);
    if (status) put_status(&b, status, body);
    put_bodies(&b, c, body);
    int64_t now = loop_wall_ns(c->api->loop);
    uint64_t ago_ms = loop_now_ms(c->api->loop) - r->received_ms;
    put_time(&b, KEY("requestReceivedTimestamp"),
             a->received_ns ? a->received_ns : now - (int64_t)ago_ms * NS_PER_MS);
    put_time(&b, KEY("stageTimestamp"), now);
    put_annotations(&b, a);
    buf_char(&b, '}');
    audit_log_line(buf_view(&b));
}

/* ---- when ---- */

static bool is_long(const struct route *r) {
    static const char *const streams[] = {"exec", "attach", "portforward", "log", "proxy"};
    if (str_eq(r->verb, "watch")) return true;
    for (size_t i = 0; i < ARRAY_LEN(streams); i++)
        if (str_eq(r->subresource, streams[i])) return true;
    return false;
}

/* The end of a long answer, whoever ended it. */
static void on_long_end(struct request *r) {
    struct call *c = r->audit_data;
    if (c->audit->decision.level && !(c->audit->decision.omit & AUDIT_COMPLETE))
        write_event(c, "ResponseComplete", c->audit->status, (struct slice){0});
}

static void on_answer(struct request *r, int status, struct slice body) {
    struct call *c = r->audit_data;
    const struct audit_record *a = c->audit;
    bool refused = status == 401 || status == 403;
    if (!a->decision.level && (audit.policy || !refused)) return;
    bool started = !body.p && is_long(&c->route);
    if (started) {
        c->audit->status = status;
        r->on_audit_end = on_long_end;
    }
    if (a->decision.omit & (started ? AUDIT_STARTED : AUDIT_COMPLETE)) return;
    write_event(c, started ? "ResponseStarted" : "ResponseComplete", status, body);
}

static struct audit_decision by_default(const struct call *c) {
    static const char *const reads[] = {"get", "list", "watch", "head"};
    struct audit_decision write = {.level = AUDIT_METADATA, .omit = AUDIT_RECEIVED};
    struct audit_decision read = {.omit = AUDIT_RECEIVED};
    const struct route *r = &c->route;
    if (r->is_resource && str_eq(r->plural, "secrets") && !*r->group) return write;
    if (str_eq(r->subresource, "exec") || str_eq(r->subresource, "attach") ||
        str_eq(r->subresource, "portforward"))
        return write;
    for (size_t i = 0; i < ARRAY_LEN(reads); i++)
        if (str_eq(reads[i], r->verb)) return read;
    return write;
}

static struct audit_decision decide(const struct call *c) {
    if (!audit.policy) return by_default(c);
    const struct route *r = &c->route;
    struct attributes at = {.verb = str_or(r->verb, ""),
                            .group = r->group,
                            .resource = r->plural,
                            .subresource = r->subresource,
                            .name = r->name,
                            .ns = r->ns,
                            .path = r->is_resource ? NULL : c->r->path};
    return audit_policy_decide(audit.policy, &c->user, &at);
}

/* What a client may choose as id: something short without signs. */
static bool id_usable(const char *id) {
    size_t n = strlen(id);
    if (!n || n > 64) return false;
    for (size_t i = 0; i < n; i++)
        if (!strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-", id[i]))
            return false;
    return true;
}

static const char *id_of(struct call *c) {
    const char *given = http_header(&c->r->headers, "audit-id");
    if (given && id_usable(given)) return given;
    static const char digits[] = "0123456789abcdef";
    char *id = arena_alloc(c->a, 40);
    memcpy(id, audit.prefix, 24);
    uint64_t n = ++audit.count;
    for (int i = 35; i >= 24; i--, n >>= 4) id[i] = digits[n & 15];
    return id;
}

void audit_begin(struct call *c) {
    struct audit_record *a = ARENA_NEW(c->a, struct audit_record);
    a->user = c->user;
    a->decision = decide(c);
    if (a->decision.level) a->received_ns = loop_wall_ns(c->api->loop);
    c->audit = a;
    c->r->audit_id = id_of(c);
    c->r->audit_data = c;
    c->r->on_answer = on_answer;
    if (a->decision.level && !(a->decision.omit & AUDIT_RECEIVED))
        write_event(c, "RequestReceived", 0, (struct slice){0});
}

void audit_annotate(struct call *c, const char *key, const char *value) {
    if (!c->audit) return;
    str_map_set(c->a, &c->audit->annotations, arena_str(c->a, key), arena_str(c->a, value));
}

bool audit_holds_bodies(const struct call *c) {
    return c->audit && c->audit->decision.level >= AUDIT_REQUEST;
}

void audit_decision(struct call *c, bool allowed) {
    if (!c->audit) return;
    c->audit->decided = allowed ? "allow" : "forbid";
    if (allowed && c->audit->decision.level)
        c->audit->reason = authz_reason(c->api->authz, c->a, &c->user);
}
