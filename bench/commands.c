#include "bench/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/random.h"

enum
{
    ID_SIZE = 36,   /* of a UUID's text */
    NUMBER_AT = 24, /* its last group is the command's number */
    PERSONS = 500,
};

static uint64_t state_of(const struct commands_mix *mix, uint64_t number, uint64_t salt)
{
    uint64_t state = mix->seed * UINT64_C(0x2545F4914F6CDD1D) + number;
    return random_draw(&state) ^ salt;
}

/* A UUID, version 4 by its form: random except for the number. */
static void print_id(const struct commands_mix *mix, uint64_t number, char *into)
{
    uint64_t state = state_of(mix, number, 1), high = random_draw(&state);

    snprintf(into, ID_SIZE + 1, "%08" PRIx32 "-%04x-4%03x-8%03x-%012" PRIx64, (uint32_t)(high >> 32),
             (unsigned)(high & 0xFFFF), (unsigned)(high >> 16 & 0xFFF), (unsigned)(mix->seed & 0xFFF),
             number & UINT64_C(0xFFFFFFFFFFFF));
}

uint64_t commands_number_of(const struct commands_mix *mix, const char *id, size_t size)
{
    char expected[ID_SIZE + 1];

    if (size != ID_SIZE)
        return UINT64_MAX;
    char digits[ID_SIZE - NUMBER_AT + 1] = "";
    memcpy(digits, id + NUMBER_AT, ID_SIZE - NUMBER_AT);
    uint64_t number = strtoull(digits, NULL, 16);
    print_id(mix, number, expected);
    return memcmp(expected, id, ID_SIZE) == 0 ? number : UINT64_MAX;
}

static int print_data(uint64_t *state, double refused, int64_t ticket, const char **ret_type, char *into, size_t size)
{
    unsigned person = 2 + (unsigned)(random_draw(state) % PERSONS);

    if (random_fraction(state) < refused)
    {
        /* The tickets are OPEN: this transition is not allowed. */
        *ret_type = "ticket.transition";
        return snprintf(into, size, "{\"ticket_id\":%" PRId64 ",\"status\":\"CLOSED\"}", ticket);
    }
    if (random_draw(state) & 1)
    {
        *ret_type = "ticket.escalate";
        return snprintf(into, size, "{\"ticket_id\":%" PRId64 "}", ticket);
    }
    *ret_type = "ticket.append_history";
    return snprintf(into, size,
                    "{\"ticket_id\":%" PRId64 ",\"entry\":{\"people_id\":%u,\"when\":\"2026-11-24T09:00:00.000Z\","
                    "\"who\":\"user/%u\",\"action\":\"NOTE\",\"details\":{\"text\":\"seen on site, called back\"}}}",
                    ticket, person, person);
}

static void print_command(const struct commands_mix *mix, uint64_t number, struct command_text *ret)
{
    uint64_t state = state_of(mix, number, 0);
    int64_t keys = mix->hot_keys > 0 ? mix->hot_keys : mix->tickets;
    int64_t ticket = 1 + (int64_t)(random_draw(&state) % (uint64_t)keys);
    char id[ID_SIZE + 1], data[COMMAND_TEXT_MAX / 2];
    const char *type;

    ret->key_size = (size_t)snprintf(ret->key, sizeof(ret->key), "ticket/%" PRId64, ticket);
    if (random_fraction(&state) < mix->undecodable)
    {
        ret->value_size =
            (size_t)snprintf(ret->value, sizeof(ret->value), "{\"specversion\":\"1.0\",\"id\":\"%" PRIu64, number);
        return;
    }
    print_id(mix, number, id);
    print_data(&state, mix->refusals, ticket, &type, data, sizeof(data));
    ret->value_size = (size_t)snprintf(
        ret->value, sizeof(ret->value),
        "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/bench\",\"type\":\"%s\",\"subject\":\"%s\","
        "\"time\":\"2026-11-24T09:00:00.000Z\",\"datacontenttype\":\"application/json\",\"partitionkey\":\"%s\","
        "\"correlationid\":\"c-%" PRIu64 "\",\"actor\":\"user/%u\",\"data\":%s}",
        id, type, ret->key, ret->key, number, 2 + (unsigned)(random_draw(&state) % PERSONS), data);
}

/* A duplicate may repeat what is itself one: it is the command at the end of that chain. */
static uint64_t number_at(const struct commands_mix *mix, uint64_t place)
{
    while (place > 0)
    {
        uint64_t state = state_of(mix, place, 2);
        if (random_fraction(&state) >= mix->duplicates)
            break;
        place -= 1 + random_draw(&state) % (place < DUPLICATE_REACH ? place : DUPLICATE_REACH);
    }
    return place;
}

uint64_t commands_make(const struct commands_mix *mix, uint64_t place, struct command_text *ret)
{
    uint64_t number = number_at(mix, place);

    print_command(mix, number, ret);
    return number;
}
