#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fakes/redis.h"

enum
{
    WORDS_KEPT = 2,
    WORD_SIZE = 64,
};

struct fake_redis
{
    const struct fake_redis_step *next;
    int listener, wake[2];
    char url[64];
    pthread_t thread;
    atomic_int connections; /* writer: the server; reader: the test */
    bool surprised;
};

struct request
{
    char words[WORDS_KEPT][WORD_SIZE];
};

/* False: the peer hung up, or the test ends. */
static bool read_byte(struct fake_redis *fake, int socket, char *ret)
{
    struct pollfd sockets[2] = { { .fd = socket, .events = POLLIN }, { .fd = fake->wake[0], .events = POLLIN } };

    return poll(sockets, 2, -1) > 0 && !sockets[1].revents && read(socket, ret, 1) == 1;
}

static bool read_line(struct fake_redis *fake, int socket, char mark, long *ret)
{
    char line[32] = "", byte = '\0';
    size_t size = 0;

    while (byte != '\n')
    {
        if (!read_byte(fake, socket, &byte))
            return false;
        if (size + 1 < sizeof(line))
            line[size++] = byte;
    }
    *ret = strtol(line + 1, NULL, 10);
    return line[0] == mark;
}

static bool read_request(struct fake_redis *fake, int socket, struct request *ret)
{
    long words, size;

    *ret = (struct request){ 0 };
    if (!read_line(fake, socket, '*', &words))
        return false;
    for (long i = 0; i < words; i++)
    {
        if (!read_line(fake, socket, '$', &size))
            return false;
        for (long at = 0; at < size + 2; at++)
        {
            char byte;
            if (!read_byte(fake, socket, &byte))
                return false;
            if (i < WORDS_KEPT && at < size && at + 1 < WORD_SIZE)
                ret->words[i][at] = byte;
        }
    }
    return true;
}

/* Plays steps until the connection ends. */
static void serve(struct fake_redis *fake, int socket)
{
    struct request request;
    char byte;

    while (read_request(fake, socket, &request))
    {
        const struct fake_redis_step *step = fake->next;
        if (step->verb == NULL || strcmp(step->verb, request.words[0]) != 0 ||
            (step->second && strcmp(step->second, request.words[1]) != 0))
        {
            fprintf(stderr, "fake redis: %s %s came, %s was due\n", request.words[0], request.words[1],
                    step->verb ? step->verb : "nothing");
            fake->surprised = true;
            return;
        }
        fake->next++;
        if (step->act == FAKE_SILENT)
        {
            while (read_byte(fake, socket, &byte))
                ;
            return;
        }
        if (send(socket, step->reply, strlen(step->reply), MSG_NOSIGNAL) < 0 || step->act == FAKE_CLOSE)
            return;
    }
}

static void *run(void *argument)
{
    struct fake_redis *fake = argument;

    for (;;)
    {
        struct pollfd sockets[2] = { { .fd = fake->listener, .events = POLLIN },
                                     { .fd = fake->wake[0], .events = POLLIN } };
        if (poll(sockets, 2, -1) < 0 || sockets[1].revents)
            return NULL;
        int socket = accept(fake->listener, NULL, NULL);
        atomic_fetch_add(&fake->connections, 1);
        serve(fake, socket);
        close(socket);
    }
}

struct fake_redis *fake_redis_begin(const struct fake_redis_step *steps)
{
    struct fake_redis *fake = calloc(1, sizeof(*fake));
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);

    if (fake == NULL)
        abort();
    fake->next = steps;
    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fake->listener < 0 || bind(fake->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(fake->listener, 16) != 0 || getsockname(fake->listener, (struct sockaddr *)&address, &size) != 0 ||
        pipe(fake->wake) != 0 || pthread_create(&fake->thread, NULL, run, fake) != 0)
        abort();
    snprintf(fake->url, sizeof(fake->url), "redis://127.0.0.1:%d", ntohs(address.sin_port));
    return fake;
}

const char *fake_redis_url(const struct fake_redis *fake)
{
    return fake->url;
}

int fake_redis_connections(struct fake_redis *fake)
{
    return atomic_load(&fake->connections);
}

bool fake_redis_end(struct fake_redis *fake)
{
    if (write(fake->wake[1], "x", 1) != 1)
        abort();
    pthread_join(fake->thread, NULL);
    bool good = !fake->surprised && fake->next->verb == NULL;
    if (fake->next->verb)
        fprintf(stderr, "fake redis: %s never came\n", fake->next->verb);
    close(fake->listener);
    close(fake->wake[0]);
    close(fake->wake[1]);
    free(fake);
    return good;
}
