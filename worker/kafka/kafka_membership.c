#include "worker/kafka/kafka_membership.h"

#include <string.h>

/* Generation and member of serialised metadata: "CGMDv2:" int32 group NUL member NUL ... This is
 * the only public way to see the generation; the layout is the same from librdkafka 2.0 to 2.16. */
bool membership_is_fenced(const rd_kafka_consumer_group_metadata_t *metadata, const char *group_id)
{
    static const char magic[] = "CGMDv2:";
    enum { MAGIC_LENGTH = sizeof(magic) - 1 };

    void *bytes = NULL;
    size_t size = 0;
    rd_kafka_error_t *error = rd_kafka_consumer_group_metadata_write(metadata, &bytes, &size);
    if (error != NULL) {
        rd_kafka_error_destroy(error);
        return false;
    }
    const char *text = bytes;
    size_t member_at = MAGIC_LENGTH + sizeof(int32_t) + strlen(group_id) + 1;
    int32_t generation_id = -1;
    bool known = size > member_at && memcmp(text, magic, MAGIC_LENGTH) == 0;
    if (known)
        memcpy(&generation_id, text + MAGIC_LENGTH, sizeof(generation_id));
    bool answer = known && generation_id >= 0 && text[member_at] != '\0';
    rd_kafka_mem_free(NULL, bytes);
    return answer;
}
