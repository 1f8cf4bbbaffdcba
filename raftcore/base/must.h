/*
 * Assertions, ownership and compiler helpers that every part uses.
 *
 * must(x) states what the programmer guarantees.  It is always compiled in:
 * it prints the expression and a backtrace and aborts.  It never checks what
 * came from outside; that is an error (err.h).
 */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* Brings MIN and MAX that evaluate twice; here first, to be replaced below. */
#include <sys/param.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

#define BIT(n) (1u << (n))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#undef MIN
#undef MAX
#define MIN(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define MAX(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

/* A pointer freed by <type>_free(struct type **) when it leaves scope. */
#define OWNED(type) __attribute__((cleanup(type##_free))) struct type *
/* Moves a pointer out and leaves NULL behind, so ownership is seen to go. */
#define TAKE(p)                          \
	({                               \
		__typeof__(p) t_ = (p);  \
		(p) = NULL;              \
		t_;                      \
	})

#define must(x) ((x) ? (void)0 : must_failed(#x, __FILE__, __LINE__, __func__))

NORETURN void must_failed(const char *expr, const char *file, int line,
			  const char *func);

#endif
