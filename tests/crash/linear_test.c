/* The checker must accept what is linearizable and catch 25 kinds of what is not. */
#include "linear.h"

#include "base/own.h"
#include "base/test.h"

#define W(kind, value, revision, begin, end)                                                       \
    { kind, false, false, value, 0, revision, begin, end }
#define U(value, seen, revision, begin, end)                                                       \
    { LINEAR_UPDATE, false, false, value, seen, revision, begin, end }
#define FAILED(kind, value, seen, begin, end)                                                      \
    { kind, false, true, value, seen, 0, begin, end }
#define LOST(kind, value, seen, begin)                                                             \
    { kind, true, false, value, seen, 0, begin, UINT64_MAX }
#define R(value, revision, begin, end) W(LINEAR_READ, value, revision, begin, end)
#define C(value, revision, begin, end) W(LINEAR_CREATE, value, revision, begin, end)
#define P(value, revision, begin, end) W(LINEAR_PATCH, value, revision, begin, end)
#define D(revision, begin, end) W(LINEAR_DELETE, 0, revision, begin, end)

struct history {
    const char *name;
    struct linear_op ops[8];
};

static size_t count(const struct history *h) {
    size_t n = 0;
    while (n < ARRAY_LEN(h->ops) && h->ops[n].end) n++;
    return n;
}

static const struct history good[] = {
    {"in order", {C(1, 1, 1, 2), R(1, 1, 3, 4), U(2, 1, 2, 5, 6), D(3, 7, 8), R(0, 0, 9, 10)}},
    {"a read during a write sees before or after",
     {C(1, 1, 1, 2), P(2, 2, 3, 9), R(1, 1, 4, 5), R(2, 2, 6, 7)}},
    {"two creates, one wins", {C(1, 1, 1, 5), FAILED(LINEAR_CREATE, 2, 0, 2, 6), R(1, 1, 7, 8)}},
    {"an unknown write that happened", {C(1, 1, 1, 2), LOST(LINEAR_PATCH, 2, 0, 3), R(2, 2, 4, 5)}},
    {"an unknown write that did not", {C(1, 1, 1, 2), LOST(LINEAR_PATCH, 2, 0, 3), R(1, 1, 4, 5)}},
    {"an unknown write that happened late",
     {C(1, 1, 1, 2), LOST(LINEAR_PATCH, 2, 0, 3), R(1, 1, 4, 5), R(2, 2, 6, 7)}},
    {"a conflict",
     {C(1, 1, 1, 2), P(2, 2, 3, 4), FAILED(LINEAR_UPDATE, 3, 1, 5, 6), R(2, 2, 7, 8)}},
    {"deleted twice", {C(1, 1, 1, 2), D(2, 3, 6), FAILED(LINEAR_DELETE, 0, 0, 4, 7)}},
    {"made again", {C(1, 1, 1, 2), D(2, 3, 4), C(2, 3, 5, 6), R(2, 3, 7, 8)}},
};

/* Each a defect that stores have had. */
static const struct history bad[] = {
    {"lost create", {C(1, 1, 1, 2), R(0, 0, 3, 4)}},
    {"lost update", {C(1, 1, 1, 2), P(2, 2, 3, 4), R(1, 1, 5, 6)}},
    {"lost delete", {C(1, 1, 1, 2), D(2, 3, 4), R(1, 1, 5, 6)}},
    {"stale read after a newer read", {C(1, 1, 1, 2), P(2, 2, 3, 9), R(2, 2, 4, 5), R(1, 1, 6, 7)}},
    {"read of a value nobody wrote", {C(1, 1, 1, 2), R(7, 5, 3, 4)}},
    {"read of a failed write", {C(1, 1, 1, 2), FAILED(LINEAR_UPDATE, 2, 9, 3, 4), R(2, 2, 5, 6)}},
    {"read before the write began", {C(1, 1, 1, 2), R(2, 2, 3, 4), P(2, 2, 5, 6)}},
    {"two creates succeed", {C(1, 1, 1, 5), C(2, 2, 2, 6)}},
    {"create fails on nothing", {FAILED(LINEAR_CREATE, 1, 0, 1, 2), R(0, 0, 3, 4)}},
    {"create succeeds over an object", {C(1, 1, 1, 2), C(2, 2, 3, 4)}},
    {"update from a stale version succeeds", {C(1, 1, 1, 2), P(2, 2, 3, 4), U(3, 1, 3, 5, 6)}},
    {"two updates from one version succeed", {C(1, 1, 1, 2), U(2, 1, 2, 3, 6), U(3, 1, 3, 4, 7)}},
    {"update conflicts without a reason", {C(1, 1, 1, 2), FAILED(LINEAR_UPDATE, 2, 1, 3, 4)}},
    {"update of nothing succeeds", {U(2, 1, 1, 1, 2)}},
    {"patch of nothing succeeds", {P(1, 1, 1, 2), R(1, 1, 3, 4)}},
    {"patch misses an object", {C(1, 1, 1, 2), FAILED(LINEAR_PATCH, 2, 0, 3, 4)}},
    {"delete of nothing succeeds", {D(1, 1, 2)}},
    {"delete misses an object", {C(1, 1, 1, 2), FAILED(LINEAR_DELETE, 0, 0, 3, 4), R(1, 1, 5, 6)}},
    {"two deletes succeed", {C(1, 1, 1, 2), D(2, 3, 6), D(3, 4, 7)}},
    {"resurrection", {C(1, 1, 1, 2), D(2, 3, 4), R(0, 0, 5, 6), R(1, 1, 7, 8)}},
    {"revision goes back", {C(1, 5, 1, 2), P(2, 4, 3, 4)}},
    {"revision is used twice", {C(1, 5, 1, 2), P(2, 5, 3, 4)}},
    {"read shows a wrong revision", {C(1, 5, 1, 2), R(1, 6, 3, 4)}},
    {"read of an old value with a new revision", {C(1, 1, 1, 2), P(2, 2, 3, 4), R(1, 3, 5, 6)}},
    {"an unknown write happens and is undone",
     {C(1, 1, 1, 2), LOST(LINEAR_PATCH, 2, 0, 3), R(2, 2, 4, 5), R(1, 1, 6, 7)}},
    {"an unknown write before its begin",
     {C(1, 1, 1, 2), R(2, 2, 3, 4), LOST(LINEAR_PATCH, 2, 0, 5)}},
    {"an unknown delete happens twice",
     {C(1, 1, 1, 2), LOST(LINEAR_DELETE, 0, 0, 3), R(0, 0, 4, 5), C(2, 3, 6, 7), R(0, 0, 8, 9)}},
};

TEST(linearizable_histories_pass) {
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (!linear_check(good[i].ops, count(&good[i]), 0)) fail_msg("%s", good[i].name);
}

TEST(seeded_bugs_are_caught) {
    assert_true(ARRAY_LEN(bad) >= 25);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (linear_check(bad[i].ops, count(&bad[i]), 0)) fail_msg("not caught: %s", bad[i].name);
}
