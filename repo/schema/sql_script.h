#pragma once

#include "base/slice.h"

/* The statements of an SQL file, one after the other: the extended protocol takes one at a time.
 *
 * Knows '...', "...", $tag$...$tag$, -- and block comments (not nested); not E'...' with
 * backslashes in front of quotes. A line that begins with --! is handed out like a statement: a
 * step that the program itself takes there. */

/* Takes the next one off `script`; without its semicolon. false: there is none. */
bool sql_script_next(struct text *script, struct text *ret_statement);
