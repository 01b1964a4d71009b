/* What an earlier process has left and nobody declares any more. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/own.h"
#include "sp/endpoints/endpoint.h"
#include "sp/sp_service.h"

static DIR *directory(int at, const char *name) {
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) close_p(&fd);
    return d;
}

static bool is_wanted(const struct sp_topology *t, const char *name) {
    for (size_t i = 0; i < t->endpoints.n; i++)
        if (str_eq(t->endpoints.v[i]->name, name)) return true;
    return false;
}

/* Socket files of directory `below` ("" or "x/") that no endpoint has; with t NULL everything. */
static void sweep(const struct sp_topology *t, int at, const char *below, unsigned depth) {
    OWN(closedir_p) DIR *d = directory(at, ".");
    for (struct dirent *e; d && (e = readdir(d));) {
        char name[600];
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..")) continue;
        snprintf(name, sizeof name, "%s%s", below, e->d_name);
        if (e->d_type == DT_DIR && depth) {
            OWN(closedir_p) DIR *inner = directory(at, e->d_name);
            snprintf(name, sizeof name, "%s%s/", below, e->d_name);
            if (inner) sweep(t, dirfd(inner), name, depth - 1);
            if (!t) unlinkat(at, e->d_name, AT_REMOVEDIR);
        } else if (!t || (e->d_type == DT_SOCK && !is_wanted(t, name))) {
            unlinkat(at, e->d_name, 0);
        }
    }
}

void sp_sweep_topology(const struct sp_topology *t) { sweep(t, t->dir_fd, "", 1); }

void sp_sweep_service(const struct sp_service *s) {
    OWN(closedir_p) DIR *d = directory(s->run_dir, ".");
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.' || e->d_type != DT_DIR || sp_service_find(s, e->d_name)) continue;
        OWN(closedir_p) DIR *left = directory(s->run_dir, e->d_name);
        if (left) sweep(NULL, dirfd(left), "", 2);
        unlinkat(s->run_dir, e->d_name, AT_REMOVEDIR);
    }
}
