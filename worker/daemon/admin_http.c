#include "worker/daemon/admin_http.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"

/* A page is some tens of KiB at most: twelve command types, five steps. */
enum { PAGE_BYTES_MAX = 1024 * 1024 };
enum { CONNECTIONS_KEPT = 64, IDLE_SECONDS = 10, BACKLOG = 128, HOST_MAX = 256 };

/* Room for connections that were closed and are not yet taken down. */
enum { CONNECTIONS_MAX = 4 * CONNECTIONS_KEPT };

/* A connection without a whole request and answer within that makes way. */
enum { REQUEST_WITHIN_US = 10 * 1000 * 1000 };

/* An open connection, in a list by age. It is for one request: the answer ends it. */
struct visitor {
    struct visitor *older, *newer;
    struct MHD_Connection *connection;
    int64_t since_us;
};

struct admin_http {
    struct MHD_Daemon *daemon;
    const struct admin_page *pages;
    size_t page_count;
    void *context;
    unsigned port;
    /* The server's thread alone touches these. */
    struct visitor *oldest, *newest;
    size_t visitor_count;
};

/* --- connections -------------------------------------------------------------------------------
 *
 * Whoever reaches the port can open connections and send nothing, or a byte at a time. Such a
 * connection must not keep a probe out. So a new connection is always accepted, and the oldest ones
 * make way for it. */

static void visitor_add(struct admin_http *server, struct visitor *visitor)
{
    visitor->since_us = clock_monotonic_us();
    visitor->older = server->newest;
    visitor->newer = NULL;
    *(server->newest != NULL ? &server->newest->newer : &server->oldest) = visitor;
    server->newest = visitor;
    server->visitor_count++;
}

static void visitor_take_out(struct admin_http *server, struct visitor *visitor)
{
    *(visitor->older != NULL ? &visitor->older->newer : &server->oldest) = visitor->newer;
    *(visitor->newer != NULL ? &visitor->newer->older : &server->newest) = visitor->older;
    visitor->older = visitor->newer = NULL;
    server->visitor_count--;
}

static bool visitor_is_listed(const struct admin_http *server, const struct visitor *visitor)
{
    return visitor->older != NULL || server->oldest == visitor;
}

/* The library sees the end of the connection and takes it down. */
static void visitor_close(struct admin_http *server, struct visitor *visitor)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(visitor->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    visitor_take_out(server, visitor);
    if (info != NULL)
        shutdown(info->connect_fd, SHUT_RDWR);
}

static void make_way(struct admin_http *server)
{
    int64_t now_us = clock_monotonic_us();

    while (server->oldest != NULL && (server->visitor_count >= CONNECTIONS_KEPT ||
                                      now_us - server->oldest->since_us > REQUEST_WITHIN_US))
        visitor_close(server, server->oldest);
}

static void connection_changed(void *context, struct MHD_Connection *connection,
                               void **connection_context, enum MHD_ConnectionNotificationCode what)
{
    struct admin_http *server = context;
    struct visitor *visitor = *connection_context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        make_way(server);
        /* Without memory for it the connection is not listed; the idle time still ends it. */
        visitor = calloc(1, sizeof(*visitor));
        *connection_context = visitor;
        if (visitor == NULL)
            return;
        visitor->connection = connection;
        visitor_add(server, visitor);
    } else if (visitor != NULL) {
        if (visitor_is_listed(server, visitor))
            visitor_take_out(server, visitor);
        free(visitor);
        *connection_context = NULL;
    }
}

/* --- answering ---------------------------------------------------------------------------------
 */

