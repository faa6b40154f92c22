/* Database URL: postgresql://[user[:password]@]host[:port][,...]/database[?name=value&...], read by libpq's own parser,
 * so that the shown parts are those that libpq understood.
 *
 * libpq takes "//me:pa/ss@host" for a host "me" with the port "pa", and would quote the rest of the password in its
 * errors. Such a URL is refused: the characters / @ of a password are written as %2F %40.
 *
 * Threads    values; no state.
 * Ownership  the caller frees options by PQconninfoFree.
 * Failure    NULL, and the reason; the text never quotes the URL.
 */
#ifndef WORKER_SETTINGS_DATABASE_URL_H
#define WORKER_SETTINGS_DATABASE_URL_H

#include <libpq-fe.h>

#include "workflows/base/buffer.h"

PQconninfoOption *database_url_parse(const char *url, const char **reterr);

/* For people: passwords as ***, and all of it where it is not understood. */
void database_url_print(const char *url, struct buffer *into);

#endif
