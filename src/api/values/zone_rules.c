/* Offsets of the time zones from 2026 on, as the IANA database's rules have them: by the rule that
 * each zone goes by, in the form of POSIX.1 TZ without names, and for the zones that follow the
 * moon by their changes until 2045. */
#include <stdlib.h>

#include "api/values/zone_offset.h"
#include "base/own.h"
#include "base/slice.h"

static const struct {
    const char *rule, *names; /* the names with spaces around each */
} rules[] = {
    {"x-1", " Africa/Algiers Africa/Bangui Africa/Brazzaville Africa/Douala Africa/Kinshasa "
            "Africa/Lagos Africa/Libreville Africa/Luanda Africa/Malabo Africa/Ndjamena "
            "Africa/Niamey Africa/Porto-Novo Africa/Tunis Etc/GMT-1 "},
    {"x-10", " Antarctica/DumontDUrville Asia/Ust-Nera Asia/Vladivostok Australia/Brisbane "
             "Australia/Lindeman Australia/Queensland Etc/GMT-10 Pacific/Chuuk Pacific/Guam "
             "Pacific/Port_Moresby Pacific/Saipan Pacific/Truk Pacific/Yap "},
    {"x-10:30x-11,M10.1.0,M4.1.0", " Australia/LHI Australia/Lord_Howe "},
    {"x-10x,M10.1.0,M4.1.0/3",
     " Antarctica/Macquarie Australia/ACT Australia/Canberra Australia/Currie "
     "Australia/Hobart Australia/Melbourne Australia/NSW Australia/Sydney "
     "Australia/Tasmania Australia/Victoria "},
    {"x-11", " Asia/Magadan Asia/Sakhalin Asia/Srednekolymsk Etc/GMT-11 Pacific/Bougainville "
             "Pacific/Efate Pacific/Guadalcanal Pacific/Kosrae Pacific/Noumea Pacific/Pohnpei "
             "Pacific/Ponape "},
    {"x-11x,M10.1.0,M4.1.0/3", " Pacific/Norfolk "},
    {"x-12", " Kwajalein Asia/Anadyr Asia/Kamchatka Etc/GMT-12 Pacific/Fiji Pacific/Funafuti "
             "Pacific/Kwajalein Pacific/Majuro Pacific/Nauru Pacific/Tarawa Pacific/Wake "
             "Pacific/Wallis "},
    {"x-12:45x,M9.5.0/2:45,M4.1.0/3:45", " NZ-CHAT Pacific/Chatham "},
    {"x-12x,M9.5.0,M4.1.0/3", " NZ Antarctica/McMurdo Antarctica/South_Pole Pacific/Auckland "},
    {"x-13", " Etc/GMT-13 Pacific/Apia Pacific/Enderbury Pacific/Fakaofo Pacific/Kanton "
             "Pacific/Tongatapu "},
    {"x-14", " Etc/GMT-14 Pacific/Kiritimati "},
    {"x-1x,M3.5.0,M10.5.0/3",
     " CET MET Poland Africa/Ceuta Arctic/Longyearbyen Atlantic/Jan_Mayen "
     "Europe/Amsterdam Europe/Andorra Europe/Belgrade Europe/Berlin Europe/Bratislava "
     "Europe/Brussels Europe/Budapest Europe/Busingen Europe/Copenhagen "
     "Europe/Gibraltar Europe/Ljubljana Europe/Luxembourg Europe/Madrid Europe/Malta "
     "Europe/Monaco Europe/Oslo Europe/Paris Europe/Podgorica Europe/Prague "
     "Europe/Rome Europe/San_Marino Europe/Sarajevo Europe/Skopje Europe/Stockholm "
     "Europe/Tirane Europe/Vaduz Europe/Vatican Europe/Vienna Europe/Warsaw "
     "Europe/Zagreb Europe/Zurich "},
    {"x-1x0,M10.5.0,M3.5.0/1", " Eire Europe/Dublin "},
    {"x-2", " Libya Africa/Blantyre Africa/Bujumbura Africa/Gaborone Africa/Harare "
            "Africa/Johannesburg Africa/Juba Africa/Khartoum Africa/Kigali Africa/Lubumbashi "
            "Africa/Lusaka Africa/Maputo Africa/Maseru Africa/Mbabane Africa/Tripoli "
            "Africa/Windhoek Etc/GMT-2 Europe/Kaliningrad "},
    {"x-2x,M3.4.4/26,M10.5.0", " Israel Asia/Jerusalem Asia/Tel_Aviv "},
    {"x-2x,M3.5.0,M10.5.0/3", " Europe/Chisinau Europe/Tiraspol "},
    {"x-2x,M3.5.0/0,M10.5.0/0", " Asia/Beirut "},
    {"x-2x,M3.5.0/3,M10.5.0/4",
     " EET Asia/Famagusta Asia/Nicosia Europe/Athens Europe/Bucharest Europe/Helsinki "
     "Europe/Kiev Europe/Kyiv Europe/Mariehamn Europe/Nicosia Europe/Riga Europe/Sofia "
     "Europe/Tallinn Europe/Uzhgorod Europe/Vilnius Europe/Zaporozhye "},
    {"x-2x,M4.5.5/0,M10.5.4/24", " Egypt Africa/Cairo "},
    {"x-3", " Turkey W-SU Africa/Addis_Ababa Africa/Asmara Africa/Asmera Africa/Dar_es_Salaam "
            "Africa/Djibouti Africa/Kampala Africa/Mogadishu Africa/Nairobi Antarctica/Syowa "
            "Asia/Aden Asia/Amman Asia/Baghdad Asia/Bahrain Asia/Damascus Asia/Istanbul "
            "Asia/Kuwait Asia/Qatar Asia/Riyadh Etc/GMT-3 Europe/Istanbul Europe/Kirov "
            "Europe/Minsk Europe/Moscow Europe/Simferopol Europe/Volgograd "
            "Indian/Antananarivo Indian/Comoro Indian/Mayotte "},
    {"x-3:30", " Iran Asia/Tehran "},
    {"x-4", " Asia/Baku Asia/Dubai Asia/Muscat Asia/Tbilisi Asia/Yerevan Etc/GMT-4 "
            "Europe/Astrakhan Europe/Samara Europe/Saratov Europe/Ulyanovsk Indian/Mahe "
            "Indian/Mauritius Indian/Reunion "},
    {"x-4:30", " Asia/Kabul "},
    {"x-5", " Antarctica/Mawson Antarctica/Vostok Asia/Almaty Asia/Aqtau Asia/Aqtobe "
            "Asia/Ashgabat Asia/Ashkhabad Asia/Atyrau Asia/Dushanbe Asia/Karachi Asia/Oral "
            "Asia/Qostanay Asia/Qyzylorda Asia/Samarkand Asia/Tashkent Asia/Yekaterinburg "
            "Etc/GMT-5 Indian/Kerguelen Indian/Maldives "},
    {"x-5:30", " Asia/Calcutta Asia/Colombo Asia/Kolkata "},
    {"x-5:45", " Asia/Kathmandu Asia/Katmandu "},
    {"x-6", " Asia/Bishkek Asia/Dacca Asia/Dhaka Asia/Kashgar Asia/Omsk Asia/Thimbu "
            "Asia/Thimphu Asia/Urumqi Etc/GMT-6 Indian/Chagos "},
    {"x-6:30", " Asia/Rangoon Asia/Yangon Indian/Cocos "},
    {"x-7", " Antarctica/Davis Asia/Bangkok Asia/Barnaul Asia/Ho_Chi_Minh Asia/Hovd "
            "Asia/Jakarta Asia/Krasnoyarsk Asia/Novokuznetsk Asia/Novosibirsk Asia/Phnom_Penh "
            "Asia/Pontianak Asia/Saigon Asia/Tomsk Asia/Vientiane Etc/GMT-7 Indian/Christmas "},
    {"x-8", " Hongkong PRC ROC Singapore Antarctica/Casey Asia/Brunei Asia/Choibalsan "
            "Asia/Chongqing Asia/Chungking Asia/Harbin Asia/Hong_Kong Asia/Irkutsk "
            "Asia/Kuala_Lumpur Asia/Kuching Asia/Macao Asia/Macau Asia/Makassar Asia/Manila "
            "Asia/Shanghai Asia/Singapore Asia/Taipei Asia/Ujung_Pandang Asia/Ulaanbaatar "
            "Asia/Ulan_Bator Australia/Perth Australia/West Etc/GMT-8 "},
    {"x-8:45", " Australia/Eucla "},
    {"x-9", " Japan ROK Asia/Chita Asia/Dili Asia/Jayapura Asia/Khandyga Asia/Pyongyang "
            "Asia/Seoul Asia/Tokyo Asia/Yakutsk Etc/GMT-9 Pacific/Palau "},
    {"x-9:30", " Australia/Darwin Australia/North "},
    {"x-9:30x,M10.1.0,M4.1.0/3",
     " Australia/Adelaide Australia/Broken_Hill Australia/South Australia/Yancowinna "},
    {"x0", " Factory GMT GMT+0 GMT-0 GMT0 Greenwich Iceland UCT UTC Universal Zulu "
           "Africa/Abidjan Africa/Accra Africa/Bamako Africa/Banjul Africa/Bissau "
           "Africa/Conakry Africa/Dakar Africa/Freetown Africa/Lome Africa/Monrovia "
           "Africa/Nouakchott Africa/Ouagadougou Africa/Sao_Tome Africa/Timbuktu "
           "America/Danmarkshavn Atlantic/Reykjavik Atlantic/St_Helena Etc/GMT Etc/GMT+0 "
           "Etc/GMT-0 Etc/GMT0 Etc/Greenwich Etc/UCT Etc/UTC Etc/Universal Etc/Zulu "},
    {"x0x,M3.5.0/1,M10.5.0",
     " GB GB-Eire Portugal WET Atlantic/Canary Atlantic/Faeroe Atlantic/Faroe "
     "Atlantic/Madeira Europe/Belfast Europe/Guernsey Europe/Isle_of_Man Europe/Jersey "
     "Europe/Lisbon Europe/London "},
    {"x0x-2,M3.5.0/1,M10.5.0/3", " Antarctica/Troll "},
    {"x1", " Atlantic/Cape_Verde Etc/GMT+1 "},
    {"x10", " HST Etc/GMT+10 Pacific/Honolulu Pacific/Johnston Pacific/Rarotonga "
            "Pacific/Tahiti US/Hawaii "},
    {"x10x,M3.2.0,M11.1.0", " America/Adak America/Atka US/Aleutian "},
    {"x11", " Etc/GMT+11 Pacific/Midway Pacific/Niue Pacific/Pago_Pago Pacific/Samoa US/Samoa "},
    {"x12", " Etc/GMT+12 "},
    {"x1x,M3.5.0/0,M10.5.0/1", " Atlantic/Azores "},
    {"x2", " America/Noronha Atlantic/South_Georgia Brazil/DeNoronha Etc/GMT+2 "},
    {"x2x,M3.5.0/-1,M10.5.0/0", " America/Godthab America/Nuuk America/Scoresbysund "},
    {"x3", " America/Araguaina America/Argentina/Buenos_Aires America/Argentina/Catamarca "
           "America/Argentina/ComodRivadavia America/Argentina/Cordoba "
           "America/Argentina/Jujuy America/Argentina/La_Rioja America/Argentina/Mendoza "
           "America/Argentina/Rio_Gallegos America/Argentina/Salta "
           "America/Argentina/San_Juan America/Argentina/San_Luis America/Argentina/Tucuman "
           "America/Argentina/Ushuaia America/Asuncion America/Bahia America/Belem "
           "America/Buenos_Aires America/Catamarca America/Cayenne America/Cordoba "
           "America/Coyhaique America/Fortaleza America/Jujuy America/Maceio America/Mendoza "
           "America/Montevideo America/Paramaribo America/Punta_Arenas America/Recife "
           "America/Rosario America/Santarem America/Sao_Paulo Antarctica/Palmer "
           "Antarctica/Rothera Atlantic/Stanley Brazil/East Etc/GMT+3 "},
    {"x3:30x,M3.2.0,M11.1.0", " America/St_Johns Canada/Newfoundland "},
    {"x3x,M3.2.0,M11.1.0", " America/Miquelon "},
    {"x4", " America/Anguilla America/Antigua America/Aruba America/Barbados "
           "America/Blanc-Sablon America/Boa_Vista America/Campo_Grande America/Caracas "
           "America/Cuiaba America/Curacao America/Dominica America/Grenada "
           "America/Guadeloupe America/Guyana America/Kralendijk America/La_Paz "
           "America/Lower_Princes America/Manaus America/Marigot America/Martinique "
           "America/Montserrat America/Port_of_Spain America/Porto_Velho America/Puerto_Rico "
           "America/Santo_Domingo America/St_Barthelemy America/St_Kitts America/St_Lucia "
           "America/St_Thomas America/St_Vincent America/Tortola America/Virgin Brazil/West "
           "Etc/GMT+4 "},
    {"x4x,M3.2.0,M11.1.0", " America/Glace_Bay America/Goose_Bay America/Halifax America/Moncton "
                           "America/Thule Atlantic/Bermuda Canada/Atlantic "},
    {"x4x,M9.1.6/24,M4.1.6/24", " America/Santiago Chile/Continental "},
    {"x5", " EST Jamaica America/Atikokan America/Bogota America/Cancun America/Cayman "
           "America/Coral_Harbour America/Eirunepe America/Guayaquil America/Jamaica "
           "America/Lima America/Panama America/Porto_Acre America/Rio_Branco Brazil/Acre "
           "Etc/GMT+5 "},
    {"x5x,M3.2.0,M11.1.0",
     " EST5EDT America/Detroit America/Fort_Wayne America/Grand_Turk "
     "America/Indiana/Indianapolis America/Indiana/Marengo America/Indiana/Petersburg "
     "America/Indiana/Vevay America/Indiana/Vincennes America/Indiana/Winamac "
     "America/Indianapolis America/Iqaluit America/Kentucky/Louisville "
     "America/Kentucky/Monticello America/Louisville America/Montreal America/Nassau "
     "America/New_York America/Nipigon America/Pangnirtung America/Port-au-Prince "
     "America/Thunder_Bay America/Toronto Canada/Eastern US/East-Indiana US/Eastern "
     "US/Michigan "},
    {"x5x,M3.2.0/0,M11.1.0/1", " Cuba America/Havana "},
    {"x6", " America/Bahia_Banderas America/Belize America/Chihuahua America/Costa_Rica "
           "America/El_Salvador America/Guatemala America/Managua America/Merida "
           "America/Mexico_City America/Monterrey America/Regina America/Swift_Current "
           "America/Tegucigalpa Canada/Saskatchewan Etc/GMT+6 Mexico/General "
           "Pacific/Galapagos "},
    {"x6x,M3.2.0,M11.1.0",
     " CST6CDT America/Chicago America/Indiana/Knox America/Indiana/Tell_City "
     "America/Knox_IN America/Matamoros America/Menominee America/North_Dakota/Beulah "
     "America/North_Dakota/Center America/North_Dakota/New_Salem America/Ojinaga "
     "America/Rainy_River America/Rankin_Inlet America/Resolute America/Winnipeg "
     "Canada/Central US/Central US/Indiana-Starke "},
    {"x6x,M9.1.6/22,M4.1.6/22", " Chile/EasterIsland Pacific/Easter "},
    {"x7", " MST America/Creston America/Dawson America/Dawson_Creek America/Fort_Nelson "
           "America/Hermosillo America/Mazatlan America/Phoenix America/Whitehorse "
           "Canada/Yukon Etc/GMT+7 Mexico/BajaSur US/Arizona "},
    {"x7x,M3.2.0,M11.1.0",
     " MST7MDT Navajo America/Boise America/Cambridge_Bay America/Ciudad_Juarez "
     "America/Denver America/Edmonton America/Inuvik America/Shiprock "
     "America/Yellowknife Canada/Mountain US/Mountain "},
    {"x8", " Etc/GMT+8 Pacific/Pitcairn "},
    {"x8x,M3.2.0,M11.1.0",
     " PST8PDT America/Ensenada America/Los_Angeles America/Santa_Isabel "
     "America/Tijuana America/Vancouver Canada/Pacific Mexico/BajaNorte US/Pacific "},
    {"x9", " Etc/GMT+9 Pacific/Gambier "},
    {"x9:30", " Pacific/Marquesas "},
    {"x9x,M3.2.0,M11.1.0",
     " America/Anchorage America/Juneau America/Metlakatla America/Nome America/Sitka "
     "America/Yakutat US/Alaska "},
};

