// AMX for machines without it: a handler of SIGILL that carries out tile instructions.
//
// amx_emulator_install() takes SIGILL over; a signal that no tile instruction caused goes to the
// handler that was there before. What the ISA forbids (a tile that is not configured, shapes that do
// not fit each other, a bad configuration) is said on stderr and handed on, too, so that it ends the
// process as it would on the hardware. Under AddressSanitizer the memory of loads and stores is
// looked up, which no instrumentation does for the instructions themselves.
//
// Written from the definitions in Intel's Software Developer's Manual, volume 2, and volume 1,
// chapter 18.
#include <immintrin.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

extern "C" __attribute__((weak)) void* __asan_region_is_poisoned(void* begin, size_t bytes);
extern "C" __attribute__((weak)) void __asan_report_load_n(void* begin, size_t bytes);
extern "C" __attribute__((weak)) void __asan_report_store_n(void* begin, size_t bytes);

namespace {

constexpr int kTiles = 8, kRows = 16, kRowBytes = 64;

struct Config {
    uint8_t palette, start_row, reserved0[14];
    uint16_t row_bytes[kTiles], reserved1[kTiles];
    uint8_t rows[kTiles], reserved2[8];
};
static_assert(sizeof(Config) == 64);

struct Tile {
    alignas(64) uint8_t row[kRows][kRowBytes];
};

struct Machine {
    Config config;  // palette 0: tiles are not configured
    Tile tile[kTiles];
};

// A pointer only, and of the initial-exec model: reading it allocates nothing, so a handler may.
__attribute__((tls_model("initial-exec"))) thread_local Machine* own = nullptr;

std::atomic<int64_t> executed{0}, configured{0};
struct sigaction previous;

Machine& machine() {
    if (own == nullptr) {
        constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;
        own = static_cast<Machine*>(
            mmap(nullptr, sizeof(Machine), PROT_READ | PROT_WRITE, kAnonymous, -1, 0));
    }
    return *own;
}

struct Instruction {
    uint8_t opcode, prefix;  // prefix: 0 none, 1 66, 2 F3, 3 F2
    int reg, rm, vvvv;       // tmm1, tmm2, tmm3
    bool memory, sib;
    uint8_t* base;   // of a memory operand, displacement included
    int64_t stride;  // index << scale
    int length;
};

int64_t value_of(const ucontext_t* context, int number) {
    constexpr int kGregs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};
    return context->uc_mcontext.gregs[kGregs[number]];
}

int32_t four_bytes(const uint8_t* code) {
    int32_t number;
    std::memcpy(&number, code, sizeof number);
    return number;
}

// The memory operand that begins with the ModRM byte; the length grows by what it takes.
void decode_memory(const ucontext_t* context, const uint8_t* code, int x, int b, Instruction& to) {
    int mod = code[0] >> 6, rm = code[0] & 7, taken = 1;
    int64_t address = 0;
    bool far = mod == 2, relative = false;
    to.sib = rm == 4;
    if (to.sib) {
        int scale = code[1] >> 6, index = (code[1] >> 3 & 7) | x, base = code[1] & 7;
        taken = 2;
        if (index != 4) to.stride = value_of(context, index) << scale;
        if (base == 5 && mod == 0) far = true;
        else address = value_of(context, base | b);
    } else if (rm == 5 && mod == 0) {
        far = relative = true;
    } else {
        address = value_of(context, rm | b);
    }
    if (far) {
        address += four_bytes(code + taken);
        taken += 4;
    } else if (mod == 1) {
        address += static_cast<int8_t>(code[taken++]);
    }
    to.length += taken;
    if (relative) address += context->uc_mcontext.gregs[REG_RIP] + to.length;
    to.base = reinterpret_cast<uint8_t*>(address);
}

// Whether the bytes at the instruction pointer are VEX.128.0F38.W0 with an opcode of AMX.
bool decode(const ucontext_t* context, Instruction& to) {
    auto code = reinterpret_cast<const uint8_t*>(context->uc_mcontext.gregs[REG_RIP]);
    if (code[0] != 0xC4 || (code[1] & 0x1F) != 2 || (code[2] & 0x84) != 0) return false;
    to = {};
    to.opcode = code[3];
    to.prefix = code[2] & 3;
    to.vvvv = ~code[2] >> 3 & 15;
    to.reg = (code[4] >> 3 & 7) | (code[1] & 0x80 ? 0 : 8);
    to.rm = (code[4] & 7) | (code[1] & 0x20 ? 0 : 8);
    to.memory = code[4] >> 6 != 3;
    to.length = 4;
    if (to.opcode != 0x49 && to.opcode != 0x4B && to.opcode != 0x5C && to.opcode != 0x5E)
        return false;
    if (to.memory)
        decode_memory(context, code + 4, code[1] & 0x40 ? 0 : 8, code[1] & 0x20 ? 0 : 8, to);
    else
        to.length += 1;
    return true;
}

