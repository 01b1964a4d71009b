#include "api/custom/rules.h"

void custom_rules_check(const struct schema *s, const char *path, struct api_causes *causes) {
    (void)s;
    (void)path;
    (void)causes;
}

int custom_rules_compile(struct arena *a, struct custom_version *v, struct err *err) {
    (void)a;
    (void)v;
    (void)err;
    return 0;
}
