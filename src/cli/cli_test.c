#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"
#include "cli/image_use.h"
#include "cli/verb.h"

static const struct verb test_verb = {"test", "", "", NULL};

struct parsed {
    struct cli_args args;
    const char *name;
    bool flag;
};

/* Parses a line of words; messages go nowhere. */
static int parse(const char *text, struct parsed *p) {
    static char copy[200]; /* the words must outlive this call */
    char *argv[20] = {"test"};
    int argc = 1;
    *p = (struct parsed){0};
    const struct cli_option options[] = {{"--name", "X", "", &p->name, NULL},
                                         {"--flag", NULL, "", NULL, &p->flag}};
    snprintf(copy, sizeof copy, "%s", text);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, " "));) argv[argc++] = word;
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    assert_non_null(freopen("/dev/null", "w", stderr));
    int r = cli_parse(&test_verb, argc, argv, options, ARRAY_LEN(options), 1, &p->args);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    return r;
}

TEST(options_words_and_the_root_are_parsed) {
    struct parsed p;
    assert_int_equal(parse("--name a --flag --root /r w", &p), CLI_CONTINUE);
    assert_string_equal(p.name, "a");
    assert_true(p.flag);
    assert_string_equal(p.args.root, "/r");
    assert_int_equal(p.args.n_words, 1);
    assert_string_equal(p.args.words[0], "w");
    assert_int_equal(parse("--name=b --root=/q", &p), CLI_CONTINUE);
    assert_string_equal(p.name, "b");
    assert_string_equal(p.args.root, "/q");
    assert_int_equal(parse("-- --flag", &p), CLI_CONTINUE);
    assert_string_equal(p.args.words[0], "--flag");
}

TEST(bad_arguments_give_status_2) {
    static const char *const bad[] = {
        "--nope", "--name", "--flag=1", "--name=", "a b", "--root", "-x", "--names=1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct parsed p;
        if (parse(bad[i], &p) != 2) fail_msg("'%s' was taken", bad[i]);
    }
}

TEST(an_image_under_a_container_is_in_use) {
    static const char mounts[] =
        "31 1 8:1 / / rw - ext4 /dev/vda /x/image/layers/bb\n"
        "317 48 0:121 / /r/var/lib/atoll/pods/u-1/rootfs/c1/merged rw - overlay none rw,"
        "lowerdir+=/r/var/lib/atoll/image/layers/aa,lowerdir+=/r/var/lib/atoll/image/layers/bb,"
        "upperdir=/r/var/lib/atoll/pods/u-1/rootfs/c1/upper\n";
    const char *both[] = {"aa", "bb"}, *other[] = {"bb", "cc"};
    struct image_info used = {.layers = both, .n_layers = 2},
                      unused = {.layers = other, .n_layers = 2}, empty = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_string_equal(image_use_find(a, slice_of(mounts), &used), "u-1");
    assert_null(image_use_find(a, slice_of(mounts), &unused));
    assert_null(image_use_find(a, slice_of(mounts), &empty));
    assert_null(image_use_find(a, (struct slice){0}, &used));
}
