/*
 * Cold objects: versions that only the history holds, packed by the page. Their keys and revisions
 * stay as they are; object_json() may not be asked of them before object_warm(), which brings back
 * all of their page.
 */
#pragma once

#include "server/storage/key_index.h"

enum { COLD_PAGE_OBJECTS = 64, COLD_PAGE_BYTES = 64 * 1024 /* about */ };

struct cold_page;
/* All of them warm, each once, at most COLD_PAGE_OBJECTS. Those who hold them may not look at their
 * bytes meanwhile. */
void objects_cool(struct object *const *v, size_t n);
void object_warm(struct object *o);                                /* warm ones stay as they are */
void cold_page_leave(struct cold_page *p, const struct object *o); /* o, a cold one, is freed */
size_t object_bytes(const struct object *o);                       /* of its JSON, cold or warm */
