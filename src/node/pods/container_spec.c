#include "node/pods/container_spec.h"

#include <string.h>

#include "api/rules/topology_grant.h"
#include "base/own.h"
#include "node/pods/dns_config.h"
#include "node/pods/resources.h"
#include "node/volumes/volumes.h"

static bool yes(const bool *b) { return b && *b; }

/* ---- mounts ---- */

static const struct core_v1_volume *find_volume(const struct core_v1_pod *p, const char *name) {
    for (size_t i = 0; i < p->spec.volumes.n; i++)
        if (str_eq(p->spec.volumes.v[i].name, name)) return &p->spec.volumes.v[i];
    return NULL;
}

static uint8_t propagation(const char *s) {
    if (str_eq(s, "HostToContainer")) return 1;
    return str_eq(s, "Bidirectional") ? 2 : 0;
}

static bool has_dot_dot(const char *path) {
    struct slice rest = slice_of(path), part;
    while (slice_cut(&rest, '/', &part))
        if (slice_is(part, "..")) return true;
    return false;
}

static int sub_path_of(struct arena *a, const struct core_v1_volume_mount *m,
                       const struct environment *env, const char **ret, struct err *err) {
    *ret = str_or(m->sub_path, "");
    if (str_empty(m->sub_path_expr)) return 0;
    *ret = env_expand(a, m->sub_path_expr, env);
    const char *wrong = NULL;
    if (!*ret) return err_set(err, ERR_INVALID, "subPathExpr becomes too long");
    if (strstr(*ret, "$("))
        return err_set(err, ERR_INVALID, "missing value for \"%s\" in subPathExpr",
                       m->sub_path_expr);
    if (**ret == '/') wrong = "be an absolute path";
    if (has_dot_dot(*ret)) wrong = "contain '..'";
    if (!wrong) return 0;
    return err_set(err, ERR_INVALID,
                   "failed to prepare subPath for volumeMount \"%s\": \"%s\" must not %s",
                   str_or(m->name, ""), *ret, wrong);
}

static int add_mount(struct arena *a, const struct container_input *in,
                     const struct core_v1_volume_mount *m, const struct environment *env,
                     struct broker_mount *out, struct err *err) {
    const struct core_v1_volume *v = find_volume(in->facts->pod, m->name);
    if (!v)
        return err_set(err, ERR_INVALID, "volume \"%s\" of the mount is not defined",
                       str_or(m->name, ""));
    *out = (struct broker_mount){.kind = BROKER_MOUNT_VOLUME,
                                 .source = m->name,
                                 .target = m->mount_path,
                                 .read_only = m->read_only,
                                 .propagation = propagation(m->mount_propagation)};
    int rc = sub_path_of(a, m, env, &out->sub_path, err);
    if (rc < 0) return rc;
    if (m->mount_path && m->mount_path[0] != '/')
        out->target = arena_printf(a, "/%s", m->mount_path);
    if (v->config_map || v->secret || v->projected || v->downward_api) out->read_only = true;
    if (!v->host_path && !v->persistent_volume_claim && !v->ephemeral) return 0;
    struct volume_result r = {0};
    struct volume_input vi = {in->facts, v, in->source};
    rc = volume_render(a, &vi, &r, err);
    if (rc < 0) return rc;
    out->kind = r.local ? BROKER_MOUNT_LOCAL : BROKER_MOUNT_HOST;
    out->source = r.local ? r.local : r.host_path;
    out->read_only |= r.read_only;
    out->host_type = r.host_type;
    return 0;
}

/* Socket files of the roles that the API has granted the pod: directories, since files in them are
 * replaced when the service restarts. */
static int add_topologies(struct arena *a, const struct container_input *in,
                          struct broker_container *ret, struct err *err) {
    struct topology_grants grants;
    const char *asked = str_map_get(&in->facts->pod->metadata.annotations, TOPOLOGY_ANNOTATION);
    if (topology_grants_parse(a, asked, &grants, err) < 0)
        return err_wrap(err, "annotation " TOPOLOGY_ANNOTATION);
    for (size_t i = 0; i < grants.n; i++) {
        const struct topology_grant *g = &grants.v[i];
        ret->mounts[ret->n_mounts++] = (struct broker_mount){
            .kind = BROKER_MOUNT_HOST,
            .host_type = BROKER_HOST_DIRECTORY,
            .source = arena_printf(a, "%s/run/atoll/sp/%s/.pods/%s", str_or(in->root, ""),
                                   g->topology, g->roles),
            .target = arena_printf(a, "/run/atoll/sp/%s", g->topology),
            .sub_path = "",
            .read_only = true};
    }
    return 0;
}

