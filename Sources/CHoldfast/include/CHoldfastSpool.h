// SPDX-License-Identifier: Apache-2.0
//
// What the spool needs and Swift cannot say: instructions (CRC32C, ordered stores into shared memory) and
// calls that differ by system (real blocks for a file, pages faulted in ahead, a mark left by fork).

#ifndef CHOLDFAST_SPOOL_H
#define CHOLDFAST_SPOOL_H

#include <stddef.h>
#include <stdint.h>

/// Gives the empty file `fd` `bytes` bytes of real, zeroed blocks, never a hole: a store through a mapping of
/// a hole on a full device is SIGBUS. Returns 0 or an errno value (ENOSPC, EDQUOT, EFBIG, EIO …).
int chf_reserve(int fd, int64_t bytes);

/// Faults the pages of a shared mapping in for writing, so that the first store into each does not pay for
/// it. Best effort: where the system has no such call this does nothing.
void chf_populate(void *address, size_t length);

/// CRC32C (Castagnoli) of `length` bytes, continuing from `crc`; 0 starts. By instruction where there is one.
uint32_t chf_crc32c(uint32_t crc, const void *bytes, size_t length);

/// The same by table, for machines without the instruction and to test the other against.
uint32_t chf_crc32c_table(uint32_t crc, const void *bytes, size_t length);

/// How many forks lie between this process and the one that loaded the library: 0 there, more in children.
/// A load instead of getpid(2)'s system call.
uint32_t chf_fork_depth(void);

/// Stores a word after every store before it, as other threads and processes see it.
static inline void chf_store_release(void *word, uint64_t value) {
  __atomic_store_n((uint64_t *)word, value, __ATOMIC_RELEASE);
}

/// Loads a word before every load after it.
static inline uint64_t chf_load_acquire(const void *word) {
  return __atomic_load_n((const uint64_t *)word, __ATOMIC_ACQUIRE);
}

#endif