// What an instruction forbids is a sentence; null is success.
using Fault = const char*;

bool all_zero(const uint8_t* bytes, size_t count) {
    for (size_t i = 0; i < count; ++i)
        if (bytes[i]) return false;
    return true;
}

Fault load_config(Machine& my, const uint8_t* from) {
    Config next;
    std::memcpy(&next, from, sizeof next);
    if (next.palette > 1) return "ldtilecfg: the palette is neither 0 nor 1";
    bool clean = all_zero(next.reserved0, sizeof next.reserved0) &&
                 all_zero(reinterpret_cast<uint8_t*>(next.reserved1), sizeof next.reserved1) &&
                 all_zero(next.reserved2, sizeof next.reserved2);
    if (next.palette == 1 && !clean) return "ldtilecfg: a reserved byte is not zero";
    for (int i = 0; next.palette == 1 && i < kTiles; ++i) {
        if (next.rows[i] > kRows || next.row_bytes[i] > kRowBytes)
            return "ldtilecfg: a tile of more than 16 rows or 64 bytes";
        if ((next.rows[i] == 0) != (next.row_bytes[i] == 0))
            return "ldtilecfg: a tile with rows and no bytes, or the other way round";
    }
    if (next.palette == 0) next = {};
    configured += (next.palette != 0) - (my.config.palette != 0);
    my.config = next;
    std::memset(my.tile, 0, sizeof my.tile);
    return nullptr;
}

Fault configuration(Machine& my, const Instruction& is) {
    if (is.memory) {
        if (is.reg != 0 || is.vvvv != 0 || is.prefix > 1) return "not an instruction";
        if (is.prefix == 0) return load_config(my, is.base);
        std::memcpy(is.base, &my.config, sizeof my.config);
        return nullptr;
    }
    if (is.prefix == 0 && is.reg == 0 && is.rm == 0) {
        configured -= my.config.palette != 0;
        my.config = {};
        std::memset(my.tile, 0, sizeof my.tile);
        return nullptr;
    }
    if (is.prefix != 3 || is.rm != 0) return "not an instruction";
    if (my.config.palette == 0) return "tilezero: tiles are not configured";
    if (is.reg >= kTiles || my.config.rows[is.reg] == 0) return "tilezero: no such tile";
    my.tile[is.reg] = {};
    return nullptr;
}

Fault check_memory(uint8_t* begin, size_t bytes, bool store) {
    if (!__asan_region_is_poisoned || !__asan_region_is_poisoned(begin, bytes)) return nullptr;
    if (store) __asan_report_store_n(begin, bytes);
    else __asan_report_load_n(begin, bytes);
    return "a row lies outside of its memory";
}

Fault transfer(Machine& my, const Instruction& is) {
    if (!is.memory || !is.sib || is.prefix == 0 || is.vvvv != 0) return "not an instruction";
    const Config& config = my.config;
    if (config.palette == 0) return "tile load or store: tiles are not configured";
    if (is.reg >= kTiles || config.rows[is.reg] == 0) return "tile load or store: no such tile";
    if (config.row_bytes[is.reg] % 4) return "tile load or store: bytes of a row mod 4";
    bool store = is.prefix == 2;
    Tile& tile = my.tile[is.reg];
    if (!store) tile = {};
    for (int row = 0; row < config.rows[is.reg]; ++row) {
        uint8_t* memory = is.base + row * is.stride;
        if (Fault fault = check_memory(memory, config.row_bytes[is.reg], store)) return fault;
        if (store) std::memcpy(memory, tile.row[row], config.row_bytes[is.reg]);
        else std::memcpy(tile.row[row], memory, config.row_bytes[is.reg]);
    }
    return nullptr;
}

template <class A, class B>
void multiply_bytes(Tile& c, const Tile& a, const Tile& b, int rows, int depth, int columns) {
    for (int m = 0; m < rows; ++m) {
        uint32_t sum[kRows];  // wraps, as the instruction does
        std::memcpy(sum, c.row[m], sizeof sum);
        for (int k = 0; k < depth; ++k) {
            const auto* left = reinterpret_cast<const A*>(a.row[m] + 4 * k);
            const auto* right = reinterpret_cast<const B*>(b.row[k]);
            for (int n = 0; n < columns; ++n)
                for (int i = 0; i < 4; ++i) sum[n] += uint32_t(int(left[i]) * right[4 * n + i]);
        }
        std::memset(c.row[m], 0, sizeof sum);
        std::memcpy(c.row[m], sum, 4 * columns);
    }
}

