/*
 * Unit tests: cmocka with self-registration. TEST(name) { assert_int_equal(...); } in foo_test.c
 * beside foo.c; all tests of one folder are linked into one program, which sorts and runs them. A
 * pattern as first argument runs a part.
 */
#pragma once

#include <setjmp.h> /* cmocka needs these four first */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* 1 in a build with AddressSanitizer, whose own system calls no sandbox allows. */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

struct test_case {
    const char *name;
    void (*run)(void **state);
};

#define TEST(name)                                                                                 \
    static void name(void **state);                                                                \
    static const struct test_case test_case_##name = {#name, name};                                \
    __attribute__((                                                                                \
        used, retain,                                                                              \
        section("atoll_tests"))) static const struct test_case *const test_case_p_##name =         \
        &test_case_##name;                                                                         \
    static void name(__attribute__((unused)) void **state)
