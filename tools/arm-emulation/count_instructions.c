/* A QEMU plugin that counts, by class, the AArch64 instructions that run between two marks.
 *
 *   qemu-aarch64 -plugin count_instructions.so,out=counts.json PROGRAM
 *
 * The marks are `hint #100` (begin) and `hint #101` (end); run_model.c puts them around every call of a model. When
 * the program ends, counts.json has every window in its order: {"windows": [{"total": 12, "dot": 4, ...}, ...]}.
 * Nothing is dropped or averaged here. The counts are for a program with one running thread.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- QEMU's plugin interface, version 1 ---------------------------------------------------------------------- */

/* Debian ships no qemu-plugin.h, so what is used of include/qemu/qemu-plugin.h (QEMU 7.2) is declared here. */
#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct block;
struct instruction;

enum { INLINE_ADD_U64 = 0, NO_REGISTERS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct block *, int operation, void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_insn_exec_inline(struct instruction *, int operation, void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_insn_exec_cb(struct instruction *, void (*)(unsigned, void *), int flags, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct block *);
struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t);
const void *qemu_plugin_insn_data(const struct instruction *);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(plugin_id, const void *info, int count, char **options);

/* ---- Classes ------------------------------------------------------------------------------------------------- */

/* Every instruction is in exactly one class; their sum is the total. */
enum class { DOT, MMLA, FMLA, IMLA, SIMD_OTHER, SVE_SME, LOAD, STORE, BRANCH, ALU, CLASSES };

static const char *const CLASS_NAMES[CLASSES] = {
    "dot", "mmla", "fmla", "imla", "simd_other", "sve_sme", "load", "store", "branch", "alu",
};

struct pattern {
    uint32_t mask, value;
    enum class class;
};

/* Multiplications of the "Data Processing -- Scalar Floating-Point and Advanced SIMD" group, from the encoding
 * tables of the Arm Architecture Reference Manual for A-profile (DDI 0487), chapter C4.1. A free bit of the mask is
 * one that tells vector lengths, element sizes, signs, registers, or add from subtract. First match wins. */
static const struct pattern MULTIPLICATIONS[] = {
    /* 8-bit dot products: FEAT_DotProd and FEAT_I8MM */
    {0x9FE0FC00, 0x0E809400, DOT}, /* SDOT, UDOT (vector) */
    {0xBFE0FC00, 0x0E809C00, DOT}, /* USDOT (vector) */
    {0x9FC0F400, 0x0F80E000, DOT}, /* SDOT, UDOT (by element) */
    {0xBFC0F400, 0x0F80F000, DOT}, /* USDOT (by element) */
    {0xBFC0F400, 0x0F00F000, DOT}, /* SUDOT (by element) */
    /* matrix products: FEAT_I8MM and FEAT_BF16 */
    {0xDFE0F400, 0x4E80A400, MMLA}, /* SMMLA, UMMLA, USMMLA */
    {0xFFE0FC00, 0x6E40EC00, MMLA}, /* BFMMLA */
    /* floating-point multiply-add */
    {0xBF20FC00, 0x0E20CC00, FMLA}, /* FMLA, FMLS (vector), single and double */
    {0xBF60FC00, 0x0E400C00, FMLA}, /* FMLA, FMLS (vector), half */
    {0xBF80B400, 0x0F801000, FMLA}, /* FMLA, FMLS (by element), single and double */
    {0xBFC0B400, 0x0F001000, FMLA}, /* FMLA, FMLS (by element), half */
    {0xBF60FC00, 0x0E20EC00, FMLA}, /* FMLAL, FMLSL (vector) */
    {0xBF60FC00, 0x2E20CC00, FMLA}, /* FMLAL2, FMLSL2 (vector) */
    {0xBFC0B400, 0x0F800000, FMLA}, /* FMLAL, FMLSL (by element) */
    {0xBFC0B400, 0x2F808000, FMLA}, /* FMLAL2, FMLSL2 (by element) */
    {0xBFE0FC00, 0x2E40FC00, FMLA}, /* BFDOT (vector) */
    {0xBFC0F400, 0x0F40F000, FMLA}, /* BFDOT (by element) */
    {0xFF000000, 0x1F000000, FMLA}, /* FMADD, FMSUB, FNMADD, FNMSUB (scalar) */
    /* integer multiply and multiply-add without dot product: what Armv8.0 cores use for INT8 */
    {0x9F20DC00, 0x0E208000, IMLA}, /* SMLAL, UMLAL, SMLSL, UMLSL (vector) */
    {0x9F20FC00, 0x0E20C000, IMLA}, /* SMULL, UMULL (vector) */
    {0x9F20FC00, 0x0E209400, IMLA}, /* MLA, MLS (vector) */
    {0xBF20FC00, 0x0E209C00, IMLA}, /* MUL (vector) */
    {0x9F00B400, 0x0F002000, IMLA}, /* SMLAL, UMLAL, SMLSL, UMLSL (by element) */
    {0x9F00F400, 0x0F00A000, IMLA}, /* SMULL, UMULL (by element) */
    {0xBF00B400, 0x2F000000, IMLA}, /* MLA, MLS (by element) */
    {0xBF00F400, 0x0F008000, IMLA}, /* MUL (by element) */
};

static enum class class_of_simd(uint32_t word) {
    for (size_t i = 0; i < sizeof MULTIPLICATIONS / sizeof MULTIPLICATIONS[0]; i++) {
        if ((word & MULTIPLICATIONS[i].mask) == MULTIPLICATIONS[i].value) {
            return MULTIPLICATIONS[i].class;
        }
    }
    return SIMD_OTHER;
}

/* The group "Loads and Stores". What does both (compare-and-swap, atomics) counts as a load. */
static enum class class_of_memory(uint32_t word) {
    uint32_t bit_22 = word >> 22 & 1, bit_23 = word >> 23 & 1, is_simd = word >> 26 & 1;
    switch (word >> 28 & 3) {
    case 0: /* vector structures, exclusive and ordered */
    case 2: /* pairs: bit 22 is L in all of these */
        return bit_22 ? LOAD : STORE;
    case 1: /* bit 24 clear: from a literal; set: LDAPUR, STLUR and tags, opc in bits 23:22 */
        return (word >> 24 & 1) == 0 || bit_22 || bit_23 ? LOAD : STORE;
    default: /* one register: opc in bits 23:22; 10 stores 128 bits for SIMD, and loads with sign otherwise */
        if ((word & 0x3B200C00) == 0x38200000) {
            return LOAD; /* atomic */
        }
        return bit_22 || (bit_23 && !is_simd) ? LOAD : STORE;
    }
}

/* The main groups by bits 28:25 (op0), the manual's table C4-1. */
static enum class class_of(uint32_t word) {
    switch (word >> 25 & 15) {
    case 0x0: /* bit 31 set: SME; clear: reserved */
        return word >> 31 ? SVE_SME : ALU;
    case 0x2:
        return SVE_SME;
    case 0x4:
    case 0x6:
    case 0xC:
    case 0xE:
        return class_of_memory(word);
    case 0x7:
    case 0xF:
        return class_of_simd(word);
    case 0xA:
    case 0xB: /* branches, exceptions, system instructions */
        return BRANCH;
    default: /* arithmetic and logic on general registers */
        return ALU;
    }
}

/* ---- Windows ------------------------------------------------------------------------------------------------- */

static uint64_t counters[CLASSES];  /* since the program began */
static uint64_t at_begin[CLASSES];  /* when the last window was opened */
static uint64_t (*windows)[CLASSES];
static size_t window_count, window_capacity;
static const char *output_path;

static void begin_window(unsigned cpu, void *unused) {
    (void)cpu;
    (void)unused;
    memcpy(at_begin, counters, sizeof counters);
}

static void end_window(unsigned cpu, void *unused) {
    (void)cpu;
    (void)unused;
    if (window_count == window_capacity) {
        window_capacity = window_capacity * 2 + 64;
        windows = realloc(windows, window_capacity * sizeof *windows);
        if (windows == NULL) {
            fputs("count_instructions: out of memory\n", stderr);
            exit(1);
        }
    }
    for (int class = 0; class < CLASSES; class++) {
        windows[window_count][class] = counters[class] - at_begin[class];
    }
    window_count++;
}

/* ---- Counting ------------------------------------------------------------------------------------------------ */

#define HINT(number) (0xD503201Fu | (number) << 5)
enum { BEGIN_HINT = 100, END_HINT = 101 };

static uint32_t word_of(struct block *block, size_t index) {
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, index)), sizeof word);
    return word;
}

