#include "api/kinds/kinds_test.h"
#include "api/rules/topology_graph.h"

#define SP "sp.atoll.dev/v1"
#define TOPOLOGY(spec) "{'metadata':{'name':'x'},'spec':{" spec "}}"
#define PIN "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

TEST(topology_needs_nothing_but_its_pattern) {
    static const char *const patterns[][2] = {
        {"bus", "drop-oldest"},    {"pair", "block"},   {"pipeline", "block"},
        {"pubsub", "drop-oldest"}, {"reqrep", "block"}, {"survey", "drop-oldest"},
    };
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        const char *json =
            arena_printf(a, "{'metadata':{'name':'x'},'spec':{'pattern':'%s'}}", patterns[i][0]);
        struct api_object *o = test_load(a, SP, "Topology", json);
        const struct sp_v1_topology *t = (const struct sp_v1_topology *)o;
        assert_string_equal(test_causes(a, SP, "Topology", o, NULL), "");
        assert_string_equal(t->spec.queue.policy, patterns[i][1]);
        assert_int_equal(t->spec.queue.messages, 1000);
        assert_int_equal(t->spec.queue.bytes, 1048576);
        assert_int_equal(t->spec.max_message_bytes, 1048576);
        assert_int_equal(t->spec.ttl, 8);
        assert_int_equal(*t->spec.linger_ms, 1000);
    }
}

