#include "tests/fakes/pq.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixtures/cmocka.h"

enum
{
    SOCKET = 1000, /* never touched: poll is ours */
    PARAMETER_BYTES_MAX = 65536,
};

/* libpq's types are opaque, so these stand for them. */
struct fake_result
{
    const struct pq_row *row;
};

static struct
{
    const struct pq_row *next;
    int64_t now_us, answer_at_us; /* 0: the delay of the next row has not begun */
    bool bad;
    PGTransactionStatusType transaction;
    PQnoticeReceiver on_notice;
    void *notice_owner;
    int parameter_count;
    struct span parameters[PQ_PARAMETERS_MAX];
    char bytes[PARAMETER_BYTES_MAX];
    char hosts[64];      /* of the last PQconnectStartParams, beside the URL: "host=... port=..." */
    const char *message; /* of the connection that failed last; NULL: it was lost */
    int wake;            /* a descriptor that is readable; 0: none is */
} fake;

static char connection;

/* --- the script -------------------------------------------------------------------------------------------------- */

static void assert_used_up(void)
{
    if (fake.next && fake.next->function)
        fail_msg("%s(%s) was expected and never came", fake.next->function, fake.next->text ? fake.next->text : "");
}

void pq_play(const struct pq_row *rows)
{
    assert_used_up();
    fake.next = rows;
    fake.answer_at_us = 0;
    if (fake.now_us == 0)
        fake.now_us = 1000000;
}

void pq_end(void)
{
    assert_used_up();
    memset(&fake, 0, sizeof(fake));
}

int64_t pq_now_us(void)
{
    return fake.now_us;
}

void pq_pass(int64_t us)
{
    fake.now_us += us;
}

void pq_wake(int descriptor)
{
    fake.wake = descriptor;
}

static bool is_next(const char *function)
{
    return fake.next && fake.next->function && strcmp(fake.next->function, function) == 0;
}

static const struct pq_row *take(const char *function, const char *text)
{
    if (!is_next(function))
        fail_msg("%s(%s) was called, expected was %s(%s)", function, text ? text : "",
                 fake.next && fake.next->function ? fake.next->function : "nothing more",
                 fake.next && fake.next->text ? fake.next->text : "");
    if (text && fake.next->text && strcmp(text, fake.next->text) != 0)
        fail_msg("%s got\n%s\nexpected was\n%s", function, text, fake.next->text);
    if (fake.next->fails || fake.next->breaks)
        fake.bad = true;
    fake.answer_at_us = 0;
    return fake.next++;
}

/* --- the connection ---------------------------------------------------------------------------------------------- */

PGconn *__wrap_PQconnectStartParams(const char *const *keywords, const char *const *values, int expand_dbname)
{
    const struct pq_row *row = take("PQconnectStartParams", NULL);
    size_t at = 0;

    (void)expand_dbname;
    fake.hosts[0] = '\0';
    for (int i = 0; keywords[i]; i++)
        if (strcmp(keywords[i], "host") == 0 || strcmp(keywords[i], "port") == 0)
            at += (size_t)snprintf(fake.hosts + at, sizeof(fake.hosts) - at, "%s%s=%s", at ? " " : "", keywords[i],
                                   values[i]);
    fake.message = NULL;
    fake.bad = row->status == CONNECTION_BAD;
    fake.transaction = PQTRANS_IDLE;
    return row->fails ? NULL : (PGconn *)(void *)&connection;
}

PostgresPollingStatusType __wrap_PQconnectPoll(PGconn *conn)
{
    const struct pq_row *row = take("PQconnectPoll", NULL);

    (void)conn;
    fake.message = row->message;
    return (PostgresPollingStatusType)row->status;
}

ConnStatusType __wrap_PQstatus(const PGconn *conn)
{
    return conn == NULL || fake.bad ? CONNECTION_BAD : CONNECTION_OK;
}

PGTransactionStatusType __wrap_PQtransactionStatus(const PGconn *conn)
{
    return conn == NULL || fake.bad ? PQTRANS_UNKNOWN : fake.transaction;
}

char *__wrap_PQerrorMessage(const PGconn *conn)
{
    static char message[256];
    (void)conn;
    snprintf(message, sizeof(message), "%s\n", fake.message ? fake.message : "connection to server was lost");
    return message;
}

