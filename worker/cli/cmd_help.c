#include "worker/cli/verbs.h"

static void setting_print(const struct setting_info *setting)
{
    printf("[%s] %s\n    %s%s\n    %s\n    %s; default: %s\n\n", setting->section, setting->key,
           setting->variable, setting->secret ? " or ..._FILE, a path to a file that holds it" : "",
           setting->description, setting->values,
           setting->fallback[0] != '\0' ? setting->fallback : "empty");
}

static enum exit_code help_settings(void)
{
    struct setting_info setting;
    struct kafka_rule_info rule;

    fputs("Settings: [section] key of the file, its variable, meaning, values, default.\n"
          "Flags (--set section.key=value) override the environment, which overrides the file.\n\n",
          stdout);
    for (size_t i = 0; config_setting_info(i, &setting); i++)
        setting_print(&setting);
    fputs("[kafka] any property of librdkafka, as it is written there\n"
          "    CATALYST_KAFKA_<PROPERTY>, dots as underscores; secrets also as ..._FILE\n"
          "    bootstrap.servers; default: localhost:9092\n"
          "    Those that a guarantee rests on are refused:\n",
          stdout);
    for (size_t i = 0; config_kafka_rule_info(i, &rule); i++)
        printf("      %s%s%s: %s\n", rule.name, rule.allowed != NULL ? " unless " : "",
               rule.allowed != NULL ? rule.allowed : "", rule.reason);
    return EXIT_DONE;
}

static enum exit_code help_run(const struct arguments *arguments)
{
    if (arguments->operand_count == 0) {
        char *argv[] = {(char[]){"catalyst-worker"}, (char[]){"help"}, NULL};
        return cli_main(2, argv, verbs, verb_count);
    }
    const char *topic = arguments->operands[0];
    if (strcmp(topic, "settings") == 0)
        return help_settings();
    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(verbs[i]->name, topic) == 0) {
            verb_help(verbs[i], stdout);
            return EXIT_DONE;
        }
    }
    return cli_usage_error(arguments, "no such verb: %s", topic);
}

const struct verb verb_help_verb = {
    .name = "help",
    .operands = "[VERB | settings]",
    .summary = "print help about a verb, or every setting",
    .description = "Prints the verbs, the flags of one verb, or the settings with their places,\n"
                   "defaults and ranges.",
    .run = help_run,
};
