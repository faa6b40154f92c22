#include "workflows/document/document.h"

#include <assert.h>
#include <endian.h>

#include "workflows/base/hex.h"
#include "workflows/base/utf8.h"
#include "workflows/document/keys.h"
#include "workflows/document/number.h"

/* One loop over the text, no recursion, no look-back. Nodes grow in the arena, doubled in place while they are the last
 * thing taken there: texts of strings with escapes go to a block of their own that is taken before the first node (a
 * text never grows by being unescaped). */

enum
{
    COMPARED_MEMBERS_MAX = 16, /* up to here a new key is compared with those before it, beyond it keys are sorted */
};

struct frame /* an open container */
{
    uint32_t node;
    uint32_t count;
    uint64_t filter; /* of an object's keys so far: see is_duplicate */
};

struct parser
{
    const char *at;
    const char *end;
    const char *start;
    struct node *nodes;
    uint32_t count;
    uint32_t capacity;
    char *unescaped; /* where the next unescaped text goes; NULL when the text has no backslash */
    struct arena *arena;
    int depth;
    struct frame frames[DOCUMENT_DEPTH_MAX];
    struct document_failure failure;
};

/* Bytes that end the plain run inside a string. */
static inline bool is_special(unsigned char byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\' || byte >= 0x80;
}

static bool fail(struct parser *parser, enum document_fault fault, const char *at, const char *what)
{
    parser->failure = (struct document_failure){ fault, (size_t)(at - parser->start), what };
    return false;
}

/* --- encoding ---------------------------------------------------------------------------------------------------- */

static char *put_utf8(char *into, unsigned code)
{
    if (code < 0x80)
    {
        *into++ = (char)code;
        return into;
    }
    if (code < 0x800)
    {
        *into++ = (char)(0xc0 | code >> 6);
        *into++ = (char)(0x80 | (code & 0x3f));
        return into;
    }
    if (code < 0x10000)
    {
        *into++ = (char)(0xe0 | code >> 12);
    }
    else
    {
        *into++ = (char)(0xf0 | code >> 18);
        *into++ = (char)(0x80 | (code >> 12 & 0x3f));
    }
    *into++ = (char)(0x80 | (code >> 6 & 0x3f));
    *into++ = (char)(0x80 | (code & 0x3f));
    return into;
}

/* A byte that is not allowed at its place outside of strings. */
static bool fail_unexpected(struct parser *parser, const char *what)
{
    if (parser->at == parser->end)
        return fail(parser, DOCUMENT_SYNTAX, parser->at, what);
    unsigned char byte = (unsigned char)*parser->at;
    if (byte == 0)
        return fail(parser, DOCUMENT_BAD_ENCODING, parser->at, "NUL");
    if (byte >= 0x80 && utf8_measure(parser->at, (size_t)(parser->end - parser->at)) == 0)
        return fail(parser, DOCUMENT_BAD_ENCODING, parser->at, "bytes that are not UTF-8");
    if (parser->end - parser->at >= 3 && memcmp(parser->at, "\xef\xbb\xbf", 3) == 0)
        return fail(parser, DOCUMENT_BAD_ENCODING, parser->at, "a byte order mark");
    return fail(parser, DOCUMENT_SYNTAX, parser->at, what);
}

/* --- strings ----------------------------------------------------------------------------------------------------- */

/* Moves over plain ASCII, eight bytes at a time. The subtractions mark bytes below 0x20, quotes and backslashes in
 * their top bit; a borrow can only mark bytes after a true mark, and only the first mark is looked at. */
static inline const char *skip_plain(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    while (end - at >= 8)
    {
        uint64_t word;
        memcpy(&word, at, 8);
        word = le64toh(word);
        uint64_t marks =
            ((word - ones * 0x20) | ((word ^ (ones * '"')) - ones) | ((word ^ (ones * '\\')) - ones) | word) &
            (ones * 0x80);
        if (marks)
            return at + (__builtin_ctzll(marks) >> 3);
        at += 8;
    }
    while (at < end && !is_special((unsigned char)*at))
        at++;
    return at;
}

static bool parse_hex4(const char *at, const char *end, unsigned *ret)
{
    if (end - at < 4)
        return false;
    unsigned code = 0;
    for (int i = 0; i < 4; i++)
    {
        int value = hex_value(at[i]);
        if (value < 0)
            return false;
        code = code << 4 | (unsigned)value;
    }
    *ret = code;
    return true;
}

