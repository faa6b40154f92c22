/* Http: a real socket on loopback, asked by a client that also sends what clients should not. */
#include "tests/fixtures/cmocka.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "worker/http.h"

static bool is_healthy, is_ready;
static const char *why_not, *rates_text, *status_text;
static struct http *http;
static char answer[256 * 1024];

static bool healthy(void *owner, struct buffer *why)
{
    (void)owner;
    if (!is_healthy)
        buffer_add_text(why, why_not);
    return is_healthy;
}

static bool ready(void *owner, struct buffer *why)
{
    (void)owner;
    if (!is_ready)
        buffer_add_text(why, why_not);
    return is_ready;
}

static void status(void *owner, struct buffer *json)
{
    assert_ptr_equal(owner, &http);
    buffer_add_text(json, status_text);
}

static void rates(void *owner, struct buffer *into)
{
    assert_ptr_equal(owner, &http);
    buffer_add_text(into, rates_text);
}

static const struct http_sources sources = {
    .healthy = healthy, .ready = ready, .status = status, .rates = rates, .owner = &http
};

static int start(void **state)
{
    (void)state;
    struct buffer fault = BUFFER_EMPTY;
    is_healthy = is_ready = true;
    why_not = "waiting for PostgreSQL";
    rates_text = "";
    status_text = "{\"state\":\"<running>\"}";
    http = http_start("127.0.0.1:0", &sources, &fault);
    buffer_done(&fault);
    return http == NULL;
}

static int end(void **state)
{
    (void)state;
    http_stop(http);
    return 0;
}

static int connect_to(const char *where)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct timeval limit = { .tv_sec = 20 };
    address.sin_port = htons((uint16_t)atoi(strrchr(where, ':') + 1));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)), 0);
    return fd;
}

/* Sends the request as it is; returns the HTTP status (0: closed without one) and leaves all of it in `answer`. */
static int ask_raw(const char *request, size_t size)
{
    int fd = connect_to(http_where(http));
    /* A server that has seen enough closes while we still send. */
    ssize_t sent = send(fd, request, size, MSG_NOSIGNAL);
    (void)sent;
    size_t got = 0;
    for (ssize_t part; (part = recv(fd, answer + got, sizeof(answer) - 1 - got, 0)) > 0;)
        got += (size_t)part;
    answer[got] = '\0';
    close(fd);
    return got > 12 ? atoi(answer + 9) : 0;
}

static int ask(const char *method, const char *path)
{
    char request[512];
    int size = snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                        method, path);
    return ask_raw(request, (size_t)size);
}

static const char *body(void)
{
    const char *at = strstr(answer, "\r\n\r\n");
    assert_non_null(at);
    return at + 4;
}

static json_t *json_body(void)
{
    json_t *root = json_loads(body(), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    return root;
}

static void a_healthy_pool_answers_200_with_its_checks(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/healthz"), 200);
    assert_non_null(strstr(answer, "Content-Type: application/json"));
    json_t *root = json_body();
    assert_string_equal(json_string_value(json_object_get(root, "status")), "healthy");
    assert_int_equal(json_integer_value(json_object_get(root, "process_id")), getpid());
    assert_non_null(json_object_get(root, "timestamp"));
    assert_true(json_is_true(json_object_get(json_object_get(root, "checks"), "live")));
    assert_int_equal(json_object_size(json_object_get(root, "errors")), 0);
    json_decref(root);
}

static void a_pool_that_does_not_move_answers_500_and_says_why(void **state)
{
    (void)state;
    is_healthy = false;
    why_not = "\"poll\" thread\n\x01 \xff";
    assert_int_equal(ask("GET", "/healthz"), 500);
    json_t *root = json_body();
    assert_string_equal(json_string_value(json_object_get(root, "status")), "unhealthy");
    assert_true(json_is_false(json_object_get(json_object_get(root, "checks"), "live")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "errors"), "live")),
                        "\"poll\" thread\n\x01 \xef\xbf\xbd");
    json_decref(root);
}

static void a_pool_that_waits_is_alive_and_not_ready(void **state)
{
    (void)state;
    is_ready = false;
    assert_int_equal(ask("GET", "/healthz"), 200);
    assert_int_equal(ask("GET", "/readyz"), 503);
    json_t *root = json_body();
    assert_string_equal(json_string_value(json_object_get(root, "status")), "not_ready");
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "errors"), "ready")),
                        "waiting for PostgreSQL");
    json_decref(root);
    is_ready = true;
    assert_int_equal(ask("GET", "/readyz"), 200);
}

static void metrics_are_prometheus_text(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/metrics"), 200);
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
    assert_non_null(strstr(body(), "# TYPE interlock_messages_received_total counter\n"));
}

