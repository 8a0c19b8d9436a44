#include "worker/cli/verbs.h"
#include "worker/cli/version.h"

enum { ARENA_BYTES = 64 * 1024 };

static enum exit_code version_run(const struct arguments *arguments)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_BYTES);
    struct buffer buffer;

    if (arguments->operand_count > 0)
        return cli_usage_error(arguments, "takes no operands");
    if (arena == NULL)
        return cli_fail(arguments, EXIT_BUG, "no memory");
    buffer_init(&buffer, arena);
    version_json(&buffer);
    return buffer.full ? cli_fail(arguments, EXIT_BUG, "no memory")
                       : output_json(arguments, buffer_text(&buffer));
}

const struct verb verb_version = {
    .name = "version",
    .operands = "",
    .summary = "print the version of the program and its libraries",
    .description = "Prints the version of this program and of the libraries that it runs with.",
    .run = version_run,
};