PGVerbosity __wrap_PQsetErrorVerbosity(PGconn *conn, PGVerbosity verbosity)
{
    (void)conn;
    (void)verbosity;
    return PQERRORS_DEFAULT;
}

const char *pq_hosts(void)
{
    return fake.hosts;
}

int __wrap_PQsocket(const PGconn *conn)
{
    return conn ? SOCKET : -1;
}

char *__wrap_PQhost(const PGconn *conn)
{
    static char host[] = "db.example";
    (void)conn;
    return host;
}

char *__wrap_PQport(const PGconn *conn)
{
    static char port[] = "5432";
    (void)conn;
    return port;
}

void __wrap_PQfinish(PGconn *conn)
{
    if (conn)
        take("PQfinish", NULL);
}

int __wrap_PQsetnonblocking(PGconn *conn, int arg)
{
    (void)conn;
    assert_int_equal(arg, 1);
    return 0;
}

int __wrap_PQenterPipelineMode(PGconn *conn)
{
    (void)conn;
    fake.transaction = PQTRANS_IDLE;
    return !take("PQenterPipelineMode", NULL)->fails;
}

PQnoticeReceiver __wrap_PQsetNoticeReceiver(PGconn *conn, PQnoticeReceiver proc, void *arg)
{
    (void)conn;
    fake.on_notice = proc;
    fake.notice_owner = arg;
    return NULL;
}

/* --- sending ----------------------------------------------------------------------------------------------------- */

static void keep_parameters(int count, const char *const *values, const int *lengths)
{
    size_t used = 0;

    if (count == 0)
        return;
    assert_true(count <= PQ_PARAMETERS_MAX);
    fake.parameter_count = count;
    for (int i = 0; i < count; i++)
    {
        size_t size = values[i] == NULL ? 0 : lengths ? (size_t)lengths[i] : strlen(values[i]);
        assert_true(used + size <= sizeof(fake.bytes));
        if (size > 0)
            memcpy(fake.bytes + used, values[i], size);
        fake.parameters[i] = values[i] ? (struct span){ fake.bytes + used, size } : SPAN_NULL;
        used += size;
    }
}

int pq_parameter_count(void)
{
    return fake.parameter_count;
}

struct span pq_parameter(int index)
{
    assert_true(index < fake.parameter_count);
    return fake.parameters[index];
}

static int sent(const struct pq_row *row)
{
    fake.transaction = PQTRANS_ACTIVE;
    return !row->fails;
}

int __wrap_PQsendQueryParams(PGconn *conn, const char *command, int count, const Oid *types, const char *const *values,
                             const int *lengths, const int *formats, int format)
{
    (void)conn;
    (void)types;
    (void)formats;
    (void)format;
    keep_parameters(count, values, lengths);
    return sent(take("PQsendQueryParams", command));
}

int __wrap_PQsendPrepare(PGconn *conn, const char *name, const char *query, int count, const Oid *types)
{
    (void)conn;
    (void)count;
    (void)types;
    assert_non_null(name);
    return sent(take("PQsendPrepare", query));
}

int __wrap_PQsendQueryPrepared(PGconn *conn, const char *name, int count, const char *const *values, const int *lengths,
                               const int *formats, int format)
{
    (void)conn;
    for (int i = 0; i < count; i++)
        assert_int_equal(formats[i], 1);
    assert_int_equal(format, 1);
    keep_parameters(count, values, lengths);
    return sent(take("PQsendQueryPrepared", name));
}

int __wrap_PQpipelineSync(PGconn *conn)
{
    (void)conn;
    return sent(take("PQpipelineSync", NULL));
}

/* Scripted only where it fails or has to be called again (status 1). */
int __wrap_PQflush(PGconn *conn)
{
    (void)conn;
    if (!is_next("PQflush"))
        return 0;
    const struct pq_row *row = take("PQflush", NULL);
    return row->fails ? -1 : row->status;
}

/* --- hearing ----------------------------------------------------------------------------------------------------- */

int __wrap_PQconsumeInput(PGconn *conn)
{
    (void)conn;
    return is_next("PQconsumeInput") ? !take("PQconsumeInput", NULL)->fails : 1;
}

