/* The exactly-once protocol, for spin: two lanes, a topic of two partitions, the store, the broker, and
 * everything that can go wrong between any two steps. What is modelled and what is left out: README.md
 * beside this file. Names in comments are those of worker/{lane,settle,publish,progress,wait}.c and of
 * the ports in worker/{source,sink,store}.h.
 *
 * Switches (-D...):
 *   TOPIC=1|2   which commands there are, see content()
 *   FAULTS=n    at most n faults per run of the lanes; not given: any number
 *   RESET       afterwards the operator resets the group's offsets and runs the lanes once more
 *   SAME_ID     both lanes use one transactional.id: a process that was replaced and still lives
 *   UPGRADE     the first command of TOPIC=3 is a dead letter until the reset: a known limit
 *   LIVENESS    with the claim that every command is answered, under fairness
 *   ERROR_...   one seeded error; the verification must find it */

#define LANES 2
#define NOBODY 2

/* --- the topic ------------------------------------------------------------------------------
 *
 * An entry is a message: partition * 2 + offset. A content is what distinguishes commands, (source,
 * id) and digest: X1 and X2 are the same (source, id) with different bodies, Y is another command. */

#define X1 0
#define X2 1
#define Y 2

#define partition_of(e) ((e) / 2)
#define offset_of(e) ((e) % 2)
#define bit_of(e) (1 << (e))

#if TOPIC == 1
/* partition 0: X1, X2 (an id conflict); partition 1: X1 (a duplicate in another place) */
#define CONTENTS 2
#define end_of(p) (2 - (p))
#define content(e) ((e) == 1 -> X2 : X1)
#elif TOPIC == 3
/* partition 0: Y, X1; partition 1: X2 */
#define CONTENTS 3
#define end_of(p) (2 - (p))
#define content(e) ((e) == 0 -> Y : ((e) == 1 -> X1 : X2))
#else
/* partition 0: X1, Y; partition 1: X2, X1: which of X1 and X2 is the command and which the conflict
 * depends on who comes first */
#define CONTENTS 3
#define end_of(p) 2
#define content(e) ((e) == 1 -> Y : ((e) == 2 -> X2 : X1))
#endif

/* Audit ids: one for each (source, id), one for each conflict. */
#define IDS 5
#define id_of(k) ((k) == Y -> 1 : 0)
#define conflict_id_of(k) (2 + (k))

/* --- the world ------------------------------------------------------------------------------ */

/* The store: audit log (0: no such row, else 1 + the entry whose coordinates it has), how often a
 * (source, id) changed the tables, published offsets. */
byte row[IDS];
byte applied[2];
byte stored_published[2];

#define answered(k)                                                                                \
    ((row[id_of(k)] != 0 && content(row[id_of(k)] - 1) == (k)) || row[conflict_id_of(k)] != 0)
#define is_own(e) (row[id_of(content(e))] == (e) + 1 || row[conflict_id_of(content(e))] == (e) + 1)

/* The group. is_current: the lane has taken the assignment of the newest generation. */
bit in_group[LANES];
bit is_current[LANES];
byte owner[2] = NOBODY;
byte committed_offset[2];

/* Transactions, by transactional.id. Offsets of 0: none sent. */
#ifdef SAME_ID
#define id_of_lane(l) 0
#else
#define id_of_lane(l) (l)
#endif
#define NO_TRANSACTION 0
#define OPEN 1
#define PREPARED 2 /* the commit is decided, its markers are not in __consumer_offsets yet */
byte transaction[LANES];
byte records[LANES]; /* entries whose events were produced */
byte offsets[4];     /* transactional.id * 2 + partition */
bit misplaced[LANES]; /* an event was produced before the one that it must follow */
bit fenced[LANES] = 1; /* by lane: the broker knows a newer epoch than the lane's producer */

/* isolation.level=read_committed: such an offset is not told */
#ifndef ERROR_UNSTABLE_OFFSETS
#define is_unstable(p) (offsets[p] != 0 || offsets[2 + (p)] != 0)
#else
#define is_unstable(p) false
#endif

byte visible[3]; /* audit events that a read_committed consumer sees, by content */

/* Lanes, as the world must know them. */
bit alive[LANES];
bit busy[LANES]; /* a batch is being published: its transaction does not time out by itself */
bit told[LANES]; /* take_assigned() told this assignment */
bit knows[4];    /* lane * 2 + partition: its published offset is loaded */