static void status_is_what_the_source_says(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/status"), 200);
    assert_string_equal(body(), "{\"state\":\"<running>\"}\n");
}

static void the_page_escapes_what_it_shows(void **state)
{
    (void)state;
    is_ready = false;
    why_not = "<script>&\"";
    assert_int_equal(ask("GET", "/"), 200);
    assert_non_null(strstr(answer, "Content-Type: text/html"));
    assert_non_null(strstr(answer, "Content-Security-Policy: default-src 'none'"));
    assert_non_null(strstr(body(), "no: &lt;script&gt;&amp;&quot;"));
    assert_non_null(strstr(body(), "&lt;running&gt;"));
    assert_null(strstr(body(), "<script>"));
}

/* Without JavaScript it loads itself again; with it, its script, which is ours alone, replaces the content. */
static void the_page_keeps_scroll_and_selection_where_there_is_javascript(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/"), 200);
    assert_non_null(strstr(answer, "; script-src 'self'; connect-src 'self'\r\n"));
    const char *refresh = strstr(body(), "<meta http-equiv=refresh");
    assert_non_null(refresh);
    assert_non_null(strstr(body(), "<noscript><meta http-equiv=refresh content=5></noscript>"));
    assert_null(strstr(refresh + 10, "http-equiv=refresh"));
    assert_non_null(strstr(body(), "<script src=/page.js defer></script>"));
    assert_non_null(strstr(body(), "<div id=content>"));
    assert_int_equal(ask("GET", "/page.js"), 200);
    assert_non_null(strstr(answer, "Content-Type: text/javascript"));
    assert_non_null(strstr(body(), "getElementById('content').replaceWith("));
}

static void the_page_has_the_rates_of_the_last_minute(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/"), 200);
    assert_non_null(strstr(body(), "<tr><th>applied, last minute</th><td>not known yet</td></tr>"));
    rates_text = "41.2 commands/s";
    assert_int_equal(ask("GET", "/"), 200);
    assert_non_null(strstr(body(), "<tr><th>applied, last minute</th><td>41.2 commands/s</td></tr>"));
}

static void the_status_on_the_page_has_a_member_a_line(void **state)
{
    (void)state;
    status_text = "{\"a\":[],\"b\":[{\"c\":\"x,{\\\"}\"},2],\"d\":{}}";
    assert_int_equal(ask("GET", "/"), 200);
    assert_non_null(strstr(body(), "<pre>{\n  &quot;a&quot;:[],\n  &quot;b&quot;:[\n    {\n"
                                   "      &quot;c&quot;:&quot;x,{\\&quot;}&quot;\n    },\n    2\n  ],\n"
                                   "  &quot;d&quot;:{}\n}\n</pre>"));
}

static void other_paths_are_not_found(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/etc/passwd"), 404);
    assert_int_equal(ask("GET", "/metrics/"), 404);
    assert_int_equal(ask("GET", "/metrics?x=1"), 200);
}

static void only_get_is_answered(void **state)
{
    (void)state;
    static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS", "PATCH" };
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
    {
        assert_int_equal(ask(methods[i], "/healthz"), 405);
        assert_non_null(strstr(answer, "Allow: GET"));
    }
    static const char with_body[] = "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    int code = ask_raw(with_body, sizeof(with_body) - 1);
    assert_true(code == 405 || code == 0);
    assert_int_equal(ask("GET", "/healthz"), 200);
}

static void bytes_that_are_not_a_request_end_their_connection_only(void **state)
{
    (void)state;
    static char large[64 * 1024] = "GET /";
    memset(large + 5, 'a', sizeof(large) - 5);
    assert_in_range(ask_raw(large, sizeof(large)), 0, 599);
    assert_int_not_equal(atoi(answer + 9), 200);
    static const char nonsense[] = "\x16\x03\x01\0\0\r\n\r\n";
    assert_int_not_equal(ask_raw(nonsense, sizeof(nonsense) - 1), 200);
    assert_int_equal(ask("GET", "/healthz"), 200);
}

static void connections_that_say_nothing_do_not_shut_others_out_for_long(void **state)
{
    (void)state;
    int idle[24];
    for (size_t i = 0; i < sizeof(idle) / sizeof(*idle); i++)
        idle[i] = connect_to(http_where(http));
    /* The limit is 16; the idle ones are closed after 2 seconds, and the client waits up to 20. */
    assert_int_equal(ask("GET", "/healthz"), 200);
    for (size_t i = 0; i < sizeof(idle) / sizeof(*idle); i++)
        close(idle[i]);
}

