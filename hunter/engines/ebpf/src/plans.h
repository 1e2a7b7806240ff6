// Reads what a plan asks for into the scratch record.

#ifndef PLANS_H
#define PLANS_H

#include "captures.h"
#include "registers.h"

enum { SCAN_STRINGS = 512, SCAN_ENTRIES = 1500, SHOWN = 32, VECTOR_MAX = 4096 };
enum { NAME_MAX = 128, CONTROL_MAX = 256, SIGSET_MAX = 128 };
enum { FAILED = -4096 };  // error numbers are beyond, as numbers without sign

struct sigset_argument { u64 address, size; };
struct iovec { u64 base, length; };
struct msghdr { u64 name; u32 name_length, unused; u64 iov, iov_length, control, control_length, flags; };

// What a program reads: of which call, and which forms its plans hold beyond the simple ones.
struct reading {
    struct thread *thread;
    struct scratch *scratch;
    u64 *ctx;
    u32 forms;  // bits 1 << form
    bool at_entry;
};

INLINE u64 argument(const struct reading *reading, u32 number) {
    const u64 *args = reading->thread->call.args;
    return args[number & 7];  // a seventh and an eighth lie within the thread's entry
}

INLINE bool has(const struct reading *reading, enum form form) {
    return reading->forms >> form & 1;
}

// Each of the following reads one item of a form; false when the record is full.

// A struct of the address and the size of a signal set, and the set.
INLINE bool read_sigset(const struct reading *reading) {
    struct scratch *scratch = reading->scratch;
    struct sigset_argument set;
    if (!take(scratch, sizeof(set))) return false;
    if (bpf_probe_read_user(&set, sizeof(set), scratch->address)) return true;
    if (!set.address) return true;
    scratch->address = set.address;
    scratch->hop = 1;
    scratch->cap = SIGSET_MAX;
    return take(scratch, set.size);
}

// What is above the stack pointer.
INLINE bool read_sigframe(const struct reading *reading, const struct item *item) {
    u64 pointer = stack_pointer(reading->ctx[0]);
    if (!pointer) return true;
    reading->scratch->address = pointer + item->addend;
    reading->scratch->cap = 8;
    return take(reading->scratch, 8);
}

// An iovec array of so many elements and its buffers, which may have so many bytes together; -1: no
// bound. The item says whether buffers are read (its factor), how many bytes of each (its addend),
// and of how many elements.
INLINE bool read_vector(const struct reading *reading, const struct item *item, u64 elements,
                        s64 total) {
    struct scratch *scratch = reading->scratch;
    u64 vector = scratch->address;
    if (elements > VECTOR_MAX) elements = VECTOR_MAX;
    u32 shown = item->bound;
    if (shown > elements) shown = elements;
    scratch->work = shown;
    scratch->cap = shown * sizeof(struct iovec);
    if (!take(scratch, elements * sizeof(struct iovec))) return false;
    if (!item->factor) return true;
    ROLLED for (u64 index = 0; index < SHOWN; index++) {
        opaque(index);
        if (index >= scratch->work) return true;
        scratch->hop = index + scratch->first_hop;
        struct iovec own;
        if (bpf_probe_read_user(&own, sizeof(own), vector + index * sizeof(own))) return true;
        if (total >= 0) {
            if (own.length > (u64)total) own.length = total;
            total -= own.length;
        }
        if (!own.base) continue;
        scratch->address = own.base;
        scratch->cap = item->addend;
        if (!take(scratch, own.length)) return false;
    }
    return true;
}

// An iovec array, whose length is an argument; or a struct msghdr, its name, control data, iovec
// array; and the buffers.
INLINE bool read_message(const struct reading *reading, const struct item *item) {
    struct scratch *scratch = reading->scratch;
    s64 total = !reading->at_entry && item->out ? scratch->rval : -1;
    u64 elements;
    if (item->form == VECTOR) {
        elements = argument(reading, item->length_arg);
        scratch->first_hop = 1;
    } else {
        struct msghdr header;
        scratch->cap = sizeof(header);
        if (!take(scratch, sizeof(header))) return false;
        if (bpf_probe_read_user(&header, sizeof(header), scratch->address)) return true;
        if (header.name) {
            scratch->address = header.name;
            scratch->hop = 1;
            scratch->cap = NAME_MAX;
            if (!take(scratch, header.name_length)) return false;
        }
        if (header.control && header.control_length) {
            scratch->address = header.control;
            scratch->hop = 3;
            scratch->cap = CONTROL_MAX;
            if (!take(scratch, header.control_length)) return false;
        }
        if (!header.iov) return true;
        scratch->address = header.iov;
        scratch->hop = 2;
        scratch->first_hop = 4;
        elements = header.iov_length;
    }
    return read_vector(reading, item, elements, total);
}

