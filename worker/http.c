#include "worker/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/base/shown.h"

enum
{
    CONNECTION_TIMEOUT_S = 2,
    CONNECTION_MEMORY = 8 * 1024, /* bounds a request's line and headers */
    BACKLOG = 16,
    HOST_MAX = 256,
    ROOM = 4, /* connections that are kept free: the oldest ends for it */
};

static const int64_t REQUEST_US = 5000000; /* from the connection's beginning to the end of its answer */

/* A connection serves one request. A client that sends a byte a second is never idle, so the age ends it. */
struct guest
{
    int fd;
    int64_t since_us; /* 0: nobody */
};

struct http
{
    struct MHD_Daemon *daemon;
    struct http_sources sources;
    char where[HOST_MAX + 16];
    char name[HOST_MAX]; /* the host of http.listen */
    pthread_mutex_t mutex;
    struct guest guests[HTTP_CONNECTIONS_MAX]; /* under the mutex */
};

struct page
{
    const char *path;
    const char *content_type;
    /* Fills the body; returns the HTTP status. */
    unsigned (*print)(const struct http *http, struct buffer *into);
};

/* --- pages ------------------------------------------------------------------------------------------------------- */

/* One check as JSON, in the members that Karafka's probes have. */
static unsigned print_check(bool (*check)(void *, struct buffer *), void *owner, const char *name, const char *good,
                            const char *bad, unsigned bad_status, struct buffer *into)
{
    struct buffer why = BUFFER_EMPTY, shown = BUFFER_EMPTY;
    bool passed = check(owner, &why);
    buffer_add_text(into, "{\"status\":\"");
    buffer_add_text(into, passed ? good : bad);
    buffer_add_text(into, "\",\"timestamp\":\"");
    buffer_add_time(into, wall_us());
    buffer_add_text(into, "\",\"process_id\":");
    buffer_add_int64(into, getpid());
    buffer_add_text(into, ",\"checks\":{\"");
    buffer_add_text(into, name);
    buffer_add_text(into, passed ? "\":true},\"errors\":{" : "\":false},\"errors\":{\"");
    if (!passed)
    {
        buffer_add_text(into, name);
        buffer_add_text(into, "\":");
        buffer_add_json_string(&shown, why.at ? buffer_span(&why) : SPAN_LITERAL(""));
        shown_add(into, buffer_span(&shown));
    }
    buffer_add_text(into, "}}\n");
    buffer_done(&why);
    buffer_done(&shown);
    return passed ? MHD_HTTP_OK : bad_status;
}

static unsigned print_health(const struct http *http, struct buffer *into)
{
    return print_check(http->sources.healthy, http->sources.owner, "live", "healthy", "unhealthy",
                       MHD_HTTP_INTERNAL_SERVER_ERROR, into);
}

static unsigned print_readiness(const struct http *http, struct buffer *into)
{
    return print_check(http->sources.ready, http->sources.owner, "ready", "ready", "not_ready",
                       MHD_HTTP_SERVICE_UNAVAILABLE, into);
}

static unsigned print_metrics(const struct http *http, struct buffer *into)
{
    (void)http;
    metrics_print(into);
    if (http->sources.metrics)
        http->sources.metrics(http->sources.owner, into);
    return MHD_HTTP_OK;
}

static unsigned print_status(const struct http *http, struct buffer *into)
{
    struct buffer status = BUFFER_EMPTY;
    http->sources.status(http->sources.owner, &status);
    into->failed = into->failed || buffer_failed(&status);
    shown_add_lines(into, buffer_span(&status));
    buffer_add_text(into, "\n");
    buffer_done(&status);
    return MHD_HTTP_OK;
}

static void add_html(struct buffer *into, struct span text)
{
    for (size_t i = 0; i < text.size; i++)
    {
        const char *escape = text.at[i] == '<'   ? "&lt;"
                             : text.at[i] == '>' ? "&gt;"
                             : text.at[i] == '&' ? "&amp;"
                             : text.at[i] == '"' ? "&quot;"
                                                 : NULL;
        if (escape)
            buffer_add_text(into, escape);
        else
            buffer_add_byte(into, text.at[i]);
    }
}

