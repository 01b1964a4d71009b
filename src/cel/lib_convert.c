/* Conversions, size, type. */
#include <math.h>

#include "base/own.h"
#include "cel/internal.h"

static struct cel_value same(struct cel_run *run, const struct cel_value *args) { return args[0]; }

static struct cel_value range(struct cel_run *run, const char *to) {
    return cel_fail(run, "type conversion error: value out of range for %s", to);
}

static struct cel_value to_int(struct cel_run *run, const struct cel_value *args) {
    struct cel_value v = args[0];
    int64_t i;
    switch (v.kind) {
    case CEL_UINT:
        return v.u > INT64_MAX ? cel_fail(run, "integer overflow") : cel_int((int64_t)v.u);
    case CEL_DOUBLE:
        if (!(v.d > -0x1p63 && v.d < 0x1p63)) return cel_fail(run, "integer overflow");
        return cel_int((int64_t)v.d);
    case CEL_STRING:
        if (cel_parse_int(cel_slice(v), &i)) return cel_int(i);
        return cel_fail(run, "type conversion error from 'string' to 'int'");
    default: return cel_int(v.i); /* timestamp: seconds */
    }
}

static struct cel_value to_uint(struct cel_run *run, const struct cel_value *args) {
    struct cel_value v = args[0], made = {.kind = CEL_UINT};
    switch (v.kind) {
    case CEL_INT:
        if (v.i < 0) return cel_fail(run, "unsigned integer overflow");
        made.u = (uint64_t)v.i;
        return made;
    case CEL_DOUBLE:
        if (!(v.d >= 0 && v.d < 0x1p64)) return cel_fail(run, "unsigned integer overflow");
        made.u = (uint64_t)v.d;
        return made;
    default:
        if (slice_u64(cel_slice(v), &made.u) == 0) return made;
        return cel_fail(run, "type conversion error from 'string' to 'uint'");
    }
}

static struct cel_value to_double(struct cel_run *run, const struct cel_value *args) {
    struct cel_value v = args[0], made = {.kind = CEL_DOUBLE};
    if (v.kind == CEL_INT)
        made.d = (double)v.i;
    else if (v.kind == CEL_UINT)
        made.d = (double)v.u;
    else if (!cel_parse_double(cel_slice(v), &made.d))
        return cel_fail(run, "type conversion error from 'string' to 'double'");
    return made;
}

static struct cel_value to_bool(struct cel_run *run, const struct cel_value *args) {
    static const char *const yes[] = {"1", "t", "true", "TRUE", "True"}, *const no[] = {
                                                                             "0", "f", "false",
                                                                             "FALSE", "False"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (slice_is(cel_slice(args[0]), yes[i])) return cel_bool(true);
        if (slice_is(cel_slice(args[0]), no[i])) return cel_bool(false);
    }
    return cel_fail(run, "type conversion error from 'string' to 'bool'");
}

static struct cel_value to_bytes(struct cel_run *run, const struct cel_value *args) {
    return cel_bytes(cel_slice(args[0]));
}

static struct cel_value to_string(struct cel_run *run, const struct cel_value *args) {
    OWN(buf_done) struct buf b = {0};
    struct cel_value v = args[0];
    switch (v.kind) {
    case CEL_BOOL: return cel_text(v.b ? "true" : "false");
    case CEL_INT: buf_i64(&b, v.i); break;
    case CEL_UINT: buf_u64(&b, v.u); break;
    case CEL_DOUBLE: cel_put_double(&b, v.d); break;
    case CEL_TIMESTAMP: cel_put_timestamp(&b, v.i, v.ns); break;
    case CEL_DURATION: cel_put_duration(&b, v.i, v.ns); break;
    case CEL_BYTES:
        if (!cel_utf8_valid(cel_slice(v)))
            return cel_fail(run, "invalid UTF-8 in bytes, cannot convert to string");
        return cel_string(cel_slice(v));
    default: cel_opaque_text(&b, v); break;
    }
    return cel_copy_text(run, &b);
}