float widened(const uint8_t* bfloat16) {
    uint32_t bits = (bfloat16[0] | bfloat16[1] << 8) << 16;
    float number;
    std::memcpy(&number, &bits, sizeof number);
    return number;
}

// Even and odd neighbours are summed apart, then together, then onto C; denormals are zero.
void multiply_bfloat16(Tile& c, const Tile& a, const Tile& b, int rows, int depth, int columns) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(0x9FC0);  // to nearest even, no exceptions, denormals are zero on both sides
    for (int m = 0; m < rows; ++m) {
        float sum[2 * kRows] = {}, old[kRows];
        std::memcpy(old, c.row[m], sizeof old);
        for (int k = 0; k < depth; ++k) {
            float left[2] = {widened(a.row[m] + 4 * k), widened(a.row[m] + 4 * k + 2)};
            for (int n = 0; n < 2 * columns; ++n)
                sum[n] = std::fma(left[n % 2], widened(b.row[k] + 2 * n), sum[n]);
        }
        for (int n = 0; n < columns; ++n) old[n] += sum[2 * n] + sum[2 * n + 1];
        std::memset(c.row[m], 0, sizeof old);
        std::memcpy(c.row[m], old, 4 * columns);
    }
    _mm_setcsr(before);
}

Fault product(Machine& my, const Instruction& is) {
    if (is.memory || (is.opcode == 0x5C && is.prefix != 2)) return "not an instruction";
    const Config& config = my.config;
    if (config.palette == 0) return "tile product: tiles are not configured";
    int c = is.reg, a = is.rm, b = is.vvvv;
    if (a == b || a == c || b == c) return "tile product: two operands are one tile";
    if (a >= kTiles || b >= kTiles || c >= kTiles || !config.rows[a] || !config.rows[b] ||
        !config.rows[c])
        return "tile product: no such tile";
    if (config.row_bytes[a] % 4 || config.row_bytes[b] % 4 || config.row_bytes[c] % 4)
        return "tile product: bytes of a row mod 4";
    int rows = config.rows[c], depth = config.row_bytes[a] / 4, columns = config.row_bytes[c] / 4;
    if (rows != config.rows[a]) return "tile product: rows of C and A differ";
    if (config.row_bytes[c] != config.row_bytes[b]) return "tile product: columns of C and B differ";
    if (depth != config.rows[b]) return "tile product: the depths of A and B differ";
    constexpr void (*kBytes[4])(Tile&, const Tile&, const Tile&, int, int, int) = {
        multiply_bytes<uint8_t, uint8_t>, multiply_bytes<uint8_t, int8_t>,
        multiply_bytes<int8_t, uint8_t>, multiply_bytes<int8_t, int8_t>};
    auto multiply = is.opcode == 0x5C ? multiply_bfloat16 : kBytes[is.prefix];
    multiply(my.tile[c], my.tile[a], my.tile[b], rows, depth, columns);
    return nullptr;
}

void say(const char* text) {
    ssize_t ignored = write(STDERR_FILENO, text, std::strlen(text));
    (void)ignored;
}

void hand_on(int signal, siginfo_t* info, void* context) {
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signal, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal);
    } else {
        ::signal(SIGILL, SIG_DFL);  // the instruction runs again and ends the process
    }
}

void handle(int signal, siginfo_t* info, void* raw) {
    auto* context = static_cast<ucontext_t*>(raw);
    Instruction is;
    if (!decode(context, is)) return hand_on(signal, info, raw);
    Machine& my = machine();
    Fault fault = is.opcode == 0x49   ? configuration(my, is)
                  : is.opcode == 0x4B ? transfer(my, is)
                                      : product(my, is);
    if (fault) {
        say("AMX emulator: ");
        say(fault);
        say("\n");
        return hand_on(signal, info, raw);
    }
    executed.fetch_add(1, std::memory_order_relaxed);
    context->uc_mcontext.gregs[REG_RIP] += is.length;
}

}  // namespace

EXPORT int amx_emulator_install() {
    struct sigaction now = {};
    if (sigaction(SIGILL, nullptr, &now) != 0) return -1;
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == handle) return 0;
    previous = now;
    struct sigaction ours = {};
    ours.sa_sigaction = handle;
    ours.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&ours.sa_mask);
    return sigaction(SIGILL, &ours, nullptr);
}

// Tile instructions carried out since the start, by all threads.
EXPORT int64_t amx_emulator_executed() { return executed.load(); }

// Threads that have tiles configured now: none between operations.
EXPORT int64_t amx_emulator_configured() { return configured.load(); }