static void a_port_in_use_makes_room_for_the_next_one(void **state)
{
    (void)state;
    struct buffer fault = BUFFER_EMPTY;
    struct http *second = http_start(http_where(http), &sources, &fault);
    assert_non_null(second);
    int port = atoi(strrchr(http_where(http), ':') + 1), next = atoi(strrchr(http_where(second), ':') + 1);
    assert_in_range(next, port + 1, port + HTTP_PORTS_TRIED);
    http_stop(second);
    buffer_done(&fault);
}

/* Each is answered at once, however many sit there and send a byte now and then. */
static void dripping_connections_leave_room_for_probes(void **state)
{
    (void)state;
    int slow[64];
    for (size_t i = 0; i < sizeof(slow) / sizeof(*slow); i++)
    {
        slow[i] = connect_to(http_where(http));
        assert_int_equal(send(slow[i], "G", 1, MSG_NOSIGNAL), 1);
        assert_int_equal(ask("GET", "/healthz"), 200);
    }
    for (size_t i = 0; i < sizeof(slow) / sizeof(*slow); i++)
        close(slow[i]);
}

static void a_request_that_takes_too_long_ends_though_bytes_come(void **state)
{
    (void)state;
    int slow = connect_to(http_where(http));
    char byte;
    /* The drip: as long as the other side takes bytes. */
    for (ssize_t got = -1; got != 0;)
    {
        struct pollfd closed = { .fd = slow, .events = POLLIN };
        if (send(slow, "G", 1, MSG_NOSIGNAL) < 0)
            break;
        http_step(http);
        got = recv(slow, &byte, 1, MSG_DONTWAIT);
        poll(&closed, 1, got == 0 ? 0 : 100);
    }
    close(slow);
}

static void head_is_answered_without_a_body(void **state)
{
    (void)state;
    static const char *const paths[] = { "/healthz", "/readyz", "/metrics", "/status", "/" };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
    {
        assert_int_equal(ask("HEAD", paths[i]), 200);
        const char *end = strstr(answer, "\r\n\r\n");
        assert_non_null(end);
        assert_string_equal(end, "\r\n\r\n");
    }
    assert_int_equal(ask("HEAD", "/nowhere"), 404);
}

static int ask_as(const char *host)
{
    char request[512];
    int size =
        snprintf(request, sizeof(request), "GET /status HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
    return ask_raw(request, (size_t)size);
}

/* A name that somebody else made to point here (DNS rebinding) is not ours. */
static void only_hosts_of_ours_are_answered(void **state)
{
    (void)state;
    static const char *const ours[] = { "127.0.0.1", "127.0.0.1:9464", "[::1]:9464",
                                        "localhost", "LocalHost:80",   "10.0.0.7:1" };
    static const char *const others[] = {
        "evil.example", "evil.example:9464", "localhost.evil.example", "127.0.0.1.evil.example", "", "[evil]:1"
    };
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (ask_as(ours[i]) != 200)
            fail_msg("%s: %.40s", ours[i], answer);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (ask_as(others[i]) != 403 || strstr(answer, "running"))
            fail_msg("%s: %.40s", others[i], answer);
}

static void an_invalid_address_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const wrong[] = { "nonsense", ":1", "203.0.113.1:1" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
    {
        struct buffer fault = BUFFER_EMPTY;
        assert_null(http_start(wrong[i], &sources, &fault));
        assert_true(fault.size > 0);
        buffer_done(&fault);
    }
}

static void port_zero_takes_a_free_one_and_tells_it(void **state)
{
    (void)state;
    assert_memory_equal(http_where(http), "127.0.0.1:", 10);
    assert_in_range(atoi(http_where(http) + 10), 1, 65535);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_healthy_pool_answers_200_with_its_checks),
        TEST(a_pool_that_does_not_move_answers_500_and_says_why),
        TEST(a_pool_that_waits_is_alive_and_not_ready),
        TEST(metrics_are_prometheus_text),
        TEST(status_is_what_the_source_says),
        TEST(the_page_escapes_what_it_shows),
        TEST(the_page_keeps_scroll_and_selection_where_there_is_javascript),
        TEST(the_page_has_the_rates_of_the_last_minute),
        TEST(the_status_on_the_page_has_a_member_a_line),
        TEST(other_paths_are_not_found),
        TEST(only_get_is_answered),
        TEST(bytes_that_are_not_a_request_end_their_connection_only),
        TEST(connections_that_say_nothing_do_not_shut_others_out_for_long),
        TEST(a_port_in_use_makes_room_for_the_next_one),
        TEST(dripping_connections_leave_room_for_probes),
        TEST(a_request_that_takes_too_long_ends_though_bytes_come),
        TEST(head_is_answered_without_a_body),
        TEST(only_hosts_of_ours_are_answered),
        TEST(an_invalid_address_is_refused_with_a_reason),
        TEST(port_zero_takes_a_free_one_and_tells_it),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
