/* Any bytes as a settings file: loaded or refused with a message, never a crash, a leak or an unterminated line. Loaded
 * settings can be printed. */
#include <stdlib.h>

#include "worker/settings/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void load_defaults(struct settings *settings)
{
    struct buffer fault = BUFFER_EMPTY;
    if (!settings_load(settings, NULL, &fault))
        abort();
    buffer_done(&fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct settings settings;
    struct buffer fault = BUFFER_EMPTY, printed = BUFFER_EMPTY;
    /* Only the text decides here. */
    clearenv();
    load_defaults(&settings);
    struct span text = { size > 0 ? (const char *)bytes : "", size };
    bool good = settings_load_text(&settings, text, "fuzz", &fault) && settings_check(&settings, &fault);
    if (good != (fault.size == 0))
        abort();
    settings_print(&settings, size % 2 == 0, &printed);
    if (buffer_failed(&printed))
        abort();
    settings_done(&settings);
    buffer_done(&fault);
    buffer_done(&printed);
    return 0;
}
