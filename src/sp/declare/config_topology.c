#include "sp/declare/config_topology.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/registry.h"
#include "api/rules/topology_graph.h"
#include "base/limits.h"
#include "base/own.h"

enum { ACCOUNTS_MAX_BYTES = 1024 * 1024 };

struct making {
    const struct sp_v1_topology *t;
    struct sp_config *c;
    struct arena *a;
    sp_file_fn *file;
    void *user;
    struct buf passwd, group; /* read when a name is first asked for */
};

int sp_file_read(int dir, const char *name, size_t limit_bytes, struct buf *out, struct err *err) {
    OWN(close_p) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_errno(err, errno, "%s", name);
    char piece[8192];
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) != 0;) {
        if (n < 0) return err_errno(err, errno, "%s", name);
        buf_append(out, piece, (size_t)n);
        if (out->n > limit_bytes)
            return err_set(err, ERR_TOO_LARGE, "%s: more than %zu bytes", name, limit_bytes);
    }
    return 0;
}

/* ---- users and groups ---- */

/* The number in the third field of the line that begins with the name. */
static int account_number(struct buf *text, const char *file, const char *name, uint32_t *ret,
                          struct err *err) {
    uint64_t number = 0;
    if (slice_u64(slice_of(name), &number) == 0 && number < UINT32_MAX) {
        *ret = (uint32_t)number;
        return 0;
    }
    if (!text->n && sp_file_read(AT_FDCWD, file, ACCOUNTS_MAX_BYTES, text, err) < 0)
        return err_wrap(err, "'%s'", name);
    struct slice rest = buf_view(text), line, field;
    while (slice_cut(&rest, '\n', &line)) {
        if (!slice_cut(&line, ':', &field) || !slice_is(field, name)) continue;
        bool there = true;
        for (int i = 0; i < 2 && there; i++) there = slice_cut(&line, ':', &field);
        if (there && slice_u64(field, &number) == 0 && number < UINT32_MAX) {
            *ret = (uint32_t)number;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID, "'%s' is not in %s", name, file);
}

static int user_number(struct making *m, const char *name, uid_t *ret, struct err *err) {
    return account_number(&m->passwd, "/etc/passwd", name, ret, err);
}

static int group_number(struct making *m, const char *name, gid_t *ret, struct err *err) {
    return account_number(&m->group, "/etc/group", name, ret, err);
}

static int make_roles(struct making *m, struct err *err) {
    const struct sp_v1_topology_role_list *list = &m->t->spec.roles;
    for (size_t i = 0; i < list->n; i++) {
        const struct sp_protocol *p = sp_protocol_of_name(list->v[i].name);
        if (!p) return err_set(err, ERR_INVALID, "'%s' is no role", list->v[i].name);
        struct sp_role_config *role = &m->c->roles[p->role];
        int r = user_number(m, str_or(list->v[i].owner, "root"), &role->owner, err);
        if (r == 0) r = group_number(m, str_or(list->v[i].group, "root"), &role->group, err);
        if (r < 0) return err_wrap(err, "spec.roles[%zu]", i);
        if (list->v[i].mode) role->mode = (mode_t)*list->v[i].mode & 0777;
    }
    return 0;
}

static int add_access(struct making *m, const struct sp_v1_topology_access *entry,
                      struct sp_role_config *role, struct err *err) {
    size_t n_users = role->n_users + entry->users.n, n_groups = role->n_groups + entry->groups.n;
    uid_t *users = ARENA_ARRAY(m->a, uid_t, n_users + 1);
    gid_t *groups = ARENA_ARRAY(m->a, gid_t, n_groups + 1);
    if (role->n_users) memcpy(users, role->users, role->n_users * sizeof *users);
    if (role->n_groups) memcpy(groups, role->groups, role->n_groups * sizeof *groups);
    int r = 0;
    for (size_t i = 0; r == 0 && i < entry->users.n; i++)
        r = user_number(m, entry->users.v[i], &users[role->n_users + i], err);
    for (size_t i = 0; r == 0 && i < entry->groups.n; i++)
        r = group_number(m, entry->groups.v[i], &groups[role->n_groups + i], err);
    role->users = users;
    role->n_users = n_users;
    role->groups = groups;
    role->n_groups = n_groups;
    role->restricted = true;
    return r;
}

static int make_access(struct making *m, struct err *err) {
    const struct sp_v1_topology_access_list *list = &m->t->spec.access;
    for (size_t i = 0; i < list->n; i++) {
        const struct sp_v1_topology_access *entry = &list->v[i];
        bool pods = entry->service_accounts.n || entry->namespaces.n;
        for (unsigned role = 0; role < SP_ROLE_COUNT; role++) {
            const char *name = sp_protocol_of_role((enum sp_role)role)->name;
            if (entry->roles.n && !str_list_has(&entry->roles, name)) continue;
            m->c->roles[role].pods |= pods;
            if (!entry->users.n && !entry->groups.n) continue;
            int r = add_access(m, entry, &m->c->roles[role], err);
            if (r < 0) return err_wrap(err, "spec.access[%zu]", i);
        }
    }
    return 0;
}

/* ---- filters ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static struct slice prefix_decode(struct arena *a, const char *text) {
    size_t n = 0;
    char *bytes = arena_alloc(a, strlen(text) + 1);
    for (const char *p = text; *p; p++) {
        int high = *p == '%' ? hex_digit(p[1]) : -1;
        int low = high >= 0 ? hex_digit(p[2]) : -1;
        bytes[n++] = low >= 0 ? (char)(high << 4 | low) : *p;
        if (low >= 0) p += 2;
    }
    return slice_from(bytes, n);
}

static void make_filters(struct making *m) {
    const struct sp_v1_topology_filter_list *list = &m->t->spec.filters;
    struct sp_filter_config *v = ARENA_ARRAY(m->a, struct sp_filter_config, list->n + 1);
    for (size_t i = 0; i < list->n; i++)
        v[i] = (struct sp_filter_config){topology_filter_name(m->a, &list->v[i]),
                                         prefix_decode(m->a, list->v[i].prefix)};
    m->c->filters = v;
    m->c->n_filters = MIN_OF(list->n, (size_t)LIMIT_SP_FILTERS);
}

/* ---- edges ---- */

static int file_of(struct making *m, const char *name, struct slice *ret, struct err *err) {
    if (str_empty(name)) return 0;
    if (!m->file) return err_set(err, ERR_INVALID, "%s: no files here", name);
    return m->file(m->user, name, m->a, ret, err);
}

static int make_peer(struct making *m, const struct sp_v1_topology_peer *peer,
                     struct sp_peer_config *ret, struct err *err) {
    if (!peer) return 0;
    ret->identity = arena_str(m->a, peer->identity);
    ret->key_pin = arena_str(m->a, peer->key_pin);
    if (peer->ca_bundle) {
        OWN(buf_done) struct buf pem = {0};
        if (buf_unbase64(&pem, slice_of(peer->ca_bundle)) < 0)
            return err_set(err, ERR_INVALID, "peer.caBundle is no base64");
        ret->ca_pem = slice_from(arena_copy(m->a, pem.p, pem.n), pem.n);
        return 0;
    }
    return file_of(m, peer->ca_file, &ret->ca_pem, err);
}

static int make_edge(struct making *m, const struct sp_v1_topology_edge *from,
                     enum sp_edge_kind kind, struct sp_edge_config *e, struct err *err) {
    const struct sp_protocol *role = sp_protocol_of_name(str_or(from->role, ""));
    const char *text = str_or(from->listen, from->dial);
    const char *any = str_empty(from->listen) ? m->c->name : "";
    if (!role || !text) return err_set(err, ERR_INVALID, "role and address are needed");
    *e = (struct sp_edge_config){
        .name = arena_str(m->a, from->name),
        .kind = kind,
        .role = role->role,
        .listen = !str_empty(from->listen),
        .address_text = arena_str(m->a, text),
        .priority = (unsigned)from->priority,
        .forwarding = from->forwarding,
        .subscriptions_max = (uint32_t)from->max_subscriptions,
        .queue = m->c->queue,
        .organisation = arena_str(m->a, str_or(from->organisation, "")),
        .topology = arena_str(m->a, str_or(from->topology, any)),
    };
    if (!str_empty(from->policy)) sp_policy_of_name(from->policy, &e->queue.policy);
    if (from->rate)
        e->rate = (struct sp_rate){(uint64_t)from->rate->messages_per_second,
                                   (uint64_t)from->rate->bytes_per_second};
    struct slice *filters = ARENA_ARRAY(m->a, struct slice, from->filters.n + 1);
    for (size_t i = 0; i < from->filters.n; i++)
        filters[i] = prefix_decode(m->a, from->filters.v[i]);
    e->filters = filters;
    e->n_filters = from->filters.n;
    int r = sp_address_parse(text, e->listen, &e->address, err);
    return r < 0 ? r : make_peer(m, from->peer, &e->peer, err);
}

static int make_edges(struct making *m, const char *node_name, struct err *err) {
    const struct sp_v1_topology_spec *s = &m->t->spec;
    const struct {
        const struct sp_v1_topology_edge_list *list;
        enum sp_edge_kind kind;
    } kinds[] = {{&s->edges, SP_EDGE}, {&s->exports, SP_EXPORT}, {&s->imports, SP_IMPORT}};
    size_t all = s->edges.n + s->exports.n + s->imports.n;
    struct sp_edge_config *v = ARENA_ARRAY(m->a, struct sp_edge_config, all + 1);
    if (all > LIMIT_SP_EDGES)
        return err_set(err, ERR_INVALID, "more than %d edges", LIMIT_SP_EDGES);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (size_t i = 0; i < kinds[k].list->n; i++) {
            const struct sp_v1_topology_edge *from = &kinds[k].list->v[i];
            if (!str_empty(from->node_name) && !str_eq(from->node_name, node_name)) continue;
            int r = make_edge(m, from, kinds[k].kind, &v[m->c->n_edges++], err);
            if (r < 0) return err_wrap(err, "edge %s", from->name);
        }
    m->c->edges = v;
    return 0;
}

static int make_identity(struct making *m, struct err *err) {
    const struct sp_v1_topology_identity *from = m->t->spec.identity;
    if (!from) return 0;
    int r = file_of(m, from->certificate_file, &m->c->identity.certificate_pem, err);
    if (r == 0) r = file_of(m, from->key_file, &m->c->identity.key_pem, err);
    return r == 0 ? file_of(m, from->ca_file, &m->c->identity.ca_pem, err) : r;
}

/* ---- all of it ---- */

static void make_scalars(struct making *m) {
    const struct sp_v1_topology_spec *s = &m->t->spec;
    struct sp_config *c = m->c;
    c->generation = m->t->metadata.generation;
    c->organisation = arena_str(m->a, str_or(s->organisation, "local"));
    if (s->queue.messages > 0) c->queue.messages = (uint32_t)s->queue.messages;
    if (s->queue.bytes > 0) c->queue.bytes = (uint64_t)s->queue.bytes;
    if (s->queue.block_timeout_ms > 0)
        c->queue.block_timeout_ms = (uint32_t)s->queue.block_timeout_ms;
    if (!str_empty(s->queue.policy)) sp_policy_of_name(s->queue.policy, &c->queue.policy);
    c->retain = (uint32_t)s->retain;
    if (s->linger_ms) c->linger_ms = (uint32_t)*s->linger_ms;
    if (s->max_message_bytes > 0) c->message_max_bytes = (uint32_t)s->max_message_bytes;
    if (s->ttl > 0) c->ttl = (uint32_t)s->ttl;
    if (s->request_resend_ms > 0) c->request_resend_ms = (uint32_t)s->request_resend_ms;
    c->request_timeout_ms = (uint32_t)s->request_timeout_ms;
    if (s->survey_deadline_ms > 0) c->survey_deadline_ms = (uint32_t)s->survey_deadline_ms;
}

/* Equal bytes: nothing that the service looks at has changed. */
static void make_canonical(struct making *m) {
    OWN(buf_done) struct buf b = {0};
    const struct api_kind *k = api_kind_by_name("sp.atoll.dev", "v1", "Topology");
    struct sp_v1_topology plain = {.spec = m->t->spec};
    api_encode(&b, k->type, &plain);
    buf_slice(&b, m->c->identity.certificate_pem);
    buf_slice(&b, m->c->identity.key_pem);
    buf_slice(&b, m->c->identity.ca_pem);
    for (size_t i = 0; i < m->c->n_edges; i++) buf_slice(&b, m->c->edges[i].peer.ca_pem);
    m->c->canonical = slice_from(arena_copy(m->a, b.p, b.n), b.n);
}

int sp_config_of_topology(const struct sp_v1_topology *t, const char *node_name, sp_file_fn *file,
                          void *user, struct sp_config **ret, struct err *err) {
    enum sp_pattern pattern;
    if (sp_pattern_of_name(str_or(t->spec.pattern, ""), &pattern) < 0)
        return err_field(err, ERR_INVALID, "spec.pattern", "unknown pattern");
    if (str_empty(t->metadata.name) || strlen(t->metadata.name) > 63 ||
        strchr(t->metadata.name, '/') || t->metadata.name[0] == '.')
        return err_field(err, ERR_INVALID, "metadata.name", "not usable as a directory");
    struct sp_config *c = sp_config_new(t->metadata.name, pattern);
    struct making m = {.t = t, .c = c, .a = c->arena, .file = file, .user = user};
    make_scalars(&m);
    make_filters(&m);
    int r = make_roles(&m, err);
    if (r == 0) r = make_access(&m, err);
    if (r == 0) r = make_edges(&m, node_name, err);
    if (r == 0) r = make_identity(&m, err);
    buf_done(&m.passwd);
    buf_done(&m.group);
    if (r < 0) {
        sp_config_free(c);
        return r;
    }
    make_canonical(&m);
    *ret = c;
    return 0;
}

int sp_topology_decode(struct slice json, int dir, struct arena *a, struct sp_v1_topology **ret,
                       struct err *err) {
    const struct api_kind *k = api_kind_by_name("sp.atoll.dev", "v1", "Topology");
    const struct api_behavior *behavior = api_kind_behavior(k);
    struct api_decode_opts strict = {.unknown = API_UNKNOWN_STRICT};
    struct api_causes causes = {.a = a};
    void *object = NULL;
    int r = api_decode(a, k->type, json, &strict, &object, err);
    if (r < 0) return r;
    struct sp_v1_topology *t = object;
    if (!str_eq(t->kind, k->kind) || !str_eq(t->api_version, k->api_version))
        return err_set(err, ERR_INVALID, "not a %s of %s", k->kind, k->api_version);
    r = sp_filters_amend(dir, t, a, err);
    if (r < 0) return r;
    api_default(a, k->type, t);
    if (behavior && behavior->defaults) behavior->defaults(a, t);
    api_validate(k->type, t, NULL, "", &causes);
    if (behavior && behavior->validate) behavior->validate(t, NULL, "", &causes);
    if (causes.n)
        return err_field(err, ERR_INVALID, causes.v[0].field, "%s: %s", causes.v[0].field,
                         causes.v[0].message);
    *ret = t;
    return 0;
}
