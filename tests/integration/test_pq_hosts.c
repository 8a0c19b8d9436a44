#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "repo/pg/pq_hosts.h"
#include "tests/integration/pg_fixture.h"

/* A port on loopback where connections are accepted and never answered. */
static int listen_mute(char ret_port[8])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    snprintf(ret_port, 8, "%d", ntohs(address.sin_port));
    return fd;
}

static void test_connect__a_host_that_hangs_is_passed_over(void **state)
{
    struct pg_fixture *fixture = *state;
    const char *url = getenv("CATALYST_DATABASE_URL");
    char port[8], hosts[512];
    struct executor_pq *pq = NULL;
    struct err err;

    assert_non_null(url);
    struct pq_hosts real;
    int mute = listen_mute(port);
    const char *user = pg_fixture_text(fixture, "SELECT current_user");
    const char *database = pg_fixture_text(fixture, "SELECT current_database()");
    const char *real_port = pg_fixture_text(fixture, "SHOW port");
    assert_true(pq_hosts_parse(url, &real));
    assert_int_equal(real.count, 0);
    snprintf(hosts, sizeof(hosts),
             "host=127.0.0.1,127.0.0.1 port=%s,%s user=%s dbname=%s connect_timeout=2 "
             "target_session_attrs=read-write",
             port, real_port, user, database);
    const struct executor_pq_options options = {.conninfo = hosts,
                                                .schema = fixture->schema,
                                                .application_name = "hosts",
                                                .statement_timeout_ms = 5000};
    assert_int_equal(executor_pq_new(&options, &pq, &err), OUTCOME_OK);

    assert_int_equal(executor_recover(executor_pq_port(pq), &err), OUTCOME_RETRY);
    assert_non_null(strstr(err.text, "timed out"));
    assert_int_equal(executor_recover(executor_pq_port(pq), &err), OUTCOME_OK);

    executor_pq_free(pq);
    close(mute);
}

static void test_pq_hosts__turn(void **state)
{
    (void)state;
    struct pq_hosts hosts;

    assert_true(pq_hosts_parse("postgresql://u@a:1,bb:22,ccc:333/d", &hosts));
    assert_int_equal(hosts.count, 3);
    pq_hosts_turn(&hosts);
    assert_string_equal(hosts.host, "bb,ccc,a");
    assert_string_equal(hosts.port, "22,333,1");
    pq_hosts_turn(&hosts);
    pq_hosts_turn(&hosts);
    assert_string_equal(hosts.host, "a,bb,ccc");
    pq_hosts_release(&hosts);
}

static void test_pq_hosts__one_port_is_the_port_of_all(void **state)
{
    (void)state;
    struct pq_hosts hosts;

    assert_true(pq_hosts_parse("host=a,b port=5 hostaddr=1.1.1.1,2.2.2.2", &hosts));
    pq_hosts_turn(&hosts);
    assert_string_equal(hosts.host, "b,a");
    assert_string_equal(hosts.hostaddr, "2.2.2.2,1.1.1.1");
    assert_string_equal(hosts.port, "5");
    pq_hosts_release(&hosts);
}

static void test_pq_hosts__one_host_is_left_to_libpq(void **state)
{
    (void)state;
    struct pq_hosts hosts;

    assert_true(pq_hosts_parse("host=a port=5", &hosts));
    assert_int_equal(hosts.count, 0);
    assert_null(hosts.host);
    assert_true(pq_hosts_parse("a database name", &hosts));
    assert_int_equal(hosts.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect__a_host_that_hangs_is_passed_over),
        cmocka_unit_test(test_pq_hosts__turn),
        cmocka_unit_test(test_pq_hosts__one_port_is_the_port_of_all),
        cmocka_unit_test(test_pq_hosts__one_host_is_left_to_libpq),
    };

    return cmocka_run_group_tests(tests, pg_fixture_setup_unmigrated, pg_fixture_teardown);
}
