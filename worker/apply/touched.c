#include "worker/apply/touched.h"

#include "repo/entitlements_repo.h"
#include "repo/orgs_repo.h"
#include "worker/apply/bindings.h"

/* The unique values that one row holds, or may hold by an earlier command of the batch. */
struct held {
    struct resource *items;
    size_t count;
    size_t capacity;
};

static bool gives_up(enum resource_kind row)
{
    return row == RESOURCE_ORG || row == RESOURCE_ENTITLEMENT;
}

static enum resource_kind row_of(const struct command *command)
{
    return bindings[command->type->kind].row;
}

/* The triple as one name; lengths keep ("a", "bc") and ("ab", "c") apart. */
static bool triple_name(struct arena *arena, const struct entitlement *triple,
                        struct text *ret_name)
{
    const struct text parts[] = {triple->subject_kind, triple->subject_id, triple->entitlement};
    size_t length = 0;

    for (size_t i = 0; i < 3; i++)
        length += sizeof(size_t) + parts[i].length;
    char *name = arena_alloc(arena, length);
    if (name == NULL)
        return false;
    *ret_name = (struct text){name, length};
    for (size_t i = 0; i < 3; i++) {
        memcpy(name, &parts[i].length, sizeof(size_t));
        memcpy(name + sizeof(size_t), parts[i].data, parts[i].length);
        name += sizeof(size_t) + parts[i].length;
    }
    return true;
}

static struct held *held_of(struct touched *touched, enum resource_kind kind, struct text id)
{
    bool is_new;
    size_t *slot = map_put(&touched->held, kind, id, &is_new);

    if (slot == NULL)
        return NULL;
    if (is_new)
        *slot = touched->list_count++;
    return &touched->lists[*slot];
}

static bool held_add(struct touched *touched, struct held *held, enum resource_kind kind,
                     struct text name)
{
    for (size_t i = 0; i < held->count; i++) {
        if (held->items[i].kind == kind && text_equal(held->items[i].name, name))
            return true;
    }
    if (held->count == held->capacity) {
        size_t capacity = held->capacity > 0 ? 2 * held->capacity : 2;
        struct resource *items = ARENA_ARRAY(touched->arena, struct resource, capacity);
        if (items == NULL)
            return false;
        if (held->count > 0)
            memcpy(items, held->items, held->count * sizeof(*items));
        held->items = items;
        held->capacity = capacity;
    }
    held->items[held->count++] = (struct resource){.kind = kind, .name = name};
    return true;
}

struct lookup {
    struct text *org_ids;
    size_t org_count;
    struct text *entitlement_ids;
    size_t entitlement_count;
};

/* Distinct ids of the rows whose unique values may be given up. */
static bool collect(struct touched *touched, const struct command *const *commands, size_t count,
                    struct lookup *ret_lookup)
{
    struct lookup lookup = {.org_ids = ARENA_ARRAY(touched->arena, struct text, count),
                            .entitlement_ids = ARENA_ARRAY(touched->arena, struct text, count)};

    if (lookup.org_ids == NULL || lookup.entitlement_ids == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        enum resource_kind row = row_of(commands[i]);
        size_t before = touched->list_count;
        if (!gives_up(row))
            continue;
        if (held_of(touched, row, record_id(commands[i])) == NULL)
            return false;
        if (touched->list_count == before)
            continue;
        if (row == RESOURCE_ORG)
            lookup.org_ids[lookup.org_count++] = record_id(commands[i]);
        else
            lookup.entitlement_ids[lookup.entitlement_count++] = record_id(commands[i]);
    }
    *ret_lookup = lookup;
    return true;
}

static enum outcome take_slugs(struct touched *touched, const struct lookup *lookup,
                               const struct rows *rows, struct err *err)
{
    struct text *slugs = ARENA_ARRAY(touched->arena, struct text, lookup->org_count);
    if (slugs == NULL)
        return err_no_memory(err, "plan waves");
    enum outcome outcome =
        orgs_slugs_read(rows, lookup->org_ids, lookup->org_count, touched->arena, slugs, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < lookup->org_count; i++) {
        struct held *held = held_of(touched, RESOURCE_ORG, lookup->org_ids[i]);
        if (held == NULL ||
            (text_present(slugs[i]) && !held_add(touched, held, RESOURCE_ORG_SLUG, slugs[i])))
            return err_no_memory(err, "plan waves");
    }
    return outcome;
}

static enum outcome take_triples(struct touched *touched, const struct lookup *lookup,
                                 const struct rows *rows, struct err *err)
{
    struct entitlement *triples =
        ARENA_ARRAY(touched->arena, struct entitlement, lookup->entitlement_count);
    if (triples == NULL)
        return err_no_memory(err, "plan waves");
    enum outcome outcome = entitlements_triples_read(
        rows, lookup->entitlement_ids, lookup->entitlement_count, touched->arena, triples, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < lookup->entitlement_count; i++) {
        struct held *held = held_of(touched, RESOURCE_ENTITLEMENT, lookup->entitlement_ids[i]);
        struct text name;
        if (held == NULL)
            return err_no_memory(err, "plan waves");
        if (!text_present(triples[i].id))
            continue;
        if (!triple_name(touched->arena, &triples[i], &name) ||
            !held_add(touched, held, RESOURCE_ENTITLEMENT_TRIPLE, name))
            return err_no_memory(err, "plan waves");
    }
    return outcome;
}