bit stopping; /* the operator stops all lanes */
bit finished; /* they stopped, and what they leave behind was judged */
#ifdef RESET
bit was_reset;
#endif

/* Faults are over when none are left, or the world gives up having more. */
#ifdef FAULTS
byte faults_left = FAULTS;
#define calm (faults_left == 0)
#define fail faults_left--
#define become_calm faults_left = 0
#define become_faulty faults_left = FAULTS
#else
bit calm;
#define fail skip
#define become_calm calm = 1
#define become_faulty calm = 0
#endif
#define may_fail (!calm)

/* Messages that are there need not have been fetched yet; for ever they don't stay away. */
#ifdef LIVENESS
#define may_stay_away (!calm)
#else
#define may_stay_away true
#endif

#define all_committed (committed_offset[0] == end_of(0) && committed_offset[1] == end_of(1))
/* A dead letter, until what it lacked is mended. */
#ifdef UPGRADE
#define is_dead(e) ((e) == 0 && !was_reset)
#else
#define is_dead(e) false
#endif
#define all_answered (visible[X1] == 1 && visible[X2] == 1 && (CONTENTS == 2 || visible[Y] == 1 || is_dead(0)))

/* --- what is claimed -------------------------------------------------------------------------
 *
 * An assertion bears its number, so that run.sh can tell which one failed; it reads the names here. */

#define claim(number, holds) assert((number) == -1 || (holds))

#define APPLIED_ONCE 1          /* a command changes the tables at most once */
#define PUBLISHED_ONCE 2        /* readers never see two audit events of a command */
#define EFFECTS_IN_ORDER 3      /* commands of a partition take effect in offset order */
#define EVENTS_IN_ORDER 4       /* audit events of a partition are published in that order */
#define NOTHING_PASSED_OVER 5   /* offsets move only past commands that are answered and published */
#define OFFSETS_ONLY_GROW 6     /* no transaction moves the group's offsets back */
#define NEW_IS_NOT_PUBLISHED 7  /* the published offset never lies above a command not yet recorded */
#define COMMIT_IS_KNOWN 8       /* a commit without an open transaction is one asked for again */
#define ONE_EVENT_EACH 9        /* when all lanes have stopped every command has exactly one event */
#define STOP_SAVES 10           /* a stop in order leaves the published offsets in the store */

#define takes_effect_in_order(e) (offset_of(e) == 0 || is_dead((e) - 1) || answered(content((e) - 1)))
#define is_published(e) \
    (is_dead(e) || answered(content(e)) && (!is_own(e) || visible[content(e)] == 1))
#define is_above_published(e)                                                                      \
    (!knows[l * 2 + partition_of(e)] || offset_of(e) >= published[partition_of(e)])

/* --- the broker ----------------------------------------------------------------------------- */

inline forget_transaction(t)
{
    transaction[t] = NO_TRANSACTION;
    records[t] = 0;
    offsets[(t) * 2] = 0;
    offsets[(t) * 2 + 1] = 0;
    misplaced[t] = 0
}

/* A new generation: nobody is a current member until it has taken its assignment. */
inline rebalance()
{
    is_current[0] = 0;
    is_current[1] = 0;
    if
    :: in_group[0] && in_group[1] ->
        if
        :: owner[0] = 0; owner[1] = 1
        :: owner[0] = 1; owner[1] = 0
        fi
    :: in_group[0] && !in_group[1] -> owner[0] = 0; owner[1] = 0
    :: !in_group[0] && in_group[1] -> owner[0] = 1; owner[1] = 1
    :: !in_group[0] && !in_group[1] -> owner[0] = NOBODY; owner[1] = NOBODY
    fi
}

/* The commit is decided: readers will see the records, in the order of the log. */
inline decide(t)
{
    transaction[t] = PREPARED;
    claim(EVENTS_IN_ORDER, !misplaced[t]);
    e = 0;
    do
    :: e < 4 ->
        if
        :: records[t] & bit_of(e) ->
            visible[content(e)]++;
            claim(PUBLISHED_ONCE, visible[content(e)] <= 1)
        :: else
        fi;
        e++
    :: else -> break
    od;
    records[t] = 0;
    e = 0
}

