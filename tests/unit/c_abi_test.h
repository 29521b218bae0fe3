/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef C_ABI_TEST_H
#define C_ABI_TEST_H

#ifdef __cplusplus
extern "C" {
#endif

const char* c_abi_check_devices(const char* store);
const char* c_abi_check_administration(const char* store);
const char* c_abi_check_reports(void);
const char* c_abi_check_errors(void);
const char* c_abi_check_fenced_since(const char* store);
const char* c_abi_check_hand_over(void);
const char* c_abi_check_reset(const char* store);
const char* c_abi_check_same_nexus(const char* store);

#ifdef __cplusplus
}
#endif

#endif /* C_ABI_TEST_H */
