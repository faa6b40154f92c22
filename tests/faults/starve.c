/* Preloaded into a worker under test (LD_PRELOAD): lets chosen calls for memory, or for threads, fail. The choice
 * is in a file that the test maps as well (STARVE_FILE), so that the test can change it while the worker runs.
 *
 * Counted are only the calls made by the program itself and by the libraries that STARVE_LIBRARIES names (parts of
 * their file names, separated by commas). librdkafka is not to be named: it ends the process by an assertion.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* One kind of call. Of those counted from 1 on, `first` to `last` fail; first 0: none. */
struct scarce
{
    atomic_int_fast64_t first, last, count, failed;
    atomic_int_fast64_t where; /* the caller of the last failed one, as an offset into its file */
};

struct starve
{
    struct scarce memory, threads;
};

enum
{
    RANGES_MAX = 256,
    EARLY_SIZE = 16 * 1024,
};

static struct starve none, *starve = &none;
static struct
{
    uintptr_t from, to, base;
} ranges[RANGES_MAX];
static int range_count;

/* dlsym may ask for memory before it has found ours. */
static char early[EARLY_SIZE] __attribute__((aligned(16)));
static size_t early_used;

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static int (*real_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static bool is_early(const void *at)
{
    return (const char *)at >= early && (const char *)at < early + EARLY_SIZE;
}

static void *take_early(size_t size)
{
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded > EARLY_SIZE - early_used)
        return NULL;
    early_used += rounded;
    return early + early_used - rounded;
}

static bool finding;

static void find(void)
{
    if (real_free || finding)
        return;
    finding = true;
    /* ISO C knows no way from an object to a function. */
    *(void **)&real_malloc = dlsym(RTLD_NEXT, "malloc");
    *(void **)&real_calloc = dlsym(RTLD_NEXT, "calloc");
    *(void **)&real_realloc = dlsym(RTLD_NEXT, "realloc");
    *(void **)&real_pthread_create = dlsym(RTLD_NEXT, "pthread_create");
    *(void **)&real_free = dlsym(RTLD_NEXT, "free");
    finding = false;
}

static bool is_listed(const char *list, const char *file)
{
    char name[128];

    for (const char *at = list; at && *at; at += strspn(at, ","))
    {
        size_t size = strcspn(at, ",");
        if (size > 0 && size < sizeof(name))
        {
            memcpy(name, at, size);
            name[size] = '\0';
            if (strstr(file, name))
                return true;
        }
        at += size;
    }
    return false;
}

static int add_object(struct dl_phdr_info *object, size_t size, void *first)
{
    bool is_program = *(bool *)first;

    (void)size;
    *(bool *)first = false;
    if (!is_program && !is_listed(getenv("STARVE_LIBRARIES"), object->dlpi_name))
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++)
    {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || range_count == RANGES_MAX)
            continue;
        ranges[range_count].from = object->dlpi_addr + part->p_vaddr;
        ranges[range_count].to = ranges[range_count].from + part->p_memsz;
        ranges[range_count].base = object->dlpi_addr;
        range_count++;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("STARVE_FILE");
    bool first = true;

    find();
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof(*starve), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED)
        return;
    dl_iterate_phdr(add_object, &first);
    starve = mapped;
}

static bool fails(struct scarce *scarce, const void *caller)
{
    uintptr_t at = (uintptr_t)caller;

    for (int i = 0; i < range_count; i++)
    {
        if (at < ranges[i].from || at >= ranges[i].to)
            continue;
        int_fast64_t number = atomic_fetch_add(&scarce->count, 1) + 1, first = atomic_load(&scarce->first);
        if (first == 0 || number < first || number > atomic_load(&scarce->last))
            return false;
        atomic_fetch_add(&scarce->failed, 1);
        atomic_store(&scarce->where, (int_fast64_t)(at - ranges[i].base));
        return true;
    }
    return false;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
    find();
    if (fails(&starve->memory, CALLER))
        return errno = ENOMEM, NULL;
    return real_malloc ? real_malloc(size) : take_early(size);
}

void *calloc(size_t count, size_t size)
{
    find();
    if (fails(&starve->memory, CALLER))
        return errno = ENOMEM, NULL;
    return real_calloc ? real_calloc(count, size) : take_early(count * size); /* it is zero already */
}

void *realloc(void *at, size_t size)
{
    find();
    if (fails(&starve->memory, CALLER))
        return errno = ENOMEM, NULL;
    if (!is_early(at))
        return real_realloc(at, size);
    void *moved = real_malloc(size);
    size_t left = (size_t)(early + EARLY_SIZE - (char *)at);
    return moved ? memcpy(moved, at, size < left ? size : left) : NULL;
}

void free(void *at)
{
    find();
    if (!is_early(at))
        real_free(at);
}

static char *copy(const char *text, size_t size)
{
    char *made = real_malloc(size + 1);
    if (made == NULL)
        return NULL;
    memcpy(made, text, size);
    made[size] = '\0';
    return made;
}

char *strdup(const char *text)
{
    return fails(&starve->memory, CALLER) ? (errno = ENOMEM, NULL) : copy(text, strlen(text));
}

char *strndup(const char *text, size_t size)
{
    return fails(&starve->memory, CALLER) ? (errno = ENOMEM, NULL) : copy(text, strnlen(text, size));
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *owner)
{
    find();
    return fails(&starve->threads, CALLER) ? EAGAIN : real_pthread_create(thread, attributes, run, owner);
}
