// SPDX-License-Identifier: GPL-2.0-or-later
// Refused: clang-format

int Twice(int number)
{
    return 2*number;
}
