// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot call by itself: variadic C functions, and constants that are
// behind feature macros. Nothing here decides anything.

#ifndef CHOLDFAST_H
#define CHOLDFAST_H

#include <spawn.h>
#include <sqlite3.h>
#include <stdint.h>

#include "CHoldfastSpool.h"

/// Open-file-description locks (fcntl(2), F_OFD_SETLK): they belong to the open file,
/// not to the process, so closing another descriptor of the file does not drop them.
/// `type` is F_RDLCK, F_WRLCK or F_UNLCK. Returns 0 or an errno value.
int chf_ofd_lock(int fd, int16_t type, int64_t start, int64_t length);

/// Like chf_ofd_lock, but waits in the kernel until the lock is granted (F_OFD_SETLKW).
int chf_ofd_lock_wait(int fd, int16_t type, int64_t start, int64_t length);

/// Asks whether a lock of `type` could be placed now (F_OFD_GETLK). `*blocked` becomes 1 when
/// another owner is in the way. Returns 0 or an errno value.
int chf_ofd_probe(int fd, int16_t type, int64_t start, int64_t length, int *blocked);

/// sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, &out). Returns a result code; `*is_set`
/// is what SQLite read back.
int chf_no_checkpoint_on_close(sqlite3 *db, int *is_set);

/// sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED): whether the database's path no longer
/// names the file this connection has open.
int chf_has_moved(sqlite3 *db, int *moved);

/// sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, &out), for databases that may be hostile. Returns a
/// result code, SQLITE_ERROR when it did not take.
int chf_defend(sqlite3 *db);

/// pidfd_open(2): a descriptor that becomes readable when the process ends. Returns it, or an errno value
/// negated; -ENOSYS where there is no such call.
int chf_pidfd_open(int32_t pid);

/// sync_file_range(2): writes the dirty pages of a stretch of the file out and waits for that; no metadata and no
/// flush of the device's cache. Returns 0 or an errno value, ENOSYS where there is no such call.
int chf_write_out(int fd, int64_t start, int64_t length);

/// Lets the calling thread run only where others leave a processor to it (nice 10), for work nobody waits for. Nothing
/// happens where threads have no such thing of their own.
void chf_yield_processor(void);

/// posix_spawn_file_actions_addclosefrom_np(3): the new process gets no descriptor from `first` on. Returns 0
/// or an errno value, ENOSYS where there is no such call (glibc before 2.34, other systems).
int chf_closes_from(posix_spawn_file_actions_t *actions, int first);

/// The number by which the kernel knows the filesystem that `path` is on (statfs(2), <linux/magic.h>); 0 when it
/// does not say, or elsewhere than on Linux.
uint32_t chf_filesystem_magic(const char *path);

/// Names the calling thread for debuggers and `top -H`; the name is cut to 15 bytes.
void chf_name_thread(const char *name);

#endif
