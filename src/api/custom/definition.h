/* CustomResourceDefinition's validation, and what the server asks of a definition. */
#pragma once

#include "api/custom/custom.h"

/* struct api_behavior's validate. */
void definition_validate(const void *obj, const void *old, const char *subresource,
                         struct api_causes *causes);
/* One cause for each rule of x-kubernetes-validations that does not compile; path is that of the
 * schema. Whoever knows CEL, a layer above, says how; without it rules are not looked at. */
typedef void definition_rules_fn(const struct schema *s, const char *path,
                                 struct api_causes *causes);
void definition_use_rules(definition_rules_fn *fn);
const struct apiextensions_v1_custom_resource_definition_condition *
definition_condition(const struct apiextensions_v1_custom_resource_definition *d, const char *type);
bool definition_is(const struct apiextensions_v1_custom_resource_definition *d, const char *type);
