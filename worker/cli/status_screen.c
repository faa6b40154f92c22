#include "worker/cli/status_screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/shown.h"

enum
{
    SHOWN_MAX = 3, /* things of one kind; the others are counted */
    NUMBER_MAX = 32,
    COLUMN_WIDTH = 44,
    STALE_S = 5, /* numbers of the group that are older are said to be: they are read every 2 s */
};

void status_screen_done(struct status_screen *screen)
{
    buffer_done(&screen->things);
}

/* --- pieces ------------------------------------------------------------------------------------------------------ */

static void add(struct buffer *into, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct buffer *into, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    shown_add(into, span_of(text));
}

static int64_t number(json_t *object, const char *name)
{
    return (int64_t)json_number_value(json_object_get(object, name));
}

/* "" where it is not there. */
static const char *text(json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* 1,204 */
static const char *print_number(int64_t value, char into[NUMBER_MAX])
{
    char digits[NUMBER_MAX];
    int size = snprintf(digits, sizeof(digits), "%lld", (long long)value), at = 0;

    for (int i = 0; i < size; i++)
    {
        if (i > 0 && (size - i) % 3 == 0 && digits[i - 1] != '-')
            into[at++] = ',';
        into[at++] = digits[i];
    }
    into[at] = '\0';
    return into;
}

static const char *print_duration(int64_t seconds, char into[NUMBER_MAX])
{
    if (seconds < 120)
        snprintf(into, NUMBER_MAX, "%lld s", (long long)seconds);
    else if (seconds < 2 * 3600)
        snprintf(into, NUMBER_MAX, "%lld min", (long long)seconds / 60);
    else if (seconds < 2 * 86400)
        snprintf(into, NUMBER_MAX, "%lld h", (long long)seconds / 3600);
    else
        snprintf(into, NUMBER_MAX, "%lld days", (long long)seconds / 86400);
    return into;
}

/* A time of RFC 3339 in UTC; without its date where that is today. */
static const char *print_moment(const char *moment, char into[NUMBER_MAX])
{
    struct buffer now = BUFFER_EMPTY;

    buffer_add_time(&now, wall_us());
    bool today = now.size > 10 && strlen(moment) > 19 && memcmp(now.at, moment, 10) == 0;
    buffer_done(&now);
    if (today)
        snprintf(into, NUMBER_MAX, "%.8s UTC", moment + 11);
    else if (strlen(moment) > 19)
        snprintf(into, NUMBER_MAX, "%.10s %.5s UTC", moment, moment + 11);
    else
        snprintf(into, NUMBER_MAX, "?");
    return into;
}

static void pad(struct buffer *into, size_t from, size_t width)
{
    do
        buffer_add_byte(into, ' ');
    while (into->size < from + width);
}

/* --- things to look at ------------------------------------------------------------------------------------------- */

static struct buffer *begin_thing(struct status_screen *screen, const char *who)
{
    screen->count++;
    add(&screen->things, "  ! %s%s", who, *who ? ": " : "");
    return &screen->things;
}

static void end_thing(struct status_screen *screen, const char *next, const char *of)
{
    buffer_add_text(&screen->things, "\n      next: ");
    add(&screen->things, "%s%s", next, of);
    buffer_add_byte(&screen->things, '\n');
}

/* Who holds a row of the aggregate; false: nobody is known. */
static bool add_holder(struct buffer *into, json_t *document, const char *key)
{
    size_t i;
    json_t *holder;
    char moment[NUMBER_MAX];

    json_array_foreach(json_object_get(document, "holders"), i, holder)
    {
        if (strcmp(text(holder, "key"), key) != 0)
            continue;
        add(into, "row busy: pid %lld %s", (long long)number(holder, "pid"), text(holder, "program"));
        if (*text(holder, "state"))
            add(into, " \"%s\"", text(holder, "state"));
        else
            add(into, " (role %s)", text(holder, "role"));
        if (*text(holder, "since"))
            add(into, " since %s", print_moment(text(holder, "since"), moment));
        return true;
    }
    return false;
}

static void add_held_key(struct status_screen *screen, const char *who, json_t *document, json_t *key)
{
    struct buffer *into = begin_thing(screen, who);
    char seconds[NUMBER_MAX];
    int64_t commands = number(key, "commands");

    add(into, "key held for %s: %s (%lld command%s), ", print_duration(number(key, "held_s"), seconds),
        text(key, "key"), (long long)commands, commands == 1 ? " waits" : "s wait");
    if (!add_holder(into, document, text(key, "key")))
        add(into, "%s", text(key, "reason"));
    end_thing(screen, "interlock explain --key ", text(key, "key"));
}

static void add_held(struct status_screen *screen, const char *who, json_t *document, json_t *held)
{
    size_t i;
    json_t *key;
    int64_t shown = 0;

    json_array_foreach(json_object_get(held, "longest"), i, key) if (shown < SHOWN_MAX)
    {
        add_held_key(screen, who, document, key);
        shown++;
    }
    if (number(held, "keys") <= shown)
        return;
    add(begin_thing(screen, who), "%lld further keys are held", (long long)(number(held, "keys") - shown));
    end_thing(screen, "interlock status --output json", "");
}

/* Commands that were parked because their row is held for long. */
static void add_stuck(struct status_screen *screen, json_t *document)
{
    size_t i;
    json_t *stuck;
    char moment[NUMBER_MAX];

    json_array_foreach(json_object_get(json_object_get(document, "parked"), "stuck"), i, stuck)
    {
        if (i >= SHOWN_MAX)
            return;
        struct buffer *into = begin_thing(screen, "");
        add(into, "%s %s of %s is parked since %s, ", text(stuck, "type"), text(stuck, "id"), text(stuck, "aggregate"),
            print_moment(text(stuck, "since"), moment));
        if (!add_holder(into, document, text(stuck, "aggregate")))
            add(into, "its row is held by another session");
        end_thing(screen, "interlock explain --key ", text(stuck, "aggregate"));
    }
}

static bool is_stalled(json_t *partition)
{
    const char *reason = text(partition, "stalled");
    return *reason && strcmp(reason, "paused") != 0;
}

static void add_stalled(struct status_screen *screen, const char *who, json_t *partitions)
{
    size_t i;
    json_t *partition;
    int shown = 0, count = 0;

    json_array_foreach(partitions, i, partition)
    {
        /* A held key is named already. */
        if (!is_stalled(partition) || strcmp(text(partition, "stalled"), "held") == 0 || ++count > SHOWN_MAX)
            continue;
        add(begin_thing(screen, who), "partition %s/%lld has not moved for 30 s: %s; backlog %lld",
            text(partition, "topic"), (long long)number(partition, "partition"), text(partition, "stalled"),
            (long long)number(partition, "backlog"));
        end_thing(screen, "interlock check", "");
        shown++;
    }
    if (count == shown)
        return;
    add(begin_thing(screen, who), "%d further partitions have not moved", count - shown);
    end_thing(screen, "interlock check", "");
}

static void add_redis(struct status_screen *screen, const char *who, json_t *document)
{
    char since[NUMBER_MAX];

    if (!json_is_number(json_object_get(document, "without_redis_s")))
        return;
    add(begin_thing(screen, who), "without Redis for %s: nothing is lost, conflicts cost more",
        print_duration(number(document, "without_redis_s"), since));
    end_thing(screen, "interlock check", "");
}

static void add_elsewhere(struct status_screen *screen, const char *who, json_t *document)
{
    char count[NUMBER_MAX];

    if (number(document, "unexpected_partition") == 0)
        return;
    add(begin_thing(screen, who), "%s messages since the start lay in another partition than murmur2 gives their key",
        print_number(number(document, "unexpected_partition"), count));
    end_thing(screen, "interlock check", "");
}

void status_screen_add_worker(struct status_screen *screen, const char *who, json_t *document)
{
    size_t i;
    json_t *cell;

    if (!json_is_true(json_object_get(document, "ready")))
    {
        screen->not_ready++;
        add(begin_thing(screen, who), "not ready: %s", text(document, "waits_for"));
        end_thing(screen, "interlock check", "");
    }
    json_array_foreach(json_object_get(document, "cells"), i, cell)
    {
        add_held(screen, who, document, json_object_get(cell, "held"));
        add_stalled(screen, who, json_object_get(cell, "partitions"));
    }
    add_redis(screen, who, document);
    add_elsewhere(screen, who, document);
}

void status_screen_add_group(struct status_screen *screen, json_t *document)
{
    size_t i;
    json_t *pause;
    char moment[NUMBER_MAX], id[NUMBER_MAX];

    add_stuck(screen, document);
    json_array_foreach(json_object_get(json_object_get(document, "of_group"), "pauses"), i, pause)
    {
        bool ends = *text(pause, "ends_at") != '\0';
        add(begin_thing(screen, ""), "paused: %s %s %s%s, %s", text(pause, "scope"), text(pause, "target"),
            ends ? "until " : "until it is resumed", ends ? print_moment(text(pause, "ends_at"), moment) : "",
            text(pause, "says"));
        snprintf(id, sizeof(id), "%lld", (long long)number(pause, "id"));
        end_thing(screen, "interlock resume ", id);
    }
}

void status_screen_add_missing(struct status_screen *screen, const char *who, struct span why)
{
    screen->not_ready++;
    shown_add(begin_thing(screen, who), why);
    end_thing(screen, "interlock status --all, or that worker's log", "");
}

/* --- the lines --------------------------------------------------------------------------------------------------- */

void status_screen_print_verdict(const struct status_screen *screen, struct buffer *into)
{
    add(into, "%s", screen->not_ready > 0 ? "NOT READY" : "READY");
    if (screen->count > 0)
        add(into, ", %d thing%s to look at", screen->count, screen->count == 1 ? "" : "s");
}

void status_screen_print_where(json_t *document, struct buffer *into)
{
    json_t *workers = json_object_get(json_object_get(document, "of_group"), "workers");
    int64_t age_s = number(document, "of_group_age_s");
    char up[NUMBER_MAX], age[NUMBER_MAX];

    add(into, "group %s, ", text(document, "group"));
    if (workers)
        add(into, "%lld of %lld workers ready%s%s%s, ", (long long)number(workers, "ready"),
            (long long)number(workers, "seen"), age_s >= STALE_S ? " " : "",
            age_s >= STALE_S ? print_duration(age_s, age) : "", age_s >= STALE_S ? " ago" : "");
    add(into, "%s, up %s", strcmp(text(document, "delivery"), "exactly_once") == 0 ? "exactly once" : "at least once",
        print_duration(number(document, "up_s"), up));
}

void status_screen_print_work(json_t *document, struct buffer *into)
{
    int64_t backlog = 0, oldest_us = 0, partitions = 0, stalled = 0;
    json_t *minute = json_object_get(document, "last_minute"), *cell, *partition;
    size_t i, k, from = into->size;
    char count[NUMBER_MAX], age[NUMBER_MAX];

    json_array_foreach(json_object_get(document, "cells"), i, cell)
        json_array_foreach(json_object_get(cell, "partitions"), k, partition)
    {
        int64_t us = number(partition, "backlog_us");
        backlog += number(partition, "backlog");
        oldest_us = us > oldest_us ? us : oldest_us;
        partitions++;
        stalled += is_stalled(partition);
    }
    add(into, "backlog   %s command%s", print_number(backlog, count), backlog == 1 ? "" : "s");
    if (backlog > 0)
        add(into, ", oldest %s", print_duration(oldest_us / 1000000, age));
    pad(into, from, COLUMN_WIDTH);
    add(into, "%lld partitions owned, %lld stalled", (long long)partitions, (long long)stalled);
    if (minute)
        add(into, "     applied %s/s", print_number(number(minute, "commands_per_s"), count));
    if (json_is_number(json_object_get(minute, "p99_ms")))
        add(into, ", p99 %s ms", print_number(number(minute, "p99_ms"), count));
    add(into, "%s", minute ? " (last minute)" : "");
    buffer_add_byte(into, '\n');
}

static void add_part(struct buffer *into, json_t *parked, const char *name, bool *first)
{
    char count[NUMBER_MAX], moment[NUMBER_MAX];
    const char *next = text(parked, "next_early");

    if (number(parked, name) == 0)
        return;
    add(into, "%s%s %s", *first ? ": " : ", ", print_number(number(parked, name), count), name);
    if (strcmp(name, "early") == 0 && *next)
        add(into, " (next %s)", print_moment(next, moment));
    *first = false;
}

void status_screen_print_group(json_t *document, struct buffer *into)
{
    static const char *const reasons[] = { "paused", "early", "held", "behind", "redriven", "replayed" };
    json_t *parked = json_object_get(document, "parked"),
           *letters = json_object_get(json_object_get(document, "of_group"), "dead_letters");
    char count[NUMBER_MAX];
    size_t from = into->size;
    bool first = true;

    if (parked == NULL)
        return;
    add(into, "parked    %s", print_number(number(parked, "commands"), count));
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        add_part(into, parked, reasons[i], &first);
    pad(into, from, COLUMN_WIDTH);
    if (letters)
        add(into, "dead letters %s open", print_number(number(letters, "open"), count));
    buffer_add_byte(into, '\n');
}
