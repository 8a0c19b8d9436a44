#include "worker/cli/verbs.h"

int main(int argc, char **argv)
{
    return (int)cli_main(argc, argv, verbs, verb_count);
}
