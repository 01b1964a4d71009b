#include "api/custom/custom.h"

#include "api/custom/definition.h"
#include "base/own.h"
#include "base/test.h"

/* JSON with ' for ". */
static struct slice json(struct arena *a, const char *text) {
    char *copy = arena_str(a, text);
    for (char *p = copy; *p; p++)
        if (*p == '\'') *p = '"';
    return slice_of(copy);
}

static struct value parse(struct arena *a, const char *text) {
    struct value v = {0};
    struct err err = {0};
    if (value_parse(a, json(a, text), "", NULL, &v, &err) < 0) fail_msg("%s: %s", text, err.text);
    return v;
}

static const char *text_of(struct arena *a, const struct value *v) {
    OWN(buf_done) struct buf b = {0};
    value_encode(&b, v);
    for (size_t i = 0; i < b.n; i++)
        if (b.p[i] == '"') b.p[i] = '\'';
    return arena_strn(a, buf_view(&b));
}

static struct schema *schema_of(struct arena *a, const char *text) {
    struct value v = parse(a, text);
    struct schema *s = NULL;
    struct err err = {0};
    if (schema_build(a, &v, &s, &err) < 0) fail_msg("%s: %s", text, err.text);
    return s;
}

TEST(value_is_canonical) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{'b':1,'a':[true,null,'x'],'aa':1.50}", "{'a':[true,null,'x'],'aa':1.5,'b':1}"},
        {"{'a':9007199254740993}", "{'a':9007199254740993}"},
        {"{'a':1e2}", "{'a':100}"},
        {"{'a':1,'b':2,'a':3}", "{'a':3,'b':2}"},
        {"[]", "[]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct value v = parse(a, cases[i].in);
        assert_string_equal(text_of(a, &v), cases[i].out);
    }
}

TEST(value_tells_repeated_keys_with_their_path) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct str_list found = {0};
    struct value v;
    assert_int_equal(
        value_parse(a, json(a, "{'s':{'l':[{'x':1,'y':1,'x':2}]}}"), "", &found, &v, NULL), 0);
    assert_int_equal(found.n, 1);
    assert_string_equal(found.v[0], "duplicate field \"s.l[0].x\"");
}

TEST(value_set_keeps_members_sorted) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct value v = {.kind = VALUE_OBJECT}, one = {.kind = VALUE_INT, .integer = 1};
    static const char *const keys[] = {"m", "a", "z", "b", "m", "y", "c"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) value_set(a, &v, slice_of(keys[i]), &one);
    assert_string_equal(text_of(a, &v), "{'a':1,'b':1,'c':1,'m':1,'y':1,'z':1}");
}

TEST(jsonpath_finds_the_first) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct value root = parse(a, "{'spec':{'a.b':'dotted','list':[{'n':1},{'n':2},{'n':3}]},"
                                 "'status':{'conditions':[{'type':'A','status':'F'},"
                                 "{'type':'Ready','status':'T','w':7}]}}");
    static const struct {
        const char *path, *found; /* NULL = nothing */
    } cases[] = {
        {".spec['a.b']", "'dotted'"},
        {".spec.a\\.b", "'dotted'"},
        {".spec.list[0].n", "1"},
        {".spec.list[-1].n", "3"},
        {".spec.list[1:2].n", "2"},
        {".spec.list[*].n", "1"},
        {".spec.list[9].n", NULL},
        {".status.conditions[?(@.type==\"Ready\")].status", "'T'"},
        {".status.conditions[?(@.type=='Ready')].status", "'T'"},
        {".status.conditions[?(@.w)].type", "'Ready'"},
        {".status.conditions[?(@.w > 7)].type", NULL},
        {".status.conditions[?(@.w >= 7)].type", "'Ready'"},
        {"..w", "7"},
        {".nothing.here", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct jsonpath *p;
        struct err err;
        if (jsonpath_parse(a, cases[i].path, &p, &err) < 0) fail_msg("%s", err.text);
        const struct value *v = jsonpath_first(p, &root);
        const char *found = v ? text_of(a, v) : NULL;
        if (!str_eq(found, cases[i].found)) fail_msg("%s: %s", cases[i].path, found);
    }
    static const char *const bad[] = {"x", ".a[", ".a[?(@.b", ".a['b", ".a[x]"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct jsonpath *p;
        assert_true(jsonpath_parse(a, bad[i], &p, NULL) < 0);
    }
}

