/*
 * Moves the links of an HTML page below a prefix while the page streams through: href="/x" becomes
 * href="PREFIX/x". Only absolute paths in the attributes that hold URLs are touched; everything
 * else passes as it came. For pages that are shown by a proxy which lives below a path.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

struct html_links {
    const char *prefix; /* without a final slash; borrowed */
    enum {
        HTML_TEXT,
        HTML_TAG,    /* between attributes, or in a name */
        HTML_EQUALS, /* behind an attribute's = */
        HTML_SLASH,  /* behind the first / of a URL */
        HTML_VALUE,
        HTML_COMMENT,
    } state;
    char quote; /* of the value; 0: none */
    char name[12];
    unsigned char name_n;
    unsigned char dashes; /* of a comment's begin or end */
    bool after_name;      /* white space came behind the name */
};

/* Appends what page becomes to out. Call once per piece. */
void html_links_feed(struct html_links *h, struct slice page, struct buf *out);
void html_links_end(struct html_links *h, struct buf *out); /* what was held back */
