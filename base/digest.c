#include "base/digest.h"

#include <assert.h>
#include <pthread.h>

static struct {
    EVP_MD *sha1;
    EVP_MD *sha256;
    pthread_key_t context; /* EVP_MD_CTX of the thread */
} hashing;

static void context_free(void *context)
{
    EVP_MD_CTX_free(context);
}

static void hashing_init(void)
{
    hashing.sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
    hashing.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    int failed = pthread_key_create(&hashing.context, context_free);
    assert(hashing.sha1 != NULL && hashing.sha256 != NULL && failed == 0);
}

static EVP_MD_CTX *thread_context(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, hashing_init);
    EVP_MD_CTX *context = pthread_getspecific(hashing.context);
    if (context == NULL) {
        context = EVP_MD_CTX_new();
        int failed = context == NULL ? 1 : pthread_setspecific(hashing.context, context);
        assert(failed == 0);
    }
    return context;
}

EVP_MD_CTX *digest_begin(enum digest_algorithm algorithm)
{
    EVP_MD_CTX *context = thread_context();
    const EVP_MD *digest = algorithm == DIGEST_SHA1 ? hashing.sha1 : hashing.sha256;

    int done = EVP_DigestInit_ex2(context, digest, NULL);
    assert(done == 1);
    return context;
}