static const uint32_t morocco[] = {
    1771120800, 1774144800, 1801965600, 1804989600, 1832205600, 1835834400, 1863050400,
    1866074400, 1893290400, 1896919200, 1924135200, 1927159200, 1954980000, 1958004000,
    1985220000, 1988848800, 2016064800, 2019088800, 2046304800, 2049933600, 2077149600,
    2080778400, 2107994400, 2111018400, 2138234400, 2141863200, 2169079200, 2172103200,
    2199924000, 2202948000, 2230164000, 2233792800, 2261008800, 2264032800, 2291248800,
    2294877600, 2322093600, 2325722400, 2352938400, 2355962400, 2383178400, 2386807200};
static const uint32_t palestine[] = {
    1774656000, 1792796400, 1806105600, 1824850800, 1837555200, 1856300400, 1869004800, 1887750000,
    1901059200, 1919199600, 1932508800, 1950649200, 1963958400, 1982703600, 1995408000, 2014153200,
    2026857600, 2045602800, 2058307200, 2077052400, 2090361600, 2107897200, 2121811200, 2138742000,
    2153260800, 2168982000, 2184710400, 2199826800, 2216160000, 2230066800, 2234304000, 2234905200,
    2248214400, 2260911600, 2264544000, 2266354800, 2279664000, 2291756400, 2295388800, 2297804400,
    2311113600, 2321996400, 2326233600, 2329254000, 2342563200, 2352841200, 2356473600, 2361308400,
    2374012800, 2383686000, 2387318400, 2392758000};

