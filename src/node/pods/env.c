#include "node/pods/env.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "base/own.h"

/* Places are kept as pointers; NULL is none. */
static void *place_of(size_t i) { return (void *)(uintptr_t)(i + 1); }

static const char *env_get(const struct environment *env, struct slice name) {
    uintptr_t place = (uintptr_t)map_get(&env->places, name);
    return place ? env->lines.v[place - 1] + name.n + 1 : NULL;
}

void environment_done(struct environment *env) { map_done(&env->places); }

static bool is_too_much(const struct environment *env) {
    return env->lines.n > LIMIT_CONTAINER_ENV || env->bytes > LIMIT_ARGUMENTS_BYTES;
}

void environment_set(struct arena *a, struct environment *env, const char *name,
                     const char *value) {
    if (is_too_much(env)) return; /* told at the end */
    const char *line = arena_printf(a, "%s=%s", name, str_or(value, ""));
    env->bytes += strlen(line);
    uintptr_t place = (uintptr_t)map_gets(&env->places, name);
    if (place) {
        env->lines.v[place - 1] = line;
    } else {
        map_put(&env->places, slice_of(name), place_of(env->lines.n));
        *ARENA_PUSH(a, &env->lines) = line;
    }
}

const char *env_expand(struct arena *a, const char *text, const struct environment *env) {
    if (!text || !strchr(text, '$')) return str_or(text, "");
    OWN(buf_done) struct buf b = {0};
    const char *last = strrchr(text, ')');
    for (const char *s = text; *s; s++) {
        if (b.n > LIMIT_ARGUMENT_BYTES) return NULL;
        if (*s != '$') {
            buf_char(&b, *s);
        } else if (s[1] == '$') {
            buf_char(&b, '$');
            s++;
        } else if (s[1] == '(' && last && last > s) {
            const char *end = strchr(s, ')');
            struct slice name = slice_from(s + 2, (size_t)(end - s - 2));
            const char *value = env_get(env, name);
            if (value)
                buf_str(&b, value);
            else
                buf_append(&b, s, (size_t)(end - s + 1));
            s = end;
        } else {
            buf_char(&b, '$');
        }
    }
    return b.n > LIMIT_ARGUMENT_BYTES ? NULL : arena_strn(a, buf_view(&b));
}

static int too_long(const char *text, struct err *err) {
    return err_set(err, ERR_INVALID, "\"%.60s\" becomes longer than %d bytes", text,
                   LIMIT_ARGUMENT_BYTES);
}

/* ---- services ---- */

static const char *env_name(struct arena *a, const char *s) {
    char *r = arena_str(a, s);
    for (char *c = r; *c; c++) *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return r;
}

static void service_env(struct arena *a, const struct core_v1_service *s, struct environment *env) {
    const char *ip = s->spec.cluster_ip, *name = env_name(a, s->metadata.name);
    environment_set(a, env, arena_printf(a, "%s_SERVICE_HOST", name), ip);
    for (size_t i = 0; i < s->spec.ports.n; i++) {
        const struct core_v1_service_port *p = &s->spec.ports.v[i];
        const char *port = arena_printf(a, "%d", (int)p->port);
        const char *upper = str_or(p->protocol, "TCP");
        char *lower = arena_str(a, upper);
        for (char *c = lower; *c; c++) *c = (char)tolower((unsigned char)*c);
        const char *url = arena_printf(a, "%s://%s:%s", lower, ip, port);
        if (i == 0) {
            environment_set(a, env, arena_printf(a, "%s_SERVICE_PORT", name), port);
            environment_set(a, env, arena_printf(a, "%s_PORT", name), url);
        }
        if (!str_empty(p->name))
            environment_set(
                a, env, arena_printf(a, "%s_SERVICE_PORT_%s", name, env_name(a, p->name)), port);
        const char *base = arena_printf(a, "%s_PORT_%s_%s", name, port, upper);
        environment_set(a, env, base, url);
        environment_set(a, env, arena_printf(a, "%s_PROTO", base), lower);
        environment_set(a, env, arena_printf(a, "%s_PORT", base), port);
        environment_set(a, env, arena_printf(a, "%s_ADDR", base), ip);
    }
}

