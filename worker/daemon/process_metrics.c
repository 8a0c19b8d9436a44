#include "worker/daemon/process_metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "repo/pg/executor_pq.h"
#include "worker/kafka/kafka_version.h"

static void gauge(struct buffer *out, const char *name, const char *type, const char *help,
                  double value)
{
    char text[512];
    int length = snprintf(text, sizeof(text), "# HELP %s %s\n# TYPE %s %s\n%s %.3f\n", name, help,
                          name, type, name, value);
    if (length > 0 && (size_t)length < sizeof(text))
        buffer_append(out, text, (size_t)length);
}

/* 0 where the system does not tell. */
static long resident_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    char line[128] = "";

    if (file == NULL)
        return 0;
    const char *read = fgets(line, sizeof(line), file);
    fclose(file);
    const char *resident = read != NULL ? strchr(line, ' ') : NULL; /* behind the total */
    return resident != NULL ? strtol(resident, NULL, 10) : 0;
}

static long open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    long count = 0;

    if (directory == NULL)
        return 0;
    /* cppcheck-suppress readdirCalled ; no other thread reads this stream */
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 3; /* ".", ".." and the directory itself */
}

static double cpu_seconds(void)
{
    struct timespec spent = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

static void build_info(struct buffer *out)
{
    char libpq[LIBPQ_VERSION_LENGTH];

    libpq_version(libpq);
    buffer_append_literal(out, "# HELP catalyst_build_info Versions of the program and of the "
                               "libraries it runs with.\n# TYPE catalyst_build_info gauge\n"
                               "catalyst_build_info{version=\"" WORKER_VERSION "\",librdkafka=\"");
    buffer_append_literal(out, kafka_library_version());
    buffer_append_literal(out, "\",libpq=\"");
    buffer_append_literal(out, libpq);
    buffer_append_literal(out, "\"} 1\n");
}

void process_metrics_render(int64_t started_wall_us, struct buffer *out)
{
    build_info(out);
    gauge(out, "process_start_time_seconds", "gauge",
          "Start time of the process since the Unix epoch.", (double)started_wall_us / 1e6);
    gauge(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
          (double)resident_pages() * (double)sysconf(_SC_PAGESIZE));
    gauge(out, "process_cpu_seconds_total", "counter", "User and system CPU time.", cpu_seconds());
    gauge(out, "process_open_fds", "gauge", "Open file descriptors.", (double)open_files());
}
