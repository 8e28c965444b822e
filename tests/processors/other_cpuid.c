/* Let libraries see another x86-64 processor than the one they run on, at native speed.
 *
 * Loaded by LD_PRELOAD, beside copies of the libraries in which tests/processors/__init__.py has put UD2 where CPUID and
 * XGETBV stood. UD2 is as long as CPUID and raises SIGILL, on processors of every maker; the handler answers as the
 * processor of the environment would. The libraries then choose their code as on that one. Where it says AVX-512 and
 * the real one has none, whatever uses it dies of SIGILL and is named.
 *
 * What this cannot show: instructions whose results differ between makers by design (RCPPS, RSQRTPS). An emulator does.
 *
 * CPUID_AMD=1, CPUID_AVX512=1, CPUID_VNNI=1, CPUID_FAMILY, CPUID_MODEL, CPUID_L1, CPUID_L2, CPUID_L3 (bytes).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define BIT(n) (1u << (n))

static uint32_t amd, avx512, vnni, family, model, sizes[4]; /* of data in L1, of code in L1, of both in L2 and L3 */

static uint32_t number(const char *name) {
    const char *text = getenv(name);
    return text ? (uint32_t)strtoul(text, NULL, 0) : 0;
}

static void caches(uint32_t index, uint32_t r[4]) { /* leaf 4 of Intel's, 0x8000001D of AMD's */
    static const uint32_t kinds[4] = {1, 2, 3, 3}, levels[4] = {1, 1, 2, 3};
    memset(r, 0, 4 * sizeof *r);
    if (index > 3 || !sizes[index]) return;
    r[0] = kinds[index] | levels[index] << 5 | BIT(8);
    r[1] = 63 | 7u << 22; /* 8 ways of lines of 64 bytes */
    r[2] = sizes[index] / (64 * 8) - 1;
}

static void answer(uint32_t leaf, uint32_t sub, uint32_t r[4]) {
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
    if (leaf == 0) {
        const char *maker = amd ? "AuthenticAMD" : "GenuineIntel";
        memcpy(&r[1], maker, 4), memcpy(&r[3], maker + 4, 4), memcpy(&r[2], maker + 8, 4);
        if (r[0] < 0xD) r[0] = 0xD;
    } else if (leaf == 1) {
        uint32_t base = family > 15 ? 15 : family;
        r[0] = (r[0] & 15) | base << 8 | (family - base) << 20 | (model & 15) << 4 | (model >> 4) << 16;
    } else if (leaf == 2 && !amd) {
        r[0] = 0x00FEFF01, r[1] = 0xF0, r[2] = r[3] = 0; /* ask leaf 4 */
    } else if (leaf == 4) {
        caches(amd ? 4 : sub, r);
    } else if (leaf == 7 && sub == 0) {
        r[1] &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31));
        r[2] &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
        r[3] &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));
        if (avx512) r[1] |= BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31);
        if (vnni) r[1] |= BIT(21), r[2] |= BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14);
    } else if (leaf == 7 && sub == 1) {
        r[0] &= ~(BIT(4) | BIT(5));
    } else if (leaf == 0xD && sub == 0) {
        if (avx512) r[0] |= 0xE0;
    } else if (leaf == 0x80000000) {
        r[0] = amd ? 0x8000001E : 0x80000008;
    } else if (leaf == 0x80000001) {
        r[2] = amd ? r[2] | BIT(22) : r[2] & ~(BIT(6) | BIT(11) | BIT(16) | BIT(22)); /* SSE4A, XOP, FMA4; leaf 0x8000001D */
    } else if (leaf == 0x80000005) {
        memset(r, 0, 4 * sizeof *r);
        if (amd) r[2] = (sizes[0] >> 10) << 24 | 8 << 16 | 1 << 8 | 64;
    } else if (leaf == 0x80000006) {
        r[0] = r[1] = 0;
        r[2] = (sizes[2] >> 10) << 16 | 6 << 12 | 1 << 8 | 64;
        r[3] = amd ? (sizes[3] >> 19) << 18 | 9 << 12 | 1 << 8 | 64 : 0;
    } else if (leaf == 0x8000001D) {
        caches(amd ? sub : 4, r);
    }
}

static void on_illegal(int signal_number, siginfo_t *info, void *context) {
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)g[REG_RIP];
    uint32_t r[4];
    (void)info;
    if (code[0] != 0x0F || code[1] != 0x0B) {
        Dl_info at = {0};
        dladdr(code, &at);
        fprintf(stderr, "%02x %02x %02x %02x %02x %02x, which this processor does not have, in %s+%#lx\n", code[0], code[1],
                code[2], code[3], code[4], code[5], at.dli_fname ? at.dli_fname : "code made at run time",
                (unsigned long)(code - (const uint8_t *)at.dli_fbase));
        signal(signal_number, SIG_DFL);
    } else if (code[2] == 0xCC) { /* in the place of XGETBV */
        __asm__ volatile("xgetbv" : "=a"(r[0]), "=d"(r[3]) : "c"(0));
        g[REG_RAX] = avx512 ? r[0] | 0xE0 : r[0] & ~0xE0u, g[REG_RDX] = r[3];
        g[REG_RIP] += 3;
    } else {
        answer((uint32_t)g[REG_RAX], (uint32_t)g[REG_RCX], r);
        g[REG_RAX] = r[0], g[REG_RBX] = r[1], g[REG_RCX] = r[2], g[REG_RDX] = r[3];
        g[REG_RIP] += 2;
    }
}

__attribute__((constructor)) static void begin(void) {
    amd = number("CPUID_AMD"), avx512 = number("CPUID_AVX512"), vnni = number("CPUID_VNNI");
    family = number("CPUID_FAMILY"), model = number("CPUID_MODEL");
    sizes[0] = number("CPUID_L1"), sizes[1] = 32768, sizes[2] = number("CPUID_L2"), sizes[3] = number("CPUID_L3");
    struct sigaction action = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGILL, &action, NULL);
}
