#include "worker/postgres/session_terms.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "worker/settings/settings.h"

enum
{
    BATCHES = SESSION_LANE | SESSION_TRIAL,
    SETS = BATCHES | SESSION_BOOKS | SESSION_WRITES | SESSION_READS | SESSION_CHECKS,
    WORKS = BATCHES | SESSION_BOOKS,
    TOOLS = SESSION_WRITES | SESSION_READS | SESSION_CHECKS,
    CHANGES = SESSION_LANE | SESSION_BOOKS | SESSION_WRITES | SESSION_CHECKS,
};

enum term_way
{
    TERM_SET,   /* set, and read back */
    TERM_LOOK,  /* not ours to set: only looked at */
    TERM_NEWER, /* set where the server knows it */
};

/* Names and values as pg_settings shows them: times in milliseconds. */
struct term
{
    const char *name;
    unsigned kinds;
    const char *value; /* NULL: `setting` */
    size_t setting;    /* offset of a time of struct settings, in microseconds */
    const char *also;  /* a stricter value that is kept; NULL: there is no such value */
    enum term_way way;
    const char *hint; /* advice, where setting it does not help */
};

#define DATABASE(member) offsetof(struct settings, database.member)

static const struct term terms[] = {
    /* The meaning of bytes. */
    { "client_encoding", SETS, "UTF8", 0, NULL, TERM_SET, NULL },
    { "server_encoding", SETS & ~(unsigned)SESSION_CHECKS, "UTF8", 0, NULL, TERM_LOOK,
      ": commands are UTF-8: create the database with ENCODING 'UTF8'" },
    { "standard_conforming_strings", SETS, "on", 0, NULL, TERM_SET, NULL },
    { "array_nulls", SETS, "on", 0, NULL, TERM_SET, NULL },
    { "transform_null_equals", SETS, "off", 0, NULL, TERM_SET, NULL },
    { "bytea_output", SETS, "hex", 0, NULL, TERM_SET, NULL },
    { "extra_float_digits", SETS, "1", 0, NULL, TERM_SET, NULL },
    { "DateStyle", SETS, "ISO, MDY", 0, NULL, TERM_SET, NULL },
    { "IntervalStyle", SETS, "postgres", 0, NULL, TERM_SET, NULL },
    { "TimeZone", SETS, "UTC", 0, NULL, TERM_SET, NULL },

    /* The rows that statements see and touch. Names have a schema everywhere; what a table's owner protects by
     * triggers, foreign keys and policies stays so. */
    { "default_transaction_isolation", SETS, "read committed", 0, NULL, TERM_SET, NULL },
    { "search_path", SETS, "pg_catalog, pg_temp", 0, NULL, TERM_SET, NULL },
    { "row_security", SETS, "on", 0, NULL, TERM_SET, NULL },
    { "session_replication_role", SETS, "origin", 0, NULL, TERM_LOOK,
      ": triggers and foreign keys would not hold: ALTER ROLE or ALTER DATABASE ... RESET session_replication_role" },
    { "transaction_read_only", CHANGES, "off", 0, NULL, TERM_LOOK,
      ": this is a standby, or default_transaction_read_only is on for the server, the database or the role" },

    /* The meaning of a COMMIT: `on` at least, and its warning that a standby may lack it is heard (PROTOCOL R6). */
    { "synchronous_commit", SETS & ~(unsigned)SESSION_CHECKS, "on", 0, "remote_apply", TERM_SET, NULL },
    { "client_min_messages", SETS, "warning", 0, NULL, TERM_SET, NULL },

    /* How long it may take. A session of the books has left a statement long before this, by a deadline of its own. */
    { "statement_timeout", BATCHES, NULL, DATABASE(statement_timeout_us), NULL, TERM_SET, NULL },
    { "statement_timeout", SESSION_BOOKS, "30000", 0, NULL, TERM_SET, NULL },
    { "statement_timeout", TOOLS, "0", 0, NULL, TERM_SET, NULL },
    { "lock_timeout", WORKS, NULL, DATABASE(lock_timeout_us), NULL, TERM_SET, NULL },
    /* A session that waits for a table in use makes all later sessions wait. */
    { "lock_timeout", TOOLS, "10000", 0, NULL, TERM_SET, NULL },
    { "idle_in_transaction_session_timeout", WORKS, NULL, DATABASE(idle_in_transaction_timeout_us), NULL, TERM_SET,
      NULL },
    { "idle_in_transaction_session_timeout", TOOLS, "600000", 0, NULL, TERM_SET, NULL },
    { "idle_session_timeout", SETS, "0", 0, NULL, TERM_SET, NULL },
    { "transaction_timeout", SETS, "0", 0, NULL, TERM_NEWER, NULL },

    /* A server that has index scans off must not slow us down, and no plan is worth a run of the JIT compiler. */
    { "enable_indexscan", SETS, "on", 0, NULL, TERM_SET, NULL },
    { "enable_nestloop", SETS, "on", 0, NULL, TERM_SET, NULL },
    { "jit", SETS, "off", 0, NULL, TERM_SET, NULL },
    /* Every statement of a batch wants its rows by index, and a generic plan made while a table was empty must not stay
     * a sequential scan. */
    { "plan_cache_mode", BATCHES, "force_generic_plan", 0, NULL, TERM_SET, NULL },
    { "enable_seqscan", BATCHES, "off", 0, NULL, TERM_SET, NULL },
    { "enable_hashjoin", BATCHES, "off", 0, NULL, TERM_SET, NULL },
    { "enable_mergejoin", BATCHES, "off", 0, NULL, TERM_SET, NULL },
    { "enable_bitmapscan", BATCHES, "off", 0, NULL, TERM_SET, NULL },
    /* The questions of a person have plans of their own. An index by values is read by bitmap scans alone; and where a
     * page in another place costs four times the next one, as on disks with heads, those scans look dearer than reading
     * half of the table in the order of its time. */
    { "enable_bitmapscan", TOOLS, "on", 0, NULL, TERM_SET, NULL },
    { "random_page_cost", TOOLS, "1.1", 0, NULL, TERM_SET, NULL },
};

