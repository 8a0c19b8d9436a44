#pragma once

#include "worker/lane/batch.h"
#include "worker/lane/sink.h"

/* The form of dead letters. A letter that the brokers refuse for good is changed until they take
 * it, or the lane would wait for ever: first what they name, then its key, its timestamp, and last
 * its headers. What they refuse belongs to a dead-letter topic and is remembered for a minute, so
 * that a topic that is mended gets letters as they came again. */
struct letter_form {
    bool dated;         /* timestamps further from now than this are changed */
    int64_t age_max_ms; /* -1: all */
    bool keys;          /* letters without a key get one */
    bool headers;       /* headers received are left out */
    int64_t learned_us; /* monotonic */
};

/* How letters of this topic are changed now. */
struct dead_letter_changes letter_form_changes(struct letter_form *form);

/* The brokers refused a letter of the batch. Which one they do not tell, so that timestamps are
 * narrowed down by halves: the oldest letters go first.
 * false: this letter can not be changed any further. */
bool letter_form_learn(struct letter_form *form, const struct batch *batch, struct text topic,
                       enum sink_refused refused);
