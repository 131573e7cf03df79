#include "wire/crc32c.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/hot.h"
#include "wire/bytes.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <nmmintrin.h>

#define HAVE_HARDWARE    1
#define HARDWARE         __attribute__((target("sse4.2")))
#define STEP_8(crc, u64) (uint32_t) _mm_crc32_u64(crc, u64)
#define STEP_4(crc, u32) _mm_crc32_u32(crc, u32)
#define STEP_1(crc, u8)  _mm_crc32_u8(crc, u8)

/* Neither the auxiliary vector nor anything else that musl offers tells about SSE4.2, and the
 * compilers' own question runs CPUID several times at the start of every program that links it.
 * This is one CPUID; its leaf 1 always exists. */
static bool ask_cpu(void)
{
	unsigned eax, ebx, ecx, edx;

	__cpuid(1, eax, ebx, ecx, edx);
	return (ecx & bit_SSE4_2) != 0;
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

#define HAVE_HARDWARE 1
#ifdef __clang__
#define HARDWARE         __attribute__((target("crc")))
#define STEP_8(crc, u64) __builtin_arm_crc32cd(crc, u64)
#define STEP_4(crc, u32) __builtin_arm_crc32cw(crc, u32)
#define STEP_1(crc, u8)  __builtin_arm_crc32cb(crc, u8)
#else
#define HARDWARE         __attribute__((target("+crc")))
#define STEP_8(crc, u64) __builtin_aarch64_crc32cx(crc, u64)
#define STEP_4(crc, u32) __builtin_aarch64_crc32cw(crc, u32)
#define STEP_1(crc, u8)  __builtin_aarch64_crc32cb(crc, u8)
#endif

static bool ask_cpu(void)
{
	const unsigned long hwcap_crc32 = 1UL << 7; /* HWCAP_CRC32, the kernel's ABI */

	return (getauxval(AT_HWCAP) & hwcap_crc32) != 0;
}

#else
#define HAVE_HARDWARE 0

static bool ask_cpu(void)
{
	return false;
}
#endif

/* Row k holds what nibble k of a 32-bit word, the lowest first, becomes when the word has run
 * through the register. So four bytes need eight independent look-ups in half a kilobyte. */
/* clang-format off */
static const uint32_t after_4_bytes[8][16] = {
	{
		0x00000000, 0xdd45aab8, 0xbf672381, 0x62228939, 0x7b2231f3, 0xa6679b4b, 0xc4451272, 0x1900b8ca,
		0xf64463e6, 0x2b01c95e, 0x49234067, 0x9466eadf, 0x8d665215, 0x5023f8ad, 0x32017194, 0xef44db2c,
	},
	{
		0x00000000, 0xe964b13d, 0xd725148b, 0x3e41a5b6, 0xaba65fe7, 0x42c2eeda, 0x7c834b6c, 0x95e7fa51,
		0x52a0c93f, 0xbbc47802, 0x8585ddb4, 0x6ce16c89, 0xf90696d8, 0x106227e5, 0x2e238253, 0xc747336e,
	},
	{
		0x00000000, 0xa541927e, 0x4f6f520d, 0xea2ec073, 0x9edea41a, 0x3b9f3664, 0xd1b1f617, 0x74f06469,
		0x38513ec5, 0x9d10acbb, 0x773e6cc8, 0xd27ffeb6, 0xa68f9adf, 0x03ce08a1, 0xe9e0c8d2, 0x4ca15aac,
	},
	{
		0x00000000, 0x70a27d8a, 0xe144fb14, 0x91e6869e, 0xc76580d9, 0xb7c7fd53, 0x26217bcd, 0x56830647,
		0x8b277743, 0xfb850ac9, 0x6a638c57, 0x1ac1f1dd, 0x4c42f79a, 0x3ce08a10, 0xad060c8e, 0xdda47104,
	},
	{
		0x00000000, 0x13a29877, 0x274530ee, 0x34e7a899, 0x4e8a61dc, 0x5d28f9ab, 0x69cf5132, 0x7a6dc945,
		0x9d14c3b8, 0x8eb65bcf, 0xba51f356, 0xa9f36b21, 0xd39ea264, 0xc03c3a13, 0xf4db928a, 0xe7790afd,
	},
	{
		0x00000000, 0x3fc5f181, 0x7f8be302, 0x404e1283, 0xff17c604, 0xc0d23785, 0x809c2506, 0xbf59d487,
		0xfbc3faf9, 0xc4060b78, 0x844819fb, 0xbb8de87a, 0x04d43cfd, 0x3b11cd7c, 0x7b5fdfff, 0x449a2e7e,
	},
	{
		0x00000000, 0xf26b8303, 0xe13b70f7, 0x1350f3f4, 0xc79a971f, 0x35f1141c, 0x26a1e7e8, 0xd4ca64eb,
		0x8ad958cf, 0x78b2dbcc, 0x6be22838, 0x9989ab3b, 0x4d43cfd0, 0xbf284cd3, 0xac78bf27, 0x5e133c24,
	},
	{
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	},
};
/* clang-format on */

static uint32_t table_step_4(uint32_t word)
{
	uint32_t crc = 0;

	for (unsigned nibble = 0; nibble < 8; nibble++)
		crc ^= after_4_bytes[nibble][word >> (4 * nibble) & 15];
	return crc;
}

/* A single byte is the last of a word whose first three are zero: they leave the register as it
 * was. */
static uint32_t table_step_1(uint32_t crc, uint8_t byte)
{
	uint32_t low = (crc ^ byte) & 255;

	return crc >> 8 ^ after_4_bytes[6][low & 15] ^ after_4_bytes[7][low >> 4];
}

uint32_t belay__crc32c_portable(const void *bytes, size_t len)
{
	const uint8_t *next = bytes;
	uint32_t crc = UINT32_MAX;

	for (; len >= 4; len -= 4, next += 4)
		crc = table_step_4(crc ^ belay__get_le32(next));
	for (; len > 0; len--, next++)
		crc = table_step_1(crc, *next);
	return ~crc;
}

#if HAVE_HARDWARE
/* A frame's 28 bytes are three steps of eight and one of four. */
BELAY__HOT HARDWARE uint32_t belay__crc32c_hardware(const void *bytes, size_t len)
{
	const uint8_t *next = bytes;
	uint32_t crc = UINT32_MAX;

	for (; len >= 8; len -= 8, next += 8)
		crc = STEP_8(crc, belay__get_le64(next));
	if (len >= 4) {
		crc = STEP_4(crc, belay__get_le32(next));
		len -= 4;
		next += 4;
	}
	for (; len > 0; len--, next++)
		crc = STEP_1(crc, *next);
	return ~crc;
}
#else
uint32_t belay__crc32c_hardware(const void *bytes, size_t len)
{
	assert(!"there is no such instruction here");
	return belay__crc32c_portable(bytes, len);
}
#endif

bool belay__crc32c_has_hardware(void)
{
	enum { NOT_ASKED, ABSENT, PRESENT };
	static atomic_int cpu = NOT_ASKED;
	int known = atomic_load_explicit(&cpu, memory_order_relaxed);

	/* Threads that get here together ask twice and hear the same. */
	if (known == NOT_ASKED) {
		known = ask_cpu() ? PRESENT : ABSENT;
		atomic_store_explicit(&cpu, known, memory_order_relaxed);
	}
	return known == PRESENT;
}

BELAY__HOT uint32_t belay__crc32c(const void *bytes, size_t len)
{
	return belay__crc32c_has_hardware() ? belay__crc32c_hardware(bytes, len)
					    : belay__crc32c_portable(bytes, len);
}
