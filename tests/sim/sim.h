#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include "worker/lane/context.h"

/* A world in one thread for the lane's own code: a broker and a store in memory with their
 * transactional semantics, some lanes as coroutines, and a seeded scheduler that decides at every
 * port call who goes on and what goes wrong. The same seed is the same run.
 *
 * Broker: partitions, a consumer group with generations, transactional producers with epochs,
 * stable offsets. Store: audit log with unique ids, transactions, lost answers. */

enum {
    SIM_LANES = 3,
    SIM_PARTITIONS = 3,
    SIM_MESSAGES_MAX = 16, /* per partition */
    SIM_RECORDS_MAX = 4096,
    SIM_STORED_MAX = 256,
    SIM_STACK_BYTES = 256 * 1024,
    SIM_TOPIC_NAMES_MAX = 8,
    SIM_REFUSED = 99,               /* variant of a user whose e-mail the store refuses */
    SIM_STUBBORN = 98,              /* of one with which every transaction fails */
    SIM_RECORD_BYTES = 1000000,     /* what the producer takes */
    SIM_SMALL_RECORD_BYTES = 10000, /* what the topics take in some worlds */
    SIM_TINY_RECORD_BYTES = 200,    /* in others, for a while: nothing fits */
    SIM_LEAST_RECORD_BYTES = 8192,  /* what a producer goes down to */
    SIM_POISON_BYTES = 20000,
    SIM_AGE_MAX_MS = 1000000, /* of a poison */
};

enum sim_mistake { /* seeded errors: the oracle must find each */
                   SIM_MISTAKE_NONE,
                   SIM_MISTAKE_UNFENCED_OFFSETS,   /* send_offsets ignores the generation */
                   SIM_MISTAKE_NO_UNIQUE_IDS,      /* record() overwrites an id that is there */
                   SIM_MISTAKE_COMMIT_BEFORE_DATA, /* offsets move although the records are dropped
                                                    */
                   SIM_MISTAKE_UNSTABLE_OFFSETS, /* committed() does not wait for open transactions
                                                  */
                   SIM_MISTAKE_DIRTY_ROLLBACK,   /* a rolled back transaction keeps its rows */
};

struct sim_message {
    struct message message;
    char source_id[16]; /* (source, id), for the oracle; "" for a poison */
    bool refused;       /* by the store */
    bool dead;          /* must become a dead letter */
    int letters;        /* its dead letters, for the oracle */
};

struct sim_record { /* on the audit or dead-letter topic */
    uint8_t *value;
    size_t value_length;
    uint8_t *key;
    size_t key_length;
    bool dead;   /* on the dead-letter topic */
    char id[40]; /* ce_id of an audit event */
    int64_t timestamp_ms;
    bool changed;         /* a dead letter that says that it is not as received */
    int origin_partition; /* of a dead letter */
    int64_t origin_offset;
    int lane;       /* producer */
    uint64_t epoch; /* of the producer's transaction */
    enum { RECORD_OPEN, RECORD_COMMITTED, RECORD_ABORTED } state;
};

struct sim_stored { /* a row of the audit log */
    struct audit_event event;
    struct arena *memory;
    int times; /* recorded, for the oracle: must be 1 */
};

struct sim_lane {
    int index;
    bool alive;
    bool done;   /* lane_run returned */
    int stalled; /* scheduler turns to sit out */
    struct lane *lane;
    struct lane_metrics metrics;
    struct source source;
    struct sink sink;
    struct store store;
    ucontext_t context;
    char *stack;

    /* consumer */
    bool joined; /* this process has; a successor is another member */
    bool member; /* in the group, by its own belief */
    uint64_t member_generation;
    uint64_t source_generation; /* as the port tells it */
    bool owns[SIM_PARTITIONS];
    int64_t next[SIM_PARTITIONS];
    int64_t began[SIM_PARTITIONS]; /* committed when it was assigned */
    bool told[SIM_PARTITIONS];     /* by take_assigned() */
    uint64_t polled_generation;    /* source_generation of what is in hand */
    bool rewind;                   /* the next poll begins at the committed offsets */
    struct position fresh[SIM_PARTITIONS];
    struct log_reset resets[SIM_PARTITIONS];
    size_t reset_count;
    struct message polled[SIM_PARTITIONS * SIM_MESSAGES_MAX];

    /* producer */
    uint64_t epoch; /* 0: not opened */
    bool in_transaction;
    bool committing;                  /* a commit is not answered yet: only commit() may follow */
    bool undelivered;                 /* a record was too large for the topic */
    enum sink_refused letter_refused; /* a record that the dead-letter topic never takes */
    bool refused;                     /* for its size, and the brokers have not been asked since */
    size_t record_bytes_max;          /* as far as this process knows */

    /* store */
    bool broken; /* needs recover() */
    bool begun;
    struct sim_overlay *overlay;
};

