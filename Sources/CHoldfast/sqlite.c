// SPDX-License-Identifier: Apache-2.0

#include "CHoldfast.h"

int chf_no_checkpoint_on_close(sqlite3 *db, int *is_set) {
  return sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, is_set);
}

int chf_has_moved(sqlite3 *db, int *moved) {
  return sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, moved);
}

int chf_defend(sqlite3 *db) {
  int is_set = 0;
  int code = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, &is_set);
  return code != SQLITE_OK ? code : is_set ? SQLITE_OK : SQLITE_ERROR;
}
