#include "repo/pg/pq_hosts.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

static size_t elements(const char *list)
{
    size_t count = list != NULL;

    for (const char *at = list; at != NULL && *at != '\0'; at++)
        count += *at == ',';
    return count;
}

static bool keep(const PQconninfoOption *option, struct pq_hosts *hosts)
{
    char **slot = NULL;

    if (option->val == NULL || *option->val == '\0')
        return true;
    if (strcmp(option->keyword, "host") == 0)
        slot = &hosts->host;
    else if (strcmp(option->keyword, "hostaddr") == 0)
        slot = &hosts->hostaddr;
    else if (strcmp(option->keyword, "port") == 0)
        slot = &hosts->port;
    if (slot == NULL)
        return true;
    *slot = strdup(option->val);
    return *slot != NULL;
}

bool pq_hosts_parse(const char *conninfo, struct pq_hosts *ret_hosts)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    bool kept = true;

    *ret_hosts = (struct pq_hosts){0};
    for (const PQconninfoOption *option = options;
         kept && option != NULL && option->keyword != NULL; option++)
        kept = keep(option, ret_hosts);
    PQconninfoFree(options);
    ret_hosts->count =
        elements(ret_hosts->hostaddr != NULL ? ret_hosts->hostaddr : ret_hosts->host);
    if (!kept || ret_hosts->count < 2)
        pq_hosts_release(ret_hosts);
    return kept;
}

void pq_hosts_release(struct pq_hosts *hosts)
{
    free(hosts->host);
    free(hosts->hostaddr);
    free(hosts->port);
    *hosts = (struct pq_hosts){0};
}

/* In place: "a,bb,ccc" becomes "bb,ccc,a". One element, as a port for all hosts, stays. */
static void turn(char *list)
{
    size_t first = list != NULL ? strcspn(list, ",") : 0;

    if (list == NULL || list[first] == '\0')
        return;
    size_t length = strlen(list);
    char *copy = strdup(list);
    if (copy == NULL)
        return; /* the order stays: one attempt more at the same host */
    memcpy(list, copy + first + 1, length - first - 1);
    list[length - first - 1] = ',';
    memcpy(list + length - first, copy, first);
    free(copy);
}

void pq_hosts_turn(struct pq_hosts *hosts)
{
    turn(hosts->host);
    turn(hosts->hostaddr);
    turn(hosts->port);
}
