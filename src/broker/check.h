/* Validation of requests: every field, before anything is changed. -EINVAL with the field's name.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "wire/broker.h"

int check_uid(const char *uid, struct err *err);
int check_container_id(const char *id, struct err *err);
int check_label(const char *field, const char *name, struct err *err);     /* RFC 1123, ≤ 63 */
int check_subdomain(const char *field, const char *name, struct err *err); /* RFC 1123, ≤ 253 */
int check_pod(const struct broker_pod *p, struct err *err);
int check_container(const struct broker_container *c, struct err *err);
int check_exec(const struct broker_exec *e, struct err *err);
int check_volume(const struct broker_volume *v, struct err *err);
int check_volume_write(const struct broker_volume_write *v, struct err *err);
int check_resources(const struct broker_resources *r, struct err *err);
/* "name=value" of an allowed, namespaced sysctl. */
int check_sysctl(const char *sysctl, bool host_network, bool host_ipc, struct err *err);