static enum MHD_Result send_page(struct MHD_Connection *connection, unsigned status,
                                 const char *content_type, const struct buffer *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->length, body->bytes, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;

    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static const struct admin_page *page_find(const struct admin_http *server, const char *path)
{
    for (size_t i = 0; i < server->page_count; i++) {
        if (strcmp(server->pages[i].path, path) == 0)
            return &server->pages[i];
    }
    return NULL;
}

static enum MHD_Result send_error(struct MHD_Connection *connection, unsigned status,
                                  const char *reason, struct buffer *body)
{
    buffer_append_literal(body, "{\"status\":\"");
    buffer_append_literal(body, reason);
    buffer_append_literal(body, "\"}\n");
    return send_page(connection, status, "application/json", body);
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **request)
{
    (void)version;
    (void)upload;
    (void)upload_size;
    (void)request;
    const struct admin_http *server = context;
    CLEANUP(arena_freep) struct arena *arena = arena_new(PAGE_BYTES_MAX);
    struct buffer body;

    if (arena == NULL)
        return MHD_NO;
    buffer_init(&body, arena);
    const struct admin_page *page = page_find(server, path);
    if (page == NULL)
        return send_error(connection, MHD_HTTP_NOT_FOUND, "no such page", &body);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return send_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only", &body);

    unsigned status = page->render(server->context, &body);
    return body.full ? MHD_NO : send_page(connection, status, page->content_type, &body);
}

/* --- listening ---------------------------------------------------------------------------------
 */

/* The two halves of "address:port" or "[address]:port". false: not that. */
static bool split(const char *listen, char host[HOST_MAX], const char **ret_port)
{
    const char *colon = strrchr(listen, ':');
    if (colon == NULL || colon == listen)
        return false;

    bool bracketed = listen[0] == '[' && colon[-1] == ']';
    const char *begin = listen + (bracketed ? 1 : 0);
    const char *end = colon - (bracketed ? 1 : 0);
    if (end <= begin || end - begin >= HOST_MAX)
        return false;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    *ret_port = colon + 1;
    return true;
}

DEFINE_CLEANUP(struct addrinfo *, freeaddrinfo)

static enum outcome socket_open(const char *listen_at, int *ret_socket, struct err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    CLEANUP(freeaddrinfop) struct addrinfo *address = NULL;
    char host[HOST_MAX];
    const char *port = NULL;

    if (!split(listen_at, host, &port))
        return err_set(err, OUTCOME_FATAL, ERR_CONFIG, "http.listen: must be address:port");
    int failure = getaddrinfo(host, port, &hints, &address);
    if (failure != 0)
        return err_set(err, OUTCOME_FATAL, ERR_CONFIG, "http.listen: %s", gai_strerror(failure));

    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
    int yes = 1;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        *ret_socket = fd;
        return OUTCOME_OK;
    }
    err_set(err, OUTCOME_FATAL, ERR_CONFIG, "http.listen: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return OUTCOME_FATAL;
}

static unsigned socket_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    char port[8] = "0";

    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0 ||
        getnameinfo((struct sockaddr *)&address, length, NULL, 0, port, sizeof(port),
                    NI_NUMERICSERV) != 0)
        return 0;
    return (unsigned)strtoul(port, NULL, 10);
}

enum outcome admin_http_start(const char *listen, const struct admin_page *pages, size_t page_count,
                              void *context, struct admin_http **ret_server, struct err *err)
{
    int fd = -1;
    enum outcome outcome = socket_open(listen, &fd, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    struct admin_http *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        close(fd);
        return err_no_memory(err, "HTTP server");
    }
    *server = (struct admin_http){
        .pages = pages, .page_count = page_count, .context = context, .port = socket_port(fd)};
    server->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, answer, server,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_NOTIFY_CONNECTION,
        connection_changed, server, MHD_OPTION_END);
    if (server->daemon == NULL) {
        close(fd);
        free(server);
        return err_set(err, OUTCOME_FATAL, "", "HTTP server: cannot be started");
    }
    *ret_server = server;
    return OUTCOME_OK;
}

unsigned admin_http_port(const struct admin_http *server)
{
    assert(server != NULL);
    return server->port;
}

void admin_http_stop(struct admin_http *server)
{
    if (server == NULL)
        return;
    MHD_stop_daemon(server->daemon);
    free(server);
}
