/* The insides of quoted texts (cel-spec, "String and Bytes Values"). */
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "cel/internal.h"

static void cel_put_rune(struct buf *b, uint32_t c) {
    char text[4];
    buf_append(b, text, utf8_put(text, c));
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

static bool code(struct slice s, size_t *i, unsigned n, int base, uint32_t *ret) {
    uint32_t v = 0;
    if (s.n - *i < n) return false;
    for (unsigned k = 0; k < n; k++) {
        int d = digit(s.p[*i + k]);
        if (d >= base) return false;
        v = v * (uint32_t)base + (uint32_t)d;
    }
    *i += n;
    *ret = v;
    return true;
}

/* Behind a backslash at s.p[*i - 1]. */
static bool escape(struct buf *b, struct slice s, size_t *i, bool bytes) {
    static const char names[] = "abfnrtv\\\"'`?", values[] = "\a\b\f\n\r\t\v\\\"'`?";
    static const struct {
        char letter;
        unsigned digits;
    } codes[] = {{'x', 2}, {'X', 2}, {'u', 4}, {'U', 8}};
    uint32_t rune = 0;
    if (*i >= s.n) return false;
    char c = s.p[(*i)++];
    const char *at = c ? strchr(names, c) : NULL;
    if (at) {
        buf_char(b, values[at - names]);
        return true;
    }
    bool one_byte = c == 'x' || c == 'X' || (c >= '0' && c <= '3');
    if (c >= '0' && c <= '3') {
        --*i;
        if (!code(s, i, 3, 8, &rune)) return false;
    } else {
        const unsigned *n = NULL;
        for (size_t k = 0; k < ARRAY_LEN(codes); k++)
            if (codes[k].letter == c) n = &codes[k].digits;
        if (!n || (bytes && !one_byte) || !code(s, i, *n, 16, &rune)) return false;
    }
    if (rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000)) return false;
    if (bytes)
        buf_char(b, (char)rune);
    else
        cel_put_rune(b, rune);
    return true;
}

int cel_unescape(struct arena *a, struct slice text, bool raw, bool bytes, struct slice *ret) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < text.n;) {
        char c = text.p[i++];
        if (c == '\\' && !raw) {
            if (!escape(&b, text, &i, bytes)) return -EINVAL;
        } else if (c == '\r') { /* line ends are \n */
            buf_char(&b, '\n');
            if (i < text.n && text.p[i] == '\n') i++;
        } else {
            buf_char(&b, c);
        }
    }
    if (!bytes && !cel_utf8_valid(buf_view(&b))) return -EINVAL;
    *ret = slice_from(arena_strn(a, buf_view(&b)), b.n);
    return 0;
}
