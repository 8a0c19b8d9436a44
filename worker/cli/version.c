#include "worker/cli/version.h"

#include <jansson.h>
#include <microhttpd.h>

#include "base/json_writer.h"
#include "repo/pg/executor_pq.h"
#include "worker/kafka/kafka_version.h"

void version_json(struct buffer *buffer)
{
    struct json_writer json = json_writer_of(buffer);
    char libpq[LIBPQ_VERSION_LENGTH];

    libpq_version(libpq);
    json_begin_object(&json, NULL);
    json_text(&json, "version", TEXT(WORKER_VERSION));
    json_text(&json, "libpq", text_of(libpq));
    json_text(&json, "librdkafka", text_of(kafka_library_version()));
    json_text(&json, "libmicrohttpd", text_of(MHD_get_version()));
    json_text(&json, "jansson", text_of(jansson_version_str()));
    json_end_object(&json);
}
