#include "proto/json_indent.h"

static void new_line(const struct json_indent *j, struct buf *out) {
    buf_char(out, '\n');
    for (unsigned i = 0; i < j->depth; i++) buf_str(out, "  ");
}

static void put_structure(struct json_indent *j, struct buf *out, char ch) {
    bool closes = ch == '}' || ch == ']', was_opened = j->opened;
    if (closes && j->depth) j->depth--;
    j->opened = false;
    if (closes ? !was_opened : was_opened) new_line(j, out);
    buf_char(out, ch);
    if (ch == ',') new_line(j, out);
    if (ch == ':') buf_char(out, ' ');
    if (ch != '{' && ch != '[') return;
    j->depth++;
    j->opened = true;
}

/* The end of the string, or of the part. */
static size_t skip_string(struct json_indent *j, struct slice part, size_t i) {
    for (; i < part.n && j->in_string; i++) {
        if (j->escaped)
            j->escaped = false;
        else if (part.p[i] == '\\')
            j->escaped = true;
        else if (part.p[i] == '"')
            j->in_string = false;
    }
    return i;
}

void json_indent(struct json_indent *j, struct buf *out, struct slice part) {
    for (size_t i = 0; i < part.n;) {
        char ch = part.p[i];
        size_t from = i++;
        if (!j->in_string && ch == '"') {
            if (j->opened) new_line(j, out);
            j->opened = false;
            j->in_string = true;
            i = skip_string(j, part, i);
            buf_slice(out, slice_from(part.p + from, i - from));
        } else if (j->in_string) {
            i = skip_string(j, part, from);
            buf_slice(out, slice_from(part.p + from, i - from));
        } else if (ch == ' ' || ch == '\n') {
            continue;
        } else if (ch == '{' || ch == '[' || ch == '}' || ch == ']' || ch == ',' || ch == ':') {
            put_structure(j, out, ch);
        } else {
            if (j->opened) new_line(j, out);
            j->opened = false;
            buf_char(out, ch);
        }
    }
}
