// SPDX-License-Identifier: Apache-2.0

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "CHoldfastSpool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

// MARK: real blocks

static int write_zeros(int fd, int64_t bytes) {
  static const char zeros[64 * 1024];
  int64_t at = 0;
  while (at < bytes) {
    size_t wanted = sizeof zeros;
    if (bytes - at < (int64_t)wanted) wanted = (size_t)(bytes - at);
    ssize_t wrote = pwrite(fd, zeros, wanted, (off_t)at);
    if (wrote < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    if (wrote == 0) return ENOSPC;
    at += wrote;
  }
  return 0;
}

int chf_reserve(int fd, int64_t bytes) {
#if defined(__linux__)
  int result;
  do {
    result = fallocate(fd, 0, 0, (off_t)bytes);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return 0;
  // posix_fallocate's own fallback touches one byte a block, which a filesystem may keep as a hole; writing
  // every byte asks for every block.
  if (errno != EOPNOTSUPP && errno != ENOSYS) return errno;
#endif
  return write_zeros(fd, bytes);
}

void chf_populate(void *address, size_t length) {
#if defined(__linux__)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; an older kernel answers EINVAL
#endif
  (void)madvise(address, length, MADV_POPULATE_WRITE);
#else
  (void)madvise(address, length, MADV_WILLNEED);
#endif
}

// MARK: fork

static uint32_t fork_depth;

static void count_fork(void) { __atomic_add_fetch(&fork_depth, 1, __ATOMIC_RELAXED); }

__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }

uint32_t chf_fork_depth(void) { return __atomic_load_n(&fork_depth, __ATOMIC_RELAXED); }

// MARK: CRC32C

static uint32_t table[8][256];

__attribute__((constructor)) static void make_table(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
    table[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; byte++) {
    for (int slice = 1; slice < 8; slice++) {
      uint32_t before = table[slice - 1][byte];
      table[slice][byte] = (before >> 8) ^ table[0][before & 0xff];
    }
  }
}

// Eight tables, eight bytes a step ("slicing-by-8", Kounavis and Berry, 2005).
uint32_t chf_crc32c_table(uint32_t crc, const void *bytes, size_t length) {
  const unsigned char *at = bytes;
  crc = ~crc;
  for (; length >= 8; length -= 8, at += 8) {
    uint32_t word = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    uint32_t low = crc ^ word;
    crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^
          table[4][low >> 24] ^ table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^ table[0][at[7]];
  }
  for (; length > 0; length--, at++) crc = (crc >> 8) ^ table[0][(crc ^ *at) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2")))
static uint32_t by_instruction(uint32_t crc, const void *bytes, size_t length) {
  const unsigned char *at = bytes;
  uint64_t wide = (uint32_t)~crc;
  for (; length >= 8; length -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  uint32_t narrow = (uint32_t)wide;
  for (; length > 0; length--, at++) narrow = _mm_crc32_u8(narrow, *at);
  return ~narrow;
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
static uint32_t by_instruction(uint32_t crc, const void *bytes, size_t length) {
  const unsigned char *at = bytes;
  crc = ~crc;
  for (; length >= 8; length -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    crc = __crc32cd(crc, word);
  }
  for (; length > 0; length--, at++) crc = __crc32cb(crc, *at);
  return ~crc;
}
#endif

uint32_t chf_crc32c(uint32_t crc, const void *bytes, size_t length) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return by_instruction(crc, bytes, length);
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
  return by_instruction(crc, bytes, length);
#endif
  return chf_crc32c_table(crc, bytes, length);
}
