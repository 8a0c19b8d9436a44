#pragma once

#include <stdbool.h>

/* For verbs that end early and orderly on SIGINT and SIGTERM: calls that block return early, and a
 * broken pipe is an error of the write, not of the process. */
void interrupt_catch(void);
bool interrupted(void);
