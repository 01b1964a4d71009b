/*
 * Documents about the API itself: large, asked for often, seldom new. They carry an ETag, so that
 * who has one asks again for 304 (RFC 9110 section 13), and by an address with their hash
 * (?hash=…, which the index of OpenAPI v3 gives) they may be kept for ever.
 */
#pragma once

#include "server/api.h"

void reply_tagged(struct call *c, const char *type, struct slice body);
