/* What `atoll why` prints of a decision that is given. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/registry.h"
#include "base/own.h"
#include "base/test.h"
#include "cli/why.h"

/* What a printer writes to the standard output. */
static void printed(void (*print)(const struct why *), const struct why *w, char *out, size_t max) {
    FILE *f = tmpfile();
    assert_non_null(f);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    dup2(fileno(f), STDOUT_FILENO);
    print(w);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(f);
    size_t n = fread(out, 1, max - 1, f);
    out[n] = 0;
    fclose(f);
}

static const struct core_v1_pod *pod_of(struct arena *a, const char *spec_and_status) {
    struct api_object *o;
    struct err err;
    const char *json =
        arena_printf(a,
                     "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":"
                     "\"p\",\"namespace\":\"shop\"},%s}",
                     spec_and_status);
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Pod"), slice_of(json), &o, &err), 0);
    return (const struct core_v1_pod *)(void *)o;
}

static const struct sched_profile profile = {.name = "default-scheduler"};

#define SAYS(text, part)                                                                           \
    do {                                                                                           \
        if (!strstr(text, part)) fail_msg("does not say \"%s\":\n%s", part, text);                 \
    } while (0)

/* Twelve nodes of which two fit. */
static struct why decision(struct arena *a) {
    static struct sched_why taint = {.plugin = "TaintToleration", .n = 1};
    static struct sched_why cpu = {.plugin = "NodeResourcesFit", .n = 2};
    struct explain_node *nodes = ARENA_ARRAY(a, struct explain_node, 12);
    snprintf(taint.text[0], sizeof taint.text[0], "node(s) had untolerated taint {a: b}");
    snprintf(cpu.text[0], sizeof cpu.text[0], "Insufficient cpu");
    snprintf(cpu.text[1], sizeof cpu.text[1], "Insufficient memory");
    for (int i = 0; i < 12; i++) {
        nodes[i] = (struct explain_node){.name = arena_printf(a, "n%02d", i), .why = &cpu};
        if (i < 3) nodes[i].why = &taint;
        if (i < 10) continue;
        struct explain_score *s = ARENA_ARRAY(a, struct explain_score, 2);
        s[0] = (struct explain_score){"ImageLocality", 1, 40};
        s[1] = (struct explain_score){"NodeResourcesFit", 2, i};
        nodes[i].fits = true;
        nodes[i].scores = s;
        nodes[i].total = 40 + 2 * i;
    }
    return (struct why){
        .a = a,
        .pod =
            pod_of(a, "\"spec\":{\"priority\":7,\"priorityClassName\":\"seven\",\"containers\":[{"
                      "\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"250m\",\"memory\":"
                      "\"64Mi\"}}}]}"),
        .explanation = {.profile = &profile,
                        .nodes = nodes,
                        .n = 12,
                        .n_fit = 2,
                        .n_scores = 2,
                        .chosen = "n11"}};
}

TEST(why_prints_who_refuses_and_how_the_others_scored) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct why w = decision(a);
    char out[8192];
    printed(why_print_text, &w, out, sizeof out);
    SAYS(out, "Pod shop/p has no node yet: n11 would be the best now.");
    SAYS(out, "It asks for 250m CPU and 64 MiB of memory, has priority 7 (seven), and is placed by "
              "profile default-scheduler.");
    SAYS(out, "10 of 12 nodes do not fit:");
    SAYS(out, "NodeResourcesFit      7  Insufficient cpu, Insufficient memory (n03, n04, n05, n06, "
              "n07 and 2 more)");
    SAYS(out, "TaintToleration       3  node(s) had untolerated taint {a: b} (n00, n01, n02)");
    assert_true(strstr(out, "NodeResourcesFit ") < strstr(out, "TaintToleration "));
    SAYS(out, "2 of 12 nodes fit:");
    SAYS(out, "* n11      62  NodeResourcesFit 2×11");
    SAYS(out, "  n10      60  NodeResourcesFit 2×10");
    assert_true(strstr(out, "* n11") < strstr(out, "  n10 "));
    SAYS(out, "the same on all: ImageLocality 1×40");
    w.all = true;
    printed(why_print_text, &w, out, sizeof out);
    SAYS(out, "(n03, n04, n05, n06, n07, n08, n09)");
}