static int mounts(struct arena *a, const struct container_input *in,
                  const struct core_v1_container *c, const struct environment *env,
                  struct broker_container *ret, struct err *err) {
    ret->n_mounts = (uint32_t)c->volume_mounts.n;
    ret->mounts = ARENA_ARRAY(a, struct broker_mount, c->volume_mounts.n + TOPOLOGY_GRANTS_MAX);
    for (size_t i = 0; i < c->volume_mounts.n; i++) {
        int rc = add_mount(a, in, &c->volume_mounts.v[i], env, &ret->mounts[i], err);
        if (rc < 0) return rc;
    }
    return add_topologies(a, in, ret, err);
}

/* ---- security context ---- */

static void groups(struct arena *a, const struct core_v1_pod_security_context *ps,
                   struct broker_container *ret) {
    size_t n = ps->supplemental_groups.n;
    ret->groups = ARENA_ARRAY(a, int64_t, n + 1);
    for (size_t i = 0; i < n; i++) ret->groups[i] = ps->supplemental_groups.v[i];
    if (ps->fs_group) ret->groups[n++] = *ps->fs_group;
    ret->n_groups = (uint32_t)n;
}

static const char *cap_name(const char *s) {
    return str_starts(s, "CAP_") ? s + strlen("CAP_") : str_or(s, "");
}

static uint32_t caps(struct arena *a, const struct str_list *l, const char ***ret) {
    *ret = ARENA_ARRAY(a, const char *, l->n);
    for (size_t i = 0; i < l->n; i++) (*ret)[i] = cap_name(l->v[i]);
    return (uint32_t)l->n;
}

/* The image's user part "name" of "name:group". */
static bool image_user_is_root(const char *user) {
    struct slice rest = slice_of(str_or(user, "")), name = rest;
    slice_cut(&rest, ':', &name);
    return !name.n || slice_is(name, "0") || slice_is(name, "root");
}

static int check_non_root(const struct broker_container *b, struct err *err) {
    if (!b->run_as_non_root) return 0;
    if (b->run_as_user == 0)
        return err_set(err, ERR_INVALID, "container's runAsUser breaks non-root policy");
    if (b->run_as_user < 0 && image_user_is_root(b->user_spec))
        return err_set(err, ERR_INVALID, "container has runAsNonRoot and image will run as root");
    return 0;
}

static void profile(const struct core_v1_seccomp_profile *p, struct broker_container *ret) {
    if (p) ret->seccomp = str_or(p->type, "RuntimeDefault");
}

static int security(struct arena *a, const struct container_input *in,
                    const struct core_v1_container *c, struct broker_container *ret,
                    struct err *err) {
    const struct core_v1_pod_security_context *ps = in->facts->pod->spec.security_context;
    const struct core_v1_security_context *s = c->security_context;
    ret->run_as_user = ret->run_as_group = -1;
    ret->allow_privilege_escalation = true;
    ret->seccomp = "RuntimeDefault";
    if (ps) {
        if (ps->run_as_user) ret->run_as_user = *ps->run_as_user;
        if (ps->run_as_group) ret->run_as_group = *ps->run_as_group;
        ret->run_as_non_root = yes(ps->run_as_non_root);
        profile(ps->seccomp_profile, ret);
        groups(a, ps, ret);
    }
    if (s) {
        if (s->run_as_user) ret->run_as_user = *s->run_as_user;
        if (s->run_as_group) ret->run_as_group = *s->run_as_group;
        if (s->run_as_non_root) ret->run_as_non_root = *s->run_as_non_root;
        if (s->allow_privilege_escalation)
            ret->allow_privilege_escalation = *s->allow_privilege_escalation;
        ret->privileged = yes(s->privileged);
        ret->read_only_rootfs = yes(s->read_only_root_filesystem);
        ret->proc_mount_unmasked = str_eq(s->proc_mount, "Unmasked");
        profile(s->seccomp_profile, ret);
        if (s->capabilities) {
            ret->n_cap_add = caps(a, &s->capabilities->add, &ret->cap_add);
            ret->n_cap_drop = caps(a, &s->capabilities->drop, &ret->cap_drop);
        }
    }
    if (ret->privileged) ret->seccomp = "Unconfined";
    return check_non_root(ret, err);
}