TEST(prune_and_default) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const struct {
        const char *schema, *in, *out;
    } cases[] = {
        {"{'type':'object','properties':{'a':{'type':'string'}}}", "{'a':'x','b':1,'metadata':{}}",
         "{'a':'x','metadata':{}}"},
        {"{'type':'object','x-kubernetes-preserve-unknown-fields':true,'properties':{'a':{'type':"
         "'object'}}}",
         "{'a':{'x':1},'b':{'y':1}}", "{'a':{},'b':{'y':1}}"},
        {"{'type':'object','properties':{'m':{'type':'object','additionalProperties':{'type':"
         "'object','properties':{'k':{'type':'integer','default':3}}}}}}",
         "{'m':{'one':{'z':1},'two':{'k':1}}}", "{'m':{'one':{'k':3},'two':{'k':1}}}"},
        {"{'type':'object','properties':{'d':{'type':'object','default':{},'properties':{'e':{"
         "'type':'integer','default':1}}}}}",
         "{}", "{'d':{'e':1}}"},
        {"{'type':'object','properties':{'n':{'type':'string','nullable':true},'o':{'type':"
         "'string'},'p':{'type':'integer','default':2}}}",
         "{'n':null,'o':null,'p':null}", "{'n':null,'p':2}"},
        {"{'type':'object','properties':{'e':{'type':'object','x-kubernetes-embedded-resource':"
         "true,'properties':{'spec':{'type':'object'}}}}}",
         "{'e':{'apiVersion':'v1','kind':'X','metadata':{'name':'n'},'spec':{'q':1},'r':1}}",
         "{'e':{'apiVersion':'v1','kind':'X','metadata':{'name':'n'},'spec':{}}}"},
        {"{'type':'object','properties':{'e':{'type':'object','x-kubernetes-embedded-resource':"
         "true,'x-kubernetes-preserve-unknown-fields':true}}}",
         "{'e':{'kind':'X','metadata':{'name':'n','odd':1,'labels':{'a':'b'}},'r':1}}",
         "{'e':{'kind':'X','metadata':{'labels':{'a':'b'},'name':'n'},'r':1}}"},
        {"{'type':'object','properties':{'l':{'type':'array','items':{'type':'object',"
         "'properties':{'p':{'type':'integer','default':80}}}}}}",
         "{'l':[{},{'p':1,'q':2}]}", "{'l':[{'p':80},{'p':1}]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct schema *s = schema_of(a, cases[i].schema);
        struct value v = parse(a, cases[i].in);
        schema_prune(a, s, true, &v, "", NULL);
        schema_default(a, s, &v);
        assert_string_equal(text_of(a, &v), cases[i].out);
    }
}

/* The first cause as "field: message", or "" when valid. */
static const char *check(struct arena *a, const char *schema, const char *text) {
    struct api_causes causes = {.a = a};
    struct schema *s = schema_of(a, schema);
    struct value v = parse(a, text);
    schema_validate_kubernetes(s, &v, "", &causes);
    schema_validate(s, &v, "", &causes);
    if (!causes.n) return "";
    return arena_printf(a, "%s: %s", causes.v[0].field, causes.v[0].message);
}

#define OF(s) "{'type':'object','properties':{'v':" s "}}"