static void add_check_row(struct buffer *into, const char *name, bool (*check)(void *, struct buffer *), void *owner)
{
    struct buffer why = BUFFER_EMPTY, shown = BUFFER_EMPTY;
    bool passed = check(owner, &why);
    shown_add(&shown, buffer_span(&why));
    buffer_add_text(into, "<tr><th>");
    buffer_add_text(into, name);
    buffer_add_text(into, passed ? "</th><td class=good>yes" : "</th><td class=bad>no: ");
    if (!passed)
        add_html(into, buffer_span(&shown));
    buffer_add_text(into, "</td></tr>\n");
    buffer_done(&why);
    buffer_done(&shown);
}

static const struct
{
    const char *says;
    enum metric metric;
} page_rows[] = {
    { "messages received", METRIC_RECEIVED },
    { "commands in committed transactions", METRIC_BATCH_COMMANDS },
    { "transactions", METRIC_BATCHES },
    { "repeated commands", METRIC_DEDUPE_HITS },
    { "audit events published", METRIC_EVENTS },
    { "in flight", METRIC_IN_FLIGHT },
    { "keys held back", METRIC_HELD_KEYS },
    { "partitions owned", METRIC_PARTITIONS },
    { "partitions paused", METRIC_PAUSED },
    { "batches that continued without Redis", METRIC_LOCK_DEGRADED },
    { "batches refused by the fence", METRIC_FENCE_REJECTIONS },
    { "PostgreSQL reconnects", METRIC_RECONNECTS },
    { "producers replaced", METRIC_PRODUCER_REBUILDS },
};

static void add_number_row(struct buffer *into, const char *says, int64_t number)
{
    buffer_add_text(into, "<tr><th>");
    buffer_add_text(into, says);
    buffer_add_text(into, "</th><td>");
    buffer_add_int64(into, number);
    buffer_add_text(into, "</td></tr>\n");
}

static void add_rates_row(struct buffer *into, const struct http_sources *sources)
{
    struct buffer rates = BUFFER_EMPTY;

    if (sources->rates)
        sources->rates(sources->owner, &rates);
    buffer_add_text(into, "<tr><th>applied, last minute</th><td>");
    add_html(into, rates.size > 0 ? buffer_span(&rates) : SPAN_LITERAL("not known yet"));
    buffer_add_text(into, "</td></tr>\n");
    buffer_done(&rates);
}

static void add_line_break(struct buffer *into, int depth)
{
    buffer_add_byte(into, '\n');
    for (int i = 0; i < 2 * depth; i++)
        buffer_add_byte(into, ' ');
}

/* JSON as we print it, without spaces: a member a line, indented. */
static void add_json_lines(struct buffer *into, struct span json)
{
    int depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < json.size; i++)
    {
        char byte = json.at[i], next = i + 1 < json.size ? json.at[i + 1] : '\0';
        bool opens = byte == '{' || byte == '[', closes = byte == '}' || byte == ']';
        bool empty = (opens && (next == '}' || next == ']')) ||
                     (closes && i > 0 && (json.at[i - 1] == '{' || json.at[i - 1] == '['));
        bool in_text = quoted;
        if (byte == '"')
            quoted = !quoted;
        depth += in_text ? 0 : opens - closes;
        if (!in_text && closes && !empty)
            add_line_break(into, depth);
        add_html(into, (struct span){ &json.at[i], 1 });
        if (in_text && byte == '\\' && i + 1 < json.size)
            add_html(into, (struct span){ &json.at[++i], 1 });
        else if (!in_text && ((opens && !empty) || byte == ','))
            add_line_break(into, depth);
    }
}