static void services_env(struct arena *a, const struct env_input *in, struct environment *env) {
    const bool *links = in->facts->pod->spec.enable_service_links;
    const char *ns = in->facts->pod->metadata.namespace;
    for (size_t i = 0; i < in->n_services; i++) {
        const struct core_v1_service *s = in->services[i];
        bool api =
            str_eq(s->metadata.namespace, "default") && str_eq(s->metadata.name, "kubernetes");
        bool ours = str_eq(s->metadata.namespace, ns) && (!links || *links);
        if (str_empty(s->spec.cluster_ip) || str_eq(s->spec.cluster_ip, "None")) continue;
        if (api || ours) service_env(a, s, env);
    }
}

/* ---- ConfigMaps and Secrets ---- */

static int missing(enum lookup l, const char *kind, const char *name, bool optional,
                   struct err *err) {
    if (l == LOOKUP_PENDING) {
        err_set(err, ERR_UNAVAILABLE, "%s \"%s\" is being fetched", kind, name);
        return -EAGAIN;
    }
    if (optional) return 1;
    return err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", kind, name);
}

/* Decoded Secret value; NULL when it is no text. */
static const char *secret_text(struct arena *a, const char *base64) {
    OWN(buf_done) struct buf b = {0};
    if (buf_unbase64(&b, slice_of(str_or(base64, ""))) < 0) return NULL;
    if (b.n && memchr(b.p, 0, b.n)) return NULL;
    return arena_strn(a, buf_view(&b));
}

static int config_map_key(const struct env_input *in,
                          const struct core_v1_config_map_key_selector *k, const char **ret,
                          struct err *err) {
    const struct core_v1_config_map *m = NULL;
    bool optional = k->optional && *k->optional;
    enum lookup l = in->source->config_map(in->source->user, str_or(k->name, ""), &m);
    if (l != LOOKUP_FOUND) return missing(l, "configmap", str_or(k->name, ""), optional, err);
    *ret = str_map_get(&m->data, k->key);
    if (*ret) return 0;
    for (size_t i = 0; i < m->data.n; i++) {
        if (!str_eq(m->data.v[i].key, k->key)) continue;
        *ret = "";
        return 0;
    }
    if (optional) return 1;
    return err_set(err, ERR_NOT_FOUND, "couldn't find key %s in ConfigMap %s/%s", k->key,
                   in->facts->pod->metadata.namespace, k->name);
}

static int secret_key(struct arena *a, const struct env_input *in,
                      const struct core_v1_secret_key_selector *k, const char **ret,
                      struct err *err) {
    const struct core_v1_secret *m = NULL;
    bool optional = k->optional && *k->optional;
    enum lookup l = in->source->secret(in->source->user, str_or(k->name, ""), &m);
    if (l != LOOKUP_FOUND) return missing(l, "secret", str_or(k->name, ""), optional, err);
    for (size_t i = 0; i < m->data.n; i++) {
        if (!str_eq(m->data.v[i].key, k->key)) continue;
        *ret = secret_text(a, m->data.v[i].value);
        if (*ret) return 0;
        return err_set(err, ERR_INVALID, "key %s of Secret %s/%s is not text", k->key,
                       in->facts->pod->metadata.namespace, k->name);
    }
    if (optional) return 1;
    return err_set(err, ERR_NOT_FOUND, "couldn't find key %s in Secret %s/%s", k->key,
                   in->facts->pod->metadata.namespace, k->name);
}

static void add_all(struct arena *a, const struct str_map *m, const char *prefix, bool secret,
                    struct environment *env) {
    for (size_t i = 0; i < m->n; i++) {
        const char *value = secret ? secret_text(a, m->v[i].value) : m->v[i].value;
        if (strchr(m->v[i].key, '=')) continue;
        environment_set(a, env, arena_printf(a, "%s%s", str_or(prefix, ""), m->v[i].key), value);
    }
}

