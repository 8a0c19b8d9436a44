#include "config/kafka_rules.h"

#include <strings.h>

#define OFFSETS_MOVE "offsets move only inside the transaction that publishes the audit events"
#define OWN_SETTING "it has a setting of its own"
#define IDEMPOTENT "the transactional producer needs what idempotence implies"
#define CODE "it is code or memory of the program, not text"

/* allowed: values with blanks between them; NULL: none. Aliases that librdkafka knows for a
 * property stand beside it. */
static const struct kafka_rule_info rules[] = {
    {"group.id", NULL, OWN_SETTING ": worker.group_id"},
    {"group.instance.id", NULL,
     "every lane is a member of its own; one name for all would make them throw each other out"},
    {"group.protocol", "classic",
     "a zombie is fenced by the generation of the classic protocol's membership"},
    {"enable.auto.commit", NULL, OFFSETS_MOVE},
    {"auto.commit.enable", NULL, OFFSETS_MOVE},
    {"auto.commit.interval.ms", NULL, OFFSETS_MOVE},
    {"enable.auto.offset.store", NULL, OFFSETS_MOVE},
    {"offset.store.method", NULL, OFFSETS_MOVE},
    {"offset.store.path", NULL, OFFSETS_MOVE},
    {"offset.store.sync.interval.ms", NULL, OFFSETS_MOVE},
    {"auto.offset.reset", "earliest smallest beginning",
     "a command that was there before the group would never take effect"},
    {"isolation.level", "read_committed",
     "only committed records are commands, and only stable offsets may be trusted"},
    {"partition.assignment.strategy",
     "range roundrobin range,roundrobin roundrobin,range "
     "cooperative-sticky",
     "other assignors are not proven with transactions"},
    {"enable.partition.eof", NULL, "the lane would take the notice for a failure"},
    {"allow.auto.create.topics", NULL, "a mistyped topic must be an error, not a new topic"},
    {"queuing.strategy", "fifo", "commands take effect in offset order"},
    {"check.crcs", "true", "a damaged record must not become a command"},
    {"transactional.id", NULL, "it is made of worker.group_id, worker.instance_id and the lane"},
    {"enable.idempotence", "true", IDEMPOTENT},
    {"enable.gapless.guarantee", NULL, IDEMPOTENT},
    {"acks", "all -1", "an audit event that only the leader has can be lost"},
    {"request.required.acks", "all -1", "an audit event that only the leader has can be lost"},
    {"max.in.flight.requests.per.connection", "1 2 3 4 5", IDEMPOTENT},
    {"max.in.flight", "1 2 3 4 5", IDEMPOTENT},
    {"message.send.max.retries", NULL, IDEMPOTENT},
    {"retries", NULL, IDEMPOTENT},
    {"delivery.report.only.error", NULL, "every delivery is counted before the commit"},
    {"partitioner", "consistent_random murmur2_random fnv1a_random consistent murmur2 fnv1a",
     "one entity's audit events share a partition, so that they stay in order"},
    {"background_event_cb", NULL, CODE},
    {"dr_cb", NULL, CODE},
    {"dr_msg_cb", NULL, CODE},
    {"consume_cb", NULL, CODE},
    {"rebalance_cb", NULL, CODE},
    {"offset_commit_cb", NULL, CODE},
    {"error_cb", NULL, CODE},
    {"throttle_cb", NULL, CODE},
    {"stats_cb", NULL, CODE},
    {"log_cb", NULL, CODE},
    {"socket_cb", NULL, CODE},
    {"connect_cb", NULL, CODE},
    {"closesocket_cb", NULL, CODE},
    {"open_cb", NULL, CODE},
    {"resolve_cb", NULL, CODE},
    {"partitioner_cb", NULL, CODE},
    {"oauthbearer_token_refresh_cb", NULL, CODE},
    {"ssl.certificate.verify_cb", NULL, CODE},
    {"opaque", NULL, CODE},
    {"default_topic_conf", NULL, CODE},
    {"ssl_engine_callback_data", NULL, CODE},
    {"interceptors", NULL, CODE},
    {"plugin.library.paths", NULL, "a plug-in can change what is sent and what is acknowledged"},
};
enum { RULE_COUNT = sizeof(rules) / sizeof(rules[0]) };

static bool word_among(const char *words, const char *word)
{
    size_t length = strlen(word);

    while (*words != '\0') {
        size_t next = strcspn(words, " ");
        if (next == length && strncasecmp(words, word, length) == 0)
            return true;
        words += next + strspn(words + next, " ");
    }
    return false;
}

/* The environment writes every separator as an underscore, which arrives here as a dot: names that
 * differ in that only are the same. */
static bool same_name(const char *rule, const char *name)
{
    for (; *rule != '\0' && *name != '\0'; rule++, name++) {
        char left = *rule == '_' ? '.' : *rule;
        char right = *name == '_' ? '.' : *name;
        if (left != right)
            return false;
    }
    return *rule == *name;
}

const struct kafka_rule_info *kafka_rule_broken(const char *name, const char *value)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (!same_name(rules[i].name, name))
            continue;
        bool fine = rules[i].allowed != NULL && word_among(rules[i].allowed, value);
        return fine ? NULL : &rules[i];
    }
    return NULL;
}

bool config_kafka_rule_info(size_t index, struct kafka_rule_info *ret_info)
{
    if (index >= RULE_COUNT)
        return false;
    *ret_info = rules[index];
    return true;
}

/* By what their names hold, so that those of newer libraries are among them: sasl.password,
 * ssl.key.password, ssl.keystore.password, ssl.key.pem, sasl.oauthbearer.client.secret,
 * sasl.oauthbearer.assertion.private.key.passphrase, ... */
bool kafka_property_secret(const char *name)
{
    static const char *const parts[] = {"password", "secret", "passphrase", "key.pem",
                                        "sasl.oauthbearer.config"};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strstr(name, parts[i]) != NULL)
            return true;
    }
    return false;
}
