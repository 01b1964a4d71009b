#include "controllers/volumes/fixture.h"

#include <string.h>

void given_claim(struct world *w, const char *name, const char *size, const char *metadata,
                 const char *spec) {
    char json[2048];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":"
             "\"%s\",\"namespace\":\"default\",\"uid\":\"uid-%s\"%s},\"spec\":{\"accessModes\":["
             "\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"%s\"}}%s},\"status\":{"
             "\"phase\":\"Pending\"}}",
             name, name, metadata, size, spec);
    world_add_json(w, json);
}

void given_volume(struct world *w, const char *name, const char *size, const char *metadata,
                  const char *spec) {
    char json[2048], path[200] = "";
    if (!strstr(spec, "\"local\""))
        snprintf(path, sizeof path, ",\"hostPath\":{\"path\":\"/data/%s\"}", name);
    snprintf(
        json, sizeof json,
        "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"%s\"%s}"
        ",\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"capacity\":{\"storage\":\"%s\"}%s%s},"
        "\"status\":{\"phase\":\"Available\"}}",
        name, metadata, size, path, spec);
    world_add_json(w, json);
}

void given_class(struct world *w, const char *name, const char *provisioner, const char *more) {
    char json[1024];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"StorageClass\",\"metadata\":{"
             "\"name\":\"%s\"},\"provisioner\":\"%s\"%s}",
             name, provisioner, more);
    world_add_json(w, json);
}

void settle_claim(struct world *w, const char *claim) {
    char key[300];
    snprintf(key, sizeof key, "default/%s", claim);
    settle(w, "claim-binder", key);
    const claim_t *c = claim_get(w, "default", claim);
    if (c && !str_empty(c->spec.volume_name)) settle_volume(w, c->spec.volume_name);
}

void settle_volume(struct world *w, const char *volume) { settle(w, "volume-binder", volume); }

void assert_tied(const struct world *w, const char *claim, const char *volume) {
    const claim_t *c = claim_get(w, "default", claim);
    const volume_t *v = volume_get(w, volume);
    assert_non_null(c);
    assert_non_null(v);
    assert_string_equal(str_or(c->spec.volume_name, ""), volume);
    assert_string_equal(c->status.phase, "Bound");
    assert_string_equal(v->status.phase, "Bound");
    assert_non_null(str_map_get(&c->metadata.annotations, CLAIM_BIND_COMPLETED));
    assert_non_null(v->spec.claim_ref);
    assert_string_equal(v->spec.claim_ref->uid, c->metadata.uid);
    assert_string_equal(str_or(str_map_get(&c->status.capacity, "storage"), ""),
                        str_map_get(&v->spec.capacity, "storage"));
    assert_int_equal(c->status.access_modes.n, v->spec.access_modes.n);
}

void assert_pending(const struct world *w, const char *claim) {
    const claim_t *c = claim_get(w, "default", claim);
    assert_string_equal(c->status.phase, "Pending");
    assert_null(str_map_get(&c->metadata.annotations, CLAIM_BIND_COMPLETED));
}

void assert_tells(const struct world *w, const char *reconciler, const char *key,
                  const char *event) {
    OWN(plan_free_p) struct plan *p = plan_of(w, reconciler, key);
    OWN(buf_done) struct buf all = {0};
    for (size_t i = 0; i < plan_count(p); i++) {
        const struct plan_step *s = plan_at(p, i);
        char text[1024];
        if (s->op != PLAN_EVENT) continue;
        snprintf(text, sizeof text, "%s: %s", s->reason, s->message);
        if (str_starts(text, event)) return;
        buf_printf(&all, "%s\n", text);
    }
    fail_msg("%s tells\n%snot %s", key, all.n ? all.p : "", event);
}

void drop_claim(struct world *w, const char *name) {
    world_remove(w, api_kind_by_name("", "v1", "PersistentVolumeClaim"), "default", name);
}

void claim_is_gone(struct world *w, const char *name) {
    struct err err = {.reason = ERR_NOT_FOUND, .text = "not found"};
    char path[300];
    snprintf(path, sizeof path, "/api/v1/namespaces/default/persistentvolumeclaims/%s", name);
    world_set_fact(w, path, world_now_ns(w), (struct slice){0}, &err);
}
