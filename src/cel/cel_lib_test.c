/* The functions of the libraries. */
#include "base/own.h"
#include "base/test.h"
#include "cel/fixture.h"

#define CASES(...)                                                                                 \
    do {                                                                                           \
        static const struct cel_case cases[] = {__VA_ARGS__};                                      \
        cel_cases(cases, ARRAY_LEN(cases), NULL);                                                  \
    } while (0)

TEST(cel_strings) {
    CASES(
        {"'hello'.contains('ell')", "true"}, {"'hello'.contains('')", "true"},
        {"'hello'.startsWith('he')", "true"}, {"'hello'.endsWith('lo')", "true"},
        {"'hello'.endsWith('hello!')", "false"}, {"'häl'.charAt(1)", "\"ä\""},
        {"'häl'.charAt(3)", "\"\""}, {"'häl'.charAt(4)", NULL, "index out of range: 4"},
        {"'hello'.indexOf('l')", "2"}, {"'hello'.indexOf('l', 3)", "3"},
        {"'hello'.indexOf('x')", "-1"}, {"'hello'.indexOf('')", "0"}, {"'häha'.indexOf('a')", "3"},
        {"'hello'.lastIndexOf('l')", "3"}, {"'hello'.lastIndexOf('l', 2)", "2"},
        {"'hello'.lastIndexOf('x')", "-1"}, {"'TaCoS ä'.lowerAscii()", "\"tacos ä\""},
        {"'taä'.upperAscii()", "\"TAä\""}, {"'hello hello'.replace('he', 'we')", "\"wello wello\""},
        {"'hello hello'.replace('he', 'we', 1)", "\"wello hello\""},
        {"'hello'.replace('he', 'we', 0)", "\"hello\""}, {"'ab'.replace('', '-')", "\"-a-b-\""},
        {"'a,b,c'.split(',')", "[\"a\",\"b\",\"c\"]"}, {"'a,b,c'.split(',', 2)", "[\"a\",\"b,c\"]"},
        {"'a,b,c'.split(',', 0)", "[]"}, {"'aä'.split('')", "[\"a\",\"ä\"]"},
        {"''.split(',')", "[\"\"]"}, {"'tacocat'.substring(4)", "\"cat\""},
        {"'tacocat'.substring(0, 4)", "\"taco\""},
        {"'tacocat'.substring(2, 1)", NULL, "invalid substring range"},
        {"'tacocat'.substring(8)", NULL, "index out of range: 8"},
        {"'  \\ta b\\n'.trim()", "\"a b\""}, {"'\\u3000x\\u00a0'.trim()", "\"x\""},
        {"'aäb'.reverse()", "\"bäa\""}, {"['a', 'b'].join()", "\"ab\""},
        {"['a', 'b'].join('-')", "\"a-b\""}, {"[].join('-')", "\"\""},
        {"strings.quote('a\"b\\n')", "\"\\\"a\\\\\\\"b\\\\n\\\"\""},
        {"base64.encode(b'hello')", "\"aGVsbG8=\""},
        {"string(base64.decode('aGVsbG8='))", "\"hello\""}, {"base64.decode('!')", NULL, "base64"});
}

TEST(cel_format) {
    CASES({"'%s %d %f'.format(['a', 1, 1.5])", "\"a 1 1.500000\""},
          {"'%.2f'.format([1.005])", "\"1.00\""},
          {"'%x %X %o %b'.format([255, 255, 8, 5])", "\"ff FF 10 101\""},
          {"'%e'.format([1234.5])", "\"1.234500e+03\""}, {"'%%'.format([])", "\"%\""},
          {"'%s'.format([[1, 2]])", "\"[1, 2]\""}, {"'%s'.format([{'a': 'b'}])", "\"{a: b}\""},
          {"'%s %s'.format([true, null])", "\"true null\""}, {"'%x'.format(['ab'])", "\"6162\""},
          {"'%b'.format([true])", "\"1\""}, {"'%s'.format([1.5])", "\"1.5\""},
          {"'%s'.format([])", NULL, "index 0 out of range"},
          {"'%q'.format([1])", NULL, "unrecognized formatting clause"},
          {"'%d'.format(['a'])", NULL, "error during formatting"},
          {"'%s'.format([type(1)])", "\"int\""}, {"'%s'.format([duration('90s')])", "\"90s\""});
}