/* The answer of the last request stays, with a word that it is old, where the worker does not answer. */
static const char page_script[] =
    "setInterval(async () => {\n"
    "  if (document.hidden || !getSelection().isCollapsed) return;\n"
    "  const old = document.getElementById('old');\n"
    "  try {\n"
    "    const answer = await fetch('/', { cache: 'no-store', signal: AbortSignal.timeout(4000) });\n"
    "    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');\n"
    "    document.getElementById('content').replaceWith(page.getElementById('content'));\n"
    "    old.textContent = '';\n"
    "  } catch {\n"
    "    old.textContent ||= 'no answer since ' + new Date().toLocaleTimeString();\n"
    "  }\n"
    "}, 5000);\n";

static unsigned print_script(const struct http *http, struct buffer *into)
{
    (void)http;
    buffer_add_text(into, page_script);
    return MHD_HTTP_OK;
}

static unsigned print_page(const struct http *http, struct buffer *into)
{
    const struct http_sources *sources = &http->sources;
    struct buffer status = BUFFER_EMPTY;
    buffer_add_text(into,
                    "<!doctype html>\n<html lang=en><meta charset=utf-8>\n"
                    "<noscript><meta http-equiv=refresh content=5></noscript><script src=/page.js defer></script>\n"
                    "<meta name=viewport content=\"width=device-width\">\n"
                    "<title>Interlock</title>\n<style>body{font:15px sans-serif;margin:2em;max-width:60em}"
                    "th{text-align:left;padding-right:2em;font-weight:normal}.good{color:#060}.bad{color:#a00}"
                    "td{overflow-wrap:anywhere}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;"
                    "padding:1em}@media(max-width:30em){body{margin:.5em}th{padding-right:.5em}"
                    "pre{padding:.5em;font-size:11px}}</style>\n"
                    "<h1>Interlock " INTERLOCK_VERSION "</h1>\n<p id=old class=bad></p>\n"
                    "<div id=content>\n<table>\n");
    add_check_row(into, "alive", sources->healthy, sources->owner);
    add_check_row(into, "ready", sources->ready, sources->owner);
    add_rates_row(into, sources);
    for (size_t i = 0; i < sizeof(page_rows) / sizeof(*page_rows); i++)
        add_number_row(into, page_rows[i].says, metrics_get(page_rows[i].metric));
    add_number_row(into, "dead letters published since the start", metrics_dead_letters());
    buffer_add_text(into, "</table>\n<pre>");
    print_status(http, &status);
    add_json_lines(into, buffer_span(&status));
    buffer_add_text(into, "</pre>\n</div>\n<p><a href=/healthz>/healthz</a> <a href=/readyz>/readyz</a> "
                          "<a href=/metrics>/metrics</a> <a href=/status>/status</a></p></html>\n");
    buffer_done(&status);
    return MHD_HTTP_OK;
}

static const struct page pages[] = {
    { "/healthz", "application/json", print_health },
    { "/readyz", "application/json", print_readiness },
    { "/metrics", "text/plain; version=0.0.4; charset=utf-8", print_metrics },
    { "/status", "application/json", print_status },
    { "/", "text/html; charset=utf-8", print_page },
    { "/page.js", "text/javascript; charset=utf-8", print_script },
};

/* --- answers ----------------------------------------------------------------------------------------------------- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *content_type,
                              struct buffer *body)
{
    if (buffer_failed(body) || body->size == 0)
        return MHD_NO; /* out of memory: the connection is closed */
    size_t size;
    char *bytes = buffer_take(body, &size);
    struct MHD_Response *response = MHD_create_response_from_buffer(size, bytes, MHD_RESPMEM_MUST_FREE);
    if (!response)
    {
        free(bytes);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", content_type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Content-Security-Policy",
                            "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'");
    MHD_add_response_header(response, "Connection", "close");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *says)
{
    struct buffer body = BUFFER_EMPTY;
    buffer_add_text(&body, says);
    enum MHD_Result result = answer(connection, status, "text/plain", &body);
    buffer_done(&body);
    return result;
}

/* --- hosts ------------------------------------------------------------------------------------------------------- */