TEST(schema_validates_in_upstreams_words) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const struct {
        const char *schema, *value, *cause;
    } cases[] = {
        {OF("{'type':'integer'}"), "{'v':1}", ""},
        {OF("{'type':'integer'}"), "{'v':1.0}", ""},
        {OF("{'type':'integer'}"), "{'v':1.5}",
         "v: Invalid value: \"number\": v in body must be of type integer: \"number\""},
        {OF("{'type':'string'}"), "{'v':null}",
         "v: Invalid value: \"null\": v in body must be of type string: \"null\""},
        {OF("{'type':'string','nullable':true}"), "{'v':null}", ""},
        {OF("{'type':'number','maximum':3,'exclusiveMaximum':true}"), "{'v':3}",
         "v: Invalid value: 3: v in body should be less than 3"},
        {OF("{'type':'number','minimum':0.5}"), "{'v':0.25}",
         "v: Invalid value: 0.25: v in body should be greater than or equal to 0.5"},
        {OF("{'type':'number','multipleOf':0.1}"), "{'v':0.3}", ""},
        {OF("{'type':'integer','multipleOf':5}"), "{'v':7}",
         "v: Invalid value: 7: v in body should be a multiple of 5"},
        {OF("{'type':'string','minLength':2}"), "{'v':'ä'}",
         "v: Invalid value: \"ä\": v in body should be at least 2 chars long"},
        {OF("{'type':'string','format':'date-time'}"), "{'v':'soon'}",
         "v: Invalid value: \"soon\": v in body must be of type date-time: \"soon\""},
        {OF("{'type':'string','format':'ipv4'}"), "{'v':'10.0.0.1'}", ""},
        {OF("{'type':'array','maxItems':1,'items':{'type':'integer'}}"), "{'v':[1,2]}",
         "v: Too many: 2: must have at most 1 items"},
        {OF("{'type':'array','items':{'type':'integer'}}"), "{'v':[1,'x']}",
         "v[1]: Invalid value: \"string\": v[1] in body must be of type integer: \"string\""},
        {OF("{'type':'object','required':['w']}"), "{'v':{}}", "v.w: Required value"},
        {OF("{'type':'string','enum':['a','b']}"), "{'v':'c'}",
         "v: Unsupported value: \"c\": supported values: \"a\", \"b\""},
        {OF("{'x-kubernetes-int-or-string':true,'anyOf':[{'type':'integer'},{'type':'string'}]}"),
         "{'v':'80%'}", ""},
        {OF("{'type':'integer','anyOf':[{'minimum':5},{'maximum':1}]}"), "{'v':3}",
         "<nil>: Invalid value: \"\": \"v\" must validate at least one schema (anyOf)"},
        {OF("{'type':'integer','oneOf':[{'minimum':1},{'minimum':2}]}"), "{'v':3}",
         "<nil>: Invalid value: \"\": \"v\" must validate one and only one schema (oneOf). Found 2 "
         "valid alternatives"},
        {OF("{'type':'integer','not':{'minimum':1}}"), "{'v':3}",
         "<nil>: Invalid value: \"\": \"v\" must not validate the schema (not)"},
        {OF("{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['a','b'],"
            "'items':{'type':'object'}}"),
         "{'v':[{'a':1,'b':2},{'a':1,'b':3},{'b':2,'a':1}]}",
         "v[2]: Duplicate value: map[string]interface {}{\"a\":1, \"b\":2}"},
        {OF("{'type':'object','x-kubernetes-embedded-resource':true}"), "{'v':{'kind':'X'}}",
         "v.apiVersion: Required value: must not be empty"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(check(a, cases[i].schema, cases[i].value), cases[i].cause);
}

TEST(alternatives_cannot_multiply_without_end) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    enum { LEVELS = 24 }; /* two to the 24th ways */
    for (int i = 0; i < LEVELS; i++) buf_str(&b, "{'oneOf':[{'minimum':1},");
    buf_str(&b, "{'minimum':1}");
    for (int i = 0; i < LEVELS; i++) buf_str(&b, "],'anyOf':[{'maximum':0},{'maximum':-1}]}");
    struct schema *s = schema_of(a, b.p);
    struct api_causes causes = {.a = a};
    struct value v = {.kind = VALUE_INT, .integer = 3};
    schema_validate(s, &v, "", &causes);
    assert_true(causes.n > 0);
}

