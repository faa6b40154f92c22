#include "consumers/poll/watchdog.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/group_owners.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/base/random.h"
#include "worker/settings/settings.h"

static const int64_t FIRST_US = 500000;    /* from a partial assignment to the first question */
static const int64_t AGAIN_US = 10000000;  /* between two questions, at the most */
static const int64_t RARELY_US = 60000000; /* while others own everything: what changes that is a new assignment */
static const int64_t FORGET_US = 1000000;  /* past the session timeout the coordinator has forgotten a member */

enum
{
    JITTER_PART = 10, /* of the time allowed: workers that lost the same answer do not join in step */
    AGAIN_PART = 3,
};

void watchdog_init(struct watchdog *watchdog, const struct settings *settings, int cell)
{
    memset(watchdog, 0, sizeof(*watchdog));
    watchdog->settings = settings;
    watchdog->cell = cell;
    watchdog->extent = EXTENT_FULL;
    mutex_init(&watchdog->mutex);
}

void watchdog_done(struct watchdog *watchdog)
{
    mutex_destroy(&watchdog->mutex);
}

static int64_t allowed_us(const struct watchdog *watchdog)
{
    int64_t poll_us = clients_poll_interval_us(watchdog->settings);
    int64_t set_us = watchdog->settings->consumers.watchdog_us;

    return set_us > poll_us ? set_us : poll_us;
}

static void say(struct watchdog *watchdog, bool content, const char *why)
{
    mutex_lock(&watchdog->mutex);
    watchdog->content = content;
    snprintf(watchdog->why, sizeof(watchdog->why), "%s", why);
    mutex_unlock(&watchdog->mutex);
}

bool watchdog_is_content(struct watchdog *watchdog, char *why, size_t why_size)
{
    mutex_lock(&watchdog->mutex);
    bool content = watchdog->content;
    snprintf(why, why_size, "%s", watchdog->why);
    mutex_unlock(&watchdog->mutex);
    return content;
}

static int64_t draw_jitter(struct watchdog *watchdog, int64_t now_us)
{
    watchdog->random_state += RANDOM_STEP ^ (uint64_t)now_us;
    return (int64_t)(random_mix(watchdog->random_state) % (uint64_t)(allowed_us(watchdog) / JITTER_PART + 1));
}

static void watch(struct watchdog *watchdog, enum extent extent, uint64_t epoch, int64_t now_us)
{
    watchdog->extent = extent;
    watchdog->epoch = epoch;
    watchdog->since_us = now_us;
    watchdog->jitter_us = draw_jitter(watchdog, now_us);
    watchdog->next_us = 0;
    watchdog->owned = false;
    if (extent == EXTENT_PARTIAL)
        watchdog->next_us = now_us + FIRST_US;
    else if (extent == EXTENT_NONE)
        watchdog->next_us = now_us + allowed_us(watchdog) + watchdog->jitter_us;
    say(watchdog, extent == EXTENT_FULL,
        extent == EXTENT_FULL ? ""
        : extent == EXTENT_PARTIAL
            ? "no partition of some topic is assigned; the group is asked whether others own them"
            : "waiting for the consumer group to assign partitions");
}

void watchdog_begin(struct watchdog *watchdog, int64_t now_us)
{
    watch(watchdog, EXTENT_NONE, watchdog->epoch, now_us);
}

static bool is_due(const struct watchdog *watchdog, int64_t now_us)
{
    return now_us - watchdog->since_us >= allowed_us(watchdog) + watchdog->jitter_us;
}

/* No assignment. A broker that comes back has the whole time to let the member join. */
static bool weigh_none(struct watchdog *watchdog, enum group_answer answer, const char *why, int64_t now_us)
{
    assert(watchdog->extent == EXTENT_NONE);
    if (answer != GROUP_SILENT)
        return is_due(watchdog, now_us);
    watchdog->since_us = now_us;
    say(watchdog, false, why);
    return false;
}

/* A partial assignment: what the answer means for it. True: it is to be given up. */
static bool weigh_partial(struct watchdog *watchdog, enum group_answer answer, int unowned, const char *why,
                          int64_t now_us)
{
    char text[sizeof(watchdog->why)];

    assert(watchdog->extent == EXTENT_PARTIAL);
    switch (answer)
    {
    case GROUP_OWNED:
        watchdog->owned = true;
        say(watchdog, true, "");
        return false;
    case GROUP_UNOWNED:
        if (watchdog->owned)
            watchdog->since_us = now_us;
        watchdog->owned = false;
        snprintf(text, sizeof(text),
                 "%d partitions have no owner in the group, and none of their topic is assigned here", unowned);
        say(watchdog, false, text);
        return is_due(watchdog, now_us);
    case GROUP_SILENT:
    case GROUP_MOVING:
        say(watchdog, false, why);
        return false;
    }
    return false;
}

static bool is_to_rebuild(struct watchdog *watchdog, int64_t now_us, char *why, size_t why_size)
{
    assert(watchdog->extent != EXTENT_FULL); /* the question costs the group's coordinator work */
    int unowned = 0;
    enum group_answer answer = group_owners_ask(watchdog->settings, &unowned, why, why_size);
    int64_t again_us = allowed_us(watchdog) / AGAIN_PART;

    if (answer == GROUP_UNOWNED)
        snprintf(why, why_size, "%d partitions have no owner", unowned);
    bool rebuild = watchdog->extent == EXTENT_NONE ? weigh_none(watchdog, answer, why, now_us)
                                                   : weigh_partial(watchdog, answer, unowned, why, now_us);
    int64_t due_us = watchdog->since_us + allowed_us(watchdog) + watchdog->jitter_us;
    bool rarely = watchdog->extent == EXTENT_PARTIAL && answer == GROUP_OWNED;
    watchdog->next_us = now_us + (rarely ? RARELY_US : again_us < AGAIN_US ? again_us : AGAIN_US);
    if (!rarely && due_us > now_us && due_us < watchdog->next_us)
        watchdog->next_us = due_us;
    return rebuild;
}

bool watchdog_step(struct watchdog *watchdog, enum extent extent, uint64_t epoch, int64_t now_us)
{
    char why[sizeof(watchdog->why)] = "";

    if (extent != watchdog->extent || epoch != watchdog->epoch)
        watch(watchdog, extent, epoch, now_us);
    if (watchdog->next_us == 0 || now_us < watchdog->next_us || !is_to_rebuild(watchdog, now_us, why, sizeof(why)) ||
        !watchdog->settings->protections.watchdog)
        return false;
    log_warning("cell %d: watchdog: %s for %lld s although Kafka answers (%s); the consumer is rebuilt", watchdog->cell,
                extent == EXTENT_NONE ? "no assignment" : "no partition of some topic",
                (long long)(now_us - watchdog->since_us) / 1000000, why[0] ? why : "every partition has an owner");
    metrics_add(METRIC_CONSUMER_REBUILDS, 1);
    return true;
}

int64_t watchdog_rest_us(const struct watchdog *watchdog)
{
    bool remembered = watchdog->extent == EXTENT_PARTIAL && watchdog->settings->consumers.static_membership;

    return remembered ? watchdog->settings->consumers.session_timeout_us + FORGET_US : 0;
}