static int is_mark(uint32_t word) {
    return word == HINT(BEGIN_HINT) || word == HINT(END_HINT);
}

/* Count a block that has marks one instruction at a time, so that only what is between them falls inside. */
static void count_singly(struct block *block) {
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct instruction *instruction = qemu_plugin_tb_get_insn(block, i);
        uint32_t word = word_of(block, i);
        if (is_mark(word)) {
            qemu_plugin_register_vcpu_insn_exec_cb(
                instruction, word == HINT(BEGIN_HINT) ? begin_window : end_window, NO_REGISTERS, NULL);
        } else {
            qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD_U64, &counters[class_of(word)], 1);
        }
    }
}

/* Count any other block by one addition for each class in it, whenever it is entered. */
static void count_at_once(struct block *block) {
    uint64_t amounts[CLASSES] = {0};
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        amounts[class_of(word_of(block, i))]++;
    }
    for (int class = 0; class < CLASSES; class++) {
        if (amounts[class] > 0) {
            qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &counters[class], amounts[class]);
        }
    }
}

static void on_translation(plugin_id id, struct block *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        if (is_mark(word_of(block, i))) {
            count_singly(block);
            return;
        }
    }
    count_at_once(block);
}

/* ---- Output -------------------------------------------------------------------------------------------------- */

static void write_windows(plugin_id id, void *unused) {
    (void)id;
    (void)unused;
    FILE *file = fopen(output_path, "w");
    if (file == NULL) {
        fprintf(stderr, "count_instructions: cannot write %s\n", output_path);
        return;
    }
    fputs("{\"windows\": [", file);
    for (size_t window = 0; window < window_count; window++) {
        uint64_t total = 0;
        for (int class = 0; class < CLASSES; class++) {
            total += windows[window][class];
        }
        fprintf(file, "%s{\"total\": %" PRIu64, window > 0 ? ",\n" : "", total);
        for (int class = 0; class < CLASSES; class++) {
            fprintf(file, ", \"%s\": %" PRIu64, CLASS_NAMES[class], windows[window][class]);
        }
        fputs("}", file);
    }
    fputs("]}\n", file);
    fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int count, char **options) {
    (void)info;
    if (count != 1 || strncmp(options[0], "out=", 4) != 0 || (output_path = strdup(options[0] + 4)) == NULL) {
        fputs("count_instructions: expected one option, out=FILE\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, write_windows, NULL);
    return 0;
}
