/* Http: the endpoint for people, probes and Prometheus: /healthz, /readyz, /metrics, /status and a page at /.
 *
 * The page is whole without JavaScript, and then loads itself again. With it, /page.js replaces its content alone, so
 * that scrolling stays, and does nothing while text is selected.
 *
 * It answers GET and HEAD and nothing else, to hosts of ours, takes no body, a request in five seconds, holds few
 * connections and no secret, and asks for no password: it listens on loopback unless the settings say otherwise.
 *
 * Threads    http_start and http_stop: main. The sources are called on http's own thread, one request at a time.
 * Ownership  the sources must live until http_stop returns; `listen` is borrowed for the call.
 * Failure    http_start returns NULL and says why; the pool does without.
 */
#ifndef WORKER_HTTP_H
#define WORKER_HTTP_H

#include "workflows/base/buffer.h"

struct http;

enum
{
    HTTP_CONNECTIONS_MAX = 16, /* at a time */
    HTTP_PORTS_TRIED = 16,     /* after one that is in use */
};

struct http_sources
{
    /* False: not healthy, not ready; *why gets one line for people. */
    bool (*healthy)(void *owner, struct buffer *why);
    bool (*ready)(void *owner, struct buffer *why);
    /* One JSON object. */
    void (*status)(void *owner, struct buffer *json);
    /* Series after those of metrics_print, of the last one it names; may be NULL. */
    void (*metrics)(void *owner, struct buffer *into);
    /* The rates of the last minute, in one line for people; nothing: not known yet. May be NULL. */
    void (*rates)(void *owner, struct buffer *into);
    void *owner;
};

/* `listen`: host:port or [address]:port; port 0 takes a free one. Where the port is in use: the next free one of the 16
 * after it. */
struct http *http_start(const char *listen, const struct http_sources *sources, struct buffer *reterr);
/* To be called once a second: ends connections whose request takes too long. NULL is fine. */
void http_step(struct http *http);
void http_stop(struct http *http); /* NULL is fine */

/* The address it listens on, with the port it took. */
const char *http_where(const struct http *http);

#endif
