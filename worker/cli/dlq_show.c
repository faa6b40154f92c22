/* interlock dlq show: one letter, its message, and what to do with it */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consumers/admin/letter_bytes.h"
#include "consumers/message/delivery_pool.h"
#include "worker/base/shown.h"
#include "worker/batch/quarantine.h"
#include "worker/cli/dlq.h"
#include "worker/postgres/query.h"
#include "workflows/base/hex.h"
#include "workflows/base/utf8.h"

/* A letter that is longer is no command. */
static const size_t BYTES_MAX = 256u << 20;

struct shown_letter
{
    struct invocation *invocation;
    PGresult *row, *history, *applied;
    struct letter_bytes bytes;
    bool data;       /* its bytes and the values of its headers are asked for */
    const char *raw; /* a file for its bytes; NULL: none */
};

static const char *field(const struct shown_letter *letter, int column)
{
    return query_text(letter->row, 0, column);
}

static bool is_in(const struct shown_letter *letter, const char *state)
{
    return strcmp(field(letter, LETTER_STATE), state) == 0;
}

static void add_place(struct buffer *into, const struct shown_letter *letter)
{
    switch (letter->bytes.place)
    {
    case LETTER_NOWHERE:
        buffer_add_text(into, "gone from both topics");
        return;
    case LETTER_IN_COMMANDS:
        buffer_add_text(into, "in the command topic, digest compared");
        return;
    case LETTER_IN_DLQ:
    case LETTER_CUT:
        buffer_add_text(into, "in the dead letters, ");
        buffer_add_int64(into, letter->bytes.dlq_partition);
        buffer_add_byte(into, '/');
        buffer_add_int64(into, letter->bytes.dlq_offset);
        buffer_add_text(into, letter->bytes.place == LETTER_CUT ? ", cut: it was too long for the topic"
                                                                : ", digest compared");
    }
}

/* --- next -------------------------------------------------------------------------------------------------------- */

static void add_next(struct buffer *into, const struct shown_letter *letter)
{
    const char *id = field(letter, LETTER_ID), *action = field(letter, LETTER_ACTION);

    if (is_in(letter, "redriving"))
    {
        buffer_add_text(into, "it is on its way back: interlock action show ");
        buffer_add_text(into, action ? action : "");
        return;
    }
    if (is_in(letter, "resolved") || is_in(letter, "replaced"))
    {
        buffer_add_text(into, is_in(letter, "resolved") ? "nothing to do: its command is answered"
                                                        : "nothing to do: another letter, or an edited copy, took its "
                                                          "place");
        return;
    }
    if (is_in(letter, "open") && letter->bytes.place == LETTER_NOWHERE)
        buffer_add_text(into, "its bytes are lost; ask who sent it, then: interlock dlq discard ");
    else if (is_in(letter, "open"))
        buffer_add_text(into, strcmp(field(letter, LETTER_CAUSE), QUARANTINE_REASON) == 0
                                  ? "interlock dlq redrive "
                                  : "an edited copy: interlock dlq show --raw FILE, then dlq redrive --with FILE; or: "
                                    "interlock dlq discard ");
    else
        buffer_add_text(into, "interlock dlq restore ");
    buffer_add_text(into, id);
}

/* --- text -------------------------------------------------------------------------------------------------------- */

static void add_line(struct buffer *into, const char *name, const char *text)
{
    char head[32];

    if (text == NULL)
        return;
    snprintf(head, sizeof(head), "%-15s", name);
    buffer_add_text(into, head);
    dlq_add_shown(into, text);
    buffer_add_byte(into, '\n');
}

/* Names without their values unless the data is asked for. */
static void add_headers(struct buffer *into, const struct shown_letter *letter)
{
    struct span name, value;

    if (letter->bytes.delivery == NULL)
        return;
    for (size_t cursor = 0; delivery_header(letter->bytes.delivery, &cursor, &name, &value);)
    {
        buffer_add_text(into, "header         ");
        shown_add(into, name);
        if (letter->data)
        {
            buffer_add_text(into, ": ");
            shown_add(into, value);
        }
        buffer_add_byte(into, '\n');
    }
}

static void add_history(struct buffer *into, const struct shown_letter *letter)
{
    for (int row = 0; row < PQntuples(letter->history); row++)
    {
        buffer_add_text(into, "action ");
        buffer_add_text(into, PQgetvalue(letter->history, row, 0));
        buffer_add_text(into, "       ");
        for (int column = 1; column < 6; column++)
        {
            static const char *const before[] = { "", "", "  ", ": ", ": ", "; " };
            buffer_add_text(into, before[column]);
            dlq_add_shown(into, query_text(letter->history, row, column));
        }
        buffer_add_byte(into, '\n');
    }
}

