#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"
#include "worker/daemon/admin_http.h"
#include "worker/daemon/health.h"
#include "worker/daemon/metrics_page.h"

/* Real requests to a real server on a loopback port, with the pages of the daemon's health. */

enum { REPLY_MAX = 64 * 1024 };

static struct lane_metrics lane;
static const struct lane_metrics *const lanes[] = {&lane};
static struct health health;
static struct admin_http *server;
static char reply[REPLY_MAX];

static unsigned page_started(void *context, struct buffer *out)
{
    return health_started(context, out) ? 200 : 503;
}

static unsigned page_live(void *context, struct buffer *out)
{
    return health_live(context, clock_monotonic_us(), out) ? 200 : 503;
}

static unsigned page_ready(void *context, struct buffer *out)
{
    return health_ready(context, out) ? 200 : 503;
}

static unsigned page_metrics(void *context, struct buffer *out)
{
    const struct health *of = context;
    metrics_render(of->lanes, of->lane_count, out);
    return 200;
}

static unsigned page_endless(void *context, struct buffer *out)
{
    (void)context;
    while (!out->full)
        buffer_append_literal(out, "0123456789abcdef");
    return 200;
}

static const struct admin_page pages[] = {
    {"/health/started", "application/json", page_started},
    {"/health/live", "application/json", page_live},
    {"/health/ready", "application/json", page_ready},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics},
    {"/endless", "text/plain", page_endless},
};
enum { PAGE_COUNT = sizeof(pages) / sizeof(pages[0]) };

/* --- a client ----------------------------------------------------------------------------------
 */

static int connect_to(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Sends the bytes, reads to the end of the connection into `reply`, answers the status; 0: none. */
static unsigned exchange(const char *request)
{
    int fd = connect_to(admin_http_port(server));
    size_t length = 0;
    ssize_t got;

    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    while ((got = recv(fd, reply + length, REPLY_MAX - 1 - length, 0)) > 0)
        length += (size_t)got;
    close(fd);
    reply[length] = '\0';
    return strncmp(reply, "HTTP/1.1 ", 9) == 0 ? (unsigned)strtoul(reply + 9, NULL, 10) : 0;
}

static unsigned get(const char *path)
{
    char request[256];
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             path);
    return exchange(request);
}