TEST(cel_lists) {
    CASES({"[1, 2, 3].isSorted()", "true"}, {"[1, 3, 2].isSorted()", "false"},
          {"['a', 'b'].isSorted()", "true"}, {"[].isSorted()", "true"}, {"[1, 3].sum()", "4"},
          {"[1.0, 3.0].sum()", "4"}, {"[].sum()", "0"},
          {"[duration('1m'), duration('1s')].sum()", "\"61s\""}, {"[1, 3].min()", "1"},
          {"[1, 3].max()", "3"}, {"[].min()", NULL, "min called on empty list"},
          {"[1, 2, 2, 3].indexOf(2)", "1"}, {"[1, 2, 2, 3].lastIndexOf(2)", "2"},
          {"[1.0].indexOf(1.1)", "-1"}, {"[1, 2, 3, 4].slice(1, 3)", "[2,3]"},
          {"[1].slice(0, 2)", NULL, "list is length 1"}, {"[1].slice(1, 0)", NULL, "start index"},
          {"[3, 1, 2].sort()", "[1,2,3]"}, {"[3, 1, 3].distinct()", "[3,1]"},
          {"[[1], [2, 3]].flatten()", "[1,2,3]"}, {"[1, 2].reverse()", "[2,1]"});
}

TEST(cel_sets) {
    CASES({"sets.contains([1, 2, 3], [3, 1])", "true"}, {"sets.contains([1], [1, 2])", "false"},
          {"sets.contains([], [])", "true"}, {"sets.equivalent([1, 2], [2, 1, 1])", "true"},
          {"sets.equivalent([1], [2])", "false"}, {"sets.intersects([1, 2], [2, 3])", "true"},
          {"sets.intersects([1], [])", "false"}, {"sets.contains(self.ports, [80])", "true"});
}

TEST(cel_regex) {
    CASES({"'abc'.matches('^a.c$')", "true"}, {"'abc'.matches('x')", "false"},
          {"matches('abc', 'b')", "true"}, {"'abc'.matches(self.name)", "false"},
          {"'abc'.matches(self.name + '[')", NULL, "missing closing ]"},
          {"'a1b22'.find('[0-9]+')", "\"1\""}, {"'abc'.find('[0-9]+')", "\"\""},
          {"'a1b22'.findAll('[0-9]+')", "[\"1\",\"22\"]"},
          {"'a1b22'.findAll('[0-9]+', 1)", "[\"1\"]"}, {"'ab'.findAll('x*')", "[\"\",\"\",\"\"]"},
          {"'ab'.findAll('[0-9]+')", "[]"});
}

TEST(cel_urls) {
    CASES({"isURL('https://example.com:80/')", "true"}, {"isURL('../relative')", "false"},
          {"isURL('/path')", "true"}, {"isURL('')", "false"}, {"isURL('https://a b/')", "false"},
          {"url('https://u@example.com:80/p/a?x=1').getScheme()", "\"https\""},
          {"url('https://u@example.com:80/').getHost()", "\"example.com:80\""},
          {"url('https://example.com:80/').getHostname()", "\"example.com\""},
          {"url('https://[::1]:80/').getHostname()", "\"::1\""},
          {"url('https://[::1]:80/').getPort()", "\"80\""},
          {"url('https://example.com/').getPort()", "\"\""}, {"url('/path').getScheme()", "\"\""},
          {"url('https://e/p ath?q').getEscapedPath()", "\"/p%20ath\""},
          {"url('https://e/?k=a%20b&k=c&l').getQuery()", "{\"k\":[\"a b\",\"c\"],\"l\":[\"\"]}"},
          {"url('https://e/') == url('https://e/')", "true"},
          {"url('x')", NULL, "URL parse error"});
}

TEST(cel_quantities) {
    CASES({"isQuantity('1.5Gi')", "true"}, {"isQuantity('1.5Gx')", "false"},
          {"quantity('50k') == quantity('50000')", "true"},
          {"quantity('1Mi').isGreaterThan(quantity('1M'))", "true"},
          {"quantity('1').isLessThan(quantity('1.1'))", "true"},
          {"quantity('200M').compareTo(quantity('0.2G'))", "0"}, {"quantity('-5').sign()", "-1"},
          {"quantity('50k').add(quantity('20k')) == quantity('70k')", "true"},
          {"quantity('50k').sub(20000) == quantity('30k')", "true"},
          {"quantity('50k').asInteger()", "50000"}, {"quantity('0.5').isInteger()", "false"},
          {"quantity('0.5').asInteger()", NULL, "cannot convert value to integer"},
          {"quantity('500m').asApproximateFloat()", "0.5"},
          {"quantity('x')", NULL, "quantities must match"});
}