static bool is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* A page of somebody else's, whose name was made to point here after it was loaded, may ask us as its own host; what it
 * cannot do is to name us. So only names of ours are answered: addresses, localhost, the name that we listen on, and
 * the machine's. A client that names nobody is no browser. */
static bool is_host_of_ours(const struct http *http, const char *named)
{
    char host[HOST_MAX], machine[HOST_MAX] = "";
    const char *at = named;

    if (named == NULL)
        return true;
    size_t size = strcspn(at, ":");
    if (*at == '[')
        size = strcspn(++at, "]");
    if (size >= sizeof(host))
        return false;
    memcpy(host, at, size);
    host[size] = '\0';
    if (gethostname(machine, sizeof(machine) - 1) != 0)
        machine[0] = '\0';
    return is_address(host) || strcasecmp(host, "localhost") == 0 || strcasecmp(host, http->name) == 0 ||
           (machine[0] && strcasecmp(host, machine) == 0);
}

/* --- guests ------------------------------------------------------------------------------------------------------ */

/* Ends the oldest connections until there is room, and all that are too old. The socket is still theirs: it is closed
 * after the notice of its end, which waits for the mutex. */
static void make_room(struct http *http, int most)
{
    int64_t now_us = monotonic_us();
    int count = 0;

    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        count += http->guests[i].since_us > 0;
    for (int ended = 0; ended < HTTP_CONNECTIONS_MAX; ended++)
    {
        struct guest *oldest = NULL;
        for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++)
            if (http->guests[i].since_us > 0 && (oldest == NULL || http->guests[i].since_us < oldest->since_us))
                oldest = &http->guests[i];
        if (oldest == NULL || (count <= most && now_us - oldest->since_us < REQUEST_US))
            return;
        shutdown(oldest->fd, SHUT_RDWR);
        oldest->since_us = -1; /* shut down, and not gone yet */
        count--;
    }
}

static void on_connection(void *owner, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *http = owner;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    pthread_mutex_lock(&http->mutex);
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
    {
        *state = NULL;
        make_room(http, HTTP_CONNECTIONS_MAX - ROOM - 1);
        for (int i = 0; i < HTTP_CONNECTIONS_MAX && *state == NULL && info; i++)
            if (http->guests[i].since_us == 0)
            {
                http->guests[i] = (struct guest){ info->connect_fd, monotonic_us() };
                *state = &http->guests[i];
            }
    }
    else if (*state)
        ((struct guest *)*state)->since_us = 0;
    pthread_mutex_unlock(&http->mutex);
}

