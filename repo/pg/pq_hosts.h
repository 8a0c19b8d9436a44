#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The hosts of a conninfo that names several, beginning with any of them.
 *
 * libpq goes on to the next host when one refuses, but its asynchronous connecting has no time
 * limit: a host that accepts and does not answer (a primary that hangs, and was failed over from)
 * would be the first and only one for ever. */
struct pq_hosts {
    size_t count; /* below 2: the rest is NULL, there is nothing to turn */
    char *host;
    char *hostaddr;
    char *port;
};

/* false: no memory. What libpq cannot parse counts as one host: connecting will tell. */
bool pq_hosts_parse(const char *conninfo, struct pq_hosts *ret_hosts);
void pq_hosts_release(struct pq_hosts *hosts);

/* The second host becomes the first, the first the last. */
void pq_hosts_turn(struct pq_hosts *hosts);
