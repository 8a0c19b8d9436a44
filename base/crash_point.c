#include "base/crash_point.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { ARMED_MAX = 4, SPECS_LENGTH_MAX = 256, DURING_US_MAX = 3000 };

static const struct action {
    const char *name;
    int signal; /* 0: the thread hangs */
} actions[] = {{"kill", SIGKILL}, {"stop", SIGSTOP}, {"hang", 0}};

struct armed {
    enum crash_point point;
    unsigned long nth;
    const struct action *action;
    atomic_ulong passed;
};

bool crash_points_armed;

static struct armed armed[ARMED_MAX];
static size_t armed_count;

static const char *const names[CRASH_POINT_COUNT] = {
#define X(name) [CRASH_##name] = #name,
    CRASH_POINTS(X)
#undef X
};

static void act(const struct armed *self)
{
    char line[96];
    int length = snprintf(line, sizeof(line), "crash point %s: %s\n", names[self->point],
                          self->action->name);
    ssize_t written = write(STDERR_FILENO, line, (size_t)length);

    (void)written;
    while (self->action->signal == 0)
        pause();
    kill(getpid(), self->action->signal);
}

static void *act_soon(void *self)
{
    clock_sleep_us(clock_monotonic_us() % DURING_US_MAX);
    act(self);
    return NULL;
}

void crash_point_reached(enum crash_point point)
{
    for (size_t i = 0; i < armed_count; i++) {
        if (armed[i].point != point || atomic_fetch_add(&armed[i].passed, 1) + 1 != armed[i].nth)
            continue;
        pthread_t thread;
        /* What happens inside librdkafka can only be met from outside. */
        if (point == CRASH_during_kafka_commit &&
            pthread_create(&thread, NULL, act_soon, &armed[i]) == 0)
            pthread_detach(thread);
        else
            act(&armed[i]);
    }
}

static bool find_point(const char *name, enum crash_point *ret_point)
{
    for (int i = 0; i < CRASH_POINT_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_point = (enum crash_point)i;
            return true;
        }
    }
    return false;
}

static const struct action *find_action(const char *name)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(name, actions[i].name) == 0)
            return &actions[i];
    }
    return NULL;
}

/* One NAME[:NTH[:ACTION]]; `spec` is taken apart. */
static bool parse(char *spec, struct armed *ret_armed)
{
    char *rest = NULL;
    const char *name = strtok_r(spec, ":", &rest);
    const char *nth = strtok_r(NULL, ":", &rest);
    const char *action = strtok_r(NULL, ":", &rest);
    char *end = NULL;

    ret_armed->nth = nth != NULL ? strtoul(nth, &end, 10) : 1;
    if (name == NULL || ret_armed->nth == 0 || (end != NULL && *end != '\0') ||
        (rest != NULL && *rest != '\0'))
        return false;
    ret_armed->action = find_action(action != NULL ? action : "kill");
    return ret_armed->action != NULL && find_point(name, &ret_armed->point);
}

enum outcome crash_points_arm(struct err *err)
{
    const char *value = getenv("WORKER_CRASH_POINT");
    char specs[SPECS_LENGTH_MAX] = "";
    char *rest = NULL;

    armed_count = 0;
    if (value != NULL)
        snprintf(specs, sizeof(specs), "%s", value);
    for (char *spec = strtok_r(specs, ",", &rest); spec != NULL;
         spec = strtok_r(NULL, ",", &rest)) {
        if (armed_count == ARMED_MAX || !parse(spec, &armed[armed_count]))
            return err_set(
                err, OUTCOME_REJECT, "",
                "WORKER_CRASH_POINT: must be NAME[:NTH[:kill|stop|hang]],... with names of "
                "base/crash_point.h");
        atomic_store(&armed[armed_count++].passed, 0);
    }
    crash_points_armed = armed_count > 0;
    return OUTCOME_OK;
}