/* ---- all of it ---- */

static int command(struct arena *a, const struct container_input *in,
                   const struct core_v1_container *c, const struct environment *env,
                   struct broker_container *ret, struct err *err) {
    const struct image_info *im = in->image;
    struct str_list entry = {im->entrypoint, im->n_entrypoint}, cmd = {im->cmd, im->n_cmd}, args;
    int rc = env_command(a, c, &entry, &cmd, env, &args, err);
    if (rc < 0) return rc;
    ret->args = args.v;
    ret->n_args = (uint32_t)args.n;
    return 0;
}

/* Unless it is set. */
static void set_default(struct arena *a, struct environment *env, const char *name,
                        const char *value) {
    if (!map_gets(&env->places, name)) environment_set(a, env, name, value);
}

static int environment(struct arena *a, const struct container_input *in,
                       const struct core_v1_container *c, struct environment *env,
                       struct broker_container *ret, struct err *err) {
    struct env_input ei = {.facts = in->facts,
                           .container = c,
                           .source = in->source,
                           .services = in->services,
                           .n_services = in->n_services,
                           .image_env = in->image->env,
                           .n_image_env = in->image->n_env};
    int rc = env_render(a, &ei, env, err);
    if (rc < 0) return rc;
    set_default(a, env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    set_default(a, env, "HOSTNAME", dns_hostname(a, in->facts->pod));
    if (c->tty) set_default(a, env, "TERM", "xterm");
    ret->env = env->lines.v;
    ret->n_env = (uint32_t)env->lines.n;
    return 0;
}

int container_spec_build(struct arena *a, const struct container_input *in,
                         struct broker_container *ret, struct err *err) {
    const struct pod *p = in->container->pod;
    const struct core_v1_container *c = container_spec(in->container);
    OWN(environment_done) struct environment env = {0};
    memset(ret, 0, sizeof *ret);
    ret->uid = p->uid;
    ret->id = in->id;
    ret->name = in->container->name;
    ret->pod_namespace = p->ns;
    ret->pod_name = p->name;
    ret->attempt = in->attempt;
    ret->layers = in->image->layers;
    ret->n_layers = in->image->n_layers;
    ret->cwd = str_or(c->working_dir, str_or(in->image->working_dir, "/"));
    ret->user_spec = str_or(in->image->user, "");
    ret->tty = c->tty, ret->stdin_open = c->stdin, ret->stdin_once = c->stdin_once;
    ret->termination_path = str_or(c->termination_message_path, "/dev/termination-log");
    resources_container(in->facts->pod, c, in->facts->memory_bytes, &ret->resources);
    int rc = security(a, in, c, ret, err);
    if (rc >= 0) rc = environment(a, in, c, &env, ret, err);
    if (rc >= 0) rc = command(a, in, c, &env, ret, err);
    if (rc >= 0) rc = mounts(a, in, c, &env, ret, err);
    return rc;
}

void container_spec_pod(struct arena *a, const struct pod *p, struct broker_pod *ret) {
    const struct core_v1_pod_spec *s = &p->object->spec;
    const struct core_v1_pod_security_context *ps = s->security_context;
    memset(ret, 0, sizeof *ret);
    ret->uid = p->uid, ret->name = p->name, ret->pod_namespace = p->ns;
    ret->hostname = s->host_network ? "" : dns_hostname(a, p->object);
    ret->host_network = s->host_network;
    ret->host_ipc = s->host_ipc;
    ret->host_pid = s->host_pid;
    ret->share_process_namespace = yes(s->share_process_namespace);
    resources_pod(p->object, &ret->resources);
    if (!ps || !ps->sysctls.n) return;
    ret->n_sysctls = (uint32_t)ps->sysctls.n;
    ret->sysctls = ARENA_ARRAY(a, const char *, ps->sysctls.n);
    for (size_t i = 0; i < ps->sysctls.n; i++)
        ret->sysctls[i] = arena_printf(a, "%s=%s", str_or(ps->sysctls.v[i].name, ""),
                                       str_or(ps->sysctls.v[i].value, ""));
}
