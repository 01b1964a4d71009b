/* The main of every unit test program: runs the tests whose name contains the argument, or all. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"

extern const struct test_case *const __start_atoll_tests[];
extern const struct test_case *const __stop_atoll_tests[];

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

int main(int argc, char **argv) {
    size_t count = (size_t)(__stop_atoll_tests - __start_atoll_tests), n = 0;
    struct CMUnitTest *tests = calloc(count + 1, sizeof *tests);
    if (!tests) return 1;
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was running is known even if it has to be killed */
    for (size_t i = 0; i < count; i++) {
        const struct test_case *t = __start_atoll_tests[i];
        if (argc > 1 && fnmatch(argv[1], t->name, 0)) continue;
        tests[n++] = (struct CMUnitTest){.name = t->name, .test_func = t->run};
    }
    qsort(tests, n, sizeof *tests, by_name);
    int failed = _cmocka_run_group_tests(argv[0], tests, n, NULL, NULL);
    free(tests);
    return failed ? 1 : 0;
}
