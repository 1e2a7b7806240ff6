// The registers of a call, in struct pt_regs: its number, its arguments, its ABI.

#ifndef REGISTERS_H
#define REGISTERS_H

#include "bpf.h"

enum { X32_BIT = 0x40000000, USER32_CS = 0x23 };

// A part of struct pt_regs (x86/include/asm/ptrace.h), and where it begins.
struct x86_regs { u64 bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs; };
enum { X86_REGS = 32, X86_STACK_POINTER = 152 };
// Parts of arm64's struct pt_regs, which begins with x0 to x30.
struct arm64_call { u64 orig_x0; u32 number, unused; };
enum { ARM64_CALL = 272, ARM64_STACK_POINTER = 248 };

// Tells whether the current call is one of a 32-bit ABI, as only the task knows: of int 0x80 in a
// 64-bit program on x86.
INLINE bool in_compat_call(void) {
    u32 word;
    bpf_probe_read_kernel(&word, sizeof(word), bpf_get_current_task() + SETTING(compat_offset));
    return word & SETTING(compat_bit);
}

// Stores arguments and ABI of a call; returns its index in `calls`, CALLS if it is not there.
//
// regs is the address of the registers. Of a call that is about to return (under_way) the number is
// read from them too.
INLINE u32 read_call(struct record *call, u64 regs, u64 *number, bool under_way) {
    if (SETTING(abi) == ABI_AARCH64) {
        bpf_probe_read_kernel(call->args, sizeof(call->args), regs);
        if (under_way) {
            // The return value has taken the place of the first argument.
            struct arm64_call own;
            bpf_probe_read_kernel(&own, sizeof(own), regs + ARM64_CALL);
            call->args[0] = own.orig_x0;
            *number = own.number;
        }
        if (in_compat_call()) {
            call->abi = ABI_ARM;
            return CALLS;
        }
        call->abi = ABI_AARCH64;
        return *number < TABLE_CALLS ? *number : CALLS;
    }
    struct x86_regs own;
    bpf_probe_read_kernel(&own, sizeof(own), regs + X86_REGS);
    if (under_way) *number = own.orig_ax;
    if ((u16)own.cs == USER32_CS || in_compat_call()) {
        call->args[0] = (u32)own.bx;
        call->args[1] = (u32)own.cx;
        call->args[2] = (u32)own.dx;
        call->args[3] = (u32)own.si;
        call->args[4] = (u32)own.di;
        call->args[5] = (u32)own.bp;
        call->abi = ABI_I386;
        return (u32)*number < TABLE_CALLS ? (u32)*number | TABLE_CALLS : CALLS;
    }
    call->args[0] = own.di;
    call->args[1] = own.si;
    call->args[2] = own.dx;
    call->args[3] = own.r10;
    call->args[4] = own.r8;
    call->args[5] = own.r9;
    if (*number & X32_BIT) {
        call->abi = ABI_X32;
        return CALLS;
    }
    call->abi = ABI_X86_64;
    return *number < TABLE_CALLS ? *number : CALLS;
}

// Returns the stack pointer of the program, 0 when it cannot be read.
INLINE u64 stack_pointer(u64 regs) {
    u64 value;
    u32 offset = SETTING(abi) == ABI_AARCH64 ? ARM64_STACK_POINTER : X86_STACK_POINTER;
    bpf_probe_read_kernel(&value, sizeof(value), regs + offset);
    return value;
}

#endif