struct sim {
    uint64_t random;
    bool faults;
    bool anew;    /* topics made anew also in worlds that are not orderly */
    bool outage;  /* every world has attempts that fail thousands of times */
    bool orderly; /* nobody is expelled alive: every member gives its partitions up first */
    enum sim_mistake mistake;
    int64_t now_us;
    ucontext_t scheduler;
    struct sim_lane lanes[SIM_LANES];
    struct sim_lane *running;

    struct sim_message topic[SIM_PARTITIONS][SIM_MESSAGES_MAX];
    int64_t topic_end[SIM_PARTITIONS];

    /* group */
    uint64_t generation;
    bool preparing;           /* in an orderly world: the next generation waits for all members */
    bool rejoined[SIM_LANES]; /* that it need not wait for */
    bool in_group[SIM_LANES];
    int owner[SIM_PARTITIONS]; /* lane, or -1 */
    int64_t committed[SIM_PARTITIONS];
    bool ours[SIM_PARTITIONS]; /* a lane committed it */

    /* producers, by transactional id (one a lane slot) */
    uint64_t producer_epoch[SIM_LANES];
    bool transaction_open[SIM_LANES];
    bool transaction_committed[SIM_LANES]; /* the outcome of the last commit that was asked for */
    bool hanging[SIM_LANES]; /* acknowledged, and its markers never written (KAFKA-20734): the end
                                of the producer's next transaction decides */
    int64_t pending[SIM_LANES][SIM_PARTITIONS]; /* offsets sent in the open transaction; -1 */
    struct sim_record records[SIM_RECORDS_MAX];
    size_t record_count;
    bool doubled;               /* a lane recorded an id twice in one call, which is refused */
    bool hoarded;               /* a lane kept memory of attempts that failed */
    bool flooded;               /* more records than a schedule may need */
    struct batch_limits limits; /* of every lane: in some worlds the batch arena is small */
    unsigned commit_refusals;   /* Kafka transactions that the brokers still refuse to commit */
    unsigned find_refusals;     /* transactions that the store still refuses to begin */
    unsigned load_refusals;     /* times that the store still refuses to tell published offsets */
    size_t topic_bytes_max;     /* of the topics; the producer does not know it before a refusal */
    bool limit_told;            /* on asking */
    bool letters_need_keys;     /* the dead-letter topic is compacted */
    int64_t letter_age_max_ms;  /* it takes no timestamp further from now; INT64_MAX: any */

    struct sim_stored stored[SIM_STORED_MAX];
    size_t stored_count;
    struct sim_rows *rows; /* the tables, as far as the oracle needs them */
    char topic_names[SIM_TOPIC_NAMES_MAX][96];
    size_t topic_name_count;
    int64_t published[SIM_PARTITIONS];
    int64_t recorded[SIM_PARTITIONS];
    bool sets_back;   /* this world's store is set back, once */
    bool is_set_back; /* it is now, behind the group in every partition: nothing may be written */
    bool overwritten; /* a lane wrote all the same */
    bool spoilt;      /* a zombie did: the store can not come back to what it was */
    struct skip_request skip; /* to 0: there is none */
    bool unreadable;          /* what it is about: nobody is given the offset skip_to - 1 */
    int64_t skip_to;

    /* counters, for the report */
    unsigned long steps, crashes, stalls, rebalances, lost_answers, aborts, fenced, hung;
};

extern struct sim sim; /* the world that is running */

/* Ports of one lane slot. */
void sim_source_init(struct sim_lane *lane);
void sim_sink_init(struct sim_lane *lane);
void sim_store_init(struct sim_lane *lane);

/* The lane's process is gone: what the others see of it. */
void sim_store_crash(struct sim_lane *lane);

/* The store remembers its state; takes that state again, if the group has committed more of every
 * partition than that state has recorded, and nothing is recorded that is not published (false: not
 * now); comes back to what it was before. Every connection breaks each time. */
void sim_store_remember(void);
bool sim_store_set_back(void);
void sim_store_bring_back(void);

/* Starts a rebalance: the members of the group get new assignments. */
void sim_rebalance(void);
void sim_transaction_end(int index, bool commit);

/* Gives the processor back to the scheduler; a crashed lane does not return. */
void sim_yield(void); /* without a scheduler: goes on */
uint64_t sim_random(uint64_t below);
bool sim_chance(unsigned percent); /* false while faults are off */

/* The store refuses a value of it, as PostgreSQL does with class 22. */
bool sim_refuses(const struct command *command);

/* The tables: how many rows, and whether a user is there; -1: there is no such key. */
void sim_rows_reset(void);
size_t sim_row_count(void);
bool sim_user_exists(struct text id);
int64_t sim_key_usage(struct text id);

/* An empty broker and an empty store; the lanes must have ended. */
void sim_world_clear(uint64_t seed, enum sim_mistake mistake);
