#include "proto/yaml_write.h"

#include <string.h>

#include "base/own.h"
#include "proto/json.h"

struct writer {
    struct buf *out;
    struct arena *a;
    struct json_reader r;
};

/* Words and shapes that some reader of YAML takes for something else than a string are quoted. */
static bool is_plain(struct slice s) {
    static const char *const words[] = {"true", "false", "yes", "no", "on",
                                        "off",  "null",  "y",   "n"};
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_/";
    static const char more[] = "0123456789.-";
    if (!s.n || !strchr(first, s.p[0])) return false;
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || (!strchr(first, s.p[i]) && !strchr(more, s.p[i]))) return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_ieq(s, words[i])) return false;
    return true;
}

/* What JSON lets stand in a string and YAML takes for the end of a line. */
static const struct {
    const char *bytes, *escape;
} line_ends[] = {{"\xc2\x85", "\\u0085"}, {"\xe2\x80\xa8", "\\u2028"}, {"\xe2\x80\xa9", "\\u2029"}};

static size_t line_end_at(struct slice s, size_t i, struct buf *b) {
    for (size_t k = 0; k < ARRAY_LEN(line_ends); k++) {
        size_t n = strlen(line_ends[k].bytes);
        if (s.n - i < n || memcmp(s.p + i, line_ends[k].bytes, n) != 0) continue;
        buf_str(b, line_ends[k].escape);
        return n;
    }
    return 0;
}

static void put_string(struct buf *b, struct slice s) {
    if (is_plain(s)) {
        buf_slice(b, s);
        return;
    }
    OWN(buf_done) struct buf quoted = {0};
    buf_json_str(&quoted, s);
    for (size_t i = 0, n; i < quoted.n; i += n ? n : 1) {
        n = line_end_at(buf_view(&quoted), i, b);
        if (!n) buf_char(b, quoted.p[i]);
    }
}

static void put_indent(struct buf *b, unsigned indent) {
    while (indent--) buf_char(b, ' ');
}

/* Where a value stands: a part of something begins on a line of its own behind a key, and right
 * there behind a dash. */
enum place { BEHIND_KEY, BEHIND_DASH };

static int put_value(struct writer *w, unsigned indent, enum place place);

/* Depth is bounded by the reader. */
static int put_object(struct writer *w, unsigned indent, enum place place) {
    struct slice key;
    int rc;
    bool first = true;
    if (json_object_begin(&w->r) < 0) return -1;
    while ((rc = json_object_next(&w->r, w->a, &key)) > 0) {
        if (first && place == BEHIND_KEY) buf_char(w->out, '\n');
        if (!first || place == BEHIND_KEY) put_indent(w->out, indent);
        first = false;
        put_string(w->out, key);
        buf_char(w->out, ':');
        if (put_value(w, indent, BEHIND_KEY) < 0) return -1;
    }
    if (first) buf_str(w->out, place == BEHIND_KEY ? " {}\n" : "{}\n");
    return rc;
}

static int put_array(struct writer *w, unsigned indent, enum place place) {
    int rc;
    bool first = true;
    if (json_array_begin(&w->r) < 0) return -1;
    while ((rc = json_array_next(&w->r)) > 0) {
        if (first && place == BEHIND_KEY) buf_char(w->out, '\n');
        if (!first || place == BEHIND_KEY) put_indent(w->out, indent);
        first = false;
        buf_str(w->out, "- ");
        if (put_value(w, indent + 2, BEHIND_DASH) < 0) return -1;
    }
    if (first) buf_str(w->out, place == BEHIND_KEY ? " []\n" : "[]\n");
    return rc;
}

static int put_value(struct writer *w, unsigned indent, enum place place) {
    struct slice s;
    enum json_kind kind = json_peek(&w->r);
    if (kind == JSON_KIND_OBJECT)
        return put_object(w, place == BEHIND_KEY ? indent + 2 : indent, place);
    if (kind == JSON_KIND_ARRAY) return put_array(w, indent, place);
    if (place == BEHIND_KEY) buf_char(w->out, ' ');
    if (kind == JSON_KIND_STRING) {
        if (json_read_string(&w->r, w->a, &s) < 0) return -1;
        put_string(w->out, s);
    } else if (json_read_raw(&w->r, w->out) < 0) {
        return -1;
    }
    buf_char(w->out, '\n');
    return 0;
}

void yaml_from_json(struct buf *out, struct slice json, unsigned indent) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct writer w = {.out = out, .a = a};
    json_reader_init(&w.r, json);
    put_value(&w, indent, BEHIND_DASH);
}
