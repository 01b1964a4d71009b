#include <stdio.h>

#include "controllers/fixture.h"

static void add_nodes(struct world *w, int from, int to) {
    for (int i = from; i < to; i++) {
        char json[120];
        snprintf(json, sizeof json,
                 "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n%d\"}}", i);
        world_add_json(w, json);
    }
}

static const char *ttl(struct world *w) {
    settle(w, "node-ttl", "n0");
    return str_map_get(&world_get(w, "Node", NULL, "n0")->metadata.annotations,
                       "node.alpha.kubernetes.io/ttl");
}

static void remove_nodes(struct world *w, int from, int to) {
    for (int i = from; i < to; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        world_remove(w, world_kind(w, "Node"), NULL, name);
    }
}

TEST(agents_keep_what_they_have_read_longer_in_larger_clusters) {
    struct world *w = world_test_new();
    add_nodes(w, 0, 100);
    assert_string_equal(ttl(w), "0");
    add_nodes(w, 100, 101);
    assert_string_equal(ttl(w), "15");
    remove_nodes(w, 90, 101); /* the steps overlap */
    assert_string_equal(ttl(w), "15");
    remove_nodes(w, 89, 90);
    assert_string_equal(ttl(w), "0");
    world_free(w);
}
