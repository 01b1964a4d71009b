/* One event of a watch in the form that its client asked for. */
#include "base/own.h"
#include "server/custom/conversion_watch.h"
#include "server/media/convert.h"
#include "server/media/protobuf.h"
#include "server/verbs/watch_impl.h"

const char *const watch_type_names[] = {"ADDED", "MODIFIED", "DELETED"};

static void put_object(struct watch *w, struct buf *b, struct slice stored) {
    struct slice json = convert_json(w->scratch, w->c->kind, stored);
    if (w->c->form == ANSWER_PARTIAL) {
        partial_encode(b, json, NULL, w->c->form_version);
    } else if (w->c->form == ANSWER_TABLE) {
        table_head(b, w->c, &(struct list_meta){.remaining = -1}, !w->columns_sent);
        table_row(b, w->c, w->scratch, json);
        table_tail(b);
        b->n--; /* the newline belongs to the frame */
        w->columns_sent = true;
    } else {
        buf_slice(b, json);
    }
}

/* A frame in protobuf of an object that json is or, as a whole object, stands for. */
static void put_protobuf_frame(struct watch *w, struct buf *b, const char *event,
                               struct slice json) {
    const struct call *c = w->c;
    bool partial = c->form == ANSWER_PARTIAL;
    const char *version =
        partial ? str_eq(c->form_version, "v1beta1") ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1"
                : api_kind_api_version(c->kind);
    protobuf_watch_frame(b, w->scratch, event, partial ? &protobuf_partial_type : c->kind->type,
                         version, partial ? "PartialObjectMetadata" : c->kind->kind, json);
}

void watch_put_frame(struct watch *w, struct buf *b, enum event_type type, struct slice stored) {
    arena_reset(w->scratch);
    if (w->c->media == MEDIA_PROTOBUF) {
        put_protobuf_frame(w, b, watch_type_names[type],
                           convert_json(w->scratch, w->c->kind, stored));
        return;
    }
    buf_str(b, "{\"type\":\"");
    buf_str(b, watch_type_names[type]);
    buf_str(b, "\",\"object\":");
    put_object(w, b, stored);
    buf_str(b, "}\n");
}

void watch_put_bookmark(struct watch *w, struct buf *b, bool end_of_initial) {
    const struct api_kind *k = w->c->kind;
    OWN(buf_done) struct buf meta = {0};
    buf_printf(&meta, "{\"resourceVersion\":\"%llu\",\"creationTimestamp\":null%s}",
               (unsigned long long)w->sent_revision,
               end_of_initial ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    if (w->c->media == MEDIA_PROTOBUF) {
        OWN(buf_done) struct buf object = {0};
        buf_printf(&object, "{\"metadata\":%s}", meta.p);
        put_protobuf_frame(w, b, "BOOKMARK", buf_view(&object));
        return;
    }
    buf_str(b, "{\"type\":\"BOOKMARK\",\"object\":");
    if (w->c->form == ANSWER_PARTIAL) {
        partial_encode(b, SLICE("{}"), meta.p, w->c->form_version);
    } else if (w->c->form == ANSWER_TABLE) {
        buf_printf(b,
                   "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",\"metadata\":%s,"
                   "\"columnDefinitions\":null,\"rows\":[]}",
                   str_or(w->c->form_version, "v1"), meta.p);
    } else {
        buf_printf(b, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":%s}", k->kind,
                   api_kind_api_version(k), meta.p);
    }
    buf_str(b, "}\n");
}