static enum outcome look_up(struct touched *touched, struct executor *db,
                            const struct lookup *lookup, struct err *err)
{
    struct statement statements[2];
    struct rows rows[2];
    size_t count = 0;
    enum outcome outcome = OUTCOME_OK;

    if (lookup->org_count > 0)
        outcome = orgs_slugs_prepare(lookup->org_ids, lookup->org_count, touched->arena,
                                     &statements[count++], err);
    if (outcome == OUTCOME_OK && lookup->entitlement_count > 0)
        outcome = entitlements_triples_prepare(lookup->entitlement_ids, lookup->entitlement_count,
                                               touched->arena, &statements[count++], err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run_all(db, statements, count, touched->arena, rows, err);
    if (outcome == OUTCOME_OK && lookup->org_count > 0)
        outcome = take_slugs(touched, lookup, &rows[0], err);
    if (outcome == OUTCOME_OK && lookup->entitlement_count > 0)
        outcome = take_triples(touched, lookup, &rows[count - 1], err);
    return outcome;
}

enum outcome touched_open(struct touched *touched, struct executor *db,
                          const struct command *const *commands, size_t count, struct arena *arena,
                          struct err *err)
{
    size_t orgs = 0;
    size_t entitlements = 0;
    struct lookup lookup;

    *touched = (struct touched){.arena = arena, .scratch_capacity = 8};
    touched->scratch = ARENA_ARRAY(arena, struct resource, touched->scratch_capacity);
    for (size_t i = 0; i < count; i++) {
        enum resource_kind row = row_of(commands[i]);
        orgs += row == RESOURCE_ORG;
        entitlements += row == RESOURCE_ENTITLEMENT;
    }
    touched->tracks = orgs > 1 || entitlements > 1;
    touched->lists = ARENA_ARRAY(arena, struct held, orgs + entitlements);
    if (touched->scratch == NULL || touched->lists == NULL ||
        !map_init(&touched->held, arena, touched->tracks ? orgs + entitlements : 0))
        return err_no_memory(err, "plan waves");
    if (!touched->tracks)
        return OUTCOME_OK;
    if (!collect(touched, commands, count, &lookup))
        return err_no_memory(err, "plan waves");
    return look_up(touched, db, &lookup, err);
}

static bool scratch_reserve(struct touched *touched, size_t count)
{
    if (count <= touched->scratch_capacity)
        return true;
    touched->scratch = ARENA_ARRAY(touched->arena, struct resource, 2 * count);
    touched->scratch_capacity = 2 * count;
    return touched->scratch != NULL;
}

/* The row itself, what it holds or may hold, and what the command would make it hold (`own`, absent
 * for a removal). */
static bool touched_unique(struct touched *touched, const struct command *command,
                           enum resource_kind own_kind, struct text own, size_t *ret_count)
{
    enum resource_kind row = row_of(command);
    size_t count = 0;

    touched->scratch[count++] = (struct resource){.kind = row, .name = record_id(command)};
    if (!touched->tracks) {
        if (text_present(own))
            touched->scratch[count++] = (struct resource){.kind = own_kind, .name = own};
        *ret_count = count;
        return true;
    }

    struct held *held = held_of(touched, row, record_id(command));
    if (held == NULL || (text_present(own) && !held_add(touched, held, own_kind, own)))
        return false;
    struct resource row_resource = touched->scratch[0];
    if (!scratch_reserve(touched, 1 + held->count))
        return false;
    touched->scratch[0] = row_resource;
    if (held->count > 0)
        memcpy(touched->scratch + 1, held->items, held->count * sizeof(*held->items));
    *ret_count = 1 + held->count;
    return true;
}

/* --- the functions that rows of events/commands.def name ----------------------------------------
 */

static bool touch_own_row(struct touched *touched, const struct command *command, bool merges,
                          size_t *ret_count)
{
    touched->scratch[0] = (struct resource){row_of(command), record_id(command), merges};
    *ret_count = 1;
    return true;
}

bool touch_row(struct touched *touched, const struct command *command, size_t *ret_count)
{
    return touch_own_row(touched, command, false, ret_count);
}

bool touch_row_merging(struct touched *touched, const struct command *command, size_t *ret_count)
{
    return touch_own_row(touched, command, true, ret_count);
}

bool touch_org(struct touched *touched, const struct command *command, size_t *ret_count)
{
    const struct org *org = command->record;
    return touched_unique(touched, command, RESOURCE_ORG_SLUG, org->slug, ret_count);
}

bool touch_entitlement(struct touched *touched, const struct command *command, size_t *ret_count)
{
    struct text triple;

    return triple_name(touched->arena, command->record, &triple) &&
           touched_unique(touched, command, RESOURCE_ENTITLEMENT_TRIPLE, triple, ret_count);
}

bool touch_entitlement_removal(struct touched *touched, const struct command *command,
                               size_t *ret_count)
{
    return touched_unique(touched, command, RESOURCE_ENTITLEMENT_TRIPLE, TEXT_ABSENT, ret_count);
}

bool touch_key_issue(struct touched *touched, const struct command *command, size_t *ret_count)
{
    const struct key *key = command->record;

    touch_own_row(touched, command, false, ret_count);
    touched->scratch[(*ret_count)++] =
        (struct resource){.kind = RESOURCE_KEY_HASH, .name = key->hash};
    return true;
}

bool touch_nothing(struct touched *touched, const struct command *command, size_t *ret_count)
{
    (void)touched;
    (void)command;
    *ret_count = 0;
    return true;
}

bool touched_by(struct touched *touched, const struct command *command,
                const struct resource **ret_resources, size_t *ret_count)
{
    bool done = bindings[command->type->kind].touch(touched, command, ret_count);
    *ret_resources = touched->scratch;
    return done;
}
