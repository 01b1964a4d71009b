/* What an error answer says. */
#pragma once

#include "base/err.h"
#include "base/slice.h"

/* Fills err from a Status object, or from the HTTP status code when the body is none. Returns the
 * -errno. */
int api_status_err(int http_status, struct slice body, struct err *err);
/* The same for a Status inside a watch's ERROR event. */
int api_status_object_err(struct slice status, struct err *err);
