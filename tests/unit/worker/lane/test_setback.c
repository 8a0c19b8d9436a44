#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/lane/setback.h"

static void test_standing_of__each_case(void **state)
{
    static const struct {
        const char *what;
        int64_t committed;
        bool ours;
        int64_t recorded;
        enum standing expected;
    } rows[] = {
        {"a new group, a new database", -1, false, 0, STANDING_LEVEL},
        {"a new group, a database with rows", -1, false, 40, STANDING_LEVEL},
        {"all is well", 40, true, 40, STANDING_LEVEL},
        {"a crash between the two commits", 40, true, 41, STANDING_LEVEL},
        {"the group was moved back", 10, false, 40, STANDING_LEVEL},
        {"a group at the start", 0, true, 0, STANDING_LEVEL},
        {"a restored backup", 40, true, 39, STANDING_SET_BACK},
        {"an empty database, an old group", 40, true, 0, STANDING_SET_BACK},
        {"the group was moved forward", 40, false, 39, STANDING_MOVED},
        {"the first start after an upgrade", 40, false, 0, STANDING_MOVED},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct position committed = {.offset = rows[i].committed, .ours = rows[i].ours};

        if (standing_of(&committed, rows[i].recorded) != rows[i].expected)
            fail_msg("%s", rows[i].what);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standing_of__each_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
