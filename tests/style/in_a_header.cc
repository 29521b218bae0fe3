// SPDX-License-Identifier: GPL-2.0-or-later
// Refused: modernize-use-override
#include "in_a_header.h"

int CornersOfASquare() { return Square().Corners(); }
