/* Any bytes sent to the HTTP endpoint over a connection of its own: answered or closed, never a crash, and the endpoint
 * goes on: what is sent next is a good request, and must get its answer. Seeds: tests/fuzz/corpus/http. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum
{
    CHECK_EVERY = 64, /* the good request */
};

static bool says_no(void *owner, struct buffer *why)
{
    (void)owner;
    buffer_add_text(why, "a <reason> with \"quotes\" and \xff");
    return false;
}

static void print_status(void *owner, struct buffer *json)
{
    (void)owner;
    buffer_add_text(json, "{\"version\":\"fuzz\"}");
}

static struct sockaddr_in listen_once(void)
{
    static const struct http_sources sources = { .healthy = says_no, .ready = says_no, .status = print_status };
    struct buffer fault = BUFFER_EMPTY;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct http *http = http_start("127.0.0.1:0", &sources, &fault);
    const char *port = http ? strrchr(http_where(http), ':') : NULL;
    if (!port)
        abort();
    address.sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10));
    buffer_done(&fault);
    return address;
}

/* Returns the number of bytes of the answer, the first of them in `into`. */
static size_t exchange(const struct sockaddr_in *address, const void *bytes, size_t size, char *into, size_t room)
{
    /* Closed with a reset, so that thousands a second do not use up the ports. */
    static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    size_t total = 0;
    char rest[4096];
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0 || connect(connection, (const struct sockaddr *)address, sizeof(*address)) != 0)
        abort();
    (void)setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    (void)!send(connection, bytes, size, MSG_NOSIGNAL);
    (void)shutdown(connection, SHUT_WR);
    for (;;)
    {
        bool fits = total < room;
        ssize_t got = recv(connection, fits ? into + total : rest, fits ? room - total : sizeof(rest), 0);
        if (got <= 0)
            break;
        total += (size_t)got;
    }
    close(connection);
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char good[] = "GET /healthz HTTP/1.0\r\n\r\n";
    static struct sockaddr_in address;
    static unsigned long count;
    char answer[64] = "";
    if (address.sin_port == 0)
        address = listen_once();
    (void)exchange(&address, bytes, size, answer, sizeof(answer));
    if (++count % CHECK_EVERY == 0 &&
        (exchange(&address, good, sizeof(good) - 1, answer, sizeof(answer)) < sizeof("HTTP/1.1 500") ||
         memcmp(answer, "HTTP/1.", 7) != 0 || memcmp(answer + 9, "500", 3) != 0))
        abort();
    return 0;
}
