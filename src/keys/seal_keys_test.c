#include "keys/seal_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test.h"

static void write_key(const char *dir, const char *name, size_t n) {
    char path[128];
    static const char bytes[64] = "0123456789abcdef0123456789ABCDEF";
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void remove_all(const char *dir) {
    static const char *const names[] = {"seal-00000001.key", "seal-00000002.key",
                                        "seal-00000010.key", "seal-x.key"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

TEST(the_first_sealing_key_is_made_and_stays) {
    char dir[] = "/tmp/atoll-seal-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct keys_seal a, b;
    assert_int_equal(seal_keys_open(dir, &a, NULL), 0);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.v[0].id, 1);
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "%s/seal-00000001.key", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(seal_keys_open(dir, &b, NULL), 0);
    assert_memory_equal(a.v[0].bytes, b.v[0].bytes, KEYS_SEAL_BYTES);
    remove_all(dir);
}

TEST(sealing_keys_come_by_number_and_other_files_do_not_matter) {
    char dir[] = "/tmp/atoll-seal-XXXXXX";
    assert_non_null(mkdtemp(dir));
    write_key(dir, "seal-00000010.key", 32);
    write_key(dir, "seal-00000002.key", 32);
    write_key(dir, "seal-x.key", 3);
    struct keys_seal k;
    assert_int_equal(seal_keys_open(dir, &k, NULL), 0);
    assert_int_equal(k.n, 2);
    assert_int_equal(k.v[0].id, 2);
    assert_int_equal(k.v[1].id, 10);
    remove_all(dir);
}

TEST(a_damaged_sealing_key_is_refused) {
    for (size_t n = 31; n <= 33; n += 2) {
        char dir[] = "/tmp/atoll-seal-XXXXXX";
        assert_non_null(mkdtemp(dir));
        write_key(dir, "seal-00000001.key", n);
        struct keys_seal k;
        struct err err;
        assert_true(seal_keys_open(dir, &k, &err) < 0);
        assert_non_null(strstr(err.text, "seal-00000001.key is damaged"));
        remove_all(dir);
    }
}
