/* The labels of a namespace: which level and version is asked for. */
#include "base/own.h"
#include "server/pod_security/checks.h"

#define PREFIX "pod-security.kubernetes.io/"

static const char *const level_names[] = {"privileged", "baseline", "restricted"};

const char *pod_security_text(struct arena *a, struct pod_security p) {
    if (p.minor == POD_SECURITY_LATEST) return arena_printf(a, "%s:latest", level_names[p.level]);
    return arena_printf(a, "%s:v1.%d", level_names[p.level], p.minor);
}

bool pod_security_equal(struct pod_security x, struct pod_security y) {
    return x.level == y.level && x.minor == y.minor;
}

static bool parse_level(const char *text, enum pod_security_level *ret) {
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (!str_eq(text, level_names[i])) continue;
        *ret = (enum pod_security_level)i;
        return true;
    }
    *ret = POD_SECURITY_RESTRICTED;
    return false;
}

static bool parse_version(const char *text, int *ret) {
    uint64_t minor;
    *ret = POD_SECURITY_LATEST;
    if (str_eq(text, "latest")) return true;
    if (!str_starts(text, "v1.") || (text[3] == '0' && text[4]) ||
        slice_u64(slice_of(text + 3), &minor) < 0 || minor > 10000)
        return false;
    *ret = (int)minor;
    return true;
}

/* One of the three modes. False when its level could not be read. */
static void parse_mode(const struct str_map *labels, const char *level_label,
                       const char *version_label, bool strict, struct pod_security *ret,
                       struct api_causes *causes) {
    const char *level = str_map_get(labels, level_label);
    const char *version = str_map_get(labels, version_label);
    *ret = (struct pod_security){POD_SECURITY_PRIVILEGED, POD_SECURITY_LATEST};
    if (level && !parse_level(level, &ret->level)) {
        if (!strict) ret->level = POD_SECURITY_PRIVILEGED;
        if (causes)
            cause_invalid(causes, arena_printf(causes->a, "metadata.labels[%s]", level_label),
                          level, "must be one of privileged, baseline, restricted");
    }
    if (version && !parse_version(version, &ret->minor) && causes)
        cause_invalid(causes, arena_printf(causes->a, "metadata.labels[%s]", version_label),
                      version, "must be \"latest\" or \"v1.x\"");
}

void pod_security_policy_parse(const struct str_map *labels, struct pod_security_policy *ret,
                               struct api_causes *causes) {
    parse_mode(labels, PREFIX "enforce", PREFIX "enforce-version", true, &ret->enforce, causes);
    parse_mode(labels, PREFIX "audit", PREFIX "audit-version", false, &ret->audit, causes);
    parse_mode(labels, PREFIX "warn", PREFIX "warn-version", false, &ret->warn, causes);
    /* Since 1.26: whoever enforces is warned about workloads at the same level. */
    const char *enforce = str_map_get(labels, PREFIX "enforce");
    enum pod_security_level level;
    if (enforce && parse_level(enforce, &level) && !str_map_get(labels, PREFIX "warn")) {
        ret->warn.level = ret->enforce.level;
        if (!str_map_get(labels, PREFIX "warn-version")) ret->warn.minor = ret->enforce.minor;
    }
}