static const char *body(void)
{
    const char *end = strstr(reply, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

/* --- fixture -----------------------------------------------------------------------------------
 */

static int setup(void **state)
{
    struct err err;
    (void)state;

    memset(&lane, 0, sizeof(lane));
    memset(&health, 0, sizeof(health));
    health.lanes = lanes;
    health.lane_count = 1;
    health.stuck_after_us = (int64_t)60 * 1000 * 1000;
    atomic_store(&lane.progress_us, clock_monotonic_us());
    return admin_http_start("127.0.0.1:0", pages, PAGE_COUNT, &health, &server, &err) == OUTCOME_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    admin_http_stop(server);
    return 0;
}

static void now_running(void)
{
    atomic_store(&health.checked, 1);
    atomic_store(&lane.started, 1);
}

/* --- pages -------------------------------------------------------------------------------------
 */

static void test_health__before_the_checks_only_live_is_fine(void **state)
{
    (void)state;

    assert_int_equal(get("/health/started"), 503);
    assert_string_equal(body(),
                        "{\"status\":\"unavailable\",\"reasons\":[\"the checks at start are "
                        "not done\"]}\n");
    assert_int_equal(get("/health/ready"), 503);
    assert_int_equal(get("/health/live"), 200);
    assert_string_equal(body(), "{\"status\":\"ok\"}\n");
}

static void test_health__a_lane_that_has_not_polled_is_not_started(void **state)
{
    (void)state;
    atomic_store(&health.checked, 1);

    assert_int_equal(get("/health/started"), 503);

    assert_non_null(strstr(body(), "lane 0 has not polled yet"));
}

static void test_health__a_running_lane_is_started_live_and_ready(void **state)
{
    (void)state;
    now_running();

    assert_int_equal(get("/health/started"), 200);
    assert_int_equal(get("/health/live"), 200);
    assert_int_equal(get("/health/ready"), 200);
}

static void test_health__a_lane_that_waits_is_live_but_not_ready(void **state)
{
    (void)state;
    now_running();
    atomic_store(&lane.waiting_for, (int)DEPENDENCY_DATABASE);
    const struct holdup why = {"53100", "commands", 3, 42, clock_monotonic_us() - 75500000};
    holdup_set(&lane.why, &why);
    atomic_store(&lane.progress_us, clock_monotonic_us() - 2 * health.stuck_after_us);

    assert_int_equal(get("/health/live"), 200);
    assert_int_equal(get("/health/ready"), 503);
    assert_non_null(strstr(body(),
                           "\"lane 0 waits for postgresql (53100) with commands, partition 3, "
                           "offset 42 for 75 s\""));
    assert_int_equal(get("/health/started"), 200);
}

static void test_health__a_lane_that_is_joining_the_group_is_not_ready(void **state)
{
    (void)state;
    now_running();
    atomic_store(&lane.partitions, -1);

    assert_int_equal(get("/health/ready"), 503);
    assert_non_null(strstr(body(), "\"lane 0 is joining the consumer group\""));
    assert_int_equal(get("/health/live"), 200);
    atomic_store(&lane.partitions, 0); /* stands by */
    assert_int_equal(get("/health/ready"), 200);
}

static void test_health__a_partition_that_can_not_be_read_is_named(void **state)
{
    (void)state;
    now_running();
    const struct holdup stuck = {"_BAD_COMPRESSION", "commands", 3, 42, clock_monotonic_us()};
    holdup_set(&lane.stuck, &stuck);
    atomic_store(&lane.is_stuck, 1);

    assert_int_equal(get("/health/live"), 200);
    assert_int_equal(get("/health/ready"), 503);
    assert_non_null(strstr(body(), "\"lane 0 can not read commands, partition 3, offset 42 "
                                   "(_BAD_COMPRESSION) for 0 s\""));
}

static void test_health__a_database_that_was_set_back_is_told(void **state)
{
    (void)state;
    now_running();
    const struct holdup held = {.topic = "commands", .partition = 3, .offset = 80, .recorded = 40};
    holdup_set(&lane.held, &held);
    atomic_store(&lane.is_held, 1);

    assert_int_equal(get("/health/live"), 200);
    assert_int_equal(get("/health/ready"), 503);
    assert_non_null(strstr(body(), "\"lane 0 holds commands, partition 3: the database was set "
                                   "back: it has recorded 40, the group has committed 80; run "
                                   "catalyst-worker recover\""));
}

static void test_health__a_stuck_lane_is_not_live(void **state)
{
    (void)state;
    now_running();
    atomic_store(&lane.progress_us, clock_monotonic_us() - 2 * health.stuck_after_us);

    assert_int_equal(get("/health/live"), 503);

    assert_non_null(strstr(body(), "lane 0 has made no progress for 120 s"));
}

static void test_health__a_stopping_process_is_not_ready(void **state)
{
    (void)state;
    now_running();
    atomic_store(&health.stopping, 1);

    assert_int_equal(get("/health/ready"), 503);

    assert_non_null(strstr(body(), "\"stopping\""));
}

static void test_health__a_lane_that_ended_is_not_ready(void **state)
{
    (void)state;
    now_running();
    atomic_store(&lane.stopped, 1);

    assert_int_equal(get("/health/ready"), 503);

    assert_non_null(strstr(body(), "lane 0 has ended"));
}

static void test_metrics_page__has_the_text_formats_content_type(void **state)
{
    (void)state;

    assert_int_equal(get("/metrics"), 200);

    assert_non_null(strstr(reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_int_equal(strncmp(body(), "# HELP ", 7), 0);
}

/* --- the server --------------------------------------------------------------------------------
 */

static void test_admin_http__unknown_pages_are_404(void **state)
{
    (void)state;

    assert_int_equal(get("/"), 404);
    assert_int_equal(get("/health"), 404);
    assert_int_equal(get("/health/live/"), 404);
    assert_int_equal(get("/metrics?x=1"), 200);
}

static void test_admin_http__other_methods_are_405(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS"};
    (void)state;

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char request[256];
        snprintf(request, sizeof(request),
                 "%s /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: "
                 "close\r\n\r\nabc",
                 methods[i]);

        assert_int_equal(exchange(request), 405);

        assert_non_null(strstr(reply, "Allow: GET, HEAD\r\n"));
    }
}

static void test_admin_http__head_has_no_body(void **state)
{
    (void)state;

    assert_int_equal(exchange("HEAD /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                     200);

    assert_string_equal(body(), "");
}

static void test_admin_http__nonsense_does_not_end_it(void **state)
{
    (void)state;

    exchange("\x01\x02\x03\r\n\r\n");
    exchange("GET\r\n\r\n");

    assert_int_equal(get("/health/live"), 200);
}

static void test_admin_http__a_page_too_large_is_no_answer(void **state)
{
    (void)state;

    assert_int_equal(get("/endless"), 0);

    assert_int_equal(get("/health/live"), 200);
}

static void test_admin_http__serves_while_another_connection_idles(void **state)
{
    int idle = connect_to(admin_http_port(server));
    (void)state;

    assert_int_equal(get("/health/live"), 200);

    close(idle);
}

/* More connections than the server keeps, each with a request that never ends. */
static void test_admin_http__slow_connections_keep_nobody_out(void **state)
{
    enum { SLOW = 200 };
    static const char part[] = "GET /health/live HTTP/1.1\r\nX: ";
    int slow[SLOW];
    (void)state;

    for (size_t i = 0; i < SLOW; i++) {
        slow[i] = connect_to(admin_http_port(server));
        assert_int_equal(send(slow[i], part, sizeof(part) - 1, MSG_NOSIGNAL), sizeof(part) - 1);
    }
    for (size_t i = 0; i < SLOW; i++) {
        send(slow[i], "x", 1, MSG_NOSIGNAL);
        assert_int_equal(get("/health/live"), 200);
    }
    for (size_t i = 0; i < SLOW; i++)
        close(slow[i]);
}

static void test_admin_http_start__a_taken_port_is_a_configuration_error(void **state)
{
    char listen[32];
    struct admin_http *second = NULL;
    struct err err;
    (void)state;
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", admin_http_port(server));

    assert_int_equal(admin_http_start(listen, pages, PAGE_COUNT, &health, &second, &err),
                     OUTCOME_FATAL);

    assert_string_equal(err.code, ERR_CONFIG);
    assert_string_equal(err.text, "http.listen: Address already in use");
}

static void test_admin_http_start__an_address_that_is_none_is_a_configuration_error(void **state)
{
    struct admin_http *second = NULL;
    struct err err;
    (void)state;

    assert_int_equal(admin_http_start("nonsense", pages, PAGE_COUNT, &health, &second, &err),
                     OUTCOME_FATAL);

    assert_string_equal(err.code, ERR_CONFIG);
}

static void test_admin_http_start__listens_on_ipv6_in_brackets(void **state)
{
    struct admin_http *second = NULL;
    struct err err;
    (void)state;

    enum outcome outcome = admin_http_start("[::1]:0", pages, PAGE_COUNT, &health, &second, &err);

    if (outcome != OUTCOME_OK || second == NULL) { /* a machine without IPv6 says so */
        assert_string_equal(err.code, ERR_CONFIG);
        return;
    }
    assert_in_range(admin_http_port(second), 1, 65535);
    admin_http_stop(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_health__before_the_checks_only_live_is_fine),
        TEST(test_health__a_lane_that_has_not_polled_is_not_started),
        TEST(test_health__a_running_lane_is_started_live_and_ready),
        TEST(test_health__a_lane_that_waits_is_live_but_not_ready),
        TEST(test_health__a_lane_that_is_joining_the_group_is_not_ready),
        TEST(test_health__a_partition_that_can_not_be_read_is_named),
        TEST(test_health__a_database_that_was_set_back_is_told),
        TEST(test_health__a_stuck_lane_is_not_live),
        TEST(test_health__a_stopping_process_is_not_ready),
        TEST(test_health__a_lane_that_ended_is_not_ready),
        TEST(test_metrics_page__has_the_text_formats_content_type),
        TEST(test_admin_http__unknown_pages_are_404),
        TEST(test_admin_http__other_methods_are_405),
        TEST(test_admin_http__head_has_no_body),
        TEST(test_admin_http__nonsense_does_not_end_it),
        TEST(test_admin_http__a_page_too_large_is_no_answer),
        TEST(test_admin_http__serves_while_another_connection_idles),
        TEST(test_admin_http__slow_connections_keep_nobody_out),
        TEST(test_admin_http_start__a_taken_port_is_a_configuration_error),
        TEST(test_admin_http_start__an_address_that_is_none_is_a_configuration_error),
        TEST(test_admin_http_start__listens_on_ipv6_in_brackets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