static int env_from(struct arena *a, const struct env_input *in,
                    const struct core_v1_env_from_source *f, struct environment *env,
                    struct err *err) {
    if (f->config_map_ref) {
        const struct core_v1_config_map *m = NULL;
        const char *name = str_or(f->config_map_ref->name, "");
        bool optional = f->config_map_ref->optional && *f->config_map_ref->optional;
        enum lookup l = in->source->config_map(in->source->user, name, &m);
        if (l != LOOKUP_FOUND) return missing(l, "configmap", name, optional, err);
        add_all(a, &m->data, f->prefix, false, env);
    } else if (f->secret_ref) {
        const struct core_v1_secret *m = NULL;
        const char *name = str_or(f->secret_ref->name, "");
        bool optional = f->secret_ref->optional && *f->secret_ref->optional;
        enum lookup l = in->source->secret(in->source->user, name, &m);
        if (l != LOOKUP_FOUND) return missing(l, "secret", name, optional, err);
        add_all(a, &m->data, f->prefix, true, env);
    }
    return 0;
}

/* 0 with a value, 1 when an optional source is absent. */
static int value_of(struct arena *a, const struct env_input *in, const struct core_v1_env_var *e,
                    const struct environment *env, const char **ret, struct err *err) {
    const struct core_v1_env_var_source *f = e->value_from;
    if (!f) {
        *ret = env_expand(a, e->value, env);
        return *ret ? 0 : too_long(e->value, err);
    }
    if (f->field_ref) return downward_field(a, in->facts, f->field_ref->field_path, ret, err);
    if (f->resource_field_ref)
        return downward_resource(a, in->facts, in->container, f->resource_field_ref, ret, err);
    if (f->config_map_key_ref) return config_map_key(in, f->config_map_key_ref, ret, err);
    if (f->secret_key_ref) return secret_key(a, in, f->secret_key_ref, ret, err);
    return 1;
}

int env_render(struct arena *a, const struct env_input *in, struct environment *env,
               struct err *err) {
    for (size_t i = 0; i < in->n_image_env; i++) {
        struct slice rest = slice_of(in->image_env[i]), name = rest;
        if (!slice_cut(&rest, '=', &name) || !rest.p || !name.n) continue;
        environment_set(a, env, arena_strn(a, name), arena_strn(a, rest));
    }
    services_env(a, in, env);
    for (size_t i = 0; i < in->container->env_from.n && !is_too_much(env); i++) {
        int rc = env_from(a, in, &in->container->env_from.v[i], env, err);
        if (rc < 0) return rc;
    }
    for (size_t i = 0; i < in->container->env.n && !is_too_much(env); i++) {
        const struct core_v1_env_var *e = &in->container->env.v[i];
        const char *value = NULL;
        int rc = value_of(a, in, e, env, &value, err);
        if (rc < 0) return rc;
        if (rc == 0) environment_set(a, env, str_or(e->name, ""), value);
    }
    if (is_too_much(env))
        return err_set(err, ERR_INVALID,
                       "the environment has more than %d variables, or more than %d bytes",
                       LIMIT_CONTAINER_ENV, LIMIT_ARGUMENTS_BYTES);
    return 0;
}

/* Adds the texts, expanded or as they are. */
static int add_arguments(struct arena *a, const struct str_list *from, bool expand,
                         const struct environment *env, struct str_list *to, size_t *bytes,
                         struct err *err) {
    for (size_t i = 0; i < from->n; i++) {
        const char *text = expand ? env_expand(a, from->v[i], env) : from->v[i];
        if (!text) return too_long(from->v[i], err);
        *bytes += strlen(text);
        if (*bytes > LIMIT_ARGUMENTS_BYTES)
            return err_set(err, ERR_INVALID, "the command is longer than %d bytes",
                           LIMIT_ARGUMENTS_BYTES);
        *ARENA_PUSH(a, to) = text;
    }
    return 0;
}

int env_command(struct arena *a, const struct core_v1_container *c,
                const struct str_list *entrypoint, const struct str_list *cmd,
                const struct environment *env, struct str_list *ret, struct err *err) {
    const struct str_list *head = c->command.n ? &c->command : entrypoint;
    const struct str_list *tail = c->args.n ? &c->args : c->command.n ? NULL : cmd;
    struct str_list out = {0};
    size_t bytes = 0;
    int rc = add_arguments(a, head, c->command.n > 0, env, &out, &bytes, err);
    if (rc == 0 && tail) rc = add_arguments(a, tail, c->args.n > 0, env, &out, &bytes, err);
    if (rc < 0) return rc;
    if (!out.n) return err_set(err, ERR_INVALID, "no command specified");
    *ret = out;
    return 0;
}
