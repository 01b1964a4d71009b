#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"
#include "image/catalog.h"
#include "image/digest.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "image/remove_tree.h"

TEST(references_are_normalised) {
    static const struct {
        const char *text, *name;
    } good[] = {{"busybox", "docker.io/library/busybox:latest"},
                {"foo/bar:1", "docker.io/foo/bar:1"},
                {"localhost:5000/x", "localhost:5000/x:latest"},
                {"localhost/x:y", "localhost/x:y"},
                {"quay.io/a/b/c:v1.2", "quay.io/a/b/c:v1.2"}};
    static const char *const bad[] = {"",       "UPPER",       "a//b", "a:",    "a:-x", "../x",
                                      "a/../b", "x@sha256:12", "a b",  "a:b c", "/a",   "a/"};
    OWN(arena_free_p) struct arena *a = arena_new();
    struct image_reference r;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(image_reference_parse(a, good[i].text, &r, NULL), 0);
        assert_string_equal(image_reference_name(a, &r), good[i].name);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(image_reference_parse(a, bad[i], &r, NULL) < 0);
}

TEST(sha256_of_nothing_is_known) {
    char out[80];
    digest_of(SLICE(""), out);
    assert_string_equal(out,
                        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

TEST(index_without_this_platform_says_what_there_is) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct image_manifest m;
    struct err err;
    static const char index[] =
        "{\"manifests\":[{\"digest\":\"sha256:" HEX "\",\"size\":1,\"platform\":{\"os\":\"linux\","
        "\"architecture\":\"mips\"}}]}";
    assert_true(image_manifest_parse(a, slice_of(index), &m, &err) < 0);
    assert_non_null(strstr(err.text, "linux/mips"));
}

TEST(config_of_another_architecture_is_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct image_info info = {0};
    struct err err;
    static const char config[] =
        "{\"os\":\"linux\",\"architecture\":\"mips\",\"rootfs\":{\"diff_ids\":[]}}";
    assert_true(image_config_parse(a, slice_of(config), &info, &err) < 0);
    assert_non_null(strstr(err.text, "the image is for linux/mips"));
}

TEST(manifest_with_a_bad_digest_is_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct image_manifest m;
    static const char manifest[] =
        "{\"config\":{\"digest\":\"sha256:../../etc/passwd\",\"size\":1},\"layers\":[]}";
    assert_true(image_manifest_parse(a, slice_of(manifest), &m, NULL) < 0);
}

TEST(catalog_survives_a_restart_and_moves_names) {
    char dir[] = "/tmp/atoll-catalog-XXXXXX";
    assert_non_null(mkdtemp(dir));
    OWN(close_p) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct catalog c;
    const char *names[] = {"docker.io/library/a:1"}, *layers[] = {HEX}, *cmd[] = {"/bin/sh", ""};
    struct image_info one = {.id = "sha256:1",
                             .n_names = 1,
                             .names = names,
                             .n_layers = 1,
                             .layers = layers,
                             .n_cmd = 2,
                             .cmd = cmd,
                             .size_bytes = 7};
    struct image_info two = {.id = "sha256:2", .n_names = 1, .names = names};
    assert_int_equal(catalog_load(&c, fd, NULL), 0);
    assert_int_equal(catalog_put(&c, &one, NULL), 0);
    catalog_done(&c);
    assert_int_equal(catalog_load(&c, fd, NULL), 0);
    const struct image_info *found = catalog_find(&c, names[0]);
    assert_non_null(found);
    assert_int_equal(found->size_bytes, 7);
    assert_int_equal(found->n_cmd, 2);
    assert_true(catalog_uses_layer(&c, HEX));
    assert_int_equal(catalog_put(&c, &two, NULL), 0);
    assert_string_equal(catalog_find(&c, names[0])->id, "sha256:2");
    assert_int_equal(catalog_remove(&c, "sha256:1", NULL), 0);
    assert_false(catalog_uses_layer(&c, HEX));
    assert_true(catalog_remove(&c, "nothing", NULL) < 0);
    catalog_done(&c);
    remove_tree(dir);
    assert_int_equal(access(dir, F_OK), -1);
}