static struct cel_value to_timestamp(struct cel_run *run, const struct cel_value *args) {
    int64_t s = args[0].i;
    int32_t ns = 0;
    if (args[0].kind == CEL_STRING && !cel_parse_timestamp(cel_slice(args[0]), &s, &ns))
        return cel_fail(run, "type conversion error from 'string' to 'google.protobuf.Timestamp'");
    if (s < -62135596800 || s > 253402300799) return range(run, "timestamp");
    return cel_time(CEL_TIMESTAMP, s, ns);
}

static struct cel_value to_duration(struct cel_run *run, const struct cel_value *args) {
    int64_t s;
    int32_t ns;
    if (!cel_parse_duration(cel_slice(args[0]), &s, &ns))
        return cel_fail(run, "type conversion error from 'string' to 'google.protobuf.Duration'");
    return cel_time(CEL_DURATION, s, ns);
}

static struct cel_value type_of(struct cel_run *run, const struct cel_value *args) {
    enum cel_kind kind = args[0].kind == CEL_OBJECT ? CEL_MAP : args[0].kind;
    return (struct cel_value){.kind = CEL_TYPE, .type = cel_type(kind)};
}

static struct cel_value size_of(struct cel_run *run, const struct cel_value *args) {
    struct cel_value v = args[0];
    switch (v.kind) {
    case CEL_STRING: return cel_int((int64_t)cel_runes(cel_slice(v)));
    case CEL_BYTES: return cel_int((int64_t)v.n);
    case CEL_LIST: return cel_int((int64_t)cel_list_size(v.list));
    default: return cel_int((int64_t)cel_map_size(v.map));
    }
}

static const struct cel_function functions[] = {
    {"int(int) int", same, COST_ONE},
    {"int(uint) int", to_int, COST_ONE},
    {"int(double) int", to_int, COST_ONE},
    {"int(string) int", to_int, COST_ONE},
    {"int(timestamp) int", to_int, COST_ONE},
    {"uint(uint) uint", same, COST_ONE},
    {"uint(int) uint", to_uint, COST_ONE},
    {"uint(double) uint", to_uint, COST_ONE},
    {"uint(string) uint", to_uint, COST_ONE},
    {"double(double) double", same, COST_ONE},
    {"double(int) double", to_double, COST_ONE},
    {"double(uint) double", to_double, COST_ONE},
    {"double(string) double", to_double, COST_ONE},
    {"bool(bool) bool", same, COST_ONE},
    {"bool(string) bool", to_bool, COST_ONE},
    {"bytes(bytes) bytes", same, COST_ONE},
    {"bytes(string) bytes", to_bytes, COST_SIZE},
    {"string(string) string", same, COST_ONE},
    {"string(bool) string", to_string, COST_ONE},
    {"string(int) string", to_string, COST_ONE},
    {"string(uint) string", to_string, COST_ONE},
    {"string(double) string", to_string, COST_ONE},
    {"string(bytes) string", to_string, COST_SIZE},
    {"string(timestamp) string", to_string, COST_ONE},
    {"string(duration) string", to_string, COST_ONE},
    {"string(ip) string", to_string, COST_ONE},
    {"string(cidr) string", to_string, COST_ONE},
    {"timestamp(timestamp) timestamp", same, COST_ONE},
    {"timestamp(string) timestamp", to_timestamp, COST_ONE},
    {"timestamp(int) timestamp", to_timestamp, COST_ONE},
    {"duration(duration) duration", same, COST_ONE},
    {"duration(string) duration", to_duration, COST_ONE},
    {"dyn(A) dyn", same, COST_ONE},
    {"type(A) type", type_of, COST_ONE},
    {"size(string) int", size_of, COST_SIZE},
    {"size(bytes) int", size_of, COST_ONE},
    {"size(list<A>) int", size_of, COST_ONE},
    {"size(map<A,B>) int", size_of, COST_ONE},
    {"string|size() int", size_of, COST_SIZE},
    {"bytes|size() int", size_of, COST_ONE},
    {"list<A>|size() int", size_of, COST_ONE},
    {"map<A,B>|size() int", size_of, COST_ONE},
};
const struct cel_library cel_lib_convert = {functions, ARRAY_LEN(functions)};