/* The markers arrive: the group's offsets move. */
inline complete(t)
{
    e = 0;
    do
    :: e < 4 ->
        if
        :: offset_of(e) < offsets[(t) * 2 + partition_of(e)] ->
            claim(NOTHING_PASSED_OVER, is_published(e))
        :: else
        fi;
        e++
    :: else -> break
    od;
    e = 0;
    do
    :: e < 2 ->
        if
        :: offsets[(t) * 2 + e] != 0 ->
            claim(OFFSETS_ONLY_GROW, offsets[(t) * 2 + e] >= committed_offset[e]);
            committed_offset[e] = offsets[(t) * 2 + e]
        :: else
        fi;
        e++
    :: else -> break
    od;
    e = 0;
    forget_transaction(t)
}

/* --- a lane ---------------------------------------------------------------------------------- */

/* Where a wait began. */
#define AT_ASSIGNED 0
#define AT_SETTLE 1
#define AT_SEND 2
#define AT_COMMIT 3
#define AT_REOPEN 4
#define AT_COMMITTED 5
#define AT_PUBLISH 6

#define in_batch(e) (offset_of(e) >= from[partition_of(e)] && offset_of(e) < to[partition_of(e)])
#ifndef ERROR_KEEP_BATCH
#define is_over (!in_hand || give_up || stopping)
#else
#define is_over (give_up || stopping)
#endif

/* What happens inside poll() and keep_alive(): revocation, joining, assignment. */
inline serve_group()
{
    if
    :: is_current[l]
    :: else ->
        if
        :: owns[0] || owns[1] -> changed = 1; in_hand = 0; owns[0] = 0; owns[1] = 0
        :: else
        fi;
        if
        :: !in_group[l] || !joined -> in_group[l] = 1; joined = 1; rebalance()
        :: else
        fi;
        if
        :: (owner[0] == l && is_unstable(0)) || (owner[1] == l && is_unstable(1))
            /* the fetch of committed offsets is tried again at the next poll */
        :: else ->
            is_current[l] = 1;
            owns[0] = (owner[0] == l);
            owns[1] = (owner[1] == l);
            next[0] = (owns[0] -> committed_offset[0] : 0);
            next[1] = (owns[1] -> committed_offset[1] : 0);
            told[l] = 0
        fi
    fi
}

/* progress_unsaved() and progress_saved(), inside the transaction of record() */
inline record_offsets()
{
    if
    :: unsaved[0] && (published[0] > stored_published[0] || lowered) -> stored_published[0] = published[0]
    :: else
    fi;
    if
    :: unsaved[1] && published[1] > stored_published[1] -> stored_published[1] = published[1]
    :: else
    fi
}

inline forget_progress()
{
    lowered = 0;
    knows[l * 2] = 0;
    knows[l * 2 + 1] = 0;
    published[0] = 0;
    published[1] = 0;
    unsaved[0] = 0;
    unsaved[1] = 0
}

inline save_progress()
{
    if
    :: unsaved[0] || unsaved[1] ->
        if
        :: record_offsets(); lowered = 0; unsaved[0] = 0; unsaved[1] = 0
        :: may_fail -> fail /* twice: it stays unsaved */
        fi
    :: else
    fi
}

/* progress_assigned() for one partition: floor is the group's committed offset. */
inline load_published(p)
{
    if
    :: owns[p] && !knows[l * 2 + p] ->
        knows[l * 2 + p] = 1;
        published[p] = stored_published[p];
#ifndef ERROR_NO_FLOOR
        if
        :: committed_offset[p] > published[p] -> published[p] = committed_offset[p]; unsaved[p] = 1
        :: else
        fi
#endif
    :: else
    fi
}

/* take_known(): known is row content of the audit log. */
inline take_known(e, known)
{
    if
    :: known == e + 1 && !(knows[l * 2 + partition_of(e)] && offset_of(e) < published[partition_of(e)]) ->
        #ifndef ERROR_SILENT_REDELIVERY
        to_publish = to_publish | bit_of(e) /* REDELIVERED */
#else
        skip
#endif
#ifdef ERROR_IGNORE_PUBLISHED
    :: known == e + 1 && knows[l * 2 + partition_of(e)] && offset_of(e) < published[partition_of(e)] ->
        to_publish = to_publish | bit_of(e)
#endif
    :: else /* PUBLISHED or DUPLICATE */
    fi
}

