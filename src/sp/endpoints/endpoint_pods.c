/* Directories of socket files, those for pods among them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "sp/endpoints/endpoint.h"

enum { ROLES_MAX = 2, NAME_BYTES = 300 };
#define PODS ".pods"

extern const struct sp_door *const __start_atoll_sp_doors[] __attribute__((weak));
extern const struct sp_door *const __stop_atoll_sp_doors[] __attribute__((weak));

static size_t roles_of(enum sp_pattern pattern, enum sp_role ret[ROLES_MAX]) {
    size_t n = 0;
    for (unsigned r = 0; r < SP_ROLE_COUNT && n < ROLES_MAX; r++)
        if (sp_role_in((enum sp_role)r, pattern)) ret[n++] = (enum sp_role)r;
    return n;
}

static const char *name_of(enum sp_role role) { return sp_protocol_of_role(role)->name; }

size_t sp_endpoint_places(const struct sp_config *c, enum sp_role role,
                          char ret[SP_PLACES_MAX][SP_PLACE_BYTES]) {
    enum sp_role both[ROLES_MAX];
    size_t n = 1;
    ret[0][0] = 0;
    if (!c->roles[role].pods) return n;
    snprintf(ret[n++], SP_PLACE_BYTES, PODS "/%s/", name_of(role));
    if (roles_of(c->pattern, both) == 2 && c->roles[both[0]].pods && c->roles[both[1]].pods)
        snprintf(ret[n++], SP_PLACE_BYTES, PODS "/%s+%s/", name_of(both[0]), name_of(both[1]));
    return n;
}

/* One directory more; takes over dir. */
static int descend(int dir, const char *name, struct err *err) {
    OWN(close_p) int parent = dir;
    if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "%s", name);
    OWN(close_p) int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "%s", name);
    if (fchmod(fd, str_eq(name, PODS) ? 0700 : 0755) < 0) return err_errno(err, errno, "%s", name);
    return TAKE_FD(fd);
}

int sp_endpoint_directory(int dir, const char *name, const char **ret_base, struct err *err) {
    struct slice rest = slice_of(name), part;
    int fd = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return err_errno(err, errno, "%s", name);
    *ret_base = name;
    while (fd >= 0 && slice_cut(&rest, '/', &part) && rest.p) {
        char one[NAME_BYTES];
        snprintf(one, sizeof one, "%.*s", (int)part.n, part.p);
        fd = descend(fd, one, err);
        *ret_base = rest.p;
    }
    return fd;
}

static void tidy(const struct sp_topology *t, const char *place) {
    char path[NAME_BYTES];
    for (const struct sp_door *const *d = __start_atoll_sp_doors; d < __stop_atoll_sp_doors; d++) {
        if (!*(*d)->directory) continue;
        snprintf(path, sizeof path, "%s%s", place, (*d)->directory);
        unlinkat(t->dir_fd, path, AT_REMOVEDIR);
    }
    if (*place) unlinkat(t->dir_fd, place, AT_REMOVEDIR);
}

void sp_endpoint_directories_tidy(const struct sp_topology *t) {
    enum sp_role roles[ROLES_MAX];
    char place[SP_PLACE_BYTES];
    size_t n = roles_of(t->config->pattern, roles);
    for (size_t i = 0; i < n; i++) {
        snprintf(place, sizeof place, PODS "/%s/", name_of(roles[i]));
        tidy(t, place);
    }
    if (n == 2) {
        snprintf(place, sizeof place, PODS "/%s+%s/", name_of(roles[0]), name_of(roles[1]));
        tidy(t, place);
    }
    unlinkat(t->dir_fd, PODS, AT_REMOVEDIR);
    tidy(t, "");
}
