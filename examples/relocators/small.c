/* A small relocator in C: instructions with a rip-relative operand, and those without one, of the opcodes 88 to 8b.
 *
 *     cc -shared -fPIC -o librelocate.so examples/relocators/small.c
 *     ubp-verify relocator --library ./librelocate.so 88-8b
 *
 * With -DFAULTY it takes mod 0 rm 5 for an ordinary operand, as in 32-bit mode: `ubp-verify` shows the register that
 * then has another value.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static size_t prefixes(const uint8_t *p, size_t length) {
    size_t n = 0;
    while (n < length && (p[n] == 0x66 || (p[n] & 0xf0) == 0x40)) n++;
    return n;
}

int relocate(const uint8_t *bytes, size_t length, uint64_t origin, uint64_t slot, uint8_t *code, size_t room) {
    size_t at = prefixes(bytes, length);
    if (length < at + 2 || length + 14 > room || (bytes[at] & 0xfc) != 0x88) return -1;
    memcpy(code, bytes, length);
#ifndef FAULTY
    if ((bytes[at + 1] & 0xc7) == 0x05) {
        int32_t disp;
        memcpy(&disp, bytes + at + 2, 4);
        int64_t moved = disp + (int64_t)(origin - slot);
        if (moved != (int32_t)moved) return -2;
        disp = (int32_t)moved;
        memcpy(code + at + 2, &disp, 4);
    }
#endif
    uint64_t back = origin + length;
    memcpy(code + length, "\xff\x25\0\0\0\0", 6);
    memcpy(code + length + 6, &back, 8);
    return (int)length + 14;
}
