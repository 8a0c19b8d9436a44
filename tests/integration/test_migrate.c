#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repo/migrate.h"
#include "tests/integration/pg_fixture.h"

static void test_migrate_up__leaves_a_schema_that_the_check_accepts(void **state)
{
    struct pg_fixture *fixture = *state;
    struct err err;
    assert_int_equal(migrate_check(fixture->db, fixture->arena, &err), OUTCOME_OK);
    assert_int_equal(pg_fixture_int(fixture, "select count(*) from auth_audit_events"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(
        test_migrate_up__leaves_a_schema_that_the_check_accepts, pg_fixture_clean)};
    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
