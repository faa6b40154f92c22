#include "worker/cli/http_get.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/base/clock.h"

enum
{
    ANSWER_MAX = 4 * 1024 * 1024,
    CHUNK = 16 * 1024,
    HOST_MAX = 256,
};

static void close_socket(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static bool fail(struct buffer *reterr, const char *listen, const char *why)
{
    buffer_add_text(reterr, "no answer from a worker at ");
    buffer_add_text(reterr, listen);
    buffer_add_text(reterr, ": ");
    buffer_add_text(reterr, why);
    return false;
}

/* An address to connect to for an address that was listened on: "every interface" is reached by loopback. */
static void read_listen(const char *listen, char host[HOST_MAX], char port[8])
{
    const char *colon = strrchr(listen, ':');
    size_t size = colon ? (size_t)(colon - listen) : strlen(listen);
    bool bracketed = size >= 2 && listen[0] == '[' && listen[size - 1] == ']';
    snprintf(host, HOST_MAX, "%.*s", (int)(bracketed ? size - 2 : size), listen + (bracketed ? 1 : 0));
    snprintf(port, 8, "%s", colon ? colon + 1 : "");
    if (strcmp(host, "0.0.0.0") == 0)
        snprintf(host, HOST_MAX, "127.0.0.1");
    if (strcmp(host, "::") == 0)
        snprintf(host, HOST_MAX, "::1");
}

static bool wait_for(int fd, short events, int64_t deadline_us)
{
    int64_t left_us = deadline_us - monotonic_us();
    struct pollfd item = { .fd = fd, .events = events };
    int ready = left_us > 0 ? poll(&item, 1, (int)(left_us / 1000) + 1) : 0;
    if (ready == 0)
        errno = ETIMEDOUT;
    return ready > 0;
}

static int connect_to(const char *host, const char *port, int64_t deadline_us)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *address = NULL;
    if (getaddrinfo(host, port, &hints, &address) != 0)
    {
        errno = EHOSTUNREACH;
        return -1;
    }
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol);
    int error = 0;
    socklen_t size = sizeof(error);
    if (fd >= 0 && connect(fd, address->ai_addr, address->ai_addrlen) != 0)
    {
        if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, deadline_us))
            error = errno;
        else
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    freeaddrinfo(address);
    if (fd >= 0 && error != 0)
    {
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static bool send_all(int fd, const char *text, int64_t deadline_us)
{
    for (size_t left = strlen(text); left > 0;)
    {
        ssize_t sent = send(fd, text, left, MSG_NOSIGNAL);
        if (sent < 0 && (errno != EAGAIN || !wait_for(fd, POLLOUT, deadline_us)))
            return false;
        text += sent > 0 ? sent : 0;
        left -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

/* Until the server closes. */
static bool receive_all(int fd, struct buffer *into, int64_t deadline_us)
{
    while (into->size < ANSWER_MAX)
    {
        if (!buffer_reserve(into, CHUNK))
        {
            errno = ENOMEM;
            return false;
        }
        ssize_t size = recv(fd, into->at + into->size, CHUNK, 0);
        if (size == 0)
            return true;
        if (size < 0 && (errno != EAGAIN || !wait_for(fd, POLLIN, deadline_us)))
            return false;
        into->size += size > 0 ? (size_t)size : 0;
    }
    errno = EMSGSIZE;
    return false;
}

/* "HTTP/1.1 200 OK", headers, an empty line, the body. */
static bool split_answer(const struct buffer *answer, int *ret_status, struct buffer *ret_body)
{
    const char *end = answer->size > 12 ? memmem(answer->at, answer->size, "\r\n\r\n", 4) : NULL;
    if (!end || memcmp(answer->at, "HTTP/1.", 7) != 0)
        return false;
    int status = atoi(answer->at + 9);
    if (status < 100 || status > 599)
        return false;
    *ret_status = status;
    buffer_add(ret_body, end + 4, answer->size - (size_t)(end + 4 - answer->at));
    return !buffer_failed(ret_body);
}

bool http_get(const char *listen, const char *path, int64_t timeout_us, int *ret_status, struct buffer *ret_body,
              struct buffer *reterr)
{
    char host[HOST_MAX], port[8], request[512];
    int64_t deadline_us = monotonic_us() + timeout_us;
    if (*listen == '\0')
        return fail(reterr, "nowhere", "http.listen is empty, so pools with these settings have no endpoint");
    read_listen(listen, host, port);
    if (strcmp(port, "0") == 0)
        return fail(reterr, listen, "port 0 means any: set INTERLOCK_HTTP_LISTEN to the address in the pool's log");
    __attribute__((cleanup(close_socket))) int fd = connect_to(host, port, deadline_us);
    if (fd < 0)
        return fail(reterr, listen, errno == ECONNREFUSED ? "nothing listens there: is it running?" : strerror(errno));
    snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, listen);
    struct buffer answer = BUFFER_EMPTY;
    bool ok = send_all(fd, request, deadline_us) && receive_all(fd, &answer, deadline_us);
    if (!ok)
        fail(reterr, listen, strerror(errno));
    else if (!split_answer(&answer, ret_status, ret_body))
        ok = fail(reterr, listen, "the answer is not HTTP");
    buffer_done(&answer);
    return ok;
}
