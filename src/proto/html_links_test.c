#include "proto/html_links.h"

#include "base/test.h"

#include "base/own.h"

static const struct {
    const char *page, *want;
} pages[] = {
    {"<a href=\"/rewriteme\">test</a>", "<a href=\"/p/q/rewriteme\">test</a>"},
    {"<A HREF='/x'><img src=/y.png>", "<A HREF='/p/q/x'><img src=/p/q/y.png>"},
    {"<a href=\"//other/x\">", "<a href=\"//other/x\">"},
    {"<a href=\"x\" title=\"/y\">", "<a href=\"x\" title=\"/y\">"},
    {"<a href=\"https://h/x\">", "<a href=\"https://h/x\">"},
    {"<form method=post action = \"/f\">", "<form method=post action = \"/p/q/f\">"},
    {"href=\"/x\" <b>1 = /2</b>", "href=\"/x\" <b>1 = /2</b>"},
    {"<!-- <a href=\"/x\"> > --><a href=\"/\">", "<!-- <a href=\"/x\"> > --><a href=\"/p/q/\">"},
    {"<a data-href=\"/x\" b href=\"/y\">", "<a data-href=\"/x\" b href=\"/p/q/y\">"},
    {"<a title=\"a > href=/x\" href=\"/y\"/>", "<a title=\"a > href=/x\" href=\"/p/q/y\"/>"},
    {"<script src=\"/", "<script src=\"/"},
    {"<a href=\"\"><a href=\"/z\">", "<a href=\"\"><a href=\"/p/q/z\">"},
};

TEST(links_of_a_page_move_below_the_prefix) {
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        OWN(buf_done) struct buf out = {0};
        struct html_links h = {.prefix = "/p/q"};
        html_links_feed(&h, slice_of(pages[i].page), &out);
        html_links_end(&h, &out);
        assert_string_equal(out.p, pages[i].want);
    }
}

TEST(links_move_the_same_way_when_the_page_comes_byte_by_byte) {
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        OWN(buf_done) struct buf out = {0};
        struct html_links h = {.prefix = "/p/q"};
        for (const char *p = pages[i].page; *p; p++) html_links_feed(&h, slice_from(p, 1), &out);
        html_links_end(&h, &out);
        assert_string_equal(out.p, pages[i].want);
    }
}
