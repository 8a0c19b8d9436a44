#include "worker/cli/version.h"

#include <jansson.h>
#include <microhttpd.h>

#include "base/json.h"
#include "repo/pg/executor_pq.h"
#include "worker/kafka/kafka_version.h"

static void member(struct buffer *buffer, const char *name, const char *value)
{
    buffer_append_literal(buffer, ",\"");
    buffer_append_literal(buffer, name);
    buffer_append_literal(buffer, "\":");
    json_append_string(buffer, text_of(value));
}

void version_json(struct buffer *buffer)
{
    char libpq[LIBPQ_VERSION_LENGTH];

    libpq_version(libpq);
    buffer_append_literal(buffer, "{\"version\":\"" WORKER_VERSION "\"");
    member(buffer, "libpq", libpq);
    member(buffer, "librdkafka", kafka_library_version());
    member(buffer, "libmicrohttpd", MHD_get_version());
    member(buffer, "jansson", jansson_version_str());
    buffer_append_literal(buffer, "}");
}
