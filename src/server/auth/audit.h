/*
 * The audit log: audit.k8s.io/v1 Events, one JSON line each, in ROOT/var/log/atoll/audit.log. Lines
 * wait in a bounded queue and are written once per turn of the loop; what does not fit, or cannot
 * be written, is dropped and counted. At LIMIT_AUDIT_FILE_BYTES the file is copied to audit.log.1
 * and cut. Without a policy file every write, every refusal and every read of secrets is written at
 * level Metadata. Tokens are never written, whatever the policy says.
 */
#pragma once

#include "server/api.h"

/* Once per request, when it is known who asks (or that nobody is: c->user.name NULL). Gives the
 * request its Audit-Id. */
void audit_begin(struct call *c);
/* What authorisation just decided. */
void audit_decision(struct call *c, bool allowed);

/* An annotation of the event; both are copied. The last one of a key counts. */
void audit_annotate(struct call *c, const char *key, const char *value);

/* Whether the event holds what was sent, so that annotations may, too. */
bool audit_holds_bodies(const struct call *c);

struct audit_counts {
    uint64_t events, dropped;
};
struct audit_counts audit_counts(void);

/* ---- audit_log.c ---- */
int audit_log_open(const char *root, struct err *err);
void audit_log_start(struct loop *l);
void audit_log_close(void);
void audit_log_line(struct slice line); /* without its end */
