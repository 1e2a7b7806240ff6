// Takes captures, one behind the other, into the scratch record. Each function returns false when
// the record is full.

#ifndef CAPTURES_H
#define CAPTURES_H

#include "bpf.h"

// Returns where the next capture's bytes go, NULL when the record is full.
INLINE u8 *next_piece(struct scratch *scratch) {
    u64 used = scratch->used;
    if (used > MAX_USED) return 0;
    return scratch->captures + used + sizeof(struct capture);
}

// Writes the capture's head, behind which so many bytes (or UNREADABLE) have been put.
INLINE bool finish_capture(struct scratch *scratch, u64 size) {
    u64 used = scratch->used;
    if (used > MAX_USED) return false;
    struct capture *capture = (struct capture *)(scratch->captures + used);
    *(u16 *)capture = *(u16 *)&scratch->arg;
    capture->kept = size;
    capture->length = scratch->length;
    if (size != UNREADABLE) used += size;
    scratch->used = used + sizeof(struct capture);
    return true;
}

// Returns a number of bytes, or what one capture may have. Verifiers before 6.4 do not see that a
// number of 32 bits is another's copy: the compiler may not know that this one is.
INLINE u64 bounded(u64 size) {
    opaque(size);
    if (size > MAX_PIECE) size = MAX_PIECE;
    opaque(size);
    return size;
}

// Captures so many bytes (their true number) at scratch->address, at most scratch->cap.
INLINE bool take(struct scratch *scratch, u64 length) {
    if (length > UNKNOWN_LENGTH) length = UNKNOWN_LENGTH;
    scratch->length = length;
    u64 size = scratch->cap;
    if (size > length) size = length;
    size = bounded(size);
    if (size == 0) return finish_capture(scratch, 0);
    u8 *piece = next_piece(scratch);
    if (!piece) return false;
    if (bpf_probe_read_user(piece, size, scratch->address)) {
        // What ends before a page that is not there is read up to it.
        u64 rest = 4096 - (scratch->address & 4095);
        if (rest >= size || rest > MAX_PIECE) return finish_capture(scratch, UNREADABLE);
        size = rest;
        piece = next_piece(scratch);
        if (!piece) return false;
        if (bpf_probe_read_user(piece, size, scratch->address))
            return finish_capture(scratch, UNREADABLE);
    }
    return finish_capture(scratch, size);
}

// Captures the string at scratch->address, at most scratch->cap bytes of it.
INLINE bool take_string(struct scratch *scratch) {
    u64 most = bounded(scratch->cap);
    u8 *piece = next_piece(scratch);
    if (!piece) return false;
    // Two more than are kept: a NUL behind the last one makes a whole string, none a longer one.
    s64 got = bpf_probe_read_user_str(piece, most + 2, scratch->address);
    if (got <= 0) {
        scratch->length = 0;
        return finish_capture(scratch, UNREADABLE);
    }
    u64 size = got - 1;
    if (size > scratch->cap) {
        size = scratch->cap;
        scratch->length = UNKNOWN_LENGTH;
    } else {
        scratch->length = size;
    }
    if (size > MAX_PIECE) return false;
    return finish_capture(scratch, size);
}

#endif