inline find_commands()
{
    fresh = 0;
    conflicts = 0;
    to_publish = 0;
    first_x = 0;
    e = 0;
    do
    :: e < 4 ->
        if
        :: in_batch(e) && !is_dead(e) ->
            if
            :: row[id_of(content(e))] != 0 ->
                if
                :: content(row[id_of(content(e))] - 1) == content(e) ->
                    take_known(e, row[id_of(content(e))])
                :: else -> conflicts = conflicts | bit_of(e)
                fi
            :: row[id_of(content(e))] == 0 && content(e) == Y -> fresh = fresh | bit_of(e)
            :: row[id_of(content(e))] == 0 && content(e) != Y && first_x == 0 ->
                fresh = fresh | bit_of(e);
                first_x = e + 1
            :: row[id_of(content(e))] == 0 && content(e) != Y && first_x != 0 ->
                if
                :: content(first_x - 1) != content(e) -> conflicts = conflicts | bit_of(e)
                :: else /* DUPLICATE */
                fi
            fi
        :: else
        fi;
        e++
    :: else -> break
    od;
    first_x = 0;
    e = 0
}

/* A second statement: what others recorded since the first one shows. */
inline find_conflicts()
{
    seen = 0;
    e = 0;
    do
    :: e < 4 ->
        if
        :: conflicts & bit_of(e) ->
            if
            :: row[conflict_id_of(content(e))] != 0 ->
                conflicts = conflicts & ~bit_of(e);
                take_known(e, row[conflict_id_of(content(e))])
            :: row[conflict_id_of(content(e))] == 0 && (seen & bit_of(content(e))) ->
                conflicts = conflicts & ~bit_of(e) /* DUPLICATE */
            :: else -> seen = seen | bit_of(content(e))
            fi
        :: else
        fi;
        e++
    :: else -> break
    od;
    seen = 0;
    e = 0
}

inline count_applied(i)
{
    if
    :: applied[i] < 2 -> applied[i]++
    :: else
    fi;
    claim(APPLIED_ONCE, applied[i] <= 1)
}

inline apply_new()
{
    e = 0;
    do
    :: e < 4 ->
        if
        :: fresh & bit_of(e) -> count_applied(id_of(content(e)))
        :: else
        fi;
        e++
    :: else -> break
    od;
    e = 0
}

/* violated: an audit id is there already, SQLSTATE 23505 */
inline check_ids()
{
    violated = 0;
#ifndef ERROR_NO_UNIQUE_IDS
    e = 0;
    do
    :: e < 4 ->
        if
        :: (fresh & bit_of(e)) && row[id_of(content(e))] != 0 -> violated = 1
        :: (conflicts & bit_of(e)) && row[conflict_id_of(content(e))] != 0 -> violated = 1
        :: else
        fi;
        e++
    :: else -> break
    od;
    e = 0
#endif
}

/* Inserts the audit rows and COMMITs: what apply() did shows with them. */
inline record_events()
{
#ifndef ERROR_DIRTY_ROLLBACK
    apply_new();
#endif
    e = 0;
    do
    :: e < 4 ->
        if
        :: fresh & bit_of(e) ->
            row[id_of(content(e))] = e + 1
        :: conflicts & bit_of(e) ->
            row[conflict_id_of(content(e))] = e + 1
        :: else
        fi;
        if
        :: (fresh | conflicts) & bit_of(e) ->
            claim(EFFECTS_IN_ORDER, takes_effect_in_order(e));
            claim(NEW_IS_NOT_PUBLISHED, is_above_published(e))
        :: else
        fi;
        e++
    :: else -> break
    od;
    e = 0;
    record_offsets()
}

inline produce_events(t)
{
    e = 0;
    do
    :: e < 4 ->
        if
        :: to_publish & bit_of(e) ->
            transaction[t] = OPEN;
            records[t] = records[t] | bit_of(e);
            if
            :: offset_of(e) == 1 && is_own(e - 1) && visible[content(e - 1)] == 0 &&
               !(records[t] & bit_of(e - 1)) -> misplaced[t] = 1
            :: else
            fi
        :: else
        fi;
        e++
    :: else -> break
    od;
    e = 0
}

