#include "server/quota/ledger.h"

#include "base/own.h"
#include "base/test.h"
#include "wire/store.h"

#define QUOTA(hard)                                                                                \
    "{\"metadata\":{\"name\":\"q\",\"namespace\":\"ns\"},\"spec\":{\"hard\":{" hard "}}}"
#define POD(phase)                                                                                 \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\"},\"spec\":{\"containers\":[{\"name\":"     \
    "\"c\",\"resources\":{\"requests\":{\"cpu\":\"100m\"}}}]},\"status\":{\"phase\":\"" phase      \
    "\"}}"
#define NOTHING "{\"metadata\":{\"name\":\"x\",\"namespace\":\"ns\"}}"

static struct api *api;
static uint64_t revision;

static void start(void) {
    api = calloc(1, sizeof *api);
    cache_init(&api->cache);
    api->loop = loop_new(NULL);
    cache_row(&api->cache, SLICE("/resourcequotas.core/ns/q"), 1,
              SLICE(QUOTA("\"pods\":\"5\",\"requests.cpu\":\"1\",\"secrets\":\"9\"")));
    cache_row(&api->cache, SLICE("/pods.core/ns/p"), 2, SLICE(POD("Running")));
    cache_row(&api->cache, SLICE("/pods.core/other/p"), 3, SLICE(POD("Running")));
    cache_row(&api->cache, SLICE("/secrets.core/ns/x"), 4, SLICE(NOTHING));
    cache_row(&api->cache, SLICE("/secrets.core/nsx/x"), 5, SLICE(NOTHING));
    cache_snapshot_end(&api->cache, 5, 0);
    revision = 5;
    quota_ledger_start(api);
}

static void stop(void) {
    quota_ledger_stop();
    cache_done(&api->cache);
    loop_free(api->loop);
    free(api);
}

static void event(int op, const char *key, const char *json) {
    cache_event(&api->cache, op, slice_of(key), ++revision, slice_of(json), 0);
}

static int64_t used_milli(const char *resource) {
    struct quota_space *s = quota_ledger_space("ns");
    const struct quota *q = s ? quota_find(s, "q") : NULL;
    for (size_t i = 0; q && i < q->n; i++)
        if (str_eq(q->lines[i].resource, resource))
            return (int64_t)(q->lines[i].used.nanos / 1000000);
    return -1;
}

TEST(quota_ledger_counts_what_is_there_and_follows) {
    start();
    assert_int_equal(used_milli("pods"), 1000);
    assert_int_equal(used_milli("requests.cpu"), 100);
    assert_int_equal(used_milli("secrets"), 1000);
    event(STORE_CREATE, "/secrets.core/ns/y", NOTHING);
    event(STORE_CREATE, "/secrets.core/other/y", NOTHING);
    event(STORE_UPDATE, "/secrets.core/ns/y", NOTHING);
    assert_int_equal(used_milli("secrets"), 2000);
    event(STORE_DELETE, "/secrets.core/ns/x", NOTHING);
    assert_int_equal(used_milli("secrets"), 1000);
    event(STORE_UPDATE, "/pods.core/ns/p", POD("Succeeded"));
    assert_int_equal(used_milli("pods"), 0);
    assert_int_equal(used_milli("requests.cpu"), 0);
    stop();
}

TEST(quota_ledger_counts_anew_for_a_changed_quota) {
    start();
    event(STORE_UPDATE, "/resourcequotas.core/ns/q",
          QUOTA("\"count/pods\":\"5\",\"count/secrets\":\"1\",\"resourcequotas\":\"1\""));
    assert_int_equal(used_milli("pods"), -1);
    assert_int_equal(used_milli("count/pods"), 1000);
    assert_int_equal(used_milli("count/secrets"), 1000);
    assert_int_equal(used_milli("resourcequotas"), 1000);
    event(STORE_DELETE, "/resourcequotas.core/ns/q", NOTHING);
    assert_null(quota_ledger_space("ns"));
    event(STORE_UPDATE, "/pods.core/ns/p", POD("Running")); /* nobody counts */
    event(STORE_CREATE, "/resourcequotas.core/ns/q", QUOTA("\"pods\":\"1\""));
    assert_int_equal(used_milli("pods"), 1000);
    stop();
}

TEST(quota_ledger_fulfils_a_promise_by_the_event) {
    start();
    struct quota_space *s = quota_ledger_space("ns");
    struct quota_promise p = {.key = "secrets.core/z"};
    quota_promise(s, &p);
    event(STORE_CREATE, "/secrets.core/ns/z", NOTHING);
    assert_null(quota_release(&p)); /* is a charge now, not both */
    assert_int_equal(used_milli("secrets"), 2000);
    /* A promise keeps the books of a namespace whose last quota goes. */
    quota_promise(s, &p);
    event(STORE_DELETE, "/resourcequotas.core/ns/q", NOTHING);
    assert_ptr_equal(quota_ledger_space("ns"), s);
    quota_ledger_tidy(quota_release(&p));
    assert_null(quota_ledger_space("ns"));
    stop();
}