TEST(cel_addresses) {
    CASES({"isIP('127.0.0.1')", "true"}, {"isIP('127.0.0.256')", "false"}, {"isIP('::1')", "true"},
          {"isIP('::ffff:1.2.3.4')", "false"}, {"isIP('010.0.0.1')", "false"},
          {"ip('10.0.0.1').family()", "4"}, {"ip('::1').family()", "6"},
          {"ip('0.0.0.0').isUnspecified()", "true"}, {"ip('127.0.0.1').isLoopback()", "true"},
          {"ip('224.0.0.1').isLinkLocalMulticast()", "true"},
          {"ip('169.254.1.1').isLinkLocalUnicast()", "true"},
          {"ip('192.168.0.1').isGlobalUnicast()", "true"},
          {"ip('255.255.255.255').isGlobalUnicast()", "false"},
          {"ip.isCanonical('2001:db8::abcd')", "true"},
          {"ip.isCanonical('2001:DB8::ABCD')", "false"},
          {"string(ip('192.168.0.1'))", "\"192.168.0.1\""}, {"ip('x')", NULL, "parse error"},
          {"isCIDR('10.0.0.0/8')", "true"}, {"isCIDR('10.0.0.0/33')", "false"},
          {"isCIDR('10.0.0.0')", "false"},
          {"cidr('192.168.0.0/24').containsIP('192.168.0.5')", "true"},
          {"cidr('192.168.0.0/24').containsIP(ip('192.168.1.5'))", "false"},
          {"cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true"},
          {"cidr('10.0.0.0/8').containsCIDR(cidr('10.0.0.0/7'))", "false"},
          {"cidr('192.168.0.7/24').ip() == ip('192.168.0.7')", "true"},
          {"string(cidr('192.168.0.7/24').masked())", "\"192.168.0.0/24\""},
          {"cidr('::/0').prefixLength()", "0"}, {"cidr('10.0.0.0/8').containsIP('::1')", "false"},
          {"cidr('x/1')", NULL, "parse error"});
}

TEST(cel_math) {
    CASES({"math.greatest(1, 2)", "2"}, {"math.least(3, 2, 5)", "2"},
          {"math.greatest([4, 9, 1])", "9"}, {"math.greatest(7)", "7"},
          {"math.least(1.5, 0.5)", "0.5"}, {"math.ceil(1.2)", "2"}, {"math.floor(-1.2)", "-2"},
          {"math.round(-1.5)", "-2"}, {"math.trunc(1.9)", "1"}, {"math.abs(-5)", "5"},
          {"math.abs(-1.5)", "1.5"}, {"math.sign(-3)", "-1"}, {"math.sign(0.0)", "0"},
          {"math.isNaN(double('NaN'))", "true"}, {"math.isInf(1.0 / 0.0)", "true"},
          {"math.isFinite(1.0)", "true"}, {"math.bitAnd(6, 3)", "2"}, {"math.bitOr(6, 1)", "7"},
          {"math.bitXor(6, 3)", "5"}, {"math.bitNot(0)", "-1"}, {"math.bitShiftLeft(1, 4)", "16"},
          {"math.bitShiftRight(16, 2)", "4"}, {"math.sqrt(9.0)", "3"},
          {"math.greatest([])", NULL, "must not be empty"},
          {"math.abs(-9223372036854775808)", NULL, "integer overflow"});
}

TEST(cel_named_formats) {
    CASES({"format.dns1123Label().validate('ok').hasValue()", "false"},
          {"format.dns1123Label().validate('Not OK').hasValue()", "true"},
          {"format.dns1123Label().validate('x_y').value()[0].contains('RFC 1123 label')", "true"},
          {"format.named('uuid').value().validate('not-a-uuid').hasValue()", "true"},
          {"format.named('nothing').hasValue()", "false"},
          {"!format.dns1123LabelPrefix().validate('abc-').hasValue()", "true"},
          {"!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()", "true"},
          {"!format.date().validate('2024-02-29').hasValue()", "true"},
          {"format.date().validate('2023-02-29').hasValue()", "true"},
          {"!format.datetime().validate('2024-02-29T00:00:00Z').hasValue()", "true"},
          {"!format.qualifiedName().validate('a.b/c').hasValue()", "true"},
          {"!format.byte().validate('aGk=').hasValue()", "true"},
          {"!format.uri().validate('https://a/b').hasValue()", "true"});
}

TEST(cel_authorizers) {
    CASES(
        {"authorizer.group('').resource('pods').namespace('a').name('b').check('get').allowed()",
         "true"},
        {"authorizer.group('').resource('pods').check('delete').allowed()", "false"},
        {"authorizer.path('/healthz').check('get').allowed()", "true"},
        {"authorizer.path('/x').check('get').reason()", "\"it may not\""},
        {"authorizer.requestResource.check('get').allowed()", "true"},
        {"authorizer.requestResource.check('get').errored()", "false"},
        {"authorizer.serviceAccount('ns', "
         "'sa').group('apps').resource('deployments').subresource('scale').check('get').allowed()",
         "false"},
        {"[1, 2, 3].all(x, authorizer.path('/healthz').check('get').allowed())", NULL,
         CEL_OUT_OF_BUDGET});
}
