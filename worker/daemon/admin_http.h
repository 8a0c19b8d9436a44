#pragma once

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/err.h"

/* A small HTTP server with a thread of its own, for health checks and metrics. GET and HEAD only;
 * what is not a page is 404, another method 405. Connections that send no whole request make way
 * for new ones, so nobody who holds some open keeps a probe out. */
struct admin_http;

struct admin_page {
    const char *path;
    const char *content_type;
    /* Appends the body and answers the status. Called on the server's thread. */
    unsigned (*render)(void *context, struct buffer *out);
};

/* Listens and answers until admin_http_stop().
 *
 * listen  "address:port", "[address]:port"; port 0: any free one
 * pages   borrowed, as is the context
 *
 * FATAL   code ERR_CONFIG: the address is not one, is taken or forbidden */
enum outcome admin_http_start(const char *listen, const struct admin_page *pages, size_t page_count,
                              void *context, struct admin_http **ret_server, struct err *err);

/* The port it listens on. */
unsigned admin_http_port(const struct admin_http *server);

/* Waits for the requests in hand. */
void admin_http_stop(struct admin_http *server);
DEFINE_CLEANUP(struct admin_http *, admin_http_stop)