/* Starts the next row's delay, where it has one; tells whether it is over. */
static bool is_there(void)
{
    if (fake.next == NULL || fake.next->function == NULL || fake.next->delay_us == 0)
        return true;
    if (fake.answer_at_us == 0)
        fake.answer_at_us = fake.next->delay_us == PQ_SILENT ? INT64_MAX : fake.now_us + fake.next->delay_us;
    return fake.now_us >= fake.answer_at_us;
}

int __wrap_PQisBusy(PGconn *conn)
{
    (void)conn;
    return is_next("PQconsumeInput") || !is_there();
}

static PGresult *make_result(const struct pq_row *row)
{
    struct fake_result *result = malloc(sizeof(*result));
    assert_non_null(result);
    result->row = row;
    return (PGresult *)(void *)result;
}

PGresult *__wrap_PQgetResult(PGconn *conn)
{
    (void)conn;
    while (is_next("notice"))
    {
        PGresult *notice = make_result(take("notice", NULL));
        fake.on_notice(fake.notice_owner, notice);
        __wrap_PQclear(notice);
    }
    const struct pq_row *row = take("PQgetResult", NULL);
    if (row->status == PGRES_PIPELINE_SYNC)
        fake.transaction = row->transaction;
    return row->status == PQ_NULL ? NULL : make_result(row);
}

static const struct pq_row *row_of(const PGresult *result)
{
    return ((const struct fake_result *)(const void *)result)->row;
}

ExecStatusType __wrap_PQresultStatus(const PGresult *result)
{
    return result ? (ExecStatusType)row_of(result)->status : PGRES_FATAL_ERROR;
}

char *__wrap_PQresultErrorField(const PGresult *result, int field)
{
    static char texts[6][512];
    const struct pq_row *row = result ? row_of(result) : NULL;
    const struct
    {
        int field;
        const char *text;
    } fields[] = {
        { PG_DIAG_SQLSTATE, row ? row->sqlstate : NULL },
        { PG_DIAG_MESSAGE_PRIMARY, row ? row->message : NULL },
        { PG_DIAG_MESSAGE_DETAIL, row ? row->detail : NULL },
        { PG_DIAG_SEVERITY_NONLOCALIZED, row ? row->severity : NULL },
        { PG_DIAG_CONSTRAINT_NAME, row ? row->constraint : NULL },
        { PG_DIAG_COLUMN_NAME, row ? row->column : NULL },
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i].field == field && fields[i].text)
        {
            snprintf(texts[i], sizeof(texts[i]), "%s", fields[i].text);
            return texts[i];
        }
    return NULL;
}

static char *value_of(const PGresult *result)
{
    static char value[512];
    snprintf(value, sizeof(value), "%s", row_of(result)->value ? row_of(result)->value : "");
    return value;
}

char *__wrap_PQcmdStatus(PGresult *result)
{
    return value_of(result);
}

char *__wrap_PQgetvalue(const PGresult *result, int row, int field)
{
    (void)row;
    (void)field;
    return value_of(result);
}

void __wrap_PQclear(PGresult *result)
{
    free(result);
}

/* --- time -------------------------------------------------------------------------------------------------------- */

/* The socket takes everything; what there is to read comes when the next row says so. */
int __wrap_poll(struct pollfd *waited, nfds_t count, int timeout_ms)
{
    int64_t until_us = fake.now_us + (int64_t)timeout_ms * 1000;
    bool woken = count == 2 && waited[1].fd >= 0 && waited[1].fd == fake.wake;

    assert_true(count == 1 || count == 2);
    assert_int_equal(waited->fd, SOCKET);
    assert_true(timeout_ms >= 0);
    if (is_next("poll"))
    {
        errno = take("poll", NULL)->status;
        return -1;
    }
    if (is_next("hangup"))
    {
        take("hangup", NULL);
        waited->revents = POLLIN | POLLHUP;
        return 1;
    }
    if (count == 2)
        waited[1].revents = woken ? POLLIN : 0;
    waited->revents = waited->events;
    if (woken || waited->events & POLLOUT || is_there())
        return 1;
    bool in_time = fake.answer_at_us <= until_us;
    fake.now_us = in_time ? fake.answer_at_us : until_us;
    return in_time;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    (void)clock;
    *ret = (struct timespec){ .tv_sec = fake.now_us / 1000000, .tv_nsec = fake.now_us % 1000000 * 1000 };
    return 0;
}
