#include "sp/declare/config_topology.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "api/registry.h"
#include "base/own.h"
#include "base/test.h"

#define TOPOLOGY(name, spec)                                                                       \
    "{\"apiVersion\":\"sp.atoll.dev/v1\",\"kind\":\"Topology\",\"metadata\":{\"name\":\"" name     \
    "\"},\"spec\":" spec "}"

/* NULL: refused, and err says why. */
static struct sp_config *configure(const char *json, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct sp_v1_topology *t;
    struct sp_config *c = NULL;
    *err = (struct err){0};
    if (sp_topology_decode(slice_of(json), AT_FDCWD, a, &t, err) < 0) return NULL;
    return sp_config_of_topology(t, "n1", NULL, NULL, &c, err) < 0 ? NULL : c;
}

static struct sp_config *made(const char *json) {
    struct err err;
    struct sp_config *c = configure(json, &err);
    if (!c) fail_msg("%s", err.text);
    return c;
}

TEST(declarations_that_are_wrong_are_refused_with_the_reason) {
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{", ""},
        {"[]", ""},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"}}",
         "not a Topology"},
        {TOPOLOGY("a", "{\"pattern\":\"pubsub\",\"colour\":\"red\"}"), "colour"},
        {TOPOLOGY("a", "{\"pattern\":\"pubsub\",\"pattern\":\"bus\"}"), "pattern"},
        {TOPOLOGY("a", "{\"pattern\":\"gossip\"}"), "spec.pattern"},
        {TOPOLOGY("a", "{}"), "spec.pattern"},
        {TOPOLOGY("../a", "{\"pattern\":\"pubsub\"}"), "directory"},
        {TOPOLOGY(".a", "{\"pattern\":\"pubsub\"}"), "directory"},
        {TOPOLOGY("", "{\"pattern\":\"pubsub\"}"), "directory"},
        {TOPOLOGY("a", "{\"pattern\":\"pubsub\",\"roles\":[{\"name\":\"push\"}]}"), "push"},
        {TOPOLOGY("a",
                  "{\"pattern\":\"pubsub\",\"roles\":[{\"name\":\"sub\",\"owner\":\"no body\"}]}"),
         "spec.roles[0]"},
        {TOPOLOGY("a", "{\"pattern\":\"pubsub\",\"access\":[{\"groups\":[\"no body\"]}]}"),
         "spec.access[0]"},
        {TOPOLOGY("a", "{\"pattern\":\"pubsub\",\"ttl\":99}"), "spec.ttl"},
        {TOPOLOGY("a", "{\"pattern\":\"pubsub\",\"maxMessageBytes\":67108865}"),
         "spec.maxMessageBytes"},
        {TOPOLOGY("a", "{\"pattern\":\"pubsub\",\"edges\":[{\"name\":\"e\",\"role\":\"pub\","
                       "\"listen\":\"ftp://x:1\"}]}"),
         "spec.edges[0]"},
        {TOPOLOGY("a", "{\"pattern\":\"pubsub\",\"exports\":[{\"name\":\"e\",\"role\":\"pub\","
                       "\"organisation\":\"bank\",\"listen\":\"tcp://127.0.0.1:1\"}]}"),
         "spec.exports[0]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err;
        struct sp_config *c = configure(cases[i].json, &err);
        if (c || !strstr(err.text, cases[i].says))
            fail_msg("%s: %s", cases[i].json, c ? "taken" : err.text);
    }
}

TEST(what_is_left_out_has_the_defaults) {
    struct sp_config *c = made(TOPOLOGY("a", "{\"pattern\":\"reqrep\"}"));
    assert_string_equal(c->name, "a");
    assert_string_equal(c->organisation, "local");
    assert_int_equal(c->pattern, SP_REQREP);
    assert_int_equal(c->message_max_bytes, 1 << 20);
    assert_int_equal(c->ttl, SP_TTL_DEFAULT);
    assert_int_equal(c->request_timeout_ms, 0);
    assert_false(c->roles[SP_REQ].restricted || c->roles[SP_REQ].pods);
    sp_config_free(c);
}

TEST(access_of_several_entries_adds_up_and_only_for_their_roles) {
    struct sp_config *c = made(
        TOPOLOGY("a", "{\"pattern\":\"pubsub\","
                      "\"roles\":[{\"name\":\"pub\",\"owner\":\"12\",\"group\":\"34\","
                      "\"mode\":416}],"
                      "\"access\":[{\"roles\":[\"sub\"],\"users\":[\"7\"],\"groups\":[\"8\"]},"
                      "{\"users\":[\"root\"]},{\"roles\":[\"pub\"],\"namespaces\":[\"web\"]}]}"));
    const struct sp_role_config *pub = &c->roles[SP_PUB], *sub = &c->roles[SP_SUB];
    assert_int_equal(pub->owner, 12);
    assert_int_equal(pub->group, 34);
    assert_int_equal(pub->mode, 0640);
    assert_int_equal(sub->n_users, 2);
    assert_int_equal(sub->users[0], 7);
    assert_int_equal(sub->users[1], 0);
    assert_int_equal(sub->n_groups, 1);
    assert_int_equal(sub->groups[0], 8);
    assert_int_equal(pub->n_users, 1);
    assert_int_equal(pub->n_groups, 0);
    assert_true(sub->restricted && pub->restricted && pub->pods && !sub->pods);
    sp_config_free(c);
}

TEST(only_a_change_of_the_declaration_is_a_change) {
    static const char *const texts[] = {
        TOPOLOGY("a", "{\"pattern\":\"pubsub\"}"),
        "{\"kind\":\"Topology\",\"spec\":{\"pattern\":\"pubsub\"},\"apiVersion\":\"sp.atoll.dev/"
        "v1\","
        "\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"y\"}}}",
        TOPOLOGY("a", "{\"pattern\":\"pubsub\",\"retain\":1}"),
    };
    struct sp_config *c[3];
    for (size_t i = 0; i < 3; i++) c[i] = made(texts[i]);
    assert_true(slice_eq(c[0]->canonical, c[1]->canonical));
    assert_false(slice_eq(c[0]->canonical, c[2]->canonical));
    for (size_t i = 0; i < 3; i++) sp_config_free(c[i]);
}

TEST(files_are_read_up_to_their_limit) {
    OWN(buf_done) struct buf b = {0};
    struct err err = {0};
    int p[2];
    char name[32];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], "0123456789", 10), 10);
    close(p[1]);
    snprintf(name, sizeof name, "/dev/fd/%d", p[0]);
    assert_true(sp_file_read(AT_FDCWD, name, 9, &b, &err) < 0);
    assert_int_equal(err.reason, ERR_TOO_LARGE);
    close(p[0]);
    assert_true(sp_file_read(AT_FDCWD, "/no/such/file", 9, &b, &err) < 0);
    assert_int_equal(err.reason, ERR_NOT_FOUND);
}
