#include "sp/declare/config.h"

#include <errno.h>

#include "base/own.h"

static const char *const policies[] = {[SP_DROP_OLDEST] = "drop-oldest",
                                       [SP_DROP_NEWEST] = "drop-newest",
                                       [SP_CONFLATE] = "conflate",
                                       [SP_DISCONNECT] = "disconnect",
                                       [SP_BLOCK] = "block"};

const char *sp_policy_name(enum sp_policy policy) { return policies[policy]; }

int sp_policy_of_name(const char *name, enum sp_policy *ret) {
    for (unsigned i = 0; i < ARRAY_LEN(policies); i++) {
        if (!str_eq(policies[i], name)) continue;
        *ret = (enum sp_policy)i;
        return 0;
    }
    return -EINVAL;
}

/* Where a message that is lost is lost for good, the receiver's slowness must not stop the others;
 * where work is handed out, it must. */
static enum sp_policy default_policy(enum sp_pattern pattern) {
    bool blocks = pattern == SP_PIPELINE || pattern == SP_REQREP || pattern == SP_PAIRS;
    return blocks ? SP_BLOCK : SP_DROP_OLDEST;
}

struct sp_config *sp_config_new(const char *name, enum sp_pattern pattern) {
    struct arena *a = arena_new();
    struct sp_config *c = ARENA_NEW(a, struct sp_config);
    *c = (struct sp_config){
        .arena = a,
        .name = arena_str(a, name),
        .organisation = "local",
        .pattern = pattern,
        .queue = {1000, 1024 * 1024, default_policy(pattern), 1000},
        .linger_ms = 1000,
        .message_max_bytes = 1024 * 1024,
        .ttl = SP_TTL_DEFAULT,
        .request_resend_ms = 60000,
        .survey_deadline_ms = 1000,
    };
    for (unsigned r = 0; r < SP_ROLE_COUNT; r++)
        c->roles[r] = (struct sp_role_config){.mode = 0666};
    return c;
}

void sp_config_free(struct sp_config *c) {
    if (c) arena_free(c->arena);
}