/* parser->at is after "\u". */
static bool parse_unicode_escape(struct parser *parser, char **into)
{
    const char *escape = parser->at - 2;
    unsigned code;
    if (!parse_hex4(parser->at, parser->end, &code))
        return fail(parser, DOCUMENT_SYNTAX, escape, "\\u without four hexadecimal digits");
    parser->at += 4;
    if (code == 0)
        return fail(parser, DOCUMENT_BAD_ENCODING, escape, "NUL");
    if (code >= 0xdc00 && code <= 0xdfff)
        return fail(parser, DOCUMENT_BAD_ENCODING, escape, "a lone surrogate");
    if (code >= 0xd800 && code <= 0xdbff)
    {
        unsigned low;
        if (parser->end - parser->at < 6 || parser->at[0] != '\\' || parser->at[1] != 'u' ||
            !parse_hex4(parser->at + 2, parser->end, &low) || low < 0xdc00 || low > 0xdfff)
            return fail(parser, DOCUMENT_BAD_ENCODING, escape, "a lone surrogate");
        parser->at += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    *into = put_utf8(*into, code);
    return true;
}

/* parser->at is at the backslash. */
static bool parse_escape(struct parser *parser, char **into)
{
    static const char plain[256] = {
        ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t',
    };
    if (parser->end - parser->at < 2)
        return fail(parser, DOCUMENT_SYNTAX, parser->at, "a string without its end");
    unsigned char letter = (unsigned char)parser->at[1];
    if (letter != 'u' && !plain[letter])
        return fail(parser, DOCUMENT_SYNTAX, parser->at, "an escape that JSON does not have");
    parser->at += 2;
    if (letter == 'u')
        return parse_unicode_escape(parser, into);
    *(*into)++ = plain[letter];
    return true;
}

/* parser->at is after the opening quote, and ends up after the closing one. Bytes are copied only from the first
 * escape on. */
static bool parse_string(struct parser *parser, struct span *ret)
{
    const char *start = parser->at;
    const char *run = start; /* not copied yet */
    char *copy = NULL;
    char *into = parser->unescaped;
    for (;;)
    {
        const char *at = parser->at = skip_plain(parser->at, parser->end);
        if (at == parser->end)
            return fail(parser, DOCUMENT_SYNTAX, at, "a string without its end");
        unsigned char byte = (unsigned char)*at;
        if (byte >= 0x80)
        {
            size_t length = utf8_measure(at, (size_t)(parser->end - at));
            if (length == 0)
                return fail(parser, DOCUMENT_BAD_ENCODING, at, "bytes that are not UTF-8");
            parser->at = at + length;
            continue;
        }
        if (byte == 0)
            return fail(parser, DOCUMENT_BAD_ENCODING, at, "NUL");
        if (byte < 0x20)
            return fail(parser, DOCUMENT_SYNTAX, at, "a control character in a string");
        if (byte == '"' && !copy)
        {
            *ret = (struct span){ start, (size_t)(at - start) };
            parser->at = at + 1;
            return true;
        }
        copy = parser->unescaped;
        assert(copy); /* parse() saw the backslash */
        memcpy(into, run, (size_t)(at - run));
        into += at - run;
        if (byte == '"')
            break;
        if (!parse_escape(parser, &into))
            return false;
        run = parser->at;
    }
    *ret = (struct span){ copy, (size_t)(into - copy) };
    parser->unescaped = into;
    parser->at++;
    return true;
}

/* --- structure --------------------------------------------------------------------------------------------------- */

static inline void skip_space(struct parser *parser)
{
    while (parser->at < parser->end &&
           (*parser->at == ' ' || *parser->at == '\n' || *parser->at == '\t' || *parser->at == '\r'))
        parser->at++;
}

static bool grow(struct parser *parser)
{
    size_t size = parser->capacity * sizeof(struct node);
    if (!arena_resize_last(parser->arena, parser->nodes, size, 2 * size))
    {
        struct node *nodes = arena_take(parser->arena, 2 * size);
        if (!nodes)
            return fail(parser, DOCUMENT_NO_MEMORY, parser->at, "no memory");
        memcpy(nodes, parser->nodes, size);
        parser->nodes = nodes;
    }
    parser->capacity *= 2;
    return true;
}

static bool parse_number(struct parser *parser, struct node *node)
{
    struct span text = { parser->at, (size_t)(parser->end - parser->at) };
    struct document_failure failure = { DOCUMENT_OK, 0, "" };
    size_t size = document_number_parse(parser->arena, text, node, &failure);
    if (size == 0)
        return fail(parser, failure.fault, parser->at, failure.what);
    parser->at += size;
    return true;
}

static bool parse_word(struct parser *parser, const char *word, enum node_kind kind, struct node *node)
{
    size_t size = strlen(word);
    if ((size_t)(parser->end - parser->at) < size || memcmp(parser->at, word, size) != 0)
        return fail_unexpected(parser, "expected a value");
    parser->at += size;
    node->kind = kind;
    return true;
}

static bool open_container(struct parser *parser, struct node *node, enum node_kind kind)
{
    if (parser->depth == DOCUMENT_DEPTH_MAX)
        return fail(parser, DOCUMENT_TOO_DEEP, parser->at, "deeper than 32");
    node->kind = kind;
    parser->frames[parser->depth++] = (struct frame){ .node = parser->count - 1 };
    parser->at++;
    return true;
}

/* One value, or the opening of a container. */
static bool parse_value(struct parser *parser, struct span key)
{
    if (parser->count == parser->capacity && !grow(parser))
        return false;
    struct node *node = &parser->nodes[parser->count++];
    *node = (struct node){ .next = parser->count, .key = key };
    const char *start = parser->at;
    node->raw.at = start;
    bool parsed;
    switch (start < parser->end ? *start : '\0')
    {
    case '{':
        return open_container(parser, node, NODE_OBJECT);
    case '[':
        return open_container(parser, node, NODE_ARRAY);
    case '"':
        parser->at++;
        node->kind = NODE_STRING;
        parsed = parse_string(parser, &node->text);
        break;
    case 't':
        parsed = parse_word(parser, "true", NODE_TRUE, node);
        break;
    case 'f':
        parsed = parse_word(parser, "false", NODE_FALSE, node);
        break;
    case 'n':
        parsed = parse_word(parser, "null", NODE_NULL, node);
        break;
    default:
        if (start == parser->end || (*start != '-' && (*start < '0' || *start > '9')))
            return fail_unexpected(parser, "expected a value");
        parsed = parse_number(parser, node);
        break;
    }
    node->raw.size = (size_t)(parser->at - start);
    return parsed;
}

/* Whether the open object has the key already. Most keys differ in length or in an end byte, so one bit of a 64-bit
 * filter tells that nothing needs comparing; else the few members so far are walked. */
static bool is_duplicate(const struct parser *parser, struct frame *frame, struct span key)
{
    unsigned ends = key.size ? (unsigned char)key.at[0] * 5u + (unsigned char)key.at[key.size - 1] * 11u : 0;
    uint64_t bit = UINT64_C(1) << ((ends + key.size) & 63);
    bool seen = (frame->filter & bit) != 0;
    frame->filter |= bit;
    if (!seen)
        return false;
    uint32_t child = frame->node + 1;
    for (uint32_t i = 0; i < frame->count; i++)
    {
        if (span_equal(parser->nodes[child].key, key))
            return true;
        child = parser->nodes[child].next;
    }
    return false;
}

static bool parse_key(struct parser *parser, struct span *ret)
{
    struct frame *frame = &parser->frames[parser->depth - 1];
    if (parser->at == parser->end || *parser->at != '"')
        return fail_unexpected(parser, frame->count ? "expected a member's name" : "expected a member's name or '}'");
    const char *start = parser->at++;
    if (!parse_string(parser, ret))
        return false;
    if (frame->count < COMPARED_MEMBERS_MAX && is_duplicate(parser, frame, *ret))
        return fail(parser, DOCUMENT_DUPLICATE_KEY, start, "a key that stands there twice");
    skip_space(parser);
    if (parser->at == parser->end || *parser->at != ':')
        return fail_unexpected(parser, "expected ':'");
    parser->at++;
    skip_space(parser);
    return true;
}

/* For objects with more members than are compared one by one: sorted, equal keys are neighbours. */
static bool check_sorted_keys(struct parser *parser, const struct node *object)
{
    struct arena_mark mark = arena_mark(parser->arena);
    size_t size = object->count * sizeof(struct document_key);
    struct document_key *keys = arena_take(parser->arena, 2 * size);
    if (!keys)
        return fail(parser, DOCUMENT_NO_MEMORY, parser->at, "no memory");
    document_keys_collect(parser->nodes, object, keys);
    const struct document_key *sorted = document_keys_sort(parser->nodes, keys, keys + object->count, object->count);
    const struct node *twice = document_keys_duplicate(parser->nodes, sorted, object->count);
    arena_rewind(parser->arena, mark);
    return !twice || fail(parser, DOCUMENT_DUPLICATE_KEY, twice->raw.at, "a key that stands there twice");
}

static bool close_container(struct parser *parser)
{
    const struct frame *frame = &parser->frames[--parser->depth];
    struct node *node = &parser->nodes[frame->node];
    parser->at++;
    node->next = parser->count;
    node->count = frame->count;
    node->raw.size = (size_t)(parser->at - node->raw.at);
    return node->kind == NODE_ARRAY || node->count <= COMPARED_MEMBERS_MAX || check_sorted_keys(parser, node);
}

/* From the first byte after white space to the end of the root value. */
static bool parse_tree(struct parser *parser)
{
    struct span key = SPAN_NULL;
    for (;;)
    {
        int depth = parser->depth;
        if (!parse_value(parser, key))
            return false;
        bool opened = parser->depth > depth;
        while (parser->depth > 0)
        {
            struct frame *frame = &parser->frames[parser->depth - 1];
            bool object = parser->nodes[frame->node].kind == NODE_OBJECT;
            frame->count += !opened;
            skip_space(parser);
            char byte = parser->at < parser->end ? *parser->at : '\0';
            if (byte == (object ? '}' : ']'))
            {
                if (!close_container(parser))
                    return false;
                opened = false;
                continue;
            }
            if (!opened)
            {
                if (byte != ',')
                    return fail_unexpected(parser, object ? "expected ',' or '}'" : "expected ',' or ']'");
                parser->at++;
                skip_space(parser);
            }
            key = SPAN_NULL;
            if (object && !parse_key(parser, &key))
                return false;
            break;
        }
        if (parser->depth == 0)
            return true;
    }
}

static bool parse(struct parser *parser, struct span text)
{
    if (text.size > DOCUMENT_SIZE_MAX)
        return fail(parser, DOCUMENT_TOO_LARGE, parser->start + DOCUMENT_SIZE_MAX, "larger than 64 KiB");
    if (text.size && memchr(text.at, '\\', text.size))
        parser->unescaped = arena_take(parser->arena, text.size);
    parser->capacity = (uint32_t)(text.size / 16 + 8); /* enough for most commands */
    parser->nodes = arena_take(parser->arena, parser->capacity * sizeof(struct node));
    if (arena_failed(parser->arena))
        return fail(parser, DOCUMENT_NO_MEMORY, parser->start, "no memory");
    skip_space(parser);
    if (!parse_tree(parser))
        return false;
    skip_space(parser);
    return parser->at == parser->end || fail_unexpected(parser, "more text behind the value");
}

bool document_parse(struct arena *arena, struct span text, struct document *ret, struct document_failure *reterr)
{
    struct parser parser;
    struct arena_mark mark = arena_mark(arena);
    parser.at = parser.start = text.size ? text.at : "";
    parser.end = parser.start + text.size;
    parser.count = 0;
    parser.unescaped = NULL;
    parser.arena = arena;
    parser.depth = 0;
    parser.failure = (struct document_failure){ DOCUMENT_OK, 0, "" };
    bool parsed = parse(&parser, text);
    *reterr = parser.failure;
    if (!parsed)
    {
        arena_rewind(arena, mark);
        return false;
    }
    /* Memory taken for more nodes goes back when it still can. */
    arena_resize_last(arena, parser.nodes, parser.capacity * sizeof(struct node), parser.count * sizeof(struct node));
    *ret = (struct document){ parser.nodes, parser.count };
    return true;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

const struct node *document_first(const struct document *document, const struct node *container)
{
    (void)document;
    return container->count ? container + 1 : NULL;
}

const struct node *document_next(const struct document *document, const struct node *container,
                                 const struct node *child)
{
    return child->next < container->next ? &document->nodes[child->next] : NULL;
}

const struct node *document_member(const struct document *document, const struct node *object, const char *key)
{
    if (object->kind != NODE_OBJECT)
        return NULL;
    struct span wanted = span_of(key);
    for (const struct node *child = document_first(document, object); child;
         child = document_next(document, object, child))
    {
        if (span_equal(child->key, wanted))
            return child;
    }
    return NULL;
}

const char *document_fault_name(enum document_fault fault)
{
    static const char *const names[] = {
        [DOCUMENT_OK] = "ok",
        [DOCUMENT_TOO_LARGE] = "too_large",
        [DOCUMENT_TOO_DEEP] = "too_deep",
        [DOCUMENT_DUPLICATE_KEY] = "duplicate_key",
        [DOCUMENT_BAD_ENCODING] = "bad_encoding",
        [DOCUMENT_SYNTAX] = "not_json",
        [DOCUMENT_NO_MEMORY] = "no_memory",
    };
    return names[fault];
}
