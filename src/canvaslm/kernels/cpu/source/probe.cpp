// What the machine can do, and whether this library runs on it. Compiled without special
// instructions in every library, so it may be asked before anything else.
#include "api.h"

#if !defined(CANVASLM_DIGEST)
#define CANVASLM_DIGEST "unknown"
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

// Which sources this library was made from; kernels/build.py looks for the mark in the file.
CANVASLM_API const char* canvaslm_digest() { return "canvaslm-digest:" CANVASLM_DIGEST; }

// 0 plain, 1 avx2, 2 avx512 (VNNI and BF16), 3 amx (int8 and bf16)
CANVASLM_API int canvaslm_best() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 1;
    bool vnni = c >> 11 & 1, amx = (d >> 24 & 1) && (d >> 25 & 1) && (d >> 22 & 1);
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return 1;
    bool bf16 = a >> 5 & 1;
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (!wide || !vnni || !bf16) return 1;
    constexpr int kArchReqXcompPerm = 0x1023, kTileData = 18;
    if (amx && syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) == 0) return 3;
    return 2;
#else
    return 0;
#endif
}