TEST(formats) {
    static const struct {
        const char *format, *text;
        bool valid;
    } cases[] = {
        {"date", "2024-02-29", true},
        {"date", "2024-13-01", false},
        {"uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", true},
        {"uuid", "6ba7b810", false},
        {"cidr", "10.0.0.0/8", true},
        {"cidr", "10.0.0.0/33", false},
        {"cidr", "fe80::/10", true},
        {"hostname", "a.b-c.d", true},
        {"hostname", "-a", false},
        {"email", "a@b.example", true},
        {"email", "ab.example", false},
        {"uri", "https://x/y", true},
        {"uri", "no uri", false},
        {"byte", "aGk=", true},
        {"byte", "!", false},
        {"mac", "00:00:5e:00:53:01", true},
        {"mac", "00:00:5e", false},
        {"duration", "1h30m", true},
        {"duration", "1.5s", true},
        {"duration", "fast", false},
        {"unheard-of", "?", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (schema_format_valid(cases[i].format, slice_of(cases[i].text)) != cases[i].valid)
            fail_msg("%s %s", cases[i].format, cases[i].text);
}

/* The first cause of a schema that is not structural. */
static const char *complaint(struct arena *a, const char *schema) {
    struct api_causes causes = {.a = a};
    struct value v = parse(a, schema);
    schema_check(&v, NULL, false, "s", &causes);
    if (!causes.n) return "";
    return arena_printf(a, "%s: %s", causes.v[0].field, causes.v[0].message);
}

TEST(schemas_must_be_structural) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const struct {
        const char *schema, *complaint;
    } cases[] = {
        {OF("{'type':'string'}"), ""},
        {"{}", "s.type: Required value: must not be empty at the root"},
        {"{'type':'array','items':{'type':'string'}}",
         "s.type: Invalid value: \"array\": must be object at the root"},
        {OF("{}"),
         "s.properties[v].type: Required value: must not be empty for specified object fields"},
        {OF("{'type':'array'}"), "s.properties[v].items: Required value: must be specified"},
        {OF("{'type':'strong'}"),
         "s.properties[v].type: Unsupported value: \"strong\": supported values: \"array\", "
         "\"boolean\", \"integer\", \"number\", \"object\", \"string\""},
        {OF("{'type':'string','$ref':'#/x'}"),
         "s.properties[v].$ref: Forbidden: $ref is not supported"},
        {OF("{'type':'string','anyOf':[{'type':'string'}]}"),
         "s.properties[v].anyOf[0].type: Forbidden: must be empty to be structural"},
        {OF("{'x-kubernetes-int-or-string':true,'anyOf':[{'type':'integer'},{'type':'string'}]}"),
         ""},
        {OF("{'x-kubernetes-int-or-string':true,'allOf':[{'anyOf':[{'type':'integer'},{'type':"
            "'string'}]},{'minimum':1}]}"),
         ""},
        {"{'type':'object','allOf':[{'properties':{'w':{'minimum':1}}}]}",
         "s.properties[w]: Required value: because it is defined in s.allOf[0].properties[w]"},
        {OF("{'type':'array','x-kubernetes-list-type':'map','items':{'type':'object'}}"),
         "s.properties[v].x-kubernetes-list-map-keys: Required value: must not be empty if "
         "x-kubernetes-list-type is map"},
        {"{'type':'object','properties':{'metadata':{'type':'object','properties':{'labels':{"
         "'type':'object'}}}}}",
         "s.properties[metadata]: Forbidden: must not specify anything other than name and "
         "generateName, but metadata is implicitly specified"},
        {OF("{'type':'object','additionalProperties':{'type':'string'},'properties':{'a':{'type':"
            "'string'}}}"),
         "s.properties[v].additionalProperties: Forbidden: additionalProperties and properties are "
         "mutual exclusive"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(complaint(a, cases[i].schema), cases[i].complaint);
}

/* ---- kinds ---- */

static const char widgets[] =
    "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition','metadata':{'name':"
    "'widgets.example.org'},'spec':{'group':'example.org','scope':'Namespaced','names':{'plural':"
    "'widgets','kind':'Widget','singular':'widget','listKind':'WidgetList'},'versions':[{'name':"
    "'v1','served':true,'storage':true,'subresources':{'status':{}},'selectableFields':[{'jsonPath'"
    ":'.spec.n'}],'additionalPrinterColumns':[{'name':'N','type':'integer','jsonPath':'.spec.n'}],"
    "'schema':{'openAPIV3Schema':{'type':'object','properties':{'spec':{'type':'object',"
    "'properties':{'n':{'type':'integer','default':1,'maximum':9}}}}}}},{'name':'v2','served':true,"
    "'storage':false,'schema':{'openAPIV3Schema':{'type':'object',"
    "'x-kubernetes-preserve-unknown-fields':true}}}]}}";

static struct custom_set *widget_set(struct arena *a) {
    const struct api_kind *k =
        api_kind_by_name("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    struct api_object *o;
    struct custom_set *set = NULL;
    struct err err = {0};
    if (api_object_decode(a, k, json(a, widgets), &o, &err) < 0) fail_msg("%s", err.text);
    const struct apiextensions_v1_custom_resource_definition *d = (const void *)o;
    if (custom_set_new(d, &d->spec.names, &set, &err) < 0) fail_msg("%s", err.text);
    return set;
}

TEST(kinds_of_run_time_are_found_like_those_of_the_tables) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct custom_set *set = widget_set(a);
    size_t before, with;
    api_kinds(&before);
    api_kind_add(&set->versions.v[0]->kind);
    api_kinds(&with);
    assert_int_equal(with, before + 1);
    assert_ptr_equal(api_kind_by_plural("example.org", "v1", "widgets"), &set->versions.v[0]->kind);
    assert_non_null(api_kind_by_api_version("example.org/v1", "Widget"));
    api_kind_remove(&set->versions.v[0]->kind);
    api_kinds(&with);
    assert_int_equal(with, before);
    assert_null(api_kind_by_name("example.org", "v1", "Widget"));
    custom_set_unref(set);
}

static struct api_object *read_object(struct arena *a, const struct api_kind *k, const char *text,
                                      enum api_unknown unknown, struct err *err) {
    struct api_decode_opts opts = {.unknown = unknown};
    void *o;
    if (api_decode(a, k->type, json(a, text), &opts, &o, err) < 0) return NULL;
    return custom_read(a, k, o, &opts, err) < 0 ? NULL : o;
}

TEST(custom_objects_become_canonical) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct custom_set *set = widget_set(a);
    const struct api_kind *k = &set->versions.v[0]->kind;
    struct err err = {0};
    struct api_object *o = read_object(a, k,
                                       "{'kind':'Widget','zz':1,'spec':{'odd':2},'apiVersion':"
                                       "'example.org/v1','metadata':{'name':'w'}}",
                                       API_UNKNOWN_IGNORE, &err);
    api_object_encode(&b, k, o);
    assert_string_equal(b.p, json(a, "{'apiVersion':'example.org/v1','kind':'Widget','metadata':{"
                                     "'name':'w'},'spec':{'n':1}}")
                                 .p);
    assert_null(
        read_object(a, k, "{'zz':1,'spec':{'odd':2,'n':1,'n':2}}", API_UNKNOWN_STRICT, &err));
    assert_string_equal(err.text,
                        "Widget in version \"v1\" cannot be handled as a Widget: strict decoding "
                        "error: duplicate field \"spec.n\", unknown field \"spec.odd\", unknown "
                        "field \"zz\"");
    custom_set_unref(set);
}

TEST(stored_bytes_take_the_form_of_the_version_asked_for) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct custom_set *set = widget_set(a);
    const struct api_kind *v1 = &set->versions.v[0]->kind, *v2 = &set->versions.v[1]->kind;
    struct slice stored = json(a, "{'apiVersion':'example.org/v1','kind':'Widget','metadata':{"
                                  "'resourceVersion':'7'},'spec':{}}");
    assert_ptr_equal(custom_form(a, v1, stored).p, stored.p); /* sent as they are */
    assert_true(slice_eq(custom_form(a, v2, stored),
                         json(a, "{'apiVersion':'example.org/v2','kind':'Widget','metadata':{"
                                 "'resourceVersion':'7'},'spec':{}}")));
    set->complete_since = 8; /* written before the schema had its default */
    assert_true(slice_eq(custom_form(a, v1, stored),
                         json(a, "{'apiVersion':'example.org/v1','kind':'Widget','metadata':{"
                                 "'resourceVersion':'7'},'spec':{'n':1}}")));
    custom_set_unref(set);
}

TEST(what_was_wrong_before_and_is_untouched_is_let_through) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct custom_set *set = widget_set(a);
    const struct api_kind *k = &set->versions.v[0]->kind;
    struct api_object *old, *now;
    struct api_causes causes = {.a = a};
    api_object_decode(a, k, json(a, "{'metadata':{},'spec':{'n':99}}"), &old, NULL);
    api_object_decode(a, k, json(a, "{'metadata':{'labels':{'a':'b'}},'spec':{'n':99}}"), &now,
                      NULL);
    custom_validate(k, now, old, &causes);
    assert_int_equal(causes.n, 0);
    custom_validate(k, now, NULL, &causes);
    assert_int_equal(causes.n, 1);
    custom_set_unref(set);
}

TEST(shapes_come_from_the_schema) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct custom_set *set = widget_set(a);
    struct shape root = custom_shape(&set->versions.v[0]->kind), spec, n, none;
    assert_int_equal(shape_kind(root), SHAPE_STRUCT);
    assert_true(shape_field(root, SLICE("spec"), NULL, &spec));
    assert_true(shape_field(spec, SLICE("n"), NULL, &n));
    assert_int_equal(shape_kind(n), SHAPE_SCALAR);
    assert_false(shape_field(spec, SLICE("odd"), NULL, &none));
    assert_true(shape_field(custom_shape(&set->versions.v[1]->kind), SLICE("any"), NULL, &none));
    assert_int_equal(shape_kind(none), SHAPE_DEDUCED);
    custom_set_unref(set);
}