inline put_offsets()
{
    transaction[id_of_lane(l)] = OPEN;
    offsets[id_of_lane(l) * 2] = (from[0] < to[0] -> to[0] : 0);
    offsets[id_of_lane(l) * 2 + 1] = (from[1] < to[1] -> to[1] : 0)
}

inline release_batch()
{
    busy[l] = 0;
    ahead = 0;
    from[0] = 0;
    from[1] = 0;
    to[0] = 0;
    to[1] = 0;
    fresh = 0;
    conflicts = 0;
    to_publish = 0;
    in_hand = 0
}

proctype lane(byte l)
{
    /* source */
    bit joined, owns[2];
    byte next[2];
    /* batch */
    byte from[2], to[2];
    byte fresh, conflicts, to_publish;
    bit in_hand; /* polled under the assignment that the lane still has */
    /* progress */
    byte published[2];
    bit unsaved[2];
    bit lowered; /* reset, of partition 0 */
    bit changed; /* partitions were revoked since: progress_generation is over */
    /* sink */
    bit in_transaction, committing;
    byte ahead; /* of the store's COMMIT: 1 events are produced, 2 offsets are sent, too */
    bit give_up; /* this lane alone is being stopped */
    byte at;
    byte first_x, seen, e;
    bit violated;
#ifdef ERROR_PUBLISH_BEFORE_RECORD
    bit is_out;
#endif

end_down:
    /* lane_run(): open_ports() with reopen() as the first opening */
    atomic {
        !stopping && !finished && transaction[id_of_lane(l)] != PREPARED ->
        alive[l] = 1;
        forget_transaction(id_of_lane(l));
#ifdef SAME_ID
        fenced[1 - l] = 1;
#endif
        fenced[l] = 0
    };
    goto poll;

    /* SIGKILL, out of any step: PostgreSQL rolls back; group and coordinator notice later. The label is
     * inside of the atomic sequence: nothing comes between the step and the end. */
    atomic {
        false; /* only jumped into */
crash:
        fail;
        release_batch();
        forget_progress();
        joined = 0;
        owns[0] = 0;
        owns[1] = 0;
        next[0] = 0;
        next[1] = 0;
        told[l] = 0;
        changed = 0;
        in_transaction = 0;
        committing = 0;
        give_up = 0;
        at = 0;
        is_current[l] = 0;
        alive[l] = 0
    };
    goto end_down;

    /* lane_run() after its loop: save_progress(), close() */
    atomic {
        false; /* only jumped into */
stop:
        save_progress();
        release_batch();
        forget_progress();
        if
        :: in_group[l] -> in_group[l] = 0; rebalance()
        :: else
        fi;
        joined = 0;
        owns[0] = 0;
        owns[1] = 0;
        next[0] = 0;
        next[1] = 0;
        told[l] = 0;
        changed = 0;
        in_transaction = 0;
        committing = 0;
        give_up = 0;
        at = 0;
        alive[l] = 0
    };
    goto end_down;

poll:
    atomic {
        if
        :: stopping -> goto stop
        :: !stopping && may_fail -> goto crash
        :: !stopping && may_fail -> fail; goto stop
        :: !stopping ->
            serve_group();
            if
            :: owns[0] || owns[1] ->
                from[0] = next[0];
                from[1] = next[1];
                if
                :: owns[0] && end_of(0) - next[0] == 2 -> to[0] = next[0] + 1
                :: may_stay_away -> to[0] = next[0]
                :: to[0] = (owns[0] -> end_of(0) : next[0])
                fi;
                if
                :: owns[1] && end_of(1) - next[1] == 2 -> to[1] = next[1] + 1
                :: may_stay_away -> to[1] = next[1]
                :: to[1] = (owns[1] -> end_of(1) : next[1])
                fi;
                next[0] = to[0];
                next[1] = to[1];
                in_hand = 1
            :: else
            fi
        fi;
follow_assignment:
        if
        :: changed -> save_progress(); forget_progress(); changed = 0
        :: else
        fi;
        if
        :: (owns[0] || owns[1]) && !told[l] ->
            /* take_assigned(): committed() and load_published() */
            if
            :: (owns[0] && is_unstable(0)) || (owns[1] && is_unstable(1)) -> at = AT_ASSIGNED; goto wait
            :: !(owns[0] && is_unstable(0)) && !(owns[1] && is_unstable(1)) ->
                load_published(0);
                load_published(1);
                told[l] = 1
            :: may_fail -> fail; at = AT_ASSIGNED; goto wait
            fi
        :: else
        fi;
        if
        :: from[0] == to[0] && from[1] == to[1] -> save_progress(); release_batch(); goto poll
        :: else
        fi
    };

settle:
#ifdef ERROR_PUBLISH_BEFORE_RECORD
    is_out = 0;
#endif
    /* find() */
    atomic {
        if
        :: find_commands()
        :: may_fail -> goto crash
        fi
    };
    atomic {
        if
        :: conflicts != 0 -> find_conflicts()
        :: else
        fi
    };
#ifdef ERROR_DIRTY_ROLLBACK
    /* apply() */
    atomic { apply_new() };
#endif
#ifdef ERROR_PUBLISH_BEFORE_RECORD
    to_publish = to_publish | fresh | conflicts;
    goto publish;
#endif

    /* publish_ahead(), while COMMIT is under way: one attempt of each call. Where the server is faster,
     * the two commits do not overlap. */
    atomic {
        if
        :: true
        :: !in_transaction && !fenced[l] && transaction[id_of_lane(l)] != PREPARED ->
            busy[l] = 1;
            in_transaction = 1;
            to_publish = to_publish | fresh | conflicts;
            produce_events(id_of_lane(l));
            if
            :: ahead = 1 /* the offsets are refused: that is dealt with after COMMIT */
            :: in_hand && is_current[l] -> put_offsets(); ahead = 2
            :: may_fail -> goto crash
            fi
        fi
    };

record:
    /* apply(), then record() with COMMIT: a failure of find() or apply() is one of record() before
     * its COMMIT */
    atomic {
        /* progress_saw_new() */
        if
#ifdef UPGRADE
        :: (fresh & bit_of(0)) && knows[l * 2] && published[0] > 0 ->
            published[0] = 0;
            unsaved[0] = 1;
            lowered = 1
#endif
        :: else
        fi;
        check_ids();
        if
        :: violated -> violated = 0; goto not_recorded /* another lane got there first */
        :: !violated ->
            if
            :: record_events();
                lowered = 0;
                unsaved[0] = 0;
                unsaved[1] = 0;
                to_publish = to_publish | fresh | conflicts;
                fresh = 0;
                conflicts = 0
            :: may_fail -> goto crash
            :: may_fail -> fail; goto not_recorded /* rolled back */
            :: may_fail -> fail; record_events(); goto not_recorded /* the answer is lost */
            fi
        fi;
        if
        :: ahead == 2 -> ahead = 0; goto commit
        :: ahead == 1 -> ahead = 0; goto send_offsets
        :: ahead == 0
        fi
    };
#ifdef ERROR_PUBLISH_BEFORE_RECORD
    if
    :: is_out -> goto published_batch
    :: else
    fi;
#endif

publish:
    /* begin(), produce() */
    atomic {
        busy[l] = 1;
        if
        :: in_transaction || fenced[l] -> goto failed
        :: !in_transaction && !fenced[l] && transaction[id_of_lane(l)] != PREPARED ->
            in_transaction = 1;
            produce_events(id_of_lane(l))
        :: may_fail -> goto crash
        fi
    };

send_offsets:
    atomic {
        if
        :: fenced[l] -> goto failed
#if defined(ERROR_UNFENCED_OFFSETS)
        :: !fenced[l] ->
#elif defined(ERROR_KEEP_BATCH)
        :: !fenced[l] && !is_current[l] -> goto failed
        :: !fenced[l] && is_current[l] ->
#else
        /* ILLEGAL_GENERATION: source_kafka_membership(), or the coordinator */
        :: !fenced[l] && (!in_hand || !is_current[l]) -> goto failed
        :: !fenced[l] && in_hand && is_current[l] ->
#endif
            if
            :: put_offsets()
            :: may_fail ->
                fail;
                put_offsets();
                at = AT_SEND;
                goto wait /* the answer is late */
            :: may_fail -> goto crash
            fi
        fi
    };

commit:
    atomic {
        if
        :: fenced[l] -> goto failed
        :: !fenced[l] && transaction[id_of_lane(l)] != OPEN ->
            claim(COMMIT_IS_KNOWN, committing) /* asked again: the coordinator tells that it is done */
        :: !fenced[l] && transaction[id_of_lane(l)] == OPEN ->
            if
            :: decide(id_of_lane(l))
            :: may_fail -> goto crash
            :: may_fail -> fail; goto failed /* not asked for, or the answer is lost ... */
            :: may_fail -> fail; decide(id_of_lane(l)); goto failed
            :: may_fail -> fail; committing = 1; at = AT_COMMIT; goto wait /* ... or late */
            :: may_fail -> fail; committing = 1; decide(id_of_lane(l)); at = AT_COMMIT; goto wait
#ifndef ERROR_COMMIT_UNDELIVERED
            :: may_fail && to_publish != 0 -> fail; goto failed /* records were not delivered */
#else
            :: may_fail && to_publish != 0 -> fail; records[id_of_lane(l)] = 0; decide(id_of_lane(l))
#endif
            fi
        fi;
        committing = 0;
        in_transaction = 0
    };

published_batch:
#ifdef ERROR_PUBLISH_BEFORE_RECORD
    if
    :: !is_out -> is_out = 1; goto record
    :: else
    fi;
#endif
    /* progress_published() */
    atomic {
        if
        :: knows[l * 2] && from[0] < to[0] && to[0] > published[0] -> published[0] = to[0]; unsaved[0] = 1
        :: else
        fi;
        if
        :: knows[l * 2 + 1] && from[1] < to[1] && to[1] > published[1] -> published[1] = to[1]; unsaved[1] = 1
        :: else
        fi;
        release_batch();
        goto poll
    };

not_recorded:
    /* publish_abort(): nothing that was published during the COMMIT may stay */
    atomic {
        if
#ifndef ERROR_AHEAD_KEPT
        :: ahead != 0 -> goto reopen
        :: ahead == 0 -> at = AT_SETTLE; goto wait
#else
        :: true -> at = AT_SETTLE; goto wait
#endif
        fi
    };

failed:
    /* replace_producer(); only polling gets a lane through the rebalance that fenced it */
    atomic { serve_group() };

reopen:
    /* ends whatever the producer had open */
    atomic {
        if
        :: transaction[id_of_lane(l)] != PREPARED ->
            forget_transaction(id_of_lane(l));
#ifdef SAME_ID
            fenced[1 - l] = 1;
#endif
            fenced[l] = 0;
            in_transaction = 0;
            committing = 0;
            if
            :: ahead != 0 -> ahead = 0; busy[l] = 0; at = AT_SETTLE; goto wait
            :: ahead == 0
            fi
        :: may_fail -> fail; at = AT_REOPEN; goto wait
        :: may_fail -> goto crash
        fi
    };

committed:
    /* has_committed() */
    atomic {
        if
#ifdef ERROR_BLIND_REPUBLISH
        :: true -> at = AT_PUBLISH; goto wait
#else
        :: !in_hand -> at = AT_PUBLISH; goto wait /* revoked meanwhile: dropped */
        :: in_hand && ((from[0] < to[0] && is_unstable(0)) || (from[1] < to[1] && is_unstable(1))) ->
            at = AT_COMMITTED;
            goto wait
        :: in_hand && !(from[0] < to[0] && is_unstable(0)) && !(from[1] < to[1] && is_unstable(1)) ->
            if
            :: (from[0] == to[0] || committed_offset[0] >= to[0]) &&
               (from[1] == to[1] || committed_offset[1] >= to[1]) -> goto published_batch
            :: else -> at = AT_PUBLISH; goto wait
            fi
        :: may_fail -> goto crash
#endif
        fi
    };

wait:
    /* wait_again(): short waits only sleep, long ones keep the membership alive */
    atomic {
        if
        :: may_fail -> fail; give_up = 1
        :: may_fail /* too short to notice anything */
        :: serve_group()
        fi;
        if
        :: is_over && (at == AT_SEND || at == AT_COMMIT) -> at = 0; goto failed
        :: is_over && at != AT_SEND && at != AT_COMMIT ->
            at = 0;
            release_batch();
            if
            :: give_up -> goto stop
            :: !give_up -> goto poll
            fi
        :: !is_over && at == AT_ASSIGNED -> at = 0; goto follow_assignment
#ifndef ERROR_LOST_BATCH
        :: !is_over && at == AT_SETTLE -> at = 0; goto settle
#else
        :: !is_over && at == AT_SETTLE -> at = 0; release_batch(); goto poll
#endif
        :: !is_over && at == AT_SEND -> at = 0; goto send_offsets
        :: !is_over && at == AT_COMMIT -> at = 0; goto commit
        :: !is_over && at == AT_REOPEN -> at = 0; goto reopen
        :: !is_over && at == AT_COMMITTED -> at = 0; goto committed
        :: !is_over && at == AT_PUBLISH -> at = 0; goto publish
        fi
    }
}

