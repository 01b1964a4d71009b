/*
 * The mount namespace of the pods. It must outlive every Atoll process, so that rootfs and volume
 * mounts of running containers can be found again: it is pinned by a bind mount on
 * ROOT/run/atoll/mnt/namespace. Host mounts propagate into it, its own never out. On hosts with
 * cgroup v1 the empty v2 hierarchy is covered in there, because crun refuses hybrid mode.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Makes and pins the namespace below dir (…/run/atoll/mnt) unless it is there already. */
int mount_namespace_ensure(const char *dir, struct err *err);
bool mount_namespace_exists(const char *dir);
int mount_namespace_enter(const char *file, struct err *err);
/* Lets it go: its mounts vanish with the last process inside. Idempotent. */
void mount_namespace_remove(const char *dir);
