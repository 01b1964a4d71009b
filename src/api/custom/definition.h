/* CustomResourceDefinition's validation, and what the server asks of a definition. */
#pragma once

#include "api/custom/custom.h"

/* struct api_behavior's validate. */
void definition_validate(const void *obj, const void *old, const char *subresource,
                         struct api_causes *causes);
const struct apiextensions_v1_custom_resource_definition_condition *
definition_condition(const struct apiextensions_v1_custom_resource_definition *d, const char *type);
bool definition_is(const struct apiextensions_v1_custom_resource_definition *d, const char *type);