TEST(topology_whole_is_fine) {
    static const struct validation cases[] = {
        {SP, "Topology",
         TOPOLOGY("'pattern':'pubsub','organisation':'news','roles':[{'name':'pub','owner':'feed',"
                  "'group':'7','mode':432}],'access':[{'roles':['pub'],'users':['feed','1000']},{"
                  "'roles':['sub'],'serviceAccounts':[{'namespace':'n','name':'trader'}],"
                  "'namespaces':['*']}],'filters':[{'prefix':'NASDAQ/'},{'name':'all-of-b','prefix'"
                  ":'B%00'}],'edges':[{'name':'exchange','role':'sub','dial':'tcp://10.0.0.1:5000',"
                  "'forwarding':true,'filters':['NASDAQ'],'priority':3,'rate':{'bytesPerSecond':9}}"
                  "],'exports':[{'name':'bank','organisation':'bank','listen':'tls+tcp://*:6000',"
                  "'peer':{'identity':'sp.bank.example','keyPin':'" PIN "'},'policy':'drop-newest'"
                  "}],'identity':{'certificateFile':'own.pem','keyFile':'own.key'},'retain':5,"
                  "'lingerMs':0,'queue':{'policy':'block','blockTimeoutMs':10}"),
         ""},
        {SP, "Topology",
         TOPOLOGY("'pattern':'bus','edges':[{'name':'a','listen':'ipc:///run/a'},{'name':'b',"
                  "'dial':'ws://h:80/x'}]"),
         ""},
        {SP, "Topology",
         TOPOLOGY("'pattern':'reqrep','imports':[{'name':'a','organisation':'o','policy':"
                  "'disconnect','dial':'tls+tcp://h:1','peer':{'caBundle':"
                  "'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t'}}]"),
         ""},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(topology_says_what_is_wrong) {
    static const struct validation cases[] = {
        {SP, "Topology", TOPOLOGY(""), "spec.pattern: Required value"},
        {SP, "Topology", TOPOLOGY("'pattern':'pubsup'"),
         "spec.pattern: Unsupported value: \"pubsup\": supported values: \"bus\", \"pair\", "
         "\"pipeline\", \"pubsub\", \"reqrep\", \"survey\""},
        {SP, "Topology",
         TOPOLOGY("'pattern':'pipeline','roles':[{'name':'pub'},{'name':'push','owner':'a b',"
                  "'group':'4294967295'}],'access':[{'roles':['sub']}],'filters':[{'prefix':'x'}],"
                  "'retain':1,'queue':{'policy':'conflate'}"),
         "spec.roles[0].name: Unsupported value: \"pub\": supported values: \"push\", \"pull\"\n"
         "spec.roles[1].owner: Invalid value: \"a b\": must be the name or number of a user or "
         "group\n"
         "spec.roles[1].group: Invalid value: \"4294967295\": must be between 0 and 4294967294, "
         "inclusive\n"
         "spec.access[0].roles[0]: Unsupported value: \"sub\": supported values: \"push\", "
         "\"pull\"\n"
         "spec.access[0]: Required value: names users, groups, serviceAccounts or namespaces\n"
         "spec.filters: Forbidden: only pubsub has subscriptions\n"
         "spec.retain: Forbidden: only pubsub keeps messages for later receivers\n"
         "spec.queue.policy: Invalid value: \"conflate\": each message of pipeline counts"},
        {SP, "Topology",
         TOPOLOGY("'pattern':'pubsub','filters':[{'prefix':'a/b'},{'name':'a%2Fb','prefix':'c'},{"
                  "'prefix':'%4'},{'name':'x.ipc','prefix':'x'},{'name':'a/b','prefix':'y'}]"),
         "spec.filters[1].name: Duplicate value: \"a%2Fb\"\n"
         "spec.filters[2].prefix: Invalid value: \"%4\": two hexadecimal digits must follow each "
         "%\n"
         "spec.filters[3].name: Invalid value: \"x.ipc\": must not end with .ipc, which is another "
         "door\n"
         "spec.filters[4].name: Invalid value: \"a/b\": must consist of printable ASCII characters "
         "other than space and /"},
        {SP, "Topology",
         TOPOLOGY("'pattern':'bus','ttl':16,'maxMessageBytes':67108865,'queue':{'messages':-1,"
                  "'bytes':1},'requestResendMs':1"),
         "spec.queue.messages: Invalid value: -1: must be between 1 and 1000000, inclusive\n"
         "spec.queue.bytes: Invalid value: 1: must be between 1024 and 1073741824, inclusive\n"
         "spec.maxMessageBytes: Invalid value: 67108865: must be between 1 and 67108864, "
         "inclusive\n"
         "spec.ttl: Invalid value: 16: must be between 1 and 15, inclusive\n"
         "spec.requestResendMs: Invalid value: 1: must be between 10 and 86400000, inclusive"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(topology_says_what_is_wrong_with_edges) {
    static const struct validation cases[] = {
        {SP, "Topology",
         TOPOLOGY("'pattern':'pubsub','edges':[{'name':'a','dial':'tcp://h:1'},{'name':'b','role':"
                  "'push','listen':'udp://h:1'},{'name':'c','role':'sub'},{'name':'d','role':'sub',"
                  "'listen':'tcp://*:1','dial':'tcp://h:1'},{'name':'e','role':'sub','dial':"
                  "'tcp://h:2','organisation':'o','peer':{'identity':'x'},'rate':{}}]"),
         "spec.edges[0].role: Required value\n"
         "spec.edges[1].role: Unsupported value: \"push\": supported values: \"pub\", \"sub\"\n"
         "spec.edges[1].listen: Invalid value: \"udp://h:1\": must begin with tcp://, tls+tcp://, "
         "ws://, wss://, ipc:// or inproc://\n"
         "spec.edges[2]: Required value: one of listen and dial\n"
         "spec.edges[3].dial: Forbidden: may not be given together with listen\n"
         "spec.edges[4].peer: Forbidden: only peers of tls+tcp and wss show who they are\n"
         "spec.edges[4].organisation: Forbidden: partners stand in exports and imports\n"
         "spec.edges[4].rate: Required value: messagesPerSecond or bytesPerSecond"},
        {SP, "Topology",
         TOPOLOGY("'pattern':'pubsub','edges':[{'name':'a','role':'sub','dial':'tcp://h:1'},{"
                  "'name':'b','role':'pub','dial':'tcp://h:1'}],'exports':[{'name':'a','listen':"
                  "'tls+tcp://*:1','organisation':'o','peer':{'caFile':'o.pem'}}]"),
         "spec.edges[1].dial: Duplicate value: \"tcp://h:1\"\n"
         "spec.exports[0].name: Duplicate value: \"a\""},
        {SP, "Topology",
         TOPOLOGY("'pattern':'pubsub','queue':{'policy':'block'},'exports':[{'name':'a','listen':"
                  "'tcp://*:1','role':'sub'}],'imports':[{'name':'b','organisation':'local','dial':"
                  "'tls+tcp://h:2','policy':'block','peer':{'caBundle':'eA==','caFile':'../x'}}]"),
         "spec.exports[0].role: Unsupported value: \"sub\": supported values: \"pub\"\n"
         "spec.exports[0].listen: Invalid value: \"tcp://*:1\": must be tls+tcp or wss between "
         "organisations\n"
         "spec.exports[0].peer: Required value: names keyPin, caBundle or caFile of the partner\n"
         "spec.exports[0].policy: Forbidden: queue.policy is block, by which one organisation "
         "could hold up another: give a policy of its own here\n"
         "spec.exports[0].organisation: Required value: the partner\n"
         "spec.imports[0].peer.caFile: Invalid value: \"../x\": must be the name of a file, "
         "without a path\n"
         "spec.imports[0].peer.caBundle: Invalid value: \"<bytes>\": must hold PEM certificates\n"
         "spec.imports[0].policy: Forbidden: block may not cross organisations: one could hold up "
         "another\n"
         "spec.imports[0].organisation: Invalid value: \"local\": must not be this one's own"},
        {SP, "Topology",
         TOPOLOGY("'pattern':'pair','edges':[{'name':'a','dial':'tcp://h:1','filters':['x'],"
                  "'forwarding':true},{'name':'b','dial':'tcp://h:2'}]"),
         "spec.edges[0].filters: Forbidden: only pubsub has subscriptions\n"
         "spec.edges[0].forwarding: Forbidden: only pubsub has subscriptions\n"
         "spec.edges: Forbidden: a pair has one peer"},
        {SP, "Topology",
         TOPOLOGY("'pattern':'pubsub','edges':[{'name':'a','role':'pub','listen':'tcp://*:7'},{"
                  "'name':'b','role':'sub','dial':'tcp://localhost:7'}]"),
         "spec.edges[1].dial: Forbidden: closes a cycle: x → x"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

static const struct sp_v1_topology *load(struct arena *a, const char *name, const char *pattern,
                                         const char *edges) {
    const char *json = arena_printf(
        a, "{'metadata':{'name':'%s'},'spec':{'pattern':'%s','edges':[%s]}}", name, pattern, edges);
    return (const struct sp_v1_topology *)test_load(a, SP, "Topology", json);
}

#define EDGE(name, role, way, address)                                                             \
    "{'name':'" name "','role':'" role "','" way "':'tcp://127.0.0.1:" address "'}"

TEST(topologies_may_not_feed_each_other_in_a_circle) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *field = NULL;
    const struct sp_v1_topology *b = load(
        a, "b", "pubsub", EDGE("in", "sub", "dial", "1") "," EDGE("out", "pub", "listen", "2"));
    const struct sp_v1_topology *c = load(
        a, "c", "pubsub", EDGE("in", "sub", "dial", "2") "," EDGE("out", "pub", "listen", "3"));
    const struct sp_v1_topology *old = load(a, "a", "pubsub", EDGE("out", "pub", "dial", "1"));
    const struct sp_v1_topology *others[] = {b, c, old};
    const struct sp_v1_topology *line = load(a, "a", "pubsub", EDGE("out", "pub", "listen", "1"));
    assert_null(topology_cycle(a, line, others, 3, &field));
    const struct sp_v1_topology *ring = load(
        a, "a", "pubsub", EDGE("out", "pub", "listen", "1") "," EDGE("in", "sub", "dial", "3"));
    assert_string_equal(topology_cycle(a, ring, others, 3, &field),
                        "closes a cycle: a → b → c → a");
    assert_string_equal(field, "spec.edges[0].listen");
    /* A diamond is no circle: messages flow one way only. */
    const struct sp_v1_topology *diamond =
        load(a, "d", "pubsub", EDGE("x", "sub", "dial", "2") "," EDGE("y", "sub", "dial", "3"));
    assert_null(topology_cycle(a, diamond, others, 2, &field));
    /* Another pattern at the same address is an error of the peers, no cycle. */
    const struct sp_v1_topology *push = load(
        a, "a", "pipeline", EDGE("o", "push", "listen", "1") "," EDGE("i", "pull", "dial", "3"));
    assert_null(topology_cycle(a, push, others, 3, &field));
}

TEST(buses_may_not_meet_twice) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *field = NULL;
    const struct sp_v1_topology *b =
        load(a, "b", "bus", EDGE("x", "bus", "listen", "1") "," EDGE("y", "bus", "listen", "2"));
    const struct sp_v1_topology *c = load(a, "c", "bus", EDGE("x", "bus", "dial", "2"));
    const struct sp_v1_topology *others[] = {b, c};
    const struct sp_v1_topology *once = load(a, "a", "bus", EDGE("x", "bus", "dial", "1"));
    assert_null(topology_cycle(a, once, others, 2, &field));
    const struct sp_v1_topology *twice =
        load(a, "a", "bus", EDGE("x", "bus", "dial", "1") "," EDGE("y", "bus", "dial", "2"));
    assert_string_equal(topology_cycle(a, twice, others, 2, &field), "closes a cycle: a → b → a");
    const struct sp_v1_topology *triangle =
        load(a, "a", "bus", EDGE("x", "bus", "dial", "1") "," EDGE("y", "bus", "listen", "3"));
    const struct sp_v1_topology *closing =
        load(a, "c", "bus", EDGE("x", "bus", "dial", "2") "," EDGE("y", "bus", "dial", "3"));
    const struct sp_v1_topology *both[] = {b, closing};
    assert_string_equal(topology_cycle(a, triangle, both, 2, &field),
                        "closes a cycle: a → c → b → a");
}

TEST(filters_are_files) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const char *const cases[][3] = {
        {NULL, "NASDAQ", "NASDAQ"}, {NULL, "a/b c", "a%2Fb%20c"}, {NULL, "%00x", "%00x"},
        {"own", "a/b", "own"},      {NULL, "é", "%C3%A9"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sp_v1_topology_filter f = {.name = cases[i][0], .prefix = cases[i][1]};
        assert_string_equal(topology_filter_name(a, &f), cases[i][2]);
    }
}

TEST(rows_of_topologies) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o = test_load(
        a, SP, "Topology",
        "{'metadata':{'name':'quotes'},'spec':{'pattern':'pubsub','edges':[{'name':'e'}]},"
        "'status':{'conditions':[{'type':'Ready','status':'True'}],'totals':{'clients':3,'links':1,"
        "'messagesPerSecond':70,'dropped':2}}}");
    assert_string_equal(test_row(a, SP, "Topology", o),
                        "quotes|pubsub|True|1/1|3|70|2|<unknown>|drop-oldest|pub,sub");
}
