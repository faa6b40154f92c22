/* Envelope attributes: the CloudEvents attributes of a command, each named once, with its limit: what envelope.c reads
 * and what describe prints.
 *
 * Threads    const data.
 */
#ifndef WORKFLOWS_PARAMETERS_CLOUDEVENT_ATTRIBUTES_H
#define WORKFLOWS_PARAMETERS_CLOUDEVENT_ATTRIBUTES_H

#include "workflows/parameters/command.h"

/* X(symbol, name, longest text in bytes, form, description), in the order in which most producers write them. An empty
 * one is as if absent where it is only copied, and refused where it decides something. */
#define CLOUDEVENT_ATTRIBUTES(X) \
    X(SPECVERSION, "specversion", 16, FORM_VERSION, "The version of CloudEvents.") \
    X(ID, "id", COMMAND_ID_MAX, FORM_IDENTITY, "With the source the identity of the command: it is applied once.") \
    X(SOURCE, "source", COMMAND_ID_MAX, FORM_IDENTITY, "Who made the command.") \
    X(TYPE, "type", 128, FORM_TYPE, "The command to execute.") \
    X(SUBJECT, "subject", 128, FORM_AGGREGATE, "The aggregate that the data names, like ticket/42, or nothing.") \
    X(TIME, "time", 64, FORM_TIME, "When the command was made.") \
    X(DATACONTENTTYPE, "datacontenttype", 128, FORM_JSON_TYPE, \
      "application/json, text/json or any +json; absent: JSON.") \
    X(DATASCHEMA, "dataschema", 1024, FORM_COPIED, "Accepted and not looked at.") \
    X(PARTITIONKEY, "partitionkey", 128, FORM_COPIED, "The Kafka key again; not looked at.") \
    X(CORRELATIONID, "correlationid", 128, FORM_COPIED, "Copied into the audit event.") \
    X(CAUSATIONID, "causationid", 128, FORM_COPIED, "The cause of the command.") \
    X(TRACEPARENT, "traceparent", 128, FORM_COPIED, "W3C trace context, copied into the audit event.") \
    X(ACTOR, "actor", 128, FORM_COPIED, "Who is answerable for the change; recorded as its author.") \
    X(TENANT, "tenant", 128, FORM_COPIED, "The customer it belongs to.") \
    X(EXPECTEDVERSION, "expectedversion", 20, FORM_INTEGER, \
      "The version the aggregate must have, 0: it must not exist; else rejected as stale_object.") \
    X(NOTBEFORE, "notbefore", 64, FORM_TIME, "Not to be applied before this time; until then it waits, parked.") \
    X(AFTERPARKED, "afterparked", 5, FORM_BOOLEAN, \
      "true: not to be applied before the parked commands of its aggregate that came before it.")

enum attribute_form
{
    FORM_COPIED,    /* a text, or nothing */
    FORM_IDENTITY,  /* a text of at least one byte, which has to be there */
    FORM_AGGREGATE, /* a key like ticket/42 */
    FORM_JSON_TYPE, /* a media type of JSON, or nothing */
    FORM_TIME,      /* RFC 3339 */
    FORM_INTEGER,   /* at least 0 */
    FORM_BOOLEAN,   /* in a header: the text true or false */
    FORM_VERSION,   /* "1.0" */
    FORM_TYPE,      /* a registered type */
};

#endif
