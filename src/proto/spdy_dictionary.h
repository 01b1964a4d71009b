/* The text that primes SPDY/3's header compression (draft 3, section 2.6.10.1). */
#pragma once

#define SPDY_WORD(n, text) "\0\0\0" n text
static const char spdy_dictionary[] = SPDY_WORD("\x07", "options") SPDY_WORD(
    "\x04", "head") SPDY_WORD("\x04",
                              "post") SPDY_WORD("\x03",
                                                "put") SPDY_WORD("\x06",
                                                                 "delete") SPDY_WORD("\x05",
                                                                                     "trace")
    SPDY_WORD("\x06", "accept") SPDY_WORD("\x0e", "accept-charset") SPDY_WORD(
        "\x0f", "accept-encoding") SPDY_WORD("\x0f", "accept-language") SPDY_WORD("\x0d",
                                                                                  "accept-ranges")
        SPDY_WORD("\x03", "age") SPDY_WORD("\x05", "allow") SPDY_WORD(
            "\x0d",
            "authorization") SPDY_WORD("\x0d",
                                       "cache-control") SPDY_WORD("\x0a", "connection")
            SPDY_WORD("\x0c", "content-base") SPDY_WORD("\x10", "content-encoding") SPDY_WORD(
                "\x10",
                "content-language") SPDY_WORD("\x0e", "content-length")
                SPDY_WORD("\x10", "content-location") SPDY_WORD("\x0b", "content-md5") SPDY_WORD(
                    "\x0d",
                    "content-range") SPDY_WORD("\x0c",
                                               "content-type") SPDY_WORD("\x04", "date")
                    SPDY_WORD("\x04", "etag") SPDY_WORD("\x06", "expect") SPDY_WORD(
                        "\x07",
                        "expires") SPDY_WORD("\x04",
                                             "from") SPDY_WORD("\x04",
                                                               "host") SPDY_WORD("\x08", "if-match")
                        SPDY_WORD("\x11", "if-modified-since") SPDY_WORD(
                            "\x0d",
                            "if-none-match") SPDY_WORD("\x08",
                                                       "if-range") SPDY_WORD("\x13",
                                                                             "if-unmodified-since")
                            SPDY_WORD("\x0d", "last-modified") SPDY_WORD("\x08", "location")
                                SPDY_WORD("\x0c", "max-forwards") SPDY_WORD(
                                    "\x06",
                                    "pragma") SPDY_WORD("\x12", "proxy-authenticate")
                                    SPDY_WORD("\x13", "proxy-authorization") SPDY_WORD(
                                        "\x05",
                                        "range") SPDY_WORD("\x07", "referer")
                                        SPDY_WORD("\x0b", "retry-after") SPDY_WORD(
                                            "\x06",
                                            "server") SPDY_WORD("\x02", "te")
                                            SPDY_WORD("\x07", "trailer") SPDY_WORD(
                                                "\x11",
                                                "transfer-encoding") SPDY_WORD("\x07", "upgrade")
                                                SPDY_WORD("\x0a",
                                                          "user-agent") SPDY_WORD("\x04", "vary")
                                                    SPDY_WORD("\x03", "via") SPDY_WORD(
                                                        "\x07",
                                                        "warning") SPDY_WORD("\x10",
                                                                             "www-authenticate")
                                                        SPDY_WORD("\x06", "method")
                                                            SPDY_WORD("\x03", "get") SPDY_WORD(
                                                                "\x06",
                                                                "status") SPDY_WORD("\x06", "200 "
                                                                                            "OK")
                                                                SPDY_WORD(
                                                                    "\x07",
                                                                    "version") SPDY_WORD("\x08",
                                                                                         "HTTP/1.1")
                                                                    SPDY_WORD(
                                                                        "\x03",
                                                                        "url") SPDY_WORD("\x06",
                                                                                         "public")
                                                                        SPDY_WORD("\x0a",
                                                                                  "set-cookie")
                                                                            SPDY_WORD("\x0a",
                                                                                      "keep-alive")
                                                                                SPDY_WORD(
                                                                                    "\x06",
                                                                                    "origin") "1001"
                                                                                              "0120"
                                                                                              "1202"
                                                                                              "2052"
                                                                                              "0630"
                                                                                              "0302"
                                                                                              "3033"
                                                                                              "0430"
                                                                                              "5306"
                                                                                              "3074"
                                                                                              "0240"
                                                                                              "5406"
                                                                                              "4074"
                                                                                              "0840"
                                                                                              "9410"
                                                                                              "4114"
                                                                                              "1241"
                                                                                              "3414"
                                                                                              "4154"
                                                                                              "1641"
                                                                                              "7502"
                                                                                              "5045"
                                                                                              "05"
                                                                                              "203 "
                                                                                              "Non-"
                                                                                              "Auth"
                                                                                              "orit"
                                                                                              "ativ"
                                                                                              "e "
                                                                                              "Info"
                                                                                              "rmat"
                                                                                              "ion"
                                                                                              "204 "
                                                                                              "No "
                                                                                              "Cont"
                                                                                              "ent"
                                                                                              "301 "
                                                                                              "Move"
                                                                                              "d "
                                                                                              "Perm"
                                                                                              "anen"
                                                                                              "tly"
                                                                                              "400 "
                                                                                              "Bad "
                                                                                              "Requ"
                                                                                              "est"
                                                                                              "401 "
                                                                                              "Unau"
                                                                                              "thor"
                                                                                              "ized"
                                                                                              "403 "
                                                                                              "Forb"
                                                                                              "idde"
                                                                                              "n"
                                                                                              "404 "
                                                                                              "Not "
                                                                                              "Foun"
                                                                                              "d"
                                                                                              "500 "
                                                                                              "Inte"
                                                                                              "rnal"
                                                                                              " Ser"
                                                                                              "ver "
                                                                                              "Erro"
                                                                                              "r"
                                                                                              "501 "
                                                                                              "Not "
                                                                                              "Impl"
                                                                                              "emen"
                                                                                              "ted"
                                                                                              "503 "
                                                                                              "Serv"
                                                                                              "ice "
                                                                                              "Unav"
                                                                                              "aila"
                                                                                              "ble"
                                                                                              "Jan "
                                                                                              "Feb "
                                                                                              "Mar "
                                                                                              "Apr "
                                                                                              "May "
                                                                                              "Jun "
                                                                                              "Jul "
                                                                                              "Aug "
                                                                                              "Sept"
                                                                                              " Oct"
                                                                                              " Nov"
                                                                                              " Dec"
                                                                                              " 00:"
                                                                                              "00:"
                                                                                              "00 "
                                                                                              "Mon,"
                                                                                              " Tue"
                                                                                              ", "
                                                                                              "Wed,"
                                                                                              " Thu"
                                                                                              ", "
                                                                                              "Fri,"
                                                                                              " Sat"
                                                                                              ", "
                                                                                              "Sun,"
                                                                                              " "
                                                                                              "GMT"
                                                                                              "chun"
                                                                                              "ked,"
                                                                                              "text"
                                                                                              "/htm"
                                                                                              "l,"
                                                                                              "imag"
                                                                                              "e/"
                                                                                              "png,"
                                                                                              "imag"
                                                                                              "e/"
                                                                                              "jpg,"
                                                                                              "imag"
                                                                                              "e/"
                                                                                              "gif,"
                                                                                              "appl"
                                                                                              "icat"
                                                                                              "ion/"
                                                                                              "xml,"
                                                                                              "appl"
                                                                                              "icat"
                                                                                              "ion/"
                                                                                              "xhtm"
                                                                                              "l+"
                                                                                              "xml,"
                                                                                              "text"
                                                                                              "/pla"
                                                                                              "in,"
                                                                                              "text"
                                                                                              "/jav"
                                                                                              "ascr"
                                                                                              "ipt,"
                                                                                              "publ"
                                                                                              "ic"
                                                                                              "priv"
                                                                                              "ate"
                                                                                              "max-"
                                                                                              "age="
                                                                                              "gzip"
                                                                                              ",def"
                                                                                              "late"
                                                                                              ",sdc"
                                                                                              "h"
                                                                                              "char"
                                                                                              "set="
                                                                                              "utf-"
                                                                                              "8"
                                                                                              "char"
                                                                                              "set="
                                                                                              "iso-"
                                                                                              "8859"
                                                                                              "-1,"
                                                                                              "utf-"
                                                                                              ",*,"
                                                                                              "enq="
                                                                                              "0.";
