#include "beat/test_allocations.h"

#include <stddef.h>

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __real_free(void *memory);
void __wrap_free(void *memory);

unsigned test_allocations;

void *__wrap_malloc(size_t size)
{
	test_allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	test_allocations++;
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	test_allocations++;
	return __real_realloc(memory, size);
}

void __wrap_free(void *memory)
{
	test_allocations++;
	__real_free(memory);
}
