/* Http_get: one GET from a running pool's endpoint; no TLS, no redirects.
 *
 * Threads    no state.
 * Failure    false, and the remedy in *reterr.
 */
#ifndef WORKER_CLI_HTTP_GET_H
#define WORKER_CLI_HTTP_GET_H

#include "workflows/base/buffer.h"

/* `listen` as in http.listen; `timeout_us` bounds all of it. */
bool http_get(const char *listen, const char *path, int64_t timeout_us, int *ret_status, struct buffer *ret_body,
              struct buffer *reterr);

#endif
