/*
 * Validation of names, labels, annotations and the rest of metadata (apimachinery util/validation,
 * api/validation). Messages are part of the API: clients and people know them by heart.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "api/registry.h"
#include "base/arena.h"

enum name_rule {
    NAME_DNS_LABEL,      /* RFC 1123 label */
    NAME_DNS_SUBDOMAIN,  /* RFC 1123 subdomain */
    NAME_DNS_1035_LABEL, /* RFC 1035 label: starts with a letter */
    NAME_QUALIFIED,      /* [prefix/]name: label keys */
    NAME_LABEL_VALUE,
    NAME_PATH_SEGMENT, /* RBAC names */
    NAME_CONFIG_KEY,   /* keys of ConfigMap and Secret data */
    NAME_ENV,          /* environment variables: printable ASCII without '=' */
    NAME_PORT,         /* IANA service name, RFC 6335 */
    NAME_HTTP_HEADER,
    NAME_WILDCARD_SUBDOMAIN,
    NAME_RULE_COUNT
};

enum { NAME_MESSAGES_MAX = 4 };
/* What is wrong with s, as upstream words it: up to NAME_MESSAGES_MAX messages (in a or static).
 * Returns how many; 0 = valid. */
size_t name_messages(struct arena *a, enum name_rule rule, const char *s,
                     const char *ret[NAME_MESSAGES_MAX]);
/* One FieldValueInvalid cause per message. */
void name_validate(struct api_causes *causes, const char *field, enum name_rule rule,
                   const char *s);

/* A cause with its own wording. */
void cause_printf(struct api_causes *causes, const char *reason, const char *field, const char *fmt,
                  ...) __attribute__((format(printf, 4, 5)));
/* `Invalid value: VALUE: detail` with the value printed as it is (a number, JSON). */
void cause_invalid_raw(struct api_causes *causes, const char *field, const char *value,
                       const char *detail);
void cause_too_long(struct api_causes *causes, const char *field, size_t max_bytes);
void cause_too_many(struct api_causes *causes, const char *field, size_t n, size_t most);

void labels_validate(struct api_causes *causes, const char *field, const struct str_map *labels);
void annotations_validate(struct api_causes *causes, const char *field,
                          const struct str_map *annotations);
/* What the table cannot say about a meta/v1 LabelSelector: values that fit the operator. */
void label_selector_validate(struct api_causes *causes, const char *field,
                             const struct meta_v1_label_selector *selector);

/* What the table (api_validate) cannot say about metadata: name and namespace by kind,
 * generateName, owners, finalizers, what may not change. old is NULL on create. The server has
 * already put in the name that generateName asked for and the namespace of the request. */
void api_validate_metadata(const struct api_kind *kind, const struct meta_v1_object_meta *meta,
                           const struct meta_v1_object_meta *old, struct api_causes *causes);
