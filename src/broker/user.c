#include "broker/user.h"

#include <string.h>

#include "base/limits.h"

struct passwd_entry {
    struct slice name;
    uint64_t uid, gid;
};

static bool id_of(struct slice s, uint64_t *ret) {
    return slice_u64(s, ret) == 0 && *ret <= INT32_MAX;
}

/* name:password:uid:gid:… */
static bool passwd_line(struct slice line, struct passwd_entry *ret) {
    struct slice skip, uid, gid;
    return slice_cut(&line, ':', &ret->name) && slice_cut(&line, ':', &skip) &&
           slice_cut(&line, ':', &uid) && slice_cut(&line, ':', &gid) && id_of(uid, &ret->uid) &&
           id_of(gid, &ret->gid);
}

/* A user by name, or by number when `number` is not NULL. */
static bool passwd_find(struct slice passwd, struct slice name, const uint64_t *number,
                        struct passwd_entry *ret) {
    struct slice line;
    struct passwd_entry e;
    while (slice_cut(&passwd, '\n', &line)) {
        if (!passwd_line(line, &e)) continue;
        if (number ? e.uid != *number : !slice_eq(e.name, name)) continue;
        *ret = e;
        return true;
    }
    return false;
}

/* name:password:gid:member,member… */
static bool group_line(struct slice line, struct slice *name, uint64_t *gid,
                       struct slice *members) {
    struct slice skip, number;
    if (!slice_cut(&line, ':', name) || !slice_cut(&line, ':', &skip) ||
        !slice_cut(&line, ':', &number) || !id_of(number, gid))
        return false;
    *members = line;
    return true;
}

static bool group_find(struct slice group, struct slice wanted, uint64_t *ret) {
    struct slice line, name, members;
    while (slice_cut(&group, '\n', &line))
        if (group_line(line, &name, ret, &members) && slice_eq(name, wanted)) return true;
    return false;
}

static bool is_member(struct slice members, struct slice name) {
    struct slice member;
    while (slice_cut(&members, ',', &member))
        if (slice_eq(slice_trim(member), name)) return true;
    return false;
}

static void groups_add(uint32_t *v, uint32_t *n, uint64_t gid) {
    for (uint32_t i = 0; i < *n; i++)
        if (v[i] == gid) return;
    if (*n < 2 * LIMIT_CONTAINER_GROUPS) v[(*n)++] = (uint32_t)gid;
}

static int check_non_root(const struct broker_container *c, bool numeric, uint64_t uid,
                          struct slice name, struct err *err) {
    if (!c->run_as_non_root) return 0;
    if (!numeric)
        return err_set(err, ERR_FORBIDDEN,
                       "container has runAsNonRoot and image has non-numeric user (%.*s), cannot "
                       "verify user is non-root (pod: \"%s_%s(%s)\", container: %s)",
                       (int)name.n, name.p, c->pod_name, c->pod_namespace, c->uid, c->name);
    if (uid == 0 && c->run_as_user == 0)
        return err_set(err, ERR_FORBIDDEN,
                       "container's runAsUser breaks non-root policy (pod: \"%s_%s(%s)\", "
                       "container: %s)",
                       c->pod_name, c->pod_namespace, c->uid, c->name);
    if (uid == 0)
        return err_set(err, ERR_FORBIDDEN,
                       "container has runAsNonRoot and image will run as root (pod: \"%s_%s(%s)\", "
                       "container: %s)",
                       c->pod_name, c->pod_namespace, c->uid, c->name);
    return 0;
}

int user_resolve(const struct broker_container *c, struct slice passwd, struct slice group,
                 struct arena *a, struct oci_user *ret, struct err *err) {
    struct slice spec = slice_of(c->user_spec), user = {0};
    if (!slice_cut(&spec, ':', &user)) user = SLICE("");
    struct slice group_name = spec.p ? spec : SLICE("");
    uint64_t uid = 0, gid = 0;
    bool numeric = true;
    if (c->run_as_user >= 0) {
        uid = (uint64_t)c->run_as_user;
        group_name = SLICE("");
    } else if (user.n) {
        numeric = id_of(user, &uid);
    }
    int r = check_non_root(c, numeric, uid, user, err);
    if (r) return r;
    struct passwd_entry e = {0};
    bool known = passwd_find(passwd, user, numeric ? &uid : NULL, &e);
    if (!known && !numeric)
        return err_set(err, ERR_INVALID,
                       "unable to find user %.*s: no matching entries in passwd file", (int)user.n,
                       user.p);
    if (known) {
        uid = e.uid;
        gid = e.gid;
    }
    if (group_name.n && !id_of(group_name, &gid) && !group_find(group, group_name, &gid))
        return err_set(err, ERR_INVALID,
                       "unable to find group %.*s: no matching entries in group file",
                       (int)group_name.n, group_name.p);
    if (c->run_as_group >= 0) gid = (uint64_t)c->run_as_group;
    uint32_t *groups = ARENA_ARRAY(a, uint32_t, (size_t)2 * LIMIT_CONTAINER_GROUPS), n = 0;
    groups_add(groups, &n, gid); /* kept when the process drops its primary group */
    for (uint32_t i = 0; i < c->n_groups; i++) groups_add(groups, &n, (uint64_t)c->groups[i]);
    struct slice line, name, members;
    uint64_t member_gid;
    while (known && slice_cut(&group, '\n', &line))
        if (group_line(line, &name, &member_gid, &members) && is_member(members, e.name))
            groups_add(groups, &n, member_gid);
    *ret = (struct oci_user){(uint32_t)uid, (uint32_t)gid, n, groups};
    return 0;
}
