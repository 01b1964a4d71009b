/*
 * What identities and audit need of the machine: files that are read before the sandbox closes.
 * Each part keeps what it read; start is for after the loop is there.
 */
#pragma once

#include "server/api.h"

int auth_prepare(const struct settings *s, struct err *err);
void auth_start(struct api *api);

int oidc_prepare(const struct settings *s, struct err *err);
int token_webhook_prepare(const struct settings *s, struct err *err);
int audit_prepare(const struct settings *s, struct err *err);
void audit_start(struct api *api);
void csr_signer_start(struct api *api);
void legacy_tokens_start(struct api *api);
void token_cleaner_start(struct api *api);

/* For the three: a whole file of at most 1 MiB; the caller frees. */
int auth_read_file(const char *option, const char *path, struct buf *ret, struct err *err);
