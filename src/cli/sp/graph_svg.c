/* The SVG of atoll sp graph: one row of boxes for each topology. */
#include "base/own.h"
#include "cli/sp/sp_cli.h"

enum { LABEL_W = 380, CENTRE_W = 220, GAP_W = 110, ROW_H = 34, BOX_H = 24, PAD = 16 };
enum { WIDTH = 2 * LABEL_W + CENTRE_W + 2 * GAP_W + 2 * PAD };

static void text_escape(struct buf *out, const char *s) {
    for (; *s; s++) {
        const char *as = *s == '<' ? "&lt;" : *s == '>' ? "&gt;" : *s == '&' ? "&amp;" : NULL;
        if (*s == '"') as = "&quot;";
        if ((unsigned char)*s < ' ') as = " ";
        if (as)
            buf_str(out, as);
        else
            buf_char(out, *s);
    }
}

static void box(struct buf *out, int x, int y, int w, const char *text, const char *class) {
    buf_printf(out, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\"/>",
               class, x, y, w, BOX_H);
    buf_printf(out, "<text x=\"%d\" y=\"%d\">", x + w / 2, y + BOX_H / 2 + 4);
    text_escape(out, text);
    buf_str(out, "</text>\n");
}

static void line(struct buf *out, int x1, int y1, int x2, int y2, bool bad) {
    buf_printf(out,
               "<path class=\"%s\" d=\"M%d %d C%d %d %d %d %d %d\" marker-end=\"url(#arrow)\"/>\n",
               bad ? "broken" : "way", x1, y1, (x1 + x2) / 2, y1, (x1 + x2) / 2, y2, x2, y2);
}

static int topology_draw(struct arena *a, const struct sp_view *v, int top, struct buf *out) {
    struct sp_sides s;
    sp_graph_sides(a, v, &s);
    int rows = (int)MAX_OF(MAX_OF(s.left.n, s.right.n), (size_t)1);
    int middle = top + rows * ROW_H / 2, half = BOX_H / 2;
    int centre_x = PAD + LABEL_W + GAP_W, right_x = centre_x + CENTRE_W + GAP_W;
    for (size_t i = 0; i < s.left.n; i++) {
        int y = middle - (int)s.left.n * ROW_H / 2 + (int)i * ROW_H + (ROW_H - BOX_H) / 2;
        box(out, PAD, y, LABEL_W, s.left.v[i].text, s.left.v[i].bad ? "bad" : "peer");
        line(out, PAD + LABEL_W, y + half, centre_x - 2, middle, s.left.v[i].bad);
    }
    for (size_t i = 0; i < s.right.n; i++) {
        int y = middle - (int)s.right.n * ROW_H / 2 + (int)i * ROW_H + (ROW_H - BOX_H) / 2;
        box(out, right_x, y, LABEL_W, s.right.v[i].text, s.right.v[i].bad ? "bad" : "peer");
        line(out, centre_x + CENTRE_W, middle, right_x - 2, y + half, s.right.v[i].bad);
    }
    box(out, centre_x, middle - half, CENTRE_W,
        arena_printf(a, "%s (%s)", v->name, sp_fact(&v->values, "pattern")), "topology");
    return rows * ROW_H;
}

void sp_graph_svg_draw(struct arena *a, const struct sp_view *v, size_t n, struct buf *out) {
    OWN(buf_done) struct buf body = {0};
    int y = PAD;
    for (size_t i = 0; i < n; i++) y += topology_draw(a, &v[i], y, &body) + PAD;
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
               "viewBox=\"0 0 %d %d\">\n",
               WIDTH, y, WIDTH, y);
    buf_str(out, "<style>text{font:12px monospace;text-anchor:middle;fill:#222}"
                 "rect{stroke:#446;fill:#f4f6fb}rect.topology{fill:#dbe7ff;stroke-width:2}"
                 "rect.bad{stroke:#b33;fill:#fdeeee}path{fill:none;stroke:#446}"
                 "path.broken{stroke:#b33;stroke-dasharray:5 4}</style>\n"
                 "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" "
                 "markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">"
                 "<path d=\"M0 0L8 4L0 8z\" style=\"fill:#446\"/></marker></defs>\n");
    buf_slice(out, buf_view(&body));
    buf_str(out, "</svg>\n");
}