void http_step(struct http *http)
{
    if (!http)
        return;
    pthread_mutex_lock(&http->mutex);
    make_room(http, HTTP_CONNECTIONS_MAX);
    pthread_mutex_unlock(&http->mutex);
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

static enum MHD_Result on_request(void *owner, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **state)
{
    const struct http *http = owner;
    (void)version;
    (void)upload;
    (void)state;
    bool head = strcmp(method, "HEAD") == 0; /* libmicrohttpd leaves the body away */
    if ((strcmp(method, "GET") != 0 && !head) || *upload_size > 0)
    {
        *upload_size = 0;
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "accepted: GET, HEAD\n");
    }
    if (!is_host_of_ours(http, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host")))
        return refuse(connection, MHD_HTTP_FORBIDDEN,
                      "Host: accepted are an address, localhost, and the name of http.listen\n");
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++)
    {
        if (strcmp(url, pages[i].path) != 0)
            continue;
        struct buffer body = BUFFER_EMPTY;
        unsigned status = pages[i].print(http, &body);
        enum MHD_Result result = answer(connection, status, pages[i].content_type, &body);
        buffer_done(&body);
        return result;
    }
    return refuse(connection, MHD_HTTP_NOT_FOUND, "accepted: /, /healthz, /readyz, /metrics, /status\n");
}

/* --- listening --------------------------------------------------------------------------------------------------- */

static bool split_listen(const char *listen, char host[HOST_MAX], const char **ret_port)
{
    const char *colon = strrchr(listen, ':');
    if (!colon)
        return false;
    size_t size = (size_t)(colon - listen);
    if (size > 2 && listen[0] == '[' && colon[-1] == ']')
    {
        listen++;
        size -= 2;
    }
    if (size == 0 || size >= HOST_MAX)
        return false;
    memcpy(host, listen, size);
    host[size] = '\0';
    *ret_port = colon + 1;
    return true;
}

static int open_socket(const struct addrinfo *address)
{
    int on = 1;
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol);
    if (fd < 0)
        return -1;
    /* A restarted pool must not wait for connections of the one before to be forgotten. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void set_port(struct sockaddr *address, int port)
{
    if (address->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)(void *)address)->sin_port = htons((uint16_t)port);
}

/* The port, or where it is in use, by another worker of the settings mostly, the next one that is free. */
static int open_near(const struct addrinfo *address)
{
    const struct sockaddr_in *in =
        (const struct sockaddr_in *)(const void *)address->ai_addr; /* in6 has it there too */
    int port = ntohs(in->sin_port), fd = open_socket(address);

    for (int tried = 1; fd < 0 && errno == EADDRINUSE && port > 0 && tried <= HTTP_PORTS_TRIED; tried++)
    {
        if (port + tried > 65535)
            break;
        set_port(address->ai_addr, port + tried);
        fd = open_socket(address);
    }
    return fd;
}

static void print_where(int fd, char *into, size_t size)
{
    struct sockaddr_storage address = { 0 };
    socklen_t length = sizeof(address);
    char host[HOST_MAX] = "", port[16] = "";
    getsockname(fd, (struct sockaddr *)(void *)&address, &length);
    getnameinfo((struct sockaddr *)(void *)&address, length, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(into, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static int listen_at(const char *listen, struct buffer *reterr)
{
    char host[HOST_MAX];
    const char *port;
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    struct addrinfo *addresses = NULL;
    buffer_add_text(reterr, "http.listen = \"");
    buffer_add_text(reterr, listen);
    buffer_add_text(reterr, "\": ");
    if (!split_listen(listen, host, &port))
    {
        buffer_add_text(reterr, "accepted: host:port");
        return -1;
    }
    int error = getaddrinfo(host, port, &hints, &addresses);
    if (error != 0)
    {
        buffer_add_text(reterr, gai_strerror(error));
        return -1;
    }
    int fd = open_near(addresses);
    if (fd < 0)
        buffer_add_text(reterr, strerror(errno));
    freeaddrinfo(addresses);
    return fd;
}

static struct MHD_Daemon *start_daemon(struct http *http, int fd)
{
    sigset_t all, before;
    /* The thread inherits our mask: signals are for the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

struct http *http_start(const char *listen, const struct http_sources *sources, struct buffer *reterr)
{
    struct http *http = calloc(1, sizeof(*http));
    if (!http)
    {
        buffer_add_text(reterr, "out of memory");
        return NULL;
    }
    http->sources = *sources;
    const char *port;
    if (!split_listen(listen, http->name, &port))
        http->name[0] = '\0';
    pthread_mutex_init(&http->mutex, NULL);
    int fd = listen_at(listen, reterr);
    if (fd < 0)
    {
        free(http);
        return NULL;
    }
    print_where(fd, http->where, sizeof(http->where));
    /* The socket is the daemon's from here on, whether it starts or not. */
    http->daemon = start_daemon(http, fd);
    if (!http->daemon)
    {
        buffer_add_text(reterr, "the HTTP thread cannot be started");
        free(http);
        return NULL;
    }
    buffer_clear(reterr);
    return http;
}

void http_stop(struct http *http)
{
    if (!http)
        return;
    MHD_stop_daemon(http->daemon);
    pthread_mutex_destroy(&http->mutex);
    free(http);
}

const char *http_where(const struct http *http)
{
    return http->where;
}