enum
{
    TERM_COUNT = sizeof(terms) / sizeof(terms[0]),
};

/* Whatever the session's standard_conforming_strings is by then: no text of the table has a backslash. */
static void add_literal(struct buffer *into, const char *text)
{
    buffer_add_byte(into, '\'');
    for (; *text; text++)
    {
        if (*text == '\'')
            buffer_add_byte(into, '\'');
        buffer_add_byte(into, *text);
    }
    buffer_add_byte(into, '\'');
}

static void add_value(struct buffer *into, const struct term *term, const struct settings *settings)
{
    int64_t us = 0;

    if (term->value)
    {
        add_literal(into, term->value);
        return;
    }
    memcpy(&us, (const char *)settings + term->setting, sizeof(us));
    buffer_add_byte(into, '\'');
    buffer_add_int64(into, us / 1000);
    buffer_add_byte(into, '\'');
}

/* (VALUES ('name', 'value', 'also', 'way', 'hint'), ...) AS t (...) */
static void add_table(struct buffer *into, enum session_kind kind, const struct settings *settings)
{
    static const char *const ways[] = { "set", "look", "newer" };
    const char *between = "(VALUES (";

    for (int i = 0; i < TERM_COUNT; i++)
    {
        const struct term *term = &terms[i];
        if ((term->kinds & kind) == 0)
            continue;
        buffer_add_text(into, between);
        add_literal(into, term->name);
        buffer_add_byte(into, ',');
        add_value(into, term, settings);
        buffer_add_byte(into, ',');
        if (term->also)
            add_literal(into, term->also);
        else
            add_value(into, term, settings);
        buffer_add_byte(into, ',');
        add_literal(into, ways[term->way]);
        buffer_add_byte(into, ',');
        add_literal(into, term->hint ? term->hint : "");
        buffer_add_byte(into, ')');
        between = ",(";
    }
    buffer_add_text(into, ") AS t (name, value, also, way, remedy) ");
}

static bool end_statement(struct buffer *into)
{
    buffer_add_byte(into, '\0');
    return !buffer_failed(into);
}

bool session_terms_write_set(enum session_kind kind, const struct settings *settings, struct buffer *into)
{
    buffer_add_text(into, "SELECT pg_catalog.count(pg_catalog.set_config(t.name, CASE WHEN s.setting = t.also "
                          "THEN t.also ELSE t.value END, false)) FROM ");
    add_table(into, kind, settings);
    buffer_add_text(into, "JOIN pg_catalog.pg_settings s ON s.name = t.name WHERE t.way <> 'look'");
    return end_statement(into);
}

bool session_terms_write_look(enum session_kind kind, const struct settings *settings, struct buffer *into)
{
    buffer_add_text(into, "SELECT coalesce('this session cannot be used: ' || string_agg(t.name || ' is ' || "
                          "coalesce(s.setting, 'unknown to this server') || ', it has to be ' || t.value || t.remedy, "
                          "'; '), '') FROM ");
    add_table(into, kind, settings);
    buffer_add_text(into, "LEFT JOIN pg_catalog.pg_settings s ON s.name = t.name "
                          "WHERE s.setting IS DISTINCT FROM t.value AND s.setting IS DISTINCT FROM t.also "
                          "AND (t.way <> 'newer' OR s.name IS NOT NULL)");
    return end_statement(into);
}
