/* libFuzzer's entry. The target is chosen when it is compiled: -DFUZZ_TARGET='"value"'. */
#include <stdlib.h>
#include <string.h>

#include "targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < target_count; i++) {
        if (strcmp(targets[i].name, FUZZ_TARGET) == 0) {
            targets[i].run(data, size);
            return 0;
        }
    }
    abort();
}
