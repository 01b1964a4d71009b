/* The variable `authorizer` of the expressions that admission evaluates: policies, matchConditions.
 */
#pragma once

#include "cel/cel.h"
#include "server/admission/plugin.h"

/* Its value; authorizer.requestResource asks about the object of the request, in the form given. */
struct cel_value admission_authorizer(struct admission *ad, const struct api_kind *form);
/* For cel_run.authorize; cel_run.user is the struct admission. Asks about who made the request or
 * about the service account that the expression names. */
cel_authorize_fn admission_authorize;
