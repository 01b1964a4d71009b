#include "base/test.h"
#include "server/admission/plugin.h"
#include "server/fixture.h"

/* A plugin that answers later, of a kind that no other test writes. */
static struct {
    struct admission *asked;
    unsigned again; /* how often `still` was asked */
    bool later, over;
} slow;

static int slow_mutate(struct admission *ad) {
    slow.asked = ad;
    return slow.later ? ADMISSION_LATER : ADMISSION_OK;
}

static int slow_still(struct admission *ad) {
    slow.again++;
    return slow.over ? admission_forbid(ad, "it is over") : ADMISSION_OK;
}

static const struct admission_plugin slow_plugin = {.name = "Slow",
                                                    .order = ORDER_MUTATING_WEBHOOK,
                                                    .operations = ADMIT_CREATE,
                                                    .group = "",
                                                    .plural = "podtemplates",
                                                    .mutate = slow_mutate,
                                                    .still = slow_still};
ADMISSION_PLUGIN(slow_plugin);

static const struct asked create_template = {
    .verb = "create",
    .plural = "podtemplates",
    .ns = "a",
    .body = "{\"apiVersion\":\"v1\",\"kind\":\"PodTemplate\",\"metadata\":{\"name\":\"t\"},"
            "\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}"};

static int create_slowly(struct fixture *f, bool over) {
    int status;
    memset(&slow, 0, sizeof slow);
    slow.later = true;
    slow.over = over;
    ask_begin(f, verb_create, &create_template, &status);
    assert_int_equal(status, 0);
    assert_int_equal(slow.again, 0);
    admission_resume(slow.asked, ADMISSION_OK);
    ask_wait(f, &status);
    return status;
}

TEST(what_was_true_before_a_wait_is_asked_again) {
    struct fixture f;
    fixture_open(&f);
    assert_int_equal(create_slowly(&f, true), 403);
    assert_answer(&f, "it is over");
    assert_int_equal(f.writes, 0);
    assert_int_equal(create_slowly(&f, false), 201);
    assert_int_equal(slow.again, 1);
    assert_int_equal(f.writes, 1);
    fixture_done(&f);
}

TEST(without_a_wait_nothing_is_asked_again) {
    struct fixture f;
    fixture_open(&f);
    memset(&slow, 0, sizeof slow);
    slow.over = true;
    assert_int_equal(ask(&f, verb_create, &create_template), 201);
    assert_int_equal(slow.again, 0);
    fixture_done(&f);
}
