// Short programs of tile instructions, for the tests of the emulator: on a machine with AMX they run
// on the hardware, and hold the emulator's definitions against it.
#include <immintrin.h>

#include <cstdint>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

void configure(const void* config) {
    asm volatile("" ::: "memory");
    _tile_loadconfig(config);
}

}  // namespace

// C, A and B are dense tiles, 64 bytes a row; C is read and written.
#define PROGRAM(name)                                                                       \
    EXPORT void run_##name(const void* config, void* c, const void* a, const void* b) {     \
        configure(config);                                                                  \
        _tile_loadd(5, c, 64);                                                              \
        _tile_loadd(1, a, 64);                                                              \
        _tile_stream_loadd(6, b, 64);                                                       \
        _tile_##name(5, 1, 6);                                                              \
        _tile_stored(5, c, 64);                                                             \
        _tile_release();                                                                    \
    }
PROGRAM(dpbssd)
PROGRAM(dpbsud)
PROGRAM(dpbusd)
PROGRAM(dpbuud)
PROGRAM(dpbf16ps)

EXPORT void run_copy(const void* config, const char* from, int64_t stride, char* to, int64_t apart) {
    configure(config);
    _tile_loadd(3, from, stride);
    _tile_stored(3, to, apart);
    _tile_release();
}

EXPORT void run_zero(const void* config, const void* from, void* to) {
    configure(config);
    _tile_loadd(2, from, 64);
    _tile_zero(2);
    _tile_stored(2, to, 64);
    _tile_release();
}

EXPORT void run_config(const void* config, void* back, void* after) {
    configure(config);
    _tile_storeconfig(back);
    _tile_release();
    _tile_storeconfig(after);
}

// Every shape of address: scaled index, displacements of one and four bytes, high registers, none.
EXPORT void run_addresses(const void* config, const char* from, int64_t quarter, char* to) {
    register const char* low asm("rbx") = from - 64;
    register const char* high asm("r12") = from;
    register const char* frame asm("r13") = from + 4096;
    register int64_t step asm("r14") = quarter;
    configure(config);
    asm volatile("tileloadd 64(%0,%1,4), %%tmm7" ::"r"(low), "r"(step) : "memory");
    asm volatile("tilestored %%tmm7, (%0,%1,4)" ::"r"(to), "r"(step) : "memory");
    asm volatile("tileloadd (%0,%1,4), %%tmm0" ::"r"(high), "r"(step) : "memory");
    asm volatile("tilestored %%tmm0, 1024(%0,%1,4)" ::"r"(to), "r"(step) : "memory");
    asm volatile("tileloaddt1 -4096(%0,%1,4), %%tmm4" ::"r"(frame), "r"(step) : "memory");
    asm volatile("tilestored %%tmm4, 2048(%0,%1,4)" ::"r"(to), "r"(step) : "memory");
    _tile_loadd(1, from, 0);
    _tile_stored(1, to + 3072, quarter * 4);
    _tile_release();
}

// Misuse, one kind each: the process must not survive it.
EXPORT void run_misuse(const void* config, int kind, char* memory) {
    if (kind == 0) _tile_loadd(0, memory, 64);  // nothing is configured
    configure(config);
    // tdpbssd tmm0, tmm1, tmm1: the assembler refuses it
    if (kind == 1) asm volatile(".byte 0xC4, 0xE2, 0x73, 0x5E, 0xC1");
    if (kind == 2) _tile_dpbssd(0, 1, 2);
    if (kind == 3) _tile_zero(7);
    if (kind == 4) {
        _tile_release();
        _tile_zero(0);
    }
    if (kind == 5) asm volatile("ud2");
    _tile_release();
}