static void add_applied(struct buffer *into, const struct shown_letter *letter)
{
    if (letter->applied == NULL || strcmp(PQgetvalue(letter->applied, 0, 0), "0") == 0)
        return;
    buffer_add_text(into, "since then     ");
    buffer_add_text(into, PQgetvalue(letter->applied, 0, 0));
    buffer_add_text(into, " commands of ");
    dlq_add_shown(into, field(letter, LETTER_KEY));
    buffer_add_text(into, " were applied (versions ");
    buffer_add_text(into, PQgetvalue(letter->applied, 0, 1));
    buffer_add_text(into, "-");
    buffer_add_text(into, PQgetvalue(letter->applied, 0, 2));
    buffer_add_text(into, ")\n");
}

static void print_text(const struct shown_letter *letter, struct buffer *out)
{
    struct buffer line = BUFFER_EMPTY;

    add_line(out, "letter", field(letter, LETTER_ID));
    buffer_add_text(&line, field(letter, LETTER_STATE));
    if (field(letter, LETTER_STATE_AT))
    {
        buffer_add_text(&line, " since ");
        buffer_add_text(&line, field(letter, LETTER_STATE_AT));
    }
    buffer_add_byte(&line, '\0');
    add_line(out, "state", buffer_failed(&line) ? NULL : line.at);
    add_line(out, "cause", field(letter, LETTER_CAUSE));
    add_line(out, "says", field(letter, LETTER_SAYS));
    add_line(out, "failed", field(letter, LETTER_FAILED_AT));
    add_line(out, "key", field(letter, LETTER_KEY));
    add_line(out, "type", field(letter, LETTER_TYPE));
    add_line(out, "source", field(letter, LETTER_SOURCE));
    add_line(out, "id", field(letter, LETTER_COMMAND_ID));
    add_line(out, "bytes", field(letter, LETTER_BYTES));
    add_line(out, "attempts", field(letter, LETTER_ATTEMPTS));
    add_line(out, "redrives", field(letter, LETTER_REDRIVES));
    buffer_clear(&line);
    add_place(&line, letter);
    buffer_add_byte(&line, '\0');
    add_line(out, "message", buffer_failed(&line) ? NULL : line.at);
    buffer_done(&line);
    add_headers(out, letter);
    add_applied(out, letter);
    add_history(out, letter);
    if (letter->data && letter->bytes.delivery)
    {
        buffer_add_text(out, "data           ");
        shown_add(out, letter->bytes.delivery->value);
        buffer_add_byte(out, '\n');
    }
    buffer_add_text(out, "next: ");
    add_next(out, letter);
    buffer_add_byte(out, '\n');
}

/* --- JSON -------------------------------------------------------------------------------------------------------- */

/* Bytes that are not UTF-8 as hex, under another name. */
static void add_json_bytes(struct buffer *into, const char *name, struct span bytes)
{
    struct buffer hex = BUFFER_EMPTY;
    bool text = bytes.at == NULL || utf8_is_valid(bytes.at, bytes.size);

    buffer_add_text(into, ",\"");
    buffer_add_text(into, name);
    buffer_add_text(into, text ? "\":" : "_hex\":");
    if (text)
    {
        buffer_add_json_string(into, bytes);
        return;
    }
    if (buffer_reserve(&hex, 2 * bytes.size) && hex.at)
    {
        hex_print((const uint8_t *)bytes.at, bytes.size, hex.at);
        hex.size = 2 * bytes.size;
        buffer_add_json_string(into, buffer_span(&hex));
    }
    else
        into->failed = true;
    buffer_done(&hex);
}

static void add_json_headers(struct buffer *into, const struct shown_letter *letter)
{
    struct span name, value;
    bool first = true;

    buffer_add_text(into, ",\"headers\":[");
    for (size_t cursor = 0; letter->bytes.delivery && delivery_header(letter->bytes.delivery, &cursor, &name, &value);
         first = false)
    {
        char text[256];
        utf8_copy_line(text, name.size < sizeof(text) ? name.size + 1 : sizeof(text), name.at);
        buffer_add_text(into, first ? "{\"name\":" : ",{\"name\":");
        buffer_add_json_string(into, span_of(text));
        if (letter->data)
            add_json_bytes(into, "value", value);
        buffer_add_text(into, "}");
    }
    buffer_add_text(into, "]");
}

static void print_json(const struct shown_letter *letter, struct buffer *out)
{
    static const char *const places[] = { [LETTER_NOWHERE] = NULL,
                                          [LETTER_IN_COMMANDS] = "commands",
                                          [LETTER_IN_DLQ] = "dead letters",
                                          [LETTER_CUT] = "dead letters, cut" };
    static const char *const names[] = { "action", "at", "actor", "verb", "outcome", "reason" };
    struct buffer next = BUFFER_EMPTY;

    buffer_add_text(out, "{");
    dlq_add_json_letter(out, letter->row, 0);
    dlq_add_json(out, "message", places[letter->bytes.place], false, false);
    add_json_headers(out, letter);
    if (letter->data && letter->bytes.delivery)
        add_json_bytes(out, "data", letter->bytes.delivery->value);
    dlq_add_json(out, "applied_since", letter->applied ? PQgetvalue(letter->applied, 0, 0) : NULL, true, false);
    buffer_add_text(out, ",\"actions\":[");
    for (int row = 0; row < PQntuples(letter->history); row++)
    {
        buffer_add_text(out, row > 0 ? ",{" : "{");
        for (int column = 0; column < 6; column++)
            dlq_add_json(out, names[column], query_text(letter->history, row, column), column == 0, column == 0);
        buffer_add_text(out, "}");
    }
    buffer_add_text(out, "],\"next\":");
    add_next(&next, letter);
    buffer_add_json_string(out, buffer_span(&next));
    buffer_done(&next);
    buffer_add_text(out, "}\n");
}

