#include "worker/base/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

struct contexts
{
    EVP_MD_CTX *sha256, *sha1;
};

/* Written once under `mutex`; a thread reads them only after it has held it. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t key;
static bool key_made;
static EVP_MD *sha256, *sha1;

/* The key's only use is to free a thread's contexts at its end; this is how they are found. */
static _Thread_local struct contexts *mine;

static void free_contexts(void *owned)
{
    struct contexts *contexts = owned;
    EVP_MD_CTX_free(contexts->sha256);
    EVP_MD_CTX_free(contexts->sha1);
    free(contexts);
    mine = NULL;
}

/* Once a thread. A failed fetch is repeated by the next call, so that a moment without memory passes. */
static bool set_up(void)
{
    pthread_mutex_lock(&mutex);
    key_made = key_made || pthread_key_create(&key, free_contexts) == 0;
    if (!sha256)
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!sha1)
        sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
    bool done = key_made && sha256 && sha1;
    pthread_mutex_unlock(&mutex);
    return done;
}

static struct contexts *make_contexts(void)
{
    if (!set_up())
        return NULL;
    struct contexts *contexts = calloc(1, sizeof(*contexts));
    if (!contexts)
        return NULL;
    contexts->sha256 = EVP_MD_CTX_new();
    contexts->sha1 = EVP_MD_CTX_new();
    /* The first init allocates the algorithm's state; it is kept from then on. */
    if (!contexts->sha256 || !contexts->sha1 || !EVP_DigestInit_ex(contexts->sha256, sha256, NULL) ||
        !EVP_DigestInit_ex(contexts->sha1, sha1, NULL) || pthread_setspecific(key, contexts) != 0)
    {
        free_contexts(contexts);
        return NULL;
    }
    mine = contexts;
    return contexts;
}

static bool digest(EVP_MD_CTX *context, const EVP_MD *algorithm, const struct span *parts, int count, uint8_t *ret)
{
    if (!EVP_DigestInit_ex(context, algorithm, NULL))
        return false;
    for (int i = 0; i < count; i++)
    {
        if (parts[i].size && !EVP_DigestUpdate(context, parts[i].at, parts[i].size))
            return false;
    }
    return EVP_DigestFinal_ex(context, ret, NULL) == 1;
}

bool digest_sha256(const struct span *parts, int count, uint8_t ret[DIGEST_SHA256_SIZE])
{
    struct contexts *contexts = mine ? mine : make_contexts();
    return contexts && digest(contexts->sha256, sha256, parts, count, ret);
}

bool digest_sha1(const struct span *parts, int count, uint8_t ret[DIGEST_SHA1_SIZE])
{
    struct contexts *contexts = mine ? mine : make_contexts();
    return contexts && digest(contexts->sha1, sha1, parts, count, ret);
}
