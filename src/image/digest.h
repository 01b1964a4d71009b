/* SHA-256 digests of files and bytes, as images name them. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct digest; /* a running SHA-256 */
struct digest *digest_new(void);
void digest_add(struct digest *d, struct slice s);
/* "sha256:…"; frees d. */
void digest_end(struct digest *d, char out[80]);
void digest_free(struct digest *d);

void digest_of(struct slice s, char out[80]);
/* Of a whole file from its start; leaves the offset at the start. */
int digest_of_fd(int fd, char out[80], struct err *err);