/* --- the verb ---------------------------------------------------------------------------------------------------- */

/* Who may read the bytes of commands that wait may read those of letters. */
static bool may_read_data(const struct shown_letter *letter, PGconn *connection, struct buffer *fault)
{
    if (!letter->data && letter->raw == NULL)
        return true;
    QUERY_RESULT asked = query_run(
        connection, "SELECT has_column_privilege('interlock.parked_command', 'value', 'SELECT')", 0, NULL, fault);
    if (asked && strcmp(PQgetvalue(asked, 0, 0), "t") == 0)
        return true;
    if (asked)
        buffer_add_text(fault, "--data and --raw need the rights of interlock_payload_reader");
    return false;
}

static bool write_raw(const struct shown_letter *letter, struct buffer *fault)
{
    if (letter->raw == NULL || letter->bytes.delivery == NULL)
        return true;
    struct span value = letter->bytes.delivery->value;
    int file = open(letter->raw, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t written = 0;

    while (file >= 0 && written < value.size)
    {
        ssize_t step = write(file, value.at + written, value.size - written);
        if (step <= 0)
            break;
        written += (size_t)step;
    }
    bool good = file >= 0 && written == value.size;
    if (file >= 0 && close(file) != 0)
        good = false;
    if (good)
        return true;
    buffer_add_text(fault, letter->raw);
    buffer_add_text(fault, ": ");
    buffer_add_text(fault, strerror(errno));
    return false;
}

static bool read_rows(struct shown_letter *letter, PGconn *connection, struct letter_filter *filter,
                      struct buffer *fault)
{
    struct aggregate aggregate;

    /* Of letters of one place the newest is the present topic's. */
    letter->row = letters_select(connection, filter, LETTERS_NEWEST, 1, fault);
    if (letter->row == NULL)
        return false;
    if (PQntuples(letter->row) == 0)
    {
        buffer_add_text(fault, "no such letter in PostgreSQL; interlock dlq list --state all");
        return false;
    }
    letter->history = letters_history(connection, field(letter, LETTER_ID), fault);
    if (letter->history == NULL)
        return false;
    const char *key = field(letter, LETTER_KEY);
    if (key == NULL || !aggregate_parse(span_of(key), &aggregate))
        return true;
    letter->applied = letters_applied_since(connection, key, field(letter, LETTER_FAILED_AT), fault);
    return letter->applied != NULL;
}

static bool read_bytes(struct shown_letter *letter, struct delivery_pool *pool, struct buffer *fault)
{
    bool full;

    if (pool == NULL)
        return false;
    dlq_place_letter(letter->row, 0, &letter->bytes);
    return letter_bytes_read(letter->invocation->settings, pool, &letter->bytes, 1, BYTES_MAX, &full, fault);
}

static int show(struct shown_letter *letter, struct letter_filter *filter)
{
    struct buffer out = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = operator_connect(letter->invocation, false, &fault);
    bool good =
        connection && may_read_data(letter, connection, &fault) && read_rows(letter, connection, filter, &fault);
    struct delivery_pool *pool = good ? delivery_pool_new() : NULL;
    int code = OPERATOR_NOT_DONE;

    if (good && read_bytes(letter, pool, &fault) && write_raw(letter, &fault))
    {
        (letter->invocation->json ? print_json : print_text)(letter, &out);
        code = verb_print(letter->invocation, &out);
        if (code == 0 && letter->bytes.place == LETTER_NOWHERE)
            code = verb_fail(letter->invocation, "%s: its bytes are gone from both topics", field(letter, LETTER_ID));
        if (letter->bytes.delivery)
            delivery_pool_give_back(pool, letter->bytes.delivery);
        buffer_done(&fault);
    }
    else
        code = operator_fail_with(letter->invocation, false, &fault);
    if (pool)
        delivery_pool_free(pool);
    buffer_done(&out);
    PQclear(letter->row);
    PQclear(letter->history);
    PQclear(letter->applied);
    return code;
}

int dlq_show(struct invocation *invocation)
{
    struct shown_letter letter = { .invocation = invocation };
    struct letter_filter filter = { 0 };
    const struct verb_option options[] = { { "--data", NULL, &letter.data },
                                           { "--raw", &letter.raw, NULL },
                                           { NULL, NULL, NULL } };
    if (!verb_parse_options(invocation, options, dlq_usage))
        return 1;
    if (invocation->argc != 2)
        return verb_usage_error(dlq_usage, "dlq show takes one letter");
    int code = dlq_take_letters(invocation, &filter) ? show(&letter, &filter) : 1;
    letter_filter_done(&filter);
    return code;
}
