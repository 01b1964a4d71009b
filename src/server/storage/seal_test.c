#include "server/storage/seal.h"

#include "base/own.h"
#include "base/test.h"

static const char name[] = "/secrets.core/ns/s";
static const char object[] = "{\"metadata\":{\"name\":\"s\",\"resourceVersion\":\"\"},\"data\":{}}";
enum { RV_OFFSET = 43 };

static struct seal seal_of(uint32_t first, size_t n) {
    struct seal s = {.keys.n = n};
    for (size_t i = 0; i < n; i++) {
        s.keys.v[i].id = first + (uint32_t)i;
        memset(s.keys.v[i].bytes, (int)(first + i), KEYS_SEAL_BYTES);
    }
    return s;
}

/* Sealed, with the revision that the store puts in. */
static void closed(const struct seal *s, const char *revision, struct buf *ret) {
    OWN(buf_done) struct buf b = {0};
    uint32_t offset;
    assert_string_equal(object + RV_OFFSET, "\"},\"data\":{}}");
    assert_int_equal(seal_close(s, slice_of(name), slice_of(object), RV_OFFSET, &b, &offset, NULL),
                     0);
    assert_int_equal(b.p[offset - 1], '"');
    assert_int_equal(b.p[offset], '"');
    buf_append(ret, b.p, offset);
    buf_str(ret, revision);
    buf_append(ret, b.p + offset, b.n - offset);
}

static int opened(struct seal *s, const char *key, const struct buf *stored, struct buf *b,
                  struct slice *ret, struct err *err) {
    return seal_open(s, slice_of(key), buf_view(stored), b, ret, err);
}

TEST(what_is_sealed_opens_with_its_revision) {
    struct seal s = seal_of(1, 1);
    OWN(buf_done) struct buf stored = {0}, plain = {0};
    struct slice json;
    closed(&s, "1234", &stored);
    assert_null(memmem(stored.p, stored.n, "metadata", 8));
    assert_int_equal(opened(&s, name, &stored, &plain, &json, NULL), 0);
    assert_true(
        slice_is(json, "{\"metadata\":{\"name\":\"s\",\"resourceVersion\":\"1234\"},\"data\":{}}"));
    assert_int_equal(s.stale, 0);
}

TEST(the_same_object_is_never_sealed_the_same_way) {
    struct seal s = seal_of(1, 1);
    OWN(buf_done) struct buf x = {0}, y = {0};
    closed(&s, "1", &x);
    closed(&s, "1", &y);
    assert_false(slice_eq(buf_view(&x), buf_view(&y)));
}

TEST(a_row_under_another_name_or_with_a_changed_byte_does_not_open) {
    struct seal s = seal_of(1, 1);
    OWN(buf_done) struct buf stored = {0}, plain = {0};
    struct slice json;
    struct err err;
    closed(&s, "7", &stored);
    assert_true(opened(&s, "/secrets.core/ns/other", &stored, &plain, &json, &err) < 0);
    for (size_t i = 0; i < stored.n; i++) {
        if (i >= 8 && i < 9) continue; /* the revision is the store's */
        OWN(buf_done) struct buf changed = {0};
        buf_slice(&changed, buf_view(&stored));
        changed.p[i] ^= 1;
        buf_clear(&plain);
        if (opened(&s, name, &changed, &plain, &json, &err) == 0 && i >= 8)
            fail_msg("byte %zu can be changed", i);
    }
    for (size_t n = 1; n < stored.n; n++) {
        struct buf cut = {.p = stored.p, .n = n};
        assert_true(opened(&s, name, &cut, &plain, &json, &err) < 0);
    }
}

TEST(old_keys_open_and_are_told) {
    struct seal old = seal_of(1, 1), both = seal_of(1, 2), fresh = seal_of(2, 1);
    OWN(buf_done) struct buf stored = {0}, plain = {0};
    struct slice json;
    struct err err;
    closed(&old, "7", &stored);
    assert_int_equal(opened(&both, name, &stored, &plain, &json, NULL), 0);
    assert_int_equal(both.stale, 1);
    assert_true(opened(&fresh, name, &stored, &plain, &json, &err) < 0);
    assert_non_null(strstr(err.text, "sealed with key 1, which is not there"));
}

TEST(rows_from_before_sealing_are_taken_and_counted) {
    struct seal s = seal_of(1, 1);
    struct buf stored = {.p = (char *)(uintptr_t)object, .n = sizeof object - 1};
    OWN(buf_done) struct buf plain = {0};
    struct slice json;
    assert_int_equal(opened(&s, name, &stored, &plain, &json, NULL), 0);
    assert_ptr_equal(json.p, object);
    assert_int_equal(s.stale, 1);
    assert_true(seal_applies(slice_of(name)));
    assert_false(seal_applies(SLICE("/configmaps.core/ns/s")));
}
