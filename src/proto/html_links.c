#include "proto/html_links.h"

#include "base/own.h"

/* Attributes that hold a URL (HTML living standard, index of attributes). */
static const char *const url_attributes[] = {"action",     "background", "cite", "data",
                                             "formaction", "href",       "icon", "longdesc",
                                             "manifest",   "poster",     "src",  "usemap"};

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool holds_url(const struct html_links *h) {
    struct slice name = slice_from(h->name, h->name_n);
    for (size_t i = 0; i < ARRAY_LEN(url_attributes); i++)
        if (slice_ieq(name, url_attributes[i])) return true;
    return false;
}

static void new_name(struct html_links *h) {
    h->name_n = 0;
    h->after_name = false;
}

static void in_tag(struct html_links *h, char c) {
    if (c == '>') {
        h->state = HTML_TEXT;
    } else if (c == '=') {
        h->state = HTML_EQUALS;
    } else if (is_space(c) || c == '/') {
        h->after_name = true;
    } else {
        if (h->after_name) new_name(h);
        /* A name that is too long stays at its full length and is none of ours. */
        if (h->name_n < sizeof h->name) h->name[h->name_n++] = c;
        if (h->name_n == 3 && h->name[0] == '!' && h->name[1] == '-' && h->name[2] == '-') {
            h->state = HTML_COMMENT;
            h->dashes = 0;
        }
    }
}

static void in_comment(struct html_links *h, char c) {
    if (c == '>' && h->dashes >= 2)
        h->state = HTML_TEXT;
    else
        h->dashes = c == '-' ? (unsigned char)MIN_OF(h->dashes + 1, 2) : 0;
}

static void in_value(struct html_links *h, char c) {
    if (h->quote ? c == h->quote : is_space(c)) {
        h->state = HTML_TAG;
        new_name(h);
    } else if (!h->quote && c == '>') {
        h->state = HTML_TEXT;
    }
}

/* The first character of a value. True: it is held back. */
static bool begins_value(struct html_links *h, char c) {
    if (is_space(c)) return false;
    if ((c == '"' || c == '\'') && !h->quote) {
        h->quote = c;
        return false;
    }
    h->state = HTML_VALUE;
    if (c == '/' && holds_url(h)) {
        h->state = HTML_SLASH;
        return true;
    }
    in_value(h, c);
    return false;
}

static void one(struct html_links *h, char c, struct buf *out) {
    switch (h->state) {
    case HTML_TEXT:
        if (c == '<') {
            h->state = HTML_TAG;
            h->quote = 0;
            new_name(h);
        }
        break;
    case HTML_TAG:
        in_tag(h, c);
        if (h->state == HTML_EQUALS) h->quote = 0;
        break;
    case HTML_EQUALS:
        if (begins_value(h, c)) return;
        break;
    case HTML_SLASH: /* //host is another place */
        if (c != '/') buf_str(out, h->prefix);
        buf_char(out, '/');
        h->state = HTML_VALUE;
        in_value(h, c);
        break;
    case HTML_VALUE: in_value(h, c); break;
    case HTML_COMMENT: in_comment(h, c); break;
    }
    buf_char(out, c);
}

void html_links_feed(struct html_links *h, struct slice page, struct buf *out) {
    for (size_t i = 0; i < page.n; i++) one(h, page.p[i], out);
}

void html_links_end(struct html_links *h, struct buf *out) {
    if (h->state == HTML_SLASH) buf_char(out, '/');
    h->state = HTML_TEXT;
}
