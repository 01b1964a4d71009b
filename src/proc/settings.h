/*
 * What `atoll up` was told, checked and completed with defaults. Kept in ROOT/etc/atoll/settings
 * (key=value lines) so that the next `up` means the same; handed to services in the same form.
 * IPv4 ranges only.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "proc/service.h"

/* Only what a user may choose; NULL = not given. */
struct settings_choice {
    const char *root; /* as typed; NULL = "/" */
    const char *listen, *node_name, *pod_cidr, *service_cidr;
    struct settings_auth auth;
};

/* The absolute form of --root, created when `create` and absent. *ret is "" for "/". */
int settings_root(const char *typed, bool create, struct arena *a, const char **ret,
                  struct err *err);
/* Validates and derives everything else. choice->root must come from settings_root. */
int settings_resolve(const struct settings_choice *choice, struct arena *a, struct settings *ret,
                     struct err *err);
/* Fills members of *choice that are NULL from ROOT/etc/atoll/settings; no file is no error. A
 * range that differs from the file is refused when `has_state`. */
int settings_load(struct settings_choice *choice, bool has_state, struct arena *a, struct err *err);
int settings_save(const struct settings *s, struct err *err); /* atomically */

/* ---- settings_auth.c: identities, audit and admission ---- */
struct settings_option {
    const char *name, *argument, *help;
    size_t at; /* of its member in struct settings_auth */
};
extern const struct settings_option settings_auth_options[];
extern const size_t settings_auth_options_n;
const char **settings_auth_member(const struct settings_auth *s, size_t i);
/* Lines for what is given; read fills members that are NULL. */
void settings_auth_write(struct buf *b, const struct settings_auth *s);
void settings_auth_read(struct slice text, struct arena *a, struct settings_auth *s);
/* Files must be there; their paths become absolute. */
int settings_auth_resolve(const struct settings_auth *choice, struct arena *a,
                          struct settings_auth *ret, struct err *err);

/* The admission plugins that can be switched off, by kube-apiserver's names; NULL ends them. */
extern const char *const settings_admission_plugins[];
/* Whether a NAME,… option names it. */
bool settings_list_has(const char *list, const char *name);

/* The key=value form of all members, for the handover. */
void settings_write(struct buf *b, const struct settings *s);
int settings_read(struct slice text, struct arena *a, struct settings *ret, struct err *err);

/* The value of a "key=value" line in text, or NULL. */
const char *settings_line(struct slice text, const char *key, struct arena *a);

/* Splits ADDR:PORT or [ADDR]:PORT. */
int settings_split_listen(const char *listen, struct arena *a, const char **ret_address,
                          unsigned *ret_port, struct err *err);
