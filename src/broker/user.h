/* Who a container runs as: the image's user and the pod's security context, with the names and
 * groups of the image's etc/passwd and etc/group (passwd(5), group(5)). Pure. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "proto/oci.h"
#include "wire/broker.h"

/* -EINVAL when a name is unknown, -EPERM-like (ERR_FORBIDDEN) when runAsNonRoot is violated. Lists
 * live in a. */
int user_resolve(const struct broker_container *c, struct slice passwd, struct slice group,
                 struct arena *a, struct oci_user *ret, struct err *err);
