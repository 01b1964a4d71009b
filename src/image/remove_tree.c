#include "image/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"

static void remove_at(int dir, const char *name, int depth) {
    if (unlinkat(dir, name, 0) == 0 || depth > LIMIT_IMAGE_DEPTH + 8) return;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return;
    fchmod(fd, 0700);
    OWN(closedir_p) DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_at(fd, e->d_name, depth + 1);
    unlinkat(dir, name, AT_REMOVEDIR);
}

void remove_tree_at(int dir, const char *name) { remove_at(dir, name, 0); }

void remove_tree(const char *path) { remove_at(AT_FDCWD, path, 0); }