TEST(why_prints_whom_the_pod_would_push_out) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *victims[] = {"small", "other"};
    struct why w = decision(a);
    char out[8192];
    for (int i = 10; i < 12; i++)
        w.explanation.nodes[i].fits = false,
        w.explanation.nodes[i].why = w.explanation.nodes[3].why;
    w.explanation.nodes[4].victims = 2;
    w.explanation.n_fit = 0;
    w.explanation.chosen = NULL;
    w.explanation.message = "0/12 nodes are available.";
    printed(why_print_text, &w, out, sizeof out);
    SAYS(out, "Pod shop/p has no node.");
    SAYS(out, "Now: 0/12 nodes are available.");
    SAYS(out, "To remove pods of lower priority would not help.");
    w.explanation.preempts_on = "n04";
    w.explanation.victims = victims;
    w.explanation.n_victims = 2;
    printed(why_print_text, &w, out, sizeof out);
    SAYS(out, "It would take the room of others on node n04: small, other");
    SAYS(out, "Nodes where it would fit without pods of lower priority: n04 (2 pods)");
    w.explanation.barred = "not eligible due to preemptionPolicy=Never.";
    printed(why_print_text, &w, out, sizeof out);
    SAYS(out, "It may not take the room of other pods: not eligible due to "
              "preemptionPolicy=Never.");
}

TEST(why_prints_what_became_of_a_pod) {
    static const struct {
        const char *pod, *says;
    } rows[] = {
        {"\"spec\":{\"nodeName\":\"n1\"},\"status\":{\"conditions\":[{\"type\":\"PodScheduled\","
         "\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}",
         "Pod shop/p is on node n1 since 2026-01-01T00:00:00Z."},
        {"\"spec\":{\"nodeName\":\"n1\"},\"status\":{\"phase\":\"Failed\"}",
         "Pod shop/p is on node n1 (it has ended)."},
        {"\"spec\":{},\"status\":{\"phase\":\"Failed\"}",
         "Pod shop/p has no node and will get none: it has ended."},
        {"\"spec\":{\"schedulingGates\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
         "Pod shop/p has no node: it waits for 2 scheduling gates to be removed: a, b."},
        {"\"spec\":{},\"status\":{\"nominatedNodeName\":\"n3\",\"conditions\":[{\"type\":"
         "\"PodScheduled\",\"status\":\"False\",\"reason\":\"Unschedulable\",\"message\":\"no\"}]}",
         "It made room on node n3 and waits until that is free.\nReported: Unschedulable: no"},
        {"\"spec\":{\"nodeName\":\"gone\"}",
         "Pod shop/p is on node gone, which is not registered: nobody runs it."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct explain_node node = {.name = "n1", .fits = true};
        struct why w = {.a = a,
                        .pod = pod_of(a, rows[i].pod),
                        .explanation = {.profile = &profile, .nodes = &node, .n = 1}};
        char out[4096];
        printed(why_print_text, &w, out, sizeof out);
        SAYS(out, rows[i].says);
    }
}

TEST(why_names_what_holds_a_pod_that_would_fit) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct why w = decision(a);
    char out[8192];
    w.explanation.together = 3;
    printed(why_print_text, &w, out, sizeof out);
    SAYS(out, "Pod shop/p has no node yet: n11 would be the best now, but at least 3 pods of its "
              "group get nodes together or none does.");
    w.explanation.held = w.explanation.message = "its quota is used up.";
    printed(why_print_text, &w, out, sizeof out);
    SAYS(out, "Pod shop/p has no node: its quota is used up.\n");
    SAYS(out, "* n11");
    assert_null(strstr(out, "would be the best now"));
    assert_null(strstr(out, "would not help"));
    w.explanation.preempts_on = "n04";
    printed(why_print_text, &w, out, sizeof out);
    SAYS(out, "It fits on node n04 once those are gone that leave it already.");
    assert_null(strstr(out, "Nodes where"));
    w.other_scheduler = true;
    w.explanation.held = NULL;
    printed(why_print_text, &w, out, sizeof out);
    SAYS(out, "another scheduler has to place it.");
    SAYS(out, "and would be placed as follows by profile default-scheduler.");
}

TEST(why_prints_json_that_says_the_same) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct why w = decision(a);
    char out[16384];
    printed(why_print_json, &w, out, sizeof out);
    json_t *root = json_loads(out, 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "best")), "n11");
    assert_true(json_is_null(json_object_get(root, "preemptsOn")));
    const json_t *nodes = json_object_get(root, "nodes");
    assert_int_equal(json_array_size(nodes), 12);
    const json_t *first = json_array_get(nodes, 0), *last = json_array_get(nodes, 11);
    assert_string_equal(json_string_value(json_object_get(first, "filter")), "TaintToleration");
    assert_int_equal(json_array_size(json_object_get(first, "reasons")), 1);
    assert_int_equal(json_integer_value(json_object_get(last, "total")), 62);
    const json_t *score = json_array_get(json_object_get(last, "scores"), 1);
    assert_int_equal(json_integer_value(json_object_get(score, "weight")), 2);
    assert_int_equal(json_integer_value(json_object_get(score, "score")), 11);
    json_decref(root);
}
