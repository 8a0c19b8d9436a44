#include "base/secret_filter.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char HIDDEN[] = "***";

/* Longest first, so that a secret that holds another one is hidden whole. */
static struct {
    char **items;
    size_t *lengths;
    size_t count;
} known;

static size_t common(const char *text, const char *secret)
{
    size_t length = 0;

    while (text[length] != '\0' && text[length] == secret[length])
        length++;
    return length;
}

static bool is_known(struct text secret)
{
    for (size_t i = 0; i < known.count; i++) {
        if (text_is(secret, known.items[i]))
            return true;
    }
    return false;
}

/* Without memory the secret is not remembered: nothing that can run follows. */
void secret_filter_add(struct text secret)
{
    if (secret.length < SECRET_MIN_BYTES || is_known(secret))
        return;
    char **items = realloc(known.items, (known.count + 1) * sizeof(*items));
    if (items != NULL)
        known.items = items;
    size_t *lengths = realloc(known.lengths, (known.count + 1) * sizeof(*lengths));
    if (lengths != NULL)
        known.lengths = lengths;
    char *copy = malloc(secret.length + 1);
    if (items == NULL || lengths == NULL || copy == NULL) {
        free(copy);
        return;
    }
    memcpy(copy, secret.data, secret.length);
    copy[secret.length] = '\0';
    size_t place = known.count++;
    for (; place > 0 && lengths[place - 1] < secret.length; place--) {
        items[place] = items[place - 1];
        lengths[place] = lengths[place - 1];
    }
    items[place] = copy;
    lengths[place] = secret.length;
}

/* --- connection strings ------------------------------------------------------------------------
 */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    int letter = c | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* As written, and percent-decoded. */
static void add_encoded(struct text secret)
{
    secret_filter_add(secret);
    char *decoded = malloc(secret.length + 1);
    if (decoded == NULL)
        return;
    size_t length = 0;
    for (size_t i = 0; i < secret.length; i++) {
        bool escape = secret.data[i] == '%' && secret.length - i > 2 &&
                      hex_digit(secret.data[i + 1]) >= 0 && hex_digit(secret.data[i + 2]) >= 0;
        decoded[length++] =
            escape ? (char)(hex_digit(secret.data[i + 1]) * 16 + hex_digit(secret.data[i + 2]))
                   : secret.data[i];
        i += escape ? 2 : 0;
    }
    secret_filter_add((struct text){decoded, length});
    free(decoded);
}

/* libpq may take any part of a user part that is not encoded for a host, a port or a database. */
static void add_user_part(struct text part)
{
    static const char borders[] = "@/?#:";
    const char *colon = memchr(part.data, ':', part.length);

    if (colon == NULL)
        return;
    struct text password = {colon + 1, (size_t)(part.data + part.length - colon - 1)};
    add_encoded(password);
    for (size_t at = 0; at < password.length;) {
        size_t length = 0;
        while (at + length < password.length && strchr(borders, password.data[at + length]) == NULL)
            length++;
        add_encoded((struct text){password.data + at, length});
        at += length + 1;
    }
}

/* password=x, password = 'x y', ?password=x& */
static void add_named(const char *conninfo)
{
    static const char name[] = "password";

    for (const char *at = conninfo; *at != '\0'; at++) {
        if (strncasecmp(at, name, strlen(name)) != 0)
            continue;
        const char *value = at + strlen(name);
        value += strspn(value, " \t");
        if (*value != '=')
            continue;
        value++;
        value += strspn(value, " \t");
        if (*value == '\'')
            add_encoded((struct text){value + 1, strcspn(value + 1, "'")});
        else
            add_encoded((struct text){value, strcspn(value, " \t\r\n&")});
    }
}

void secret_filter_add_conninfo(const char *conninfo)
{
    const char *user = strstr(conninfo, "://");
    const char *at = strrchr(conninfo, '@');

    if (user != NULL && at != NULL && at > user)
        add_user_part((struct text){user + 3, (size_t)(at - user - 3)});
    add_named(conninfo);
}

void secret_filter_add_property(const char *value)
{
    enum { PAIR_VALUE_MIN = 8 /* a shorter one is a name: "admin" */ };

    secret_filter_add(text_of(value));
    for (const char *at = strchr(value, '='); at != NULL; at = strchr(at + 1, '=')) {
        size_t length = strcspn(at + 1, " ,\t\r\n");
        if (length >= PAIR_VALUE_MIN)
            secret_filter_add((struct text){at + 1, length});
    }
}

/* --- hiding ------------------------------------------------------------------------------------
 */

/* The shortest of the buffers that messages are written into has 256 bytes. */
enum { CUT_FROM_BYTES = 255 };

/* Bytes of the secret that begins at `text`; 0: none. */
static size_t secret_at(const char *text, bool may_be_cut)
{
    for (size_t i = 0; i < known.count; i++) {
        size_t length = common(text, known.items[i]);
        if (length == known.lengths[i] ||
            (may_be_cut && length >= SECRET_MIN_BYTES && text[length] == '\0'))
            return length;
    }
    return 0;
}

void secret_filter_hide(char *text)
{
    char *written = text;

    if (known.count == 0)
        return;
    bool may_be_cut = strlen(text) >= CUT_FROM_BYTES;
    for (const char *at = text; *at != '\0';) {
        size_t length = secret_at(at, may_be_cut);
        if (length == 0) {
            *written++ = *at++;
            continue;
        }
        memcpy(written, HIDDEN, strlen(HIDDEN));
        written += strlen(HIDDEN);
        at += length;
    }
    *written = '\0';
}

bool secret_filter_knows_any(void)
{
    return known.count > 0;
}

void secret_filter_forget(void)
{
    for (size_t i = 0; i < known.count; i++) {
        free(known.items[i]);
    }
    free(known.items);
    free(known.lengths);
    known.items = NULL;
    known.lengths = NULL;
    known.count = 0;
}
