/* Shared inside src/client. */
#pragma once

#include "client/cache.h"
#include "client/client.h"

struct loop *api_client_loop(const struct api_client *c);
const char *api_client_socket(const struct api_client *c);

/* An informer that fills a cache of its caller. */
struct informer *informer_new_into(struct api_client *c, struct cache *into,
                                   const char *field_selector, const char *label_selector,
                                   informer_fn *fn, void *user);
