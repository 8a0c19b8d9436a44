#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "worker/kafka/kafka_received.h"

/* A message whose bytes are its own and can be overwritten: `offset` is in its value. */
struct original {
    char topic[16];
    char value[32];
    char name[16];
    char header[16];
    struct header headers[1];
    struct message message;
};

static void original_init(struct original *original, const char *topic, int32_t partition,
                          int64_t offset)
{
    snprintf(original->topic, sizeof(original->topic), "%s", topic);
    snprintf(original->value, sizeof(original->value), "value %d", (int)offset);
    snprintf(original->name, sizeof(original->name), "ce_id");
    snprintf(original->header, sizeof(original->header), "id %d", (int)offset);
    original->headers[0] =
        (struct header){text_of(original->name), slice_of_text(text_of(original->header))};
    original->message = (struct message){.topic = text_of(original->topic),
                                         .partition = partition,
                                         .offset = offset,
                                         .timestamp_ms = 1000 + offset,
                                         .value = slice_of_text(text_of(original->value)),
                                         .headers = original->headers,
                                         .header_count = 1};
}

static void push(struct received *received, const char *topic, int32_t partition, int64_t offset)
{
    struct original original = {0};

    original_init(&original, topic, partition, offset);
    assert_true(received_push(received, &original.message));
    memset(&original, 'x', sizeof(original));
}

static void assert_message(const struct message *message, const char *topic, int32_t partition,
                           int64_t offset)
{
    struct original expected = {0};

    original_init(&expected, topic, partition, offset);
    assert_true(text_equal(message->topic, expected.message.topic));
    assert_int_equal(message->partition, partition);
    assert_int_equal(message->offset, offset);
    assert_int_equal(message->timestamp_ms, 1000 + offset);
    assert_true(text_equal(text_of_slice(message->value), text_of(expected.value)));
    assert_int_equal(message->header_count, 1);
    assert_true(text_is(message->headers[0].name, "ce_id"));
    assert_true(text_equal(text_of_slice(message->headers[0].value), text_of(expected.header)));
}

static size_t bytes_of(const struct received *received)
{
    size_t bytes = 0;
    for (size_t i = 0; i < received->count; i++)
        bytes += message_bytes(&received->items[i]);
    return bytes;
}

static void test_received_push__copies_all_of_it(void **state)
{
    (void)state;
    struct received received = {0};

    for (int i = 0; i < 200; i++)
        push(&received, i % 2 == 0 ? "users" : "keys", i % 3, i);

    assert_int_equal(received.count, 200);
    for (int i = 0; i < 200; i++)
        assert_message(&received.items[i], i % 2 == 0 ? "users" : "keys", i % 3, i);
    assert_int_equal(received.bytes, bytes_of(&received));
    received_release(&received);
}

static void test_received_push__tells_empty_from_absent(void **state)
{
    (void)state;
    struct received received = {0};
    const struct header headers[] = {{TEXT("empty"), {(const uint8_t *)"", 0}},
                                     {TEXT("absent"), {NULL, 0}}};
    const struct message empty = {.topic = TEXT("t"),
                                  .key = {(const uint8_t *)"", 0},
                                  .value = {(const uint8_t *)"", 0},
                                  .headers = headers,
                                  .header_count = 2};
    const struct message absent = {.topic = TEXT("t")};

    assert_true(received_push(&received, &empty));
    assert_true(received_push(&received, &absent));

    assert_non_null(received.items[0].key.data);
    assert_int_equal(received.items[0].key.length, 0);
    assert_non_null(received.items[0].value.data);
    assert_non_null(received.items[0].headers[0].value.data);
    assert_null(received.items[0].headers[1].value.data);
    assert_null(received.items[1].key.data);
    assert_null(received.items[1].value.data);
    assert_int_equal(received.items[1].header_count, 0);
    assert_int_equal(received.bytes, sizeof("empty") - 1 + sizeof("absent") - 1);
    received_release(&received);
}

static void test_received_move__keeps_the_rest_for_later(void **state)
{
    (void)state;
    struct received stash = {0}, hand = {0};

    for (int i = 0; i < 10; i++)
        push(&stash, "users", 0, i);
    assert_true(received_move(&stash, 7, &hand));

    assert_int_equal(hand.count, 7);
    assert_int_equal(stash.count, 3);
    assert_int_equal(hand.bytes, bytes_of(&hand));
    assert_int_equal(stash.bytes, bytes_of(&stash));
    received_clear(&hand); /* what stayed does not live there */
    push(&hand, "others", 9, 99);
    for (int i = 0; i < 3; i++)
        assert_message(&stash.items[i], "users", 0, 7 + i);

    received_clear(&hand);
    push(&stash, "users", 0, 10);
    assert_true(received_move(&stash, 4, &hand));
    assert_int_equal(stash.count, 0);
    assert_int_equal(stash.bytes, 0);
    for (int i = 0; i < 4; i++)
        assert_message(&hand.items[i], "users", 0, 7 + i);
    received_release(&stash);
    received_release(&hand);
}

static void test_received_drop_partitions__leaves_the_others(void **state)
{
    (void)state;
    struct received received = {0};
    rd_kafka_topic_partition_list_t *gone = rd_kafka_topic_partition_list_new(2);

    rd_kafka_topic_partition_list_add(gone, "users", 1);
    rd_kafka_topic_partition_list_add(gone, "keys", 0);
    for (int i = 0; i < 8; i++)
        push(&received, i % 2 == 0 ? "users" : "keys", i / 2 % 2, i);
    received_drop_partitions(&received, gone);

    assert_int_equal(received.count, 4);
    assert_message(&received.items[0], "users", 0, 0);
    assert_message(&received.items[1], "keys", 1, 3);
    assert_message(&received.items[2], "users", 0, 4);
    assert_message(&received.items[3], "keys", 1, 7);
    assert_int_equal(received.bytes, bytes_of(&received));
    rd_kafka_topic_partition_list_destroy(gone);
    received_release(&received);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_received_push__copies_all_of_it),
        cmocka_unit_test(test_received_push__tells_empty_from_absent),
        cmocka_unit_test(test_received_move__keeps_the_rest_for_later),
        cmocka_unit_test(test_received_drop_partitions__leaves_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
