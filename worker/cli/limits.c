/* The system's limits for this process, set before any thread starts. */
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#include "consumers/admin/bounds.h"
#include "worker/cli/verbs.h"

enum
{
    /* Of every thread, the libraries' as well. Only its touched pages are memory; the default would follow
     * `ulimit -s`, under which a thread might run into its end. */
    STACK_BYTES = 2 * 1024 * 1024,
};

static bool allow_descriptors(int64_t needed, struct buffer *reterr)
{
    struct rlimit limit;
    char text[256];

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= (rlim_t)needed)
        return true;
    if (limit.rlim_max >= (rlim_t)needed)
    {
        limit.rlim_cur = (rlim_t)needed;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* refused: the first call that fails for it says so */
        return true;
    }
    snprintf(text, sizeof(text),
             "%lld open files are allowed (ulimit -n; LimitNOFILE of the unit), up to %lld may be needed: "
             "`interlock describe bounds` lists them",
             (long long)limit.rlim_max, (long long)needed);
    buffer_add_text(reterr, text);
    return false;
}

bool limits_prepare(const struct settings *settings, struct buffer *reterr)
{
    pthread_attr_t attributes;
    struct bounds bounds;

    if (!bounds_derive(settings, &bounds, reterr) || !allow_descriptors(bounds.total[BOUND_DESCRIPTORS], reterr))
        return false;
    if (pthread_attr_init(&attributes) != 0)
        return true;
    if (pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0)
        pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
    return true;
}
