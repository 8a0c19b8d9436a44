#pragma once

/* Scope-bound release: CLEANUP(PQclearp) PGresult *result = ...; */
#define CLEANUP(function) __attribute__((cleanup(function)))

/* Defines `release`p(), which releases what the variable holds unless it is NULL. */
#define DEFINE_CLEANUP(type, release)                                                              \
    static inline void release##p(type *slot) /* NOLINT(bugprone-macro-parentheses): a type */     \
    {                                                                                              \
        if (*slot != NULL)                                                                         \
            release(*slot);                                                                        \
    }

/* Hands the pointer to the caller: the variable becomes NULL and is not released. */
#define TAKE(pointer)                                                                              \
    __extension__({                                                                                \
        __typeof__(pointer) taken = (pointer);                                                     \
        (pointer) = NULL;                                                                          \
        taken;                                                                                     \
    })
