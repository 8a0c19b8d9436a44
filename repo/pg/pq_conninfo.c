#include "repo/pg/pq_conninfo.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

DEFINE_CLEANUP(PQconninfoOption *, PQconninfoFree)

/* Parameters whose value libpq repeats when it is none of these. NULL-terminated words; a list may
 * also be of numbers. */
static const struct known {
    const char *keyword;
    const char *words[8]; /* [0] NULL: a whole number */
    const char *rule;
} known[] = {
    {"sslmode",
     {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
     "sslmode: must be disable, allow, prefer, require, verify-ca or verify-full"},
    {"channel_binding",
     {"disable", "prefer", "require"},
     "channel_binding: must be disable, prefer or require"},
    {"gssencmode",
     {"disable", "prefer", "require"},
     "gssencmode: must be disable, prefer or require"},
    {"target_session_attrs",
     {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
     "target_session_attrs: must be any, read-write, read-only, primary, standby or"
     " prefer-standby"},
    {"ssl_min_protocol_version",
     {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"},
     "ssl_min_protocol_version: must be TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3"},
    {"ssl_max_protocol_version",
     {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"},
     "ssl_max_protocol_version: must be TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3"},
    {"load_balance_hosts", {"disable", "random"}, "load_balance_hosts: must be disable or random"},
    {"sslcertmode",
     {"disable", "allow", "require"},
     "sslcertmode: must be disable, allow or require"},
    {"connect_timeout", {NULL}, "connect_timeout: must be a whole number"},
    {"keepalives", {NULL}, "keepalives: must be a whole number"},
    {"keepalives_idle", {NULL}, "keepalives_idle: must be a whole number"},
    {"keepalives_interval", {NULL}, "keepalives_interval: must be a whole number"},
    {"keepalives_count", {NULL}, "keepalives_count: must be a whole number"},
    {"tcp_user_timeout", {NULL}, "tcp_user_timeout: must be a whole number"},
};

static bool is_number(const char *value)
{
    const char *digits = value + (*value == '-');
    size_t length = strspn(digits, "0123456789");

    return length > 0 && length < 10 && digits[length] == '\0';
}

static bool is_among(const struct known *parameter, const char *value)
{
    if (parameter->words[0] == NULL)
        return is_number(value);
    for (size_t i = 0; parameter->words[i] != NULL; i++) {
        if (strcasecmp(parameter->words[i], value) == 0)
            return true;
    }
    return false;
}

/* A comma-separated list; an empty place stands for the default. */
static bool are_ports(const char *list)
{
    for (;;) {
        size_t length = strcspn(list, ",");
        if (length > 5 || strspn(list, "0123456789") < length)
            return false;
        if (length > 0) {
            long port = strtol(list, NULL, 10);
            if (port < 1 || port > 65535)
                return false;
        }
        if (list[length] == '\0')
            return true;
        list += length + 1;
    }
}

static const char *rule_of(const PQconninfoOption *option)
{
    if (strcmp(option->keyword, "port") == 0)
        return are_ports(option->val) ? NULL : "port: must be a number of 1 to 65535";
    if (strcmp(option->keyword, "host") == 0 && strpbrk(option->val, "@ \t") != NULL)
        return "host: must not hold @ or a blank";
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(option->keyword, known[i].keyword) == 0)
            return is_among(&known[i], option->val) ? NULL : known[i].rule;
    }
    return NULL;
}

/* libpq takes what stands before the first @ for user and password, and the rest for a host, a
 * port or a database, which its messages and the server's repeat. */
static bool has_bare_letters(const char *conninfo)
{
    const char *authority = strstr(conninfo, "://");

    if (authority == NULL)
        return false;
    authority += strlen("://");
    const char *user_end = strpbrk(authority, "@/");
    const char *rest = user_end != NULL && *user_end == '@' ? user_end + 1 : authority;
    return memchr(rest, '@', strcspn(rest, "?")) != NULL; /* parameters may hold an @ */
}

const char *pq_conninfo_rule(const char *conninfo)
{
    if (strchr(conninfo, '=') == NULL && strstr(conninfo, "://") == NULL)
        return NULL;
    if (has_bare_letters(conninfo))
        return "in user and password the letters @ : / and % must be percent-encoded: @ is %40";
    CLEANUP(PQconninfoFreep) PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    if (options == NULL)
        return "neither a URI nor key=value pairs that libpq understands";
    for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
        const char *rule = option->val != NULL && *option->val != '\0' ? rule_of(option) : NULL;
        if (rule != NULL)
            return rule;
    }
    return NULL;
}

/* --- files -------------------------------------------------------------------------------------
 */

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
        if (strcmp(option->keyword, keyword) == 0)
            return option->val != NULL && option->val[0] != '\0' ? option->val : NULL;
    }
    return NULL;
}

/* As libpq judges it: nobody else, but a group where root owns the file. */
static bool key_is_open_to_others(const struct stat *file)
{
    mode_t forbidden = file->st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    return S_ISREG(file->st_mode) && (file->st_mode & forbidden) != 0;
}

const char *pq_conninfo_file_rule(const char *conninfo)
{
    CLEANUP(PQconninfoFreep) PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    struct stat file;

    if (options == NULL)
        return NULL;
    const char *root = value_of(options, "sslrootcert");
    if (root != NULL && strcmp(root, "system") != 0 && access(root, R_OK) != 0)
        return "sslrootcert: the file can't be read";
    const char *certificate = value_of(options, "sslcert");
    if (certificate != NULL && access(certificate, R_OK) != 0)
        return "sslcert: the file can't be read";
    const char *key = value_of(options, "sslkey");
    if (key == NULL || strchr(key, ':') != NULL) /* with a colon: of a crypto engine */
        return NULL;
    if (access(key, R_OK) != 0 || stat(key, &file) != 0)
        return "sslkey: the file can't be read";
    return key_is_open_to_others(&file) ? "sslkey: others may read the file, so libpq refuses it; "
                                          "set mode 0600, or 0640 where "
                                          "root owns it"
                                        : NULL;
}
