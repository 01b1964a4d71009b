#include "api/patch/strategic.h"

#include "api/patch/patch.h"
#include "api/types.h"
#include "base/own.h"
#include "base/test.h"

static json_t *parse(const char *text) {
    json_t *v = json_loads(text, 0, NULL);
    if (!v) fail_msg("%s", text);
    return v;
}

/* Patches of a Pod; single quotes stand for double ones. want NULL: refused with 400. */
static const struct {
    const char *doc, *patch, *want;
} cases[] = {
    /* containers merge by name, new ones first as the patch orders them */
    {"{'spec':{'containers':[{'name':'a','image':'x'},{'name':'b','image':'y'}]}}",
     "{'spec':{'containers':[{'name':'b','image':'z'}]}}",
     "{'spec':{'containers':[{'name':'a','image':'x'},{'name':'b','image':'z'}]}}"},
    {"{'spec':{'containers':[{'name':'a'}]}}", "{'spec':{'containers':[{'name':'c'}]}}",
     "{'spec':{'containers':[{'name':'c'},{'name':'a'}]}}"},
    /* kubectl's three-way patch carries the order */
    {"{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
     "{'spec':{'$setElementOrder/containers':[{'name':'b'},{'name':'c'},{'name':'a'}],"
     "'containers':[{'name':'c','image':'i'}]}}",
     "{'spec':{'containers':[{'name':'b'},{'name':'c','image':'i'},{'name':'a'}]}}"},
    {"{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
     "{'spec':{'$setElementOrder/containers':[{'name':'b'},{'name':'a'}]}}",
     "{'spec':{'containers':[{'name':'b'},{'name':'a'}]}}"},
    {"{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
     "{'spec':{'$setElementOrder/containers':[{'name':'b'}],"
     "'containers':[{'name':'a','$patch':'delete'}]}}",
     "{'spec':{'containers':[{'name':'b'}]}}"},
    {"{'spec':{'containers':[{'name':'a'}]}}",
     "{'spec':{'$setElementOrder/containers':[{'name':'a'}],'containers':[{'name':'z'}]}}", NULL},
    /* directives */
    {"{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
     "{'spec':{'containers':[{'$patch':'replace'},{'name':'c'}]}}",
     "{'spec':{'containers':[{'name':'c'}]}}"},
    {"{'spec':{'nodeName':'n','hostNetwork':true}}", "{'spec':{'$patch':'replace','hostname':'h'}}",
     "{'spec':{'hostname':'h'}}"},
    {"{'spec':{'securityContext':{'runAsUser':1}}}",
     "{'spec':{'securityContext':{'$patch':'delete'}}}", "{'spec':{'securityContext':{}}}"},
    {"{'spec':{}}", "{'spec':{'$patch':'frob'}}", NULL},
    {"{'spec':{'containers':[{'name':'a'}]}}", "{'spec':{'containers':[{'image':'x'}]}}", NULL},
    {"{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
     "{'spec':{'volumes':[{'$retainKeys':['name','hostPath'],'name':'v',"
     "'hostPath':{'path':'/x'}}]}}",
     "{'spec':{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}}"},
    {"{'spec':{'volumes':[{'name':'v'}]}}",
     "{'spec':{'volumes':[{'$retainKeys':['name'],'name':'v','hostPath':{}}]}}", NULL},
    /* primitives */
    {"{'metadata':{'finalizers':['a','b']}}", "{'metadata':{'finalizers':['c','a']}}",
     "{'metadata':{'finalizers':['c','a','b']}}"},
    {"{'metadata':{'finalizers':['a','b']}}",
     "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a']}}",
     "{'metadata':{'finalizers':['b']}}"},
    /* maps, nulls, atomic lists */
    {"{'metadata':{'labels':{'a':'1','b':'2'}}}", "{'metadata':{'labels':{'a':null,'c':'3'}}}",
     "{'metadata':{'labels':{'b':'2','c':'3'}}}"},
    {"{'spec':{'containers':[{'name':'a','args':['1','2']}]}}",
     "{'spec':{'containers':[{'name':'a','args':['3']}]}}",
     "{'spec':{'containers':[{'name':'a','args':['3']}]}}"},
    {"{'spec':{}}", "{'spec':{'dnsConfig':{'nameservers':null,'searches':['s']}}}",
     "{'spec':{'dnsConfig':{'searches':['s']}}}"},
    {"{'spec':{'containers':[{'name':'a','ports':[{'containerPort':80}]}]}}",
     "{'spec':{'containers':[{'name':'a','ports':[{'containerPort':80,'name':'http'}]}]}}",
     "{'spec':{'containers':[{'name':'a','ports':[{'containerPort':80,'name':'http'}]}]}}"},
    {"{'spec':{'containers':[{'name':'a','env':[{'name':'A','value':'1'}]}]}}",
     "{'spec':{'containers':[{'name':'a','env':[{'name':'B','value':'2'}]}]}}",
     "{'spec':{'containers':[{'name':'a','env':[{'name':'B','value':'2'},"
     "{'name':'A','value':'1'}]}]}}"},
};

static char *quotes(struct arena *a, const char *s) {
    char *out = arena_str(a, s);
    for (char *p = out; *p; p++)
        if (*p == '\'') *p = '"';
    return out;
}

TEST(strategic_patch_cases) {
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(json_decref_p) json_t *doc = parse(quotes(a, cases[i].doc));
        OWN(json_decref_p) json_t *patch = parse(quotes(a, cases[i].patch));
        OWN(json_decref_p) json_t *got = NULL;
        struct err err = {0};
        int r = patch_strategic(&core_v1_pod_type, doc, patch, &got, &err);
        if (!cases[i].want) {
            assert_true(r < 0);
            assert_int_equal(err_http(err.reason), 400);
            continue;
        }
        if (r < 0) fail_msg("%s: %s", cases[i].patch, err.text);
        OWN(json_decref_p) json_t *want = parse(quotes(a, cases[i].want));
        OWN(free_p) char *text = json_dumps(got, JSON_COMPACT);
        if (!json_equal(got, want)) fail_msg("%s\ngot  %s", cases[i].patch, text);
    }
}

TEST(strategic_patch_bounds_lists) {
    OWN(json_decref_p) json_t *doc = parse("{\"metadata\":{\"finalizers\":[]}}");
    OWN(json_decref_p) json_t *patch = parse("{\"metadata\":{\"finalizers\":[]}}");
    json_t *list = json_object_get(json_object_get(patch, "metadata"), "finalizers"), *got = NULL;
    for (int i = 0; i < 5000; i++) json_array_append_new(list, json_integer(i));
    struct err err = {0};
    assert_true(patch_strategic(&core_v1_pod_type, doc, patch, &got, &err) < 0);
    assert_int_equal(err_http(err.reason), 413);
}