static const struct {
    const char *names;
    int32_t first_s, other_s; /* before the first change and every second one; else */
    const uint32_t *changes_s;
    size_t n;
} tables[] = {
    {" Africa/Casablanca Africa/El_Aaiun ", 3600, 0, morocco, ARRAY_LEN(morocco)},
    {" Asia/Gaza Asia/Hebron ", 7200, 10800, palestine, ARRAY_LEN(palestine)},
};

static bool named(const char *names, const char *name) {
    size_t n = strlen(name);
    for (const char *p = names; (p = strstr(p, name)); p++)
        if (p > names && p[-1] == ' ' && p[n] == ' ') return true;
    return false;
}

/* "[-]h[:mm]" in seconds. */
static const char *read_time(const char *p, int32_t *ret_s) {
    char *end;
    bool negative = *p == '-';
    if (negative) p++;
    long s = strtol(p, &end, 10) * 3600;
    if (*end == ':') s += strtol(end + 1, &end, 10) * 60;
    *ret_s = (int32_t)(negative ? -s : s);
    return end;
}

/* ",Mm.w.d[/time]" */
static const char *read_change(const char *p, struct zone_change *ret) {
    char *end;
    ret->month = (int)strtol(p + 2, &end, 10);
    ret->week = (int)strtol(end + 1, &end, 10);
    ret->day = (int)strtol(end + 1, &end, 10);
    ret->at_s = 7200;
    return *end == '/' ? read_time(end + 1, &ret->at_s) : end;
}

bool time_zone_find(const char *name, struct time_zone *ret) {
    *ret = (struct time_zone){0};
    if (str_empty(name) || strchr(name, ' ')) return false;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if (named(tables[i].names, name)) {
            ret->standard_s = tables[i].first_s;
            ret->summer_s = tables[i].other_s;
            ret->changes_s = tables[i].changes_s;
            ret->n = tables[i].n;
            return true;
        }
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (!named(rules[i].names, name)) continue;
        const char *p = read_time(rules[i].rule + 1, &ret->standard_s);
        ret->standard_s = -ret->standard_s;
        if (*p != 'x') return true;
        ret->summer_s = ret->standard_s + 3600;
        if (*++p != ',') {
            p = read_time(p, &ret->summer_s);
            ret->summer_s = -ret->summer_s;
        }
        ret->has_summer = true;
        p = read_change(p, &ret->begin);
        read_change(p, &ret->end);
        return true;
    }
    return false;
}