// How many pointers a NULL-terminated array has, and the first strings; the item's factor says how
// many of them are shown.
INLINE bool read_strings(const struct reading *reading, const struct item *item) {
    struct scratch *scratch = reading->scratch;
    u64 vector = scratch->address, pointer, count = 0;
    bool ended = false;
    ROLLED for (; count < SCAN_STRINGS; count++) {
        opaque(count);
        if (bpf_probe_read_user(&pointer, sizeof(pointer), vector + count * sizeof(pointer))) break;
        if (!pointer) {
            ended = true;
            break;
        }
    }
    scratch->work = count;
    scratch->length = ended ? count : UNKNOWN_LENGTH;
    if (!ended && !count) {
        scratch->length = 0;
        return finish_capture(scratch, UNREADABLE);
    }
    if (!finish_capture(scratch, 0)) return false;
    u32 shown = scratch->work;
    if (shown > item->factor) shown = item->factor;
    scratch->work = shown;
    ROLLED for (u64 index = 0; index < SHOWN; index++) {
        opaque(index);
        if (index >= scratch->work) return true;
        scratch->hop = index + 1;
        if (bpf_probe_read_user(&pointer, sizeof(pointer), vector + index * sizeof(pointer)))
            return true;
        scratch->address = pointer;
        if (!take_string(scratch)) return false;
    }
    return true;
}

// How many directory entries there are, by their d_reclen; the item's factor is its offset.
INLINE bool read_entries(const struct reading *reading, const struct item *item) {
    struct scratch *scratch = reading->scratch;
    u64 offset = 0, count = 0, field = item->factor;
    u16 size;
    ROLLED for (; count < SCAN_ENTRIES; count++) {
        opaque(count);
        if (offset + field + sizeof(size) > (u64)scratch->rval) break;
        if (bpf_probe_read_user(&size, sizeof(size), scratch->address + offset + field)) {
            scratch->length = 0;
            return finish_capture(scratch, UNREADABLE);
        }
        if (size < field + sizeof(size)) break;
        offset += size;
    }
    scratch->length = count;
    return finish_capture(scratch, 0);
}

// What the item's argument points to, as long as other arguments or the return value say.
INLINE bool read_sized(const struct reading *reading, const struct item *item) {
    struct scratch *scratch = reading->scratch;
    u64 length;
    if (item->form == BY_RETURN) {
        length = scratch->rval;
    } else {
        length = argument(reading, item->length_arg);
        if (item->form == BY_POINTER) {
            u32 size;
            if (!length || bpf_probe_read_user(&size, sizeof(size), length)) return true;
            return take(scratch, size);
        }
        if (item->form == BY_PAGES) return take(scratch, (length + 4095) >> 12);
        if (item->form == BY_BITS) return take(scratch, ((u64)(u32)length + 63) >> 6 << 3);
        if (item->form == BY_INT_ARGUMENT) length = (u32)length;
    }
    return take(scratch, length * item->factor + item->addend);
}

INLINE bool read_item(const struct reading *reading, const struct item *item) {
    struct scratch *scratch = reading->scratch;
    u32 form = item->form;
    if (!reading->at_entry && item->out) {
        bool failed = (u64)scratch->rval > (u64)FAILED;
        if (failed == (item->out == 1)) return true;
    }
    scratch->arg = (item->arg & 7) | (reading->at_entry ? AT_ENTRY : 0);
    scratch->hop = 0;
    if (has(reading, SIGFRAME) && form == SIGFRAME) return read_sigframe(reading, item);
    u64 address = argument(reading, item->arg);
    if (!address) return true;
    scratch->address = address;
    scratch->cap = item->bound;
    if (has(reading, SIGSET) && form == SIGSET) return read_sigset(reading);
    if (has(reading, VECTOR) && (form == VECTOR || form == MESSAGE))
        return read_message(reading, item);
    if (has(reading, STRINGS) && form == STRINGS) return read_strings(reading, item);
    if (has(reading, ENTRIES) && form == ENTRIES) return read_entries(reading, item);
    if (form == AS_STRING) return take_string(scratch);
    return read_sized(reading, item);
}

// Reads the items of a plan, of which a program has so many at most: the verifier follows every
// turn of every loop; fewer turns let it answer in milliseconds.
INLINE void read_plan(const struct reading *reading, u32 plan, u32 most) {
    if (!plan) return;
    const struct plan *found = bpf_map_lookup_elem(&plans, &plan);
    if (!found) return;
    ROLLED for (u64 index = 0; index < most; index++) {
        opaque(index);
        const struct item *item = &found->items[index];
        if (!item->form || !read_item(reading, item)) return;
    }
}

#endif