/* --- everything else -------------------------------------------------------------------------- */

#define is_assigned(p)                                                                             \
    ((owner[p] == 0 && is_current[0] && told[0] && knows[p]) || (owner[p] == 1 && is_current[1] && told[1] && knows[2 + (p)]))

proctype world()
{
    byte e;

run_of_lanes:
    do
    /* the coordinator writes the markers of a decided commit */
    :: atomic { transaction[0] == PREPARED -> complete(0) }
    :: atomic { transaction[1] == PREPARED -> complete(1) }
    /* transaction.timeout.ms: the coordinator aborts and bumps the epoch */
#ifdef SAME_ID
    :: atomic {
        transaction[0] == OPEN && ((!busy[0] && !busy[1]) || may_fail) ->
        if
        :: busy[0] || busy[1] -> fail
        :: else
        fi;
        forget_transaction(0);
        fenced[0] = 1;
        fenced[1] = 1
    }
#else
    :: atomic {
        transaction[0] == OPEN && (!busy[0] || may_fail) ->
        if
        :: busy[0] -> fail
        :: else
        fi;
        forget_transaction(0);
        fenced[0] = 1
    }
    :: atomic {
        transaction[1] == OPEN && (!busy[1] || may_fail) ->
        if
        :: busy[1] -> fail
        :: else
        fi;
        forget_transaction(1);
        fenced[1] = 1
    }
#endif
    /* session.timeout.ms: of a lane that is gone, or of one that does not poll: a zombie */
    :: atomic {
        in_group[0] && (!alive[0] || may_fail) ->
        if
        :: alive[0] -> fail
        :: else
        fi;
        in_group[0] = 0;
        rebalance()
    }
    :: atomic {
        in_group[1] && (!alive[1] || may_fail) ->
        if
        :: alive[1] -> fail
        :: else
        fi;
        in_group[1] = 0;
        rebalance()
    }
    :: atomic { !calm -> become_calm }
    /* in order: every partition is assigned to a lane that has loaded its published offset, and no
     * commit is without an answer */
    :: atomic {
        calm && !stopping && !busy[0] && !busy[1] && all_committed && is_assigned(0) &&
        is_assigned(1) -> stopping = 1
    }
    :: atomic {
        stopping && !alive[0] && !alive[1] && !in_group[0] && !in_group[1] &&
        transaction[0] == NO_TRANSACTION && transaction[1] == NO_TRANSACTION -> break
    }
    od;

    atomic {
        claim(ONE_EVENT_EACH, all_answered);
        claim(STOP_SAVES, stored_published[0] == end_of(0));
        claim(STOP_SAVES, stored_published[1] == end_of(1));
#ifdef RESET
        if
        :: !was_reset ->
            was_reset = 1;
            /* the operator goes back in the topic */
            if
            :: committed_offset[0] = 0
#ifndef UPGRADE
            :: committed_offset[0] = 1
            :: skip
#endif
            fi;
            if
            :: committed_offset[1] = 0
            :: committed_offset[1] = end_of(1) - 1
            :: skip
            fi;
#ifndef UPGRADE
            become_faulty;
#endif
            stopping = 0;
            goto run_of_lanes
        :: else
        fi;
#endif
        finished = 1
    }
}

init
{
    atomic {
        run world();
        run lane(0);
        run lane(1)
    }
}

#ifdef LIVENESS
/* Once faults stop, every command gets its one event and the lanes come to their end. Fairness: whatever
 * process can go on does so. */
ltl every_command_is_answered { [] (calm -> <> (finished && all_answered)) }
#endif
