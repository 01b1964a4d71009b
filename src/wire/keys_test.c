#include "wire/keys.h"

#include <string.h>

#include "base/test.h"

TEST(names_of_sealing_keys_are_written_and_read) {
    char name[KEYS_SEAL_NAME_MAX];
    keys_seal_name(name, 7);
    assert_string_equal(name, "seal-00000007.key");
    assert_int_equal(keys_seal_id(name), 7);
    keys_seal_name(name, 99999999);
    assert_int_equal(keys_seal_id(name), 99999999);
}

TEST(other_names_are_no_sealing_keys) {
    static const char *const names[] = {
        "",
        "seal-.key",
        "seal-0000007.key",
        "seal-000000007.key",
        "seal-0000000x.key",
        "seal-00000007.kez",
        "seel-00000007.key",
        "seal-00000007.key~",
        "seal-00000000.key",
        "seal--0000007.key",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(keys_seal_id(names[i]), 0);
}
