#pragma once

#include "worker/cli/cli.h"
#include "worker/cli/dead_letters.h"

/* Sends dead letters back to their topics of origin.
 *
 * One Kafka transaction holds, for each letter: the record as it was received, the mark behind the
 * letter (events/dead_letter.h), and the audit.append command that reports it. So they are there
 * all three or not at all, and who reads the dead-letter topics to their ends knows what went back.
 * A fixed transactional.id allows one redrive at a time: the next one fences it before it reads.
 *
 * A letter that the brokers do not take is refused by itself: the transaction that it spoilt is
 * void, and its letters go back in one transaction each. After brokers that were away for longer
 * than a transaction may last, the topics are read again to learn what became of it. */
struct redrive {
    const struct arguments *arguments;
    const struct config *config;
    struct letter_topics topics;  /* one for each command topic, in the same order */
    const int *origin_partitions; /* of each command topic */
    struct letter_filter filter;
    int64_t limit;        /* letters */
    int64_t rate;         /* letters a second; 0: as fast as it goes */
    int64_t max_redrives; /* of one letter */
    bool dry_run;
    struct arena *arena;
};

/* Prints a line for each letter as soon as its outcome is certain, JSON or a row of a table as
 * --output asks, and a summary to stderr. 0; 65 when letters were refused; 66 when a letter that
 * was named is not there; 69, 75, 78, 70. */
enum exit_code redrive_run(struct redrive *redrive);
